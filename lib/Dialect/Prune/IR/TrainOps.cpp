//===- TrainOps.cpp - Ops of fine-tuning --------------------------------------===//

#include "DestinationEffects.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/ADT/SmallSet.h"

using namespace mlir;
using namespace mlir::prune;

LogicalResult GradientOp::verify() {
  if (getNumResults() < getBy().size() + 1)
    return emitOpError() << "expected at least " << getBy().size() + 1 << " results (gradient_c4), got "
                         << getNumResults();
  auto loss = dyn_cast<RankedTensorType>(getResult(0).getType());
  if (!loss || loss.getRank() != 0 || !isa<FloatType>(loss.getElementType()))
    return emitOpError() << "expected a float tensor of rank 0 as first result (gradient_c2), got "
                         << getResult(0).getType();
  llvm::SmallSet<int64_t, 8> seen;
  unsigned first = getNumResults() - getBy().size();
  for (auto [i, index] : llvm::enumerate(getBy())) {
    if (index < 0 || index >= static_cast<int64_t>(getInputs().size()))
      return emitOpError() << "by: expected arguments 0 to " << static_cast<int64_t>(getInputs().size()) - 1
                           << " (gradient_c3), got " << index;
    if (!seen.insert(index).second)
      return emitOpError() << "by: expected each argument once (gradient_c3), got " << index << " twice";
    Type type = getInputs()[index].getType();
    if (!isa<FloatType>(getElementTypeOrSelf(type)))
      return emitOpError() << "by: expected a float or float tensor (gradient_c3), got argument " << index
                           << " of type " << type;
    if (getResult(first + i).getType() != type)
      return emitOpError() << "result " << first + i << ": expected the type " << type << " of argument " << index
                           << " (gradient_c4), got " << getResult(first + i).getType();
  }
  return success();
}

LogicalResult GradientOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto function = symbols.lookupNearestSymbolFrom<FunctionOpInterface>(*this, getCalleeAttr());
  if (!function || function.isExternal())
    return emitOpError() << "expected a function with a body named '" << getCallee() << "' (gradient_c1), got none";
  if (!llvm::equal(function.getArgumentTypes(), getInputs().getTypes()))
    return emitOpError() << "expected operands of the types of the arguments of '" << getCallee()
                         << "' (gradient_c1): " << function.getArgumentTypes() << ", got " << getInputs().getTypes();
  TypeRange own = TypeRange(getResultTypes()).drop_back(getBy().size());
  if (!llvm::equal(function.getResultTypes(), own))
    return emitOpError() << "expected first the results of '" << getCallee()
                         << "' (gradient_c4): " << function.getResultTypes() << ", got " << own;
  return success();
}

/// All operands that have a shape have a static one, and are all tensors with results for the destinations, or all
/// buffers.
static LogicalResult verifyShapes(DestinationStyleOpInterface op, StringRef label) {
  bool isTensor = isa<RankedTensorType>(op.getDpsInits().front().getType());
  for (Value operand : op->getOperands()) {
    auto shaped = dyn_cast<ShapedType>(operand.getType());
    if (!shaped)
      continue;
    if (!shaped.hasRank() || !shaped.hasStaticShape())
      return op->emitOpError() << "expected operands of static shape (" << label << "), got " << shaped;
    if (isa<RankedTensorType>(shaped) != isTensor)
      return op->emitOpError() << "expected tensors only or buffers only (" << label << "), got both";
  }
  if (!llvm::equal(op->getResultTypes(), isTensor ? TypeRange(op.getDpsInits()) : TypeRange()))
    return op->emitOpError() << "expected " << (isTensor ? "a result of the type of each destination" : "no result")
                             << " (" << label << ")";
  return success();
}

static LogicalResult verifyPattern(Operation *op, PatternAttrInterface pattern, ArrayRef<int64_t> shape,
                                   StringRef label) {
  if (failed(pattern.verifyShape([&] { return op->emitOpError(); }, shape)))
    return failure();
  if (!pattern.getUnitBoxes(shape))
    return op->emitOpError() << "expected a pattern whose units are boxes (" << label << "), got " << pattern;
  return success();
}

void SelectMasksOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

LogicalResult SelectMasksOp::verify() {
  if (getScores().empty() || getScores().size() != getInits().size())
    return emitOpError() << "expected one or more scores and as many destinations (select_masks_c1), got "
                         << getScores().size() << " and " << getInits().size();
  if (failed(verifyShapes(*this, "select_masks_c1")))
    return failure();
  if (getMinKeep() && getMinKeep()->size() != getScores().size())
    return emitOpError() << "expected " << getScores().size() << " numbers in min_keep (select_masks_c5), got "
                         << getMinKeep()->size();
  if (getCriterion().ranksWithinRows() || getCriterion().updatesWeights())
    return emitOpError() << "expected a criterion whose scores compare between rows and whose weights stay "
                            "(select_masks_c7), got "
                         << getCriterion();
  PatternAttrInterface pattern = getPattern();
  for (auto [index, score, init] : llvm::enumerate(getScores(), getInits())) {
    ArrayRef<int64_t> shape = cast<ShapedType>(score.getType()).getShape();
    if (shape != cast<ShapedType>(init.getType()).getShape())
      return emitOpError() << "expected destination " << index << " of the shape of its scores " << score.getType()
                           << " (select_masks_c1), got " << init.getType();
    if (failed(verifyPattern(*this, pattern, shape, "select_masks_c2")))
      return failure();
    int64_t numUnits = pattern.getUnitBoxes(shape)->getNumUnits(), minKeep = getMinKeepOf(index);
    if (minKeep < -1 || minKeep > numUnits)
      return emitOpError() << "expected a min_keep of -1 to the " << numUnits << " units of weight " << index
                           << " (select_masks_c5), got " << minKeep;
  }
  if (getSparsity() && getThreshold())
    return emitOpError() << "expected a sparsity or a threshold (select_masks_c3), got both";
  if (!getSparsity() && !getThreshold() &&
      pattern.getNumGroups(cast<ShapedType>(getScores().front().getType()).getShape()) == 0)
    return emitOpError() << "expected a sparsity or a threshold (select_masks_c3): pattern " << pattern
                         << " alone prunes nothing";
  if (getNormalization() && !getSparsity())
    return emitOpError() << "expected normalize(" << stringifyNormalization(*getNormalization())
                         << ") with a sparsity (select_masks_c4), got none";
  if (getThreshold() && getThreshold()->isNaN())
    return emitOpError() << "expected a number as threshold (select_masks_c6), got NaN";
  return success();
}

void RegrowMaskOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

LogicalResult RegrowMaskOp::verify() {
  if (failed(verifyShapes(*this, "regrow_mask_c1")))
    return failure();
  ArrayRef<int64_t> shape = cast<ShapedType>(getWeight().getType()).getShape();
  for (Value other : {getGradient(), getMask(), getInit()})
    if (cast<ShapedType>(other.getType()).getShape() != shape)
      return emitOpError() << "expected operands of the shape of the weight " << getWeight().getType()
                           << " (regrow_mask_c1), got " << other.getType();
  if (failed(verifyPattern(*this, getPattern(), shape, "regrow_mask_c2")))
    return failure();
  if (getPattern().getUnitBoxes(shape)->m != 0)
    return emitOpError() << "expected a pattern without groups (regrow_mask_c2), got " << getPattern();
  return success();
}
