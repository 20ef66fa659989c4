//===- CompressedOps.cpp - Weights as their kept elements ------------------------===//

#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"

using namespace mlir;
using namespace mlir::prune;

/// Constraint 2 of both ops.
template <typename OpTy> static LogicalResult verifyKeptCount(OpTy op) {
  Attribute constant = getConstantAttr(op.getMask());
  // Elided resources say nothing, and IR printed for people must still parse.
  if (!constant || isElidedResource(constant))
    return success();
  FailureOr<MaskData> mask = MaskData::read(constant, [&] { return op.emitOpError(); });
  if (failed(mask))
    return failure();
  int64_t size = op.getValues().getType().getDimSize(0);
  if (mask->countKept() != size)
    return op.emitOpError() << "expected values for the " << mask->countKept() << " elements that the mask keeps, got "
                            << size;
  return success();
}

LogicalResult DecompressOp::verify() { return verifyKeptCount(*this); } // decompress_c2

LogicalResult CompressOp::verify() { return verifyKeptCount(*this); } // compress_c2

OpFoldResult CompressOp::fold(FoldAdaptor adaptor) {
  auto source = getWeight().getDefiningOp<DecompressOp>();
  bool isSameMask = source && (source.getMask() == getMask() ||
                               (adaptor.getMask() && adaptor.getMask() == getConstantAttr(source.getMask())));
  return isSameMask ? source.getValues() : Value();
}
