//===- PlanCost.cpp - What a model costs under a plan -------------------------===//

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/Transforms/Structured/SelectGroups.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace mlir::prune;

PlanCost::PlanCost(ModuleOp module, const DimCoupling &coupling) : coupling(coupling) {
  llvm::SetVector<Value> constants;
  for (const PrunableLayer &layer : findPrunableLayers(module)) {
    if (arith::ConstantOp constant = layer.getConstant())
      constants.insert(constant.getResult());
    auto op = dyn_cast<linalg::LinalgOp>(layer.op);
    if (!op || !layer.flops)
      continue;
    // A loop is as long as any dimension that it alone runs along. The others (windows of convolutions are read at
    // sums of two loops) never shrink.
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    SmallVector<DimRef> loops(ranges.size());
    for (OpOperand &operand : op->getOpOperands())
      for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
        if (auto loop = dyn_cast<AffineDimExpr>(expr); loop && isa<RankedTensorType>(operand.get().getType()))
          loops[loop.getPosition()] = DimRef{operand.get(), static_cast<int64_t>(dim)};
    Product product;
    for (auto [range, dim] : llvm::zip_equal(ranges, loops))
      if (dim.value)
        product.loops.push_back(dim);
      else
        product.rest *= range;
    products.push_back(std::move(product));
  }
  weights = constants.takeVector();
}

ModelCost PlanCost::count(const ShrinkPlan &plan) const {
  ModelCost cost;
  for (Value weight : weights) {
    int64_t size = 1;
    for (int64_t dim = 0, rank = cast<RankedTensorType>(weight.getType()).getRank(); dim < rank; ++dim)
      size *= plan.countKept(coupling, {weight, dim});
    cost.params += size;
  }
  for (const Product &product : products) {
    int64_t points = product.rest;
    for (DimRef loop : product.loops)
      points *= plan.countKept(coupling, loop);
    cost.macs += points;
  }
  return cost;
}
