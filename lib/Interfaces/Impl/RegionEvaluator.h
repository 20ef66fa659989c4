//===- RegionEvaluator.h - What a scalar region makes of known numbers -*- C++ -*-===//
#ifndef PRUNE_INTERFACES_IMPL_REGIONEVALUATOR_H
#define PRUNE_INTERFACES_IMPL_REGIONEVALUATOR_H

#include "mlir/IR/Block.h"
#include "mlir/IR/BuiltinAttributeInterfaces.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/DenseMap.h"

namespace mlir::prune {

/// What is known of a scalar: a number, that it is the same as another value, or nothing.
struct KnownScalar {
  TypedAttr number;
  Value same;

  explicit operator bool() const { return number || same; }
  friend bool operator==(const KnownScalar &a, const KnownScalar &b) {
    return a.number == b.number && a.same == b.same;
  }
};

/// Evaluates the one block of a `linalg` op on what is known of its arguments. Uses the folders of the ops, and besides
/// that a product with zero is zero and a sum with zero is the other term (numbers at removed indices are finite).
class RegionEvaluator {
public:
  /// `other` says what ops with operands that are no scalars yield (tensor.extract).
  RegionEvaluator(Block &block, llvm::function_ref<TypedAttr(Operation *)> other) : block(block), other(other) {}

  /// Operands of the terminator, from what is known of the arguments.
  SmallVector<KnownScalar> evaluate(ArrayRef<KnownScalar> arguments);

private:
  KnownScalar lookUp(Value value);
  KnownScalar evaluate(Operation *op);

  Block &block;
  llvm::function_ref<TypedAttr(Operation *)> other;
  llvm::DenseMap<Value, KnownScalar> known;
};

/// True for zero of a float or integer type, -0 too.
bool isZero(TypedAttr number);

} // namespace mlir::prune

#endif // PRUNE_INTERFACES_IMPL_REGIONEVALUATOR_H
