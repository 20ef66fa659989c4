//===- Constants.h - Constant tensors of a model: bytes, names, masks -*- C++ -*-===//
#ifndef PRUNE_SUPPORT_CONSTANTS_H
#define PRUNE_SUPPORT_CONSTANTS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinAttributes.h"
#include <optional>

namespace mlir::prune {

/// The raw little-endian bytes of a constant, row-major. A splat holds one element.
struct ConstantBytes {
  ArrayRef<char> data;
  bool isSplat = false;
};

/// The bytes behind `attr` (`dense<>` or `dense_resource<>`) without a copy. Fails when they are not at hand: an
/// external resource, a resource of the wrong size, sparse<>, strings, or a type whose elements are not whole bytes.
FailureOr<ConstantBytes> getConstantBytes(ElementsAttr attr);

/// Bytes of one element in a constant's storage; 0 for types that are not int, index, float or complex of these.
/// i1 takes one byte in a resource.
int64_t getElementBytes(Type elementType);

/// The constant that defines `value`, or a null op.
arith::ConstantOp getConstant(Value value);

/// `value` without the masks on it: looks through `prune.apply`.
Value lookThroughMask(Value value);

/// Key of resources without a name of their own yet (and with a number behind, when there are several).
inline constexpr llvm::StringLiteral kUnnamedResource = "prune.unnamed";

/// The name a constant carries itself: the key of its resource, else the name in its location. Empty when neither.
StringRef getConstantName(arith::ConstantOp constant);

/// Gives `constant` new elements, as raw little-endian bytes. A resource keeps its key, which is the name of the weight, so
/// whatever shares it gets the new elements too.
void setConstantBytes(arith::ConstantOp constant, ArrayRef<char> bytes);

/// `source` in the shape of `type`, which has as many elements; a resource is shared, not copied.
ElementsAttr reshapeConstant(ElementsAttr source, RankedTensorType type);

/// The first name in `loc` (NameLoc, through fused and call-site locations); empty when there is none.
StringRef getLocationName(Location loc);

/// A resource constant with `bytes` as its data. No copy: `bytes` must live as long as the context.
DenseResourceElementsAttr getUnmanagedResource(RankedTensorType type, StringRef key, ArrayRef<char> bytes);

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_CONSTANTS_H
