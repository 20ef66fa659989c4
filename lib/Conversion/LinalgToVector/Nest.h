//===- Nest.h - A linalg op as a loop nest over linear addresses ------*- C++ -*-===//
//
// The generator's view of an operation: loop dimensions with extents, and for each operand one linear address: a base
// plus one coefficient per dimension. Ranks and layouts are gone, so that a transpose, a broadcast, a strided subview
// and a convolution differ in numbers only, and dimensions that are contiguous in every operand merge into one.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_LIB_CONVERSION_LINALGTOVECTOR_NEST_H
#define PRUNE_LIB_CONVERSION_LINALGTOVECTOR_NEST_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::prune {

/// How the address of an operand moves with a loop dimension, in elements.
struct Coefficient {
  int64_t value = 0;
  /// Set where the stride is known at run time only; `value` is then meaningless.
  Value dynamic;
  /// The dimension also occurs below a division or remainder: the address is not linear in it.
  bool irregular = false;

  bool isZero() const { return !dynamic && !irregular && value == 0; }
  bool isOne() const { return !dynamic && !irregular && value == 1; }
  bool isStatic() const { return !dynamic && !irregular; }
};

struct NestDim {
  /// Extent, or ShapedType::kDynamic with `dynamicSize`.
  int64_t size = 1;
  Value dynamicSize;
  bool reduction = false;
  bool isStatic() const { return !dynamicSize; }
};

struct NestOperand {
  OpOperand *operand = nullptr;
  /// The operand's block argument; null where the region has none or it is not used.
  BlockArgument argument;
  /// The whole buffer as one dimension of unit stride; null for a scalar operand.
  Value flat;
  Type elementType;
  bool output = false;
  /// An output that all steps of the reductions meet in.
  bool accumulates = false;
  /// An output whose reductions start from this scalar instead of its contents.
  Value initial;
  SmallVector<Coefficient> coefficients;
  int64_t base = 0;
  Value dynamicBase;
  /// Non-linear part of the address: sum of stride * expression over the original dimensions.
  SmallVector<std::pair<OpFoldResult, AffineExpr>> irregular;

  bool isScalar() const { return !flat; }
};

struct Nest {
  linalg::LinalgOp op;
  SmallVector<NestDim> dims;
  SmallVector<NestOperand> operands;
  /// Nest dimension of each dimension of the operation; -1 for extent one (its index is zero).
  SmallVector<int> dimOf;
  /// Dimensions whose index the region reads.
  SmallVector<bool> indexed;
  /// Extent zero somewhere: there is nothing to do.
  bool empty = false;

  Block &body() { return op->getRegion(0).front(); }
  bool hasReduction() const {
    return llvm::any_of(dims, [](const NestDim &d) { return d.reduction; });
  }
};

/// Reads `op` and creates what the nest needs before it (flat views, run-time sizes).
FailureOr<Nest> buildNest(ImplicitLocOpBuilder &b, linalg::LinalgOp op, std::string &reason);

/// Merges dimensions that are contiguous in every operand: [a][b] with stride(a) = size(b) * stride(b).
void mergeDims(Nest &nest);

/// Index arithmetic that folds the constants it meets.
Value addIndex(ImplicitLocOpBuilder &b, Value lhs, Value rhs);
Value addIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs);
Value mulIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs);
Value mulIndex(ImplicitLocOpBuilder &b, Value lhs, const Coefficient &rhs);
Value constantIndex(ImplicitLocOpBuilder &b, int64_t value);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_LINALGTOVECTOR_NEST_H
