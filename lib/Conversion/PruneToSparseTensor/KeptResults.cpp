//===- KeptResults.cpp - prune-pack for products whose results are pruned ---------===//

#include "KeptResults.h"
#include "SumColumns.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace mlir::prune;

/// True if `user` makes each element of its results from the element of `value` at the same place, and others.
static bool isElementwiseUser(Operation *user, Value value) {
  if (OpTrait::hasElementwiseMappableTraits(user))
    return true;
  auto generic = dyn_cast<linalg::LinalgOp>(user);
  if (!generic || !generic.hasPureTensorSemantics() || generic.getNumReductionLoops() != 0)
    return false;
  return llvm::all_of(user->getOpOperands(), [&](OpOperand &operand) {
    bool mustBeAsItIs = operand.get() == value || generic.isDpsInit(&operand);
    return !mustBeAsItIs || generic.getMatchingIndexingMap(&operand).isIdentity();
  });
}

KeptResults mlir::prune::findKeptResults(linalg::LinalgOp op, const LayerWeight &weight, const LayerShape &shape) {
  // What is not known of a threshold.
  constexpr double usualDensity = 0.5;
  Value mask;
  std::string reason; // of the first place where a result is seen
  bool hasGate = false;
  SmallVector<Value> values{op->getResult(0)};
  llvm::SmallPtrSet<Operation *, 8> seen;
  for (size_t i = 0; i < values.size(); ++i)
    for (OpOperand &use : values[i].getUses()) {
      Operation *user = use.getOwner();
      auto gate = dyn_cast<GateOp>(user);
      if (gate && use.getOperandNumber() == 0) {
        hasGate = true;
        if (mask && mask != gate.getMask() && reason.empty())
          reason = "gates with different masks prune them";
        mask = gate.getMask();
      } else if (isElementwiseUser(user, values[i])) {
        if (seen.insert(user).second)
          llvm::append_range(values, user->getResults());
      } else if (reason.empty()) {
        reason = "'" + user->getName().getStringRef().str() + "' reads them before they are pruned";
      }
    }
  if (!hasGate)
    return {};
  if (reason.empty() && !shape.allowsColumns)
    reason = weight.values ? "the weight's values come at run time" : "they do not lie side by side";
  if (reason.empty() && mask.getParentBlock() != op->getBlock())
    reason = "their mask is made in another block";
  if (!reason.empty()) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack"))
        << weight.name + ": pruned results are computed because " + reason;
    return {};
  }
  auto dynamic = mask.getDefiningOp<DynamicMaskOp>();
  std::optional<double> density = dynamic ? dynamic.getExpectedDensity() : std::nullopt;
  return {mask, density.value_or(usualDensity)};
}

void mlir::prune::multiplyRows(RewriterBase &rewriter, linalg::LinalgOp op, Value activations,
                               const LayerWeight &weight, Value mask, const PackOptions &options) {
  // The mask does not depend on the product, but may come after it.
  [[maybe_unused]] LogicalResult moved = moveValueDefinitions(rewriter, mask, op);
  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  auto resultType = cast<RankedTensorType>(op->getResult(0).getType());
  int64_t numRows = weight.matrix.numRows, numTokens = resultType.getNumElements() / numRows;
  Value kept = arith::UIToFPOp::create(b, resultType, mask);
  ListNonzerosOp lists = listNonzeros(b, collapseToMatrix(b, kept));
  Value init = tensor::EmptyOp::create(b, {numTokens, numRows}, b.getF32Type());
  Value y = MultiplyRowsOp::create(b, init.getType(), makeDense(b, weight, /*isTransposed=*/false),
                                   collapseToMatrix(b, activations), lists.getResult(0), lists.getResult(2), init,
                                   getShares(weight.matrix, numTokens, options))
                .getResult(0);
  rewriter.replaceOp(op, expandMatrix(b, y, resultType));
}
