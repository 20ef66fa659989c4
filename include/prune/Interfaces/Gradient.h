//===- Gradient.h - Reverse mode: rules and what they work on -------*- C++ -*-===//
//
// Reverse mode on values. A sweep runs over ops from the last to the first; each op's rule (GradientOpInterface) turns
// the gradients of its results into contributions to those of its operands. The same words serve functions on tensors
// and the scalar regions of structured ops.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_INTERFACES_GRADIENT_H
#define PRUNE_INTERFACES_GRADIENT_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace mlir::prune {

/// Gradients of the values of one block while a sweep runs over it.
class Gradients {
public:
  /// Only values that depend on `sources` are active; all others have no gradient. Visits `block`.
  Gradients(ValueRange sources, llvm::ArrayRef<Operation *> ops);

  /// True if a float depends on the sources.
  bool isActive(Value value) const { return active.contains(value); }

  /// The gradient added up so far; null stands for zero.
  Value get(Value value) const { return sums.lookup(value); }

  /// Adds `term` to the gradient of `value`, unless that is not active.
  void add(OpBuilder &builder, Location loc, Value value, Value term);

  /// Runs the rules of `ops` from the last to the first.
  LogicalResult sweep(OpBuilder &builder, llvm::ArrayRef<Operation *> ops);

private:
  llvm::DenseSet<Value> active;
  llvm::DenseMap<Value, Value> sums;
};

/// True for floats and tensors of floats.
bool isDifferentiableType(Type type);

/// Zeros of a float or static float tensor type.
Value createZeros(OpBuilder &builder, Location loc, Type type);

/// The rules of arith, linalg, math, prune, scf and tensor ops.
void registerGradientExternalModels(DialectRegistry &registry);

} // namespace mlir::prune

#include "prune/Interfaces/GradientOpInterface.h.inc"

#endif // PRUNE_INTERFACES_GRADIENT_H
