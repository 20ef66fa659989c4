//===- DimCoupling.h - Ties between the dimensions of tensors -------*- C++ -*-===//
//
// The words in which an op says how it couples dimensions (DimCouplingOpInterface). A tie relates the *indices* of two
// dimensions: index i here lives or dies with index f(i) there. Three relations are enough for the programs we know:
// the same index (elementwise, contraction), a range of a longer dimension (concatenation, slice, padding), and a
// row-major product (reshape: heads x head width, channels x height).
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_INTERFACES_DIMCOUPLING_H
#define PRUNE_INTERFACES_DIMCOUPLING_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/PatternMatch.h"
#include <optional>

namespace mlir::prune {

/// One dimension of a ranked tensor.
struct DimRef {
  Value value;
  int64_t dim = 0;

  RankedTensorType getType() const { return cast<RankedTensorType>(value.getType()); }
  int64_t getSize() const { return getType().getDimSize(dim); }
  friend bool operator==(DimRef a, DimRef b) { return a.value == b.value && a.dim == b.dim; }
};

/// What a value holds at the removed indices of one of its dimensions; null: not known.
using ElementFn = llvm::function_ref<TypedAttr(Value, int64_t)>;

/// Stands for "no index of the dimension is removed": where values from several places meet (concatenation), it yields
/// to what the others hold.
TypedAttr getAbsentElement(MLIRContext *context);

/// What dimensions hold that consist of parts holding `a` and `b`.
TypedAttr meetElements(TypedAttr a, TypedAttr b);

/// Receives the relations of one op.
class DimRelations {
public:
  virtual ~DimRelations() = default;

  /// Index i of `a` is index i of `b`.
  virtual void tie(DimRef a, DimRef b) = 0;
  /// Index i of `part` is index `offset + i` of `whole`. Indices of `whole` outside all parts are free.
  virtual void tieRange(DimRef part, DimRef whole, int64_t offset) = 0;
  /// Indices of `flat` count row-major through `factors`.
  virtual void tieProduct(DimRef flat, ArrayRef<DimRef> factors) = 0;
  /// `dim` keeps its size. `reason` is a clause about the dimension: "is read through a sliding window". With
  /// `isPosition` its indices are places (in space, in time), which nobody would think of as prunable: no remark.
  virtual void freeze(DimRef dim, const Twine &reason, bool isPosition = false) = 0;
  /// The op adds up (or otherwise reduces) terms along `dim` of `operand`. Unless the terms at removed indices are
  /// neutral (isNeutralReduction), the dimension may only shrink where the reduction is part of a mean.
  virtual void reduce(OpOperand &operand, int64_t dim) = 0;
};

/// What is left of each dimension.
class ShrunkDims {
public:
  virtual ~ShrunkDims() = default;
  /// The surviving indices, ascending (reorderConstants: the indices in their new order); nothing if all survive (as they
  /// are).
  virtual std::optional<ArrayRef<int64_t>> getKept(Value value, int64_t dim) const = 0;
};

/// Ties all dimensions of two tensors of one shape. Freezes them if the shapes differ.
void tieAll(DimRelations &relations, Value a, Value b);

/// Freezes all dimensions of `value` if it is a ranked tensor.
void freezeAll(DimRelations &relations, Value value, const Twine &reason);

/// The rules of linalg, tensor, arith, scf, func and prune ops.
void registerDimCouplingExternalModels(DialectRegistry &registry);

} // namespace mlir::prune

#include "prune/Interfaces/DimCouplingOpInterface.h.inc"

#endif // PRUNE_INTERFACES_DIMCOUPLING_H
