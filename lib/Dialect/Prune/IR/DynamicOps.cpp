//===- DynamicOps.cpp - Masks on activations ------------------------------------===//
//
// Verifiers carry the labels of the numbered constraints in PruneDynamicOps.td.
//
//===----------------------------------------------------------------------===//

#include "DestinationEffects.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::prune;

#define GET_OP_CLASSES
#include "prune/Dialect/Prune/IR/PruneDynamicOps.cpp.inc"

//===----------------------------------------------------------------------===//
// DynamicMaskOp
//===----------------------------------------------------------------------===//

void DynamicMaskOp::getAsmResultNames(OpAsmSetValueNameFn setName) { setName(getMask(), "mask"); }

std::optional<double> DynamicMaskOp::getExpectedDensity() {
  if (getKeep())
    return static_cast<double>(*getKeep()) / static_cast<double>(getGroupSize());
  if (getTargetSparsity())
    return 1 - getTargetSparsity()->convertToDouble();
  return std::nullopt;
}

LogicalResult DynamicMaskOp::verify() {
  RankedTensorType type = getInput().getType(); // dynamic_mask_c1 is a trait
  int64_t along = getAlong(), unit = getUnit();
  // dynamic_mask_c2
  if (along < 0 || along >= type.getRank())
    return emitOpError() << "expected a dimension from 0 to " << type.getRank() - 1 << ", got " << along;
  int64_t size = type.getDimSize(along);
  if (unit < 1 || size % unit != 0)
    return emitOpError() << "expected units that divide the " << size << " indices of dimension " << along << ", got "
                         << unit;
  // dynamic_mask_c3
  int64_t previous = -1;
  for (int64_t dim : getWhole()) {
    if (dim <= previous || dim >= type.getRank() || dim == along)
      return emitOpError() << "expected whole to list dimensions other than " << along << " from 0 to "
                           << type.getRank() - 1 << " in ascending order, got [" << getWhole() << "]";
    previous = dim;
  }
  // dynamic_mask_c4
  if (getKeep() && (getThreshold() || getTargetSparsity()))
    return emitOpError() << "expected keep or a " << (getThreshold() ? "threshold" : "sparsity") << ", got both";
  if (!getKeep() && !getThreshold() && !getTargetSparsity())
    return emitOpError() << "expected a threshold, a sparsity or keep, got none";
  // dynamic_mask_c5
  if (getThreshold()) {
    double threshold = getThreshold()->convertToDouble();
    if (getThreshold()->isNaN() || (threshold < 0 && !getIsSigned()))
      return emitOpError() << "expected a threshold of 0 or more, got " << formatNumber(threshold);
  }
  // dynamic_mask_c6
  if (getTargetSparsity()) {
    double sparsity = getTargetSparsity()->convertToDouble();
    if (!(sparsity >= 0 && sparsity <= 1))
      return emitOpError() << "expected a sparsity in [0, 1], got " << formatNumber(sparsity);
  }
  // dynamic_mask_c8
  int64_t numUnits = getNumUnits();
  if (getOf()) {
    int64_t of = *getOf();
    if (!getKeep())
      return emitOpError() << "expected keep with of(" << of << "), got none";
    if (of < 1 || numUnits % of != 0)
      return emitOpError() << "expected of to divide the " << numUnits << " units along dimension " << along << ", got "
                           << of;
  }
  // dynamic_mask_c7
  if (getKeep()) {
    int64_t keep = *getKeep();
    if (keep < 1 || keep > getGroupSize())
      return emitOpError() << "expected keep from 1 to the " << getGroupSize() << " units "
                           << (getOf() ? "of a group" : "along the dimension") << ", got " << keep;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// GateOp
//===----------------------------------------------------------------------===//

void GateOp::getAsmResultNames(OpAsmSetValueNameFn setName) { setName(getResult(), "gated"); }

OpFoldResult GateOp::fold(FoldAdaptor adaptor) {
  auto dynamic = getMask().getDefiningOp<DynamicMaskOp>();
  FailureOr<MaskData> constant = MaskData::read(adaptor.getMask());
  bool keepsAll = (dynamic && dynamic.keepsAll()) || (succeeded(constant) && !llvm::is_contained(constant->bytes(), 0));
  auto inner = getInput().getDefiningOp<GateOp>();
  if (keepsAll || (inner && inner.getMask() == getMask()))
    return getInput();
  return {};
}

//===----------------------------------------------------------------------===//
// KeepLargestOp
//===----------------------------------------------------------------------===//

void KeepLargestOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

LogicalResult KeepLargestOp::verify() {
  ShapedType scores = getScoresType(), mask = cast<ShapedType>(getMask().getType());
  // keep_largest_c1
  if (!scores.hasStaticShape() || scores.getRank() == 0 ||
      !isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(scores.getElementType()))
    return emitOpError() << "expected scores of f16, bf16, f32 or f64 of static shape and rank 1 or more, got "
                         << scores;
  if (!mask.hasStaticShape() || mask.getShape() != scores.getShape() || !mask.getElementType().isInteger(1))
    return emitOpError() << "expected a mask of i1 of the shape of the scores, got " << mask << " for " << scores;
  // keep_largest_c2
  int64_t keep = getKeep(), size = scores.getShape().back();
  if (keep < 1 || keep > size)
    return emitOpError() << "expected keep from 1 to the " << size << " elements of a row, got " << keep;
  return success();
}

//===----------------------------------------------------------------------===//
// Products that skip
//===----------------------------------------------------------------------===//

void ListNonzerosOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

void SumColumnsOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

void SumAllColumnsOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

void MultiplyRowsOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

/// Checks that `value` has this element type and shape.
static LogicalResult verifyArray(Operation *op, StringRef name, Value value, Type element, ArrayRef<int64_t> shape) {
  auto type = cast<ShapedType>(value.getType());
  if (type.hasRank() && type.getElementType() == element && type.getShape() == shape)
    return success();
  return op->emitOpError() << "expected " << name << " of [" << shape << "] " << element << ", got " << type;
}

/// The sizes of a value that must be a matrix of static shape.
static FailureOr<std::pair<int64_t, int64_t>> getMatrixSizes(Operation *op, StringRef name, Value value) {
  auto type = cast<ShapedType>(value.getType());
  if (!type.hasRank() || type.getRank() != 2 || !type.hasStaticShape() || !type.getElementType().isF32())
    return op->emitOpError() << "expected " << name << " to be a matrix of f32 of static shape, got " << type;
  return std::pair(type.getDimSize(0), type.getDimSize(1));
}

static LogicalResult verifyShares(Operation *op, int64_t shares, int64_t most) {
  if (shares < 1 || shares > most)
    return op->emitOpError() << "expected 1 to " << most << " shares, got " << shares;
  return success();
}

LogicalResult ListNonzerosOp::verify() { // list_nonzeros_c1
  auto sizes = getMatrixSizes(*this, "input", getInput());
  if (failed(sizes))
    return failure();
  auto [tokens, columns] = *sizes;
  int64_t length = llvm::alignTo(columns, kStep);
  Builder b(getContext());
  return success(succeeded(verifyArray(*this, "columns", getColumns(), b.getI32Type(), {tokens, length})) &&
                 succeeded(verifyArray(*this, "values", getValues(), b.getF32Type(), {tokens, length})) &&
                 succeeded(verifyArray(*this, "counts", getCounts(), b.getI32Type(), {tokens})));
}

LogicalResult SumColumnsOp::verify() {
  auto weight = getMatrixSizes(*this, "weight", getWeight()), init = getMatrixSizes(*this, "init", getInit());
  if (failed(weight) || failed(init))
    return failure();
  // sum_columns_c1, sum_columns_c2
  int64_t tokens = init->first, length = llvm::alignTo(weight->first, ListNonzerosOp::kStep);
  Builder b(getContext());
  if (failed(verifyArray(*this, "init", getInit(), b.getF32Type(), {tokens, weight->second})) ||
      failed(verifyArray(*this, "columns", getColumns(), b.getI32Type(), {tokens, length})) ||
      failed(verifyArray(*this, "values", getValues(), b.getF32Type(), {tokens, length})) ||
      failed(verifyArray(*this, "counts", getCounts(), b.getI32Type(), {tokens})))
    return failure();
  // sum_columns_c3
  return verifyShares(*this, getShares(), weight->second);
}

LogicalResult SumAllColumnsOp::verify() {
  auto weight = getMatrixSizes(*this, "weight", getWeight()), init = getMatrixSizes(*this, "init", getInit());
  if (failed(weight) || failed(init))
    return failure();
  // sum_all_columns_c1
  Type f32 = Builder(getContext()).getF32Type();
  if (failed(verifyArray(*this, "init", getInit(), f32, {init->first, weight->second})) ||
      failed(verifyArray(*this, "input", getInput(), f32, {init->first, weight->first})))
    return failure();
  // sum_all_columns_c2
  return verifyShares(*this, getShares(), weight->second);
}

LogicalResult MultiplyRowsOp::verify() {
  auto weight = getMatrixSizes(*this, "weight", getWeight()), init = getMatrixSizes(*this, "init", getInit());
  if (failed(weight) || failed(init))
    return failure();
  // multiply_rows_c1
  auto [numRows, numColumns] = *weight;
  int64_t tokens = init->first, length = llvm::alignTo(numRows, ListNonzerosOp::kStep);
  Builder b(getContext());
  if (failed(verifyArray(*this, "init", getInit(), b.getF32Type(), {tokens, numRows})) ||
      failed(verifyArray(*this, "input", getInput(), b.getF32Type(), {tokens, numColumns})) ||
      failed(verifyArray(*this, "rows", getRows(), b.getI32Type(), {tokens, length})) ||
      failed(verifyArray(*this, "counts", getCounts(), b.getI32Type(), {tokens})))
    return failure();
  // multiply_rows_c2
  return verifyShares(*this, getShares(), numRows);
}
