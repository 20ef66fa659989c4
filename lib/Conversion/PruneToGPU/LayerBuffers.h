//===- LayerBuffers.h - What kernels of packed layers share ---------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_LAYERBUFFERS_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_LAYERBUFFERS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "prune/Conversion/PruneToGPU/KernelBuilder.h"

namespace mlir::prune {

/// Tiles that cover `size` elements.
inline int64_t getNumTiles(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

/// The buffers of a packed layer without lanes, whose leading dimensions count as one: tokens.
struct LayerBuffers {
  LayerBuffers(LinearOp op);

  /// Storage, input, extras and init, as a kernel gets them.
  SmallVector<Value> getBuffers() const;
  unsigned getInputBuffer() const { return op.getStorage().size(); }
  SmallVector<Value> getInputIndices(KernelBuilder &b, Value token, Value column) const;
  /// The epilogue on the sum of one token and row, and its result in its place.
  void storeResult(KernelBuilder &b, Value sum, Value token, Value row) const;
  /// The same for consecutive rows, by one store where they stay together; those beyond the layer's are left out.
  void storeResults(KernelBuilder &b, ArrayRef<Value> sums, Value token, Value firstRow) const;

  mutable LinearOp op;
  int64_t numTokens, numRows, numColumns;
};

/// Coordinates in `shape` of an element by its number; dimensions of size 1 cost nothing.
SmallVector<Value> getCoordinates(KernelBuilder &b, Value number, ArrayRef<int64_t> shape);

/// A row-major buffer as a matrix of its last dimension by all others.
Value viewAsMatrix(KernelBuilder &b, Value buffer);

/// The bounds of `count` runs from that of number `run` on: one more than runs.
SmallVector<Value> loadPositions(KernelBuilder &b, Value positions, Value run, int64_t count);

/// `index`, or the last one below `size` if it is beyond.
Value clampBelow(KernelBuilder &b, Value index, int64_t size);

/// `width` consecutive elements by one load, aligned to their size.
Value loadVector(KernelBuilder &b, Value buffer, ValueRange indices, int64_t width);

/// `count` words of i32, of consecutive elements of any type, by one load, aligned to their size.
SmallVector<Value> loadWords(KernelBuilder &b, Value buffer, ValueRange indices, int64_t count);

/// Elements that one load of 16 bytes takes along the last dimension of all of `buffers`; 1 where one is no whole
/// number of them or not contiguous.
int64_t getLoadWidth(ValueRange buffers);

/// Adds up what the lanes of each warp hold and stores it. `sums` has the tokens of each of `rowsOfWarp` rows, the
/// first of which is `row`; rows beyond the layer's are left out. All threads of the block, one-dimensional, take part.
void storeSumsOfWarps(KernelBuilder &b, const LayerBuffers &layer, ArrayRef<Value> sums, Value row, int64_t rowsOfWarp);

/// Adds up the tiles that warps have put into `shared` [warp, token, row and one for the stride], in their order, and
/// stores those of the layer's tokens and rows. All threads of the block, one-dimensional, take part.
void storeTilesOfWarps(KernelBuilder &b, const LayerBuffers &layer, Value shared, Value firstToken, Value firstRow);

/// Launches a kernel that adds up `sums` [part, token, row] in the order of the parts and finishes the layer's results.
LogicalResult addParts(RewriterBase &rewriter, const LayerBuffers &layer, Value sums, const GPUTarget &target);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_LAYERBUFFERS_H
