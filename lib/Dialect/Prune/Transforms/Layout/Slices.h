//===- Slices.h - Ops on slices of their operands -------------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_LAYOUT_SLICES_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_LAYOUT_SLICES_H

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::prune {

/// Loops of an op that a tile fixes, outermost first.
using TileLoops = SmallVector<int64_t>;

/// An op that can run on slices: a linalg op, or a packed layer, whose loops are the dimensions before its rows. On
/// static tensors, with one result.
bool isSliceable(Operation *op);

/// True if `operand` is a destination.
bool isInit(OpOperand &operand);
/// The destination of an op.
OpOperand &getInit(Operation *op);

/// How the loops of the op index an operand. What does not move with a loop is a constant.
AffineMap getMap(OpOperand &operand);
/// Extents of the loops of an op.
SmallVector<int64_t> getRanges(Operation *op);
/// True if an op has a reduction.
bool reduces(Operation *op);
/// Bytes of a tensor.
int64_t getBytes(Type type);

/// Position of `loop` in the results of `map`; -1 if it has none, nullopt if it is part of a larger expression.
std::optional<int64_t> findLoop(AffineMap map, int64_t loop);

/// True if every operand of `op` is a slice where `loops` are fixed, and its result has them all. A window over an
/// operand that every slice reads whole is no slice: a convolution would copy for each filter what serves them all.
bool canFix(Operation *op, const TileLoops &loops);

/// Offsets and sizes of the slice of a tensor where some loops are fixed.
struct Slice {
  /// The slice where each of `loops`, which index the tensor by `map`, is one of `ivs`.
  static Slice get(OpBuilder &b, AffineMap map, RankedTensorType type, const TileLoops &loops, ValueRange ivs);

  SmallVector<OpFoldResult> offsets, sizes, strides;
  SmallVector<int64_t> shape;
};

/// Clones ops on slices of their operands, at the builder's place and in the order of the block.
class SliceBuilder {
public:
  SliceBuilder(ImplicitLocOpBuilder &b, ValueRange ivs) : b(b), ivs(ivs) {}

  /// Clones `op` where `loops` are the induction variables. With `target`, the whole destination, its slice is where
  /// the clone writes; otherwise what is not read from a tensor is made new.
  void clone(Operation *op, const TileLoops &loops, Value target = {});
  /// The slice of `tensor`: that of a cloned op, or cut out of the whole.
  Value get(Value tensor, const Slice &slice);
  /// Takes `slice` for that of `tensor`.
  void set(Value tensor, Value slice) { slices.map(tensor, slice); }

private:
  ImplicitLocOpBuilder &b;
  ValueRange ivs;
  IRMapping slices;
};

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_LAYOUT_SLICES_H
