//===- Ops.cpp - Operations on masks ------------------------------------------===//
//
// Verifiers carry the labels of the numbered constraints in PruneOps.td.
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

/// `lamp` in the place of `#prune.normalization<lamp>`.
static ParseResult parseNormalization(OpAsmParser &parser, NormalizationAttr &attr) {
  FailureOr<Normalization> value = FieldParser<Normalization>::parse(parser);
  if (failed(value))
    return failure();
  attr = NormalizationAttr::get(parser.getContext(), *value);
  return success();
}

static void printNormalization(OpAsmPrinter &printer, Operation *, NormalizationAttr attr) {
  printer << stringifyNormalization(attr.getValue());
}

#define GET_OP_CLASSES
#include "prune/Dialect/Prune/IR/PruneOps.cpp.inc"

/// Product of a unit grid.
static int64_t countUnits(PatternAttrInterface pattern, ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : pattern.getUnitGrid(shape))
    count *= size;
  return count;
}

//===----------------------------------------------------------------------===//
// MaskOp
//===----------------------------------------------------------------------===//

void MaskOp::getAsmResultNames(OpAsmSetValueNameFn setName) { setName(getMask(), "mask"); }

int64_t MaskOp::getEffectiveMinKeep() {
  if (std::optional<uint64_t> minKeep = getMinKeep())
    return static_cast<int64_t>(*minKeep);
  return getTargetSparsity() && getTargetSparsity()->convertToDouble() == 1.0 ? 0 : 1;
}

LogicalResult MaskOp::verify() {
  auto emit = [&] { return emitOpError(); };
  ArrayRef<int64_t> shape = getWeight().getType().getShape();
  PatternAttrInterface pattern = getPattern();
  if (failed(pattern.verifyShape(emit, shape))) // mask_c5
    return failure();
  int64_t numUnits = countUnits(pattern, shape);

  // mask_c3
  if (getTargetSparsity() && getThreshold())
    return emitOpError() << "expected a target sparsity or a threshold, got both";
  if (!getTargetSparsity() && !getThreshold() && pattern.getNumGroups(shape) == 0)
    return emitOpError() << "expected a target sparsity or a threshold: pattern " << pattern << " alone prunes nothing";
  // mask_c7
  if (getNormalization() && (!getTargetSparsity() || !getGroup()))
    return emitOpError() << "normalize(" << stringifyNormalization(*getNormalization())
                         << ") expects a target sparsity and a group, got no "
                         << (getTargetSparsity() ? "group" : "target sparsity");
  // mask_c2
  if (getThreshold() && getThreshold()->isNaN())
    return emitOpError() << "expected a number as threshold, got NaN";
  // mask_c8
  if (getThreshold() && failed(getCriterion().getScoreThreshold([&] { return emitOpError() << "threshold: "; },
                                                                getThreshold()->convertToDouble())))
    return failure();
  // mask_c4
  if (getMinKeep() && static_cast<int64_t>(*getMinKeep()) > numUnits)
    return emitOpError() << "min_keep of " << *getMinKeep() << " exceeds the " << numUnits << " units of the weight";
  if (getTargetSparsity()) {
    double sparsity = getTargetSparsity()->convertToDouble();
    // mask_c1
    if (!(sparsity >= 0.0 && sparsity <= 1.0))
      return emitOpError() << "expected a target sparsity in [0, 1], got " << formatNumber(sparsity);
    // mask_c6
    int64_t target = static_cast<int64_t>(std::nearbyint(sparsity * static_cast<double>(numUnits)));
    int64_t imposed = pattern.getNumImposed(shape);
    if (target < imposed)
      return emitOpError() << "target sparsity " << formatNumber(sparsity) << " prunes " << target << " of " << numUnits
                           << " units, but pattern " << pattern << " imposes " << imposed;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// ApplyOp
//===----------------------------------------------------------------------===//

void ApplyOp::getAsmResultNames(OpAsmSetValueNameFn setName) { setName(getResult(), "pruned"); }

LogicalResult ApplyOp::verify() {
  auto emit = [&] { return emitOpError(); };
  ArrayRef<int64_t> shape = getWeight().getType().getShape(); // apply_c1 is a trait
  PatternAttrInterface pattern = getPattern();
  if (failed(pattern.verifyShape(emit, shape))) // apply_c2
    return failure();
  Attribute constant = getConstantAttr(getMask());
  // Elided resources say nothing, and IR printed for people must still parse.
  if (!constant || isElidedResource(constant) || !isa<DenseElementsAttr, DenseResourceElementsAttr>(constant))
    return success();
  FailureOr<MaskData> mask = MaskData::read(constant, emit); // apply_c5
  if (failed(mask))
    return failure();
  // apply_c4
  if (!getAllowEmpty() && !llvm::is_contained(mask->bytes(), 1))
    return emitOpError() << "mask keeps none of " << mask->size() << " weights, and allow_empty is not set";
  return pattern.verifyMask(emit, shape, mask->bytes()); // apply_c3
}

OpFoldResult ApplyOp::fold(FoldAdaptor adaptor) {
  // Only the mask that masks nothing goes: any other must stay visible.
  FailureOr<MaskData> mask = MaskData::read(adaptor.getMask());
  if (succeeded(mask) && !llvm::is_contained(mask->bytes(), 0))
    return getWeight();
  return {};
}

//===----------------------------------------------------------------------===//
// RecordOp
//===----------------------------------------------------------------------===//

LogicalResult RecordOp::verify() {
  // record_c1
  int64_t kept = getKept(), total = getTotal();
  if (kept < 0 || kept > total)
    return emitOpError() << "expected a kept count in [0, " << total << "], got " << kept;
  // record_c2
  auto isDigest = [](StringRef text) {
    return text.size() == 16 && llvm::all_of(text, [](char c) { return llvm::isHexDigit(c); });
  };
  if (!isDigest(getDigest()))
    return emitOpError() << "expected a digest of 16 hexadecimal digits, got \"" << getDigest() << "\"";
  if (getStoredDigest() && !isDigest(*getStoredDigest()))
    return emitOpError() << "expected a digest of 16 hexadecimal digits, got \"" << *getStoredDigest() << "\"";
  // record_c3
  if (getStored().has_value() != getStoredDigest().has_value())
    return emitOpError() << "expected the name and the digest of the stored weight together, got only one";
  return success();
}
