//===- LayerInputs.cpp - What the layers of a weight multiply it with ---------===//

#include "Stages.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/IR/LinearForm.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "llvm/ADT/DenseMap.h"
#include <functional>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

/// The loops that `map` names.
static SmallVector<bool> getLoops(AffineMap map) {
  SmallVector<bool> loops(map.getNumDims(), false);
  for (unsigned loop = 0; loop < map.getNumDims(); ++loop)
    loops[loop] = map.isFunctionOfDim(loop);
  return loops;
}

/// The input of a contraction or convolution whose weight is operand 1; nothing if it cannot be described.
static std::optional<LayerInput> describeInput(linalg::LinalgOp op) {
  OpOperand *input = op.getDpsInputOperand(0), *weight = op.getDpsInputOperand(1);
  AffineMap inputMap = op.getMatchingIndexingMap(input), weightMap = op.getMatchingIndexingMap(weight);
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  if (!weightMap.isProjectedPermutation() || llvm::any_of(sizes, ShapedType::isDynamic) ||
      !getElementTypeOrSelf(input->get().getType()).isF32())
    return std::nullopt;
  for (AffineExpr expr : inputMap.getResults())
    if (!getLinearForm(expr))
      return std::nullopt;
  SmallVector<bool> inInput = getLoops(inputMap), inWeight = getLoops(weightMap);
  SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
  // Loops of the view: those of the groups, of the rows, of the columns in the order of the weight.
  SmallVector<unsigned> groups, rows, columns;
  for (AffineExpr expr : weightMap.getResults()) {
    unsigned loop = cast<AffineDimExpr>(expr).getPosition();
    if (kinds[loop] == utils::IteratorType::reduction)
      columns.push_back(loop);
    else if (inInput[loop])
      groups.push_back(loop);
  }
  for (unsigned loop = 0; loop < sizes.size(); ++loop)
    if (inInput[loop] && !inWeight[loop])
      rows.push_back(loop);
  if (groups.size() > 1 || columns.empty())
    return std::nullopt;
  LayerInput result;
  result.activation = input->get();
  result.numGroups = groups.empty() ? 1 : sizes[groups.front()];
  MLIRContext *context = op.getContext();
  SmallVector<AffineExpr> position(sizes.size(), getAffineConstantExpr(0, context));
  unsigned next = 0;
  for (unsigned loop : groups)
    position[loop] = getAffineDimExpr(next, context);
  ++next; // there is a dimension for the group without groups too
  for (auto [loops, list] : {std::pair(&rows, &result.rows), std::pair(&columns, &result.columns)})
    for (unsigned loop : *loops) {
      position[loop] = getAffineDimExpr(next++, context);
      list->push_back(sizes[loop]);
    }
  if (result.rows.empty()) {
    // A vector: one row.
    result.rows.push_back(1);
    for (unsigned loop : columns)
      position[loop] = position[loop].shiftDims(next, 1, 1);
    ++next;
  }
  result.view = inputMap.replaceDimsAndSymbols(position, {}, next, 0);
  return result;
}

FailureOr<SmallVector<ObservedWeight>> mlir::prune::findInputs(func::FuncOp function, ArrayRef<MaskOp> masks) {
  SmallVector<PrunableLayer> layers = findPrunableLayers(function->getParentOfType<ModuleOp>());
  llvm::DenseMap<OpOperand *, const PrunableLayer *> layerOf;
  for (const PrunableLayer &layer : layers)
    if (layer.weight)
      layerOf[layer.weight] = &layer;
  SmallVector<ObservedWeight> weights;
  for (MaskOp mask : masks) {
    ObservedWeight weight{mask, {}};
    SmallVector<Operation *> uses;
    auto refuse = [&](Operation *user, StringRef reason) {
      return emitError(mask.getLoc()) << "the input of weight '" << getWeightName(mask)
                                      << "' cannot be observed: expected its uses to be layers of f32 in '"
                                      << function.getName() << "', got " << user->getName() << " (" << reason << ")";
    };
    for (Operation *user : mask->getUsers()) {
      if (!isa<ApplyOp>(user))
        return refuse(user, "the mask is not only applied");
      for (OpOperand &use : user->getResult(0).getUses()) {
        const PrunableLayer *layer = layerOf.lookup(&use);
        if (!layer)
          return refuse(use.getOwner(), "no layer");
        if (!layer->isPrunable())
          return refuse(layer->op, layer->reason);
        if (layer->op->getBlock() != &function.getBody().front())
          return refuse(layer->op, "not in the body of the function itself");
        uses.push_back(layer->op);
      }
    }
    llvm::sort(uses, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    MatrixView matrix(mask.getWeight().getType().getShape());
    for (Operation *use : uses) {
      std::optional<LayerInput> input = describeInput(cast<linalg::LinalgOp>(use));
      int64_t columns =
          input ? std::accumulate(input->columns.begin(), input->columns.end(), int64_t(1), std::multiplies<>()) : 0;
      if (columns != matrix.columns || matrix.rows % input->numGroups != 0)
        return refuse(use, "its input is no matrix with a column for each of the weight's, of static shape");
      if (!weight.inputs.empty() && input->numGroups != weight.inputs.front().numGroups)
        return refuse(use, "it has other groups than another use");
      weight.inputs.push_back(std::move(*input));
    }
    if (weight.inputs.empty())
      return emitError(mask.getLoc()) << "the input of weight '" << getWeightName(mask)
                                      << "' cannot be observed: expected a layer that uses it, got none";
    weights.push_back(std::move(weight));
  }
  return weights;
}
