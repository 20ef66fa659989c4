//===- LinearEmitter.h - Emits the loops of one packed layer --------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOVECTOR_LINEAREMITTER_H
#define PRUNE_LIB_CONVERSION_PRUNETOVECTOR_LINEAREMITTER_H

#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Analysis/CostModel.h"
#include "prune/Conversion/PruneToVector/PruneToVector.h"

namespace mlir::prune {

/// A register tile: vectors[row][vector].
using Tile = SmallVector<SmallVector<Value>>;

/// Replaces one prune.linear on buffers by loops over vectors.
class LinearEmitter : private VectorKernelBuilder {
public:
  LinearEmitter(RewriterBase &rewriter, LinearOp op, const LinearKernelOptions &options)
      : VectorKernelBuilder(op.getLoc(), rewriter), op(op), options(options), registerLanes(options.lanes) {}

  LogicalResult run();

private:
  Value collapse(Value memref) { return VectorKernelBuilder::collapse(memref, op.getRowDim()); }

  /// False where one tile is all lanes and the columns follow each other: those are read in place. Words are made by
  /// the copy.
  bool needsScratch() {
    return op.getWindow() || op.hasWords() || numLanes > options.lanes * options.vectors ||
           numLanes % options.lanes != 0 || inputStride != numLanes;
  }

  // The nest, from outside to inside.
  void emitTiles(bool isParallel);
  void emitShares();
  void startLaneTile(Value batch, Value lane, int64_t vectors, int64_t lanesOfTail);
  void overChunks(function_ref<void(Value chunk)> body);
  void emitChunk(Value chunk);
  Value countColumns(Value firstColumn);
  void emitChunkCopy(Value firstColumn);
  void emitWordCopy(Value firstWord);
  void emitRowGroups(Value chunk);
  void prefetchLanes(Value memref, SmallVector<Value> indices, Value first);
  void prefetchSums(Value group, int64_t groups, Value chunk);
  void prefetchExtras(Value group, int64_t groups, Value chunk);
  SmallVector<Value> loadGroupRows(Value group, Value chunk);
  void emitGroup(ArrayRef<Value> rows, Value chunk, function_ref<Tile(Tile)> accumulate);
  bool fitsResult();
  bool hasEpilogue();
  bool finishesByRows();
  void emitRowEpilogue();

  // Inner products by format.
  Tile accumulatePair(Tile tile, Value begin, Value end, Value shared);
  Tile accumulateSinglePair(Tile tile, Value begin, Value end, Value shared);
  Tile accumulateBlock(Tile tile, Value begin, Value end);
  Tile accumulateSingleBlock(Tile tile, Value begin, Value end);
  Tile accumulateSingleEntries(Tile tile, Value begin, Value end);
  Tile accumulateDense(Tile tile, Value group, Value chunk);
  Tile accumulateSingleDense(Tile tile, Value group, Value chunk);

  Tile loopOverPair(Tile tile, Value begin, Value end, Value shared, int64_t step,
                    function_ref<Tile(Tile, Value position, bool isShared)> body, Value &left);
  Tile loop(Tile tile, Value begin, Value end, int64_t step, function_ref<Tile(Tile, Value)> body);
  /// `value` times `activation` plus `sum`, lane by lane; of words the products of all their columns.
  Value multiplyAdd(Value value, Value activation, Value sum);
  Value multiplyAddWords(Value values, Value activations, Value sum);
  Value addSums(Value x, Value y);
  SmallVector<Value> loadActivations(Value offset);
  SmallVector<Value> loadOffsets(Value position);
  Value loadOffset(Value position) { return mul(loadIndex(op.getStorage()[1], position), activationsStride); }
  SmallVector<Value> loadValues(Value position, int64_t count);
  Value broadcast(Value scalar) {
    return vector::BroadcastOp::create(b, VectorType::get(options.lanes, scalar.getType()), scalar);
  }

  /// Vectors of another element type of the same width: partial sums in the memory of a result.
  Value bitcastTo(Value vector, Type element);
  // Destination rows, with the mask of the last vector where the lanes are ragged.
  Value loadLanes(Value memref, SmallVector<Value> indices, int64_t vector);
  void storeLanes(Value value, Value memref, SmallVector<Value> indices, int64_t vector);
  SmallVector<Value> emitEpilogue(ArrayRef<Value> sums, function_ref<Value(Value, int64_t)> loadExtra);

  /// Adds `value` times `activations` to the chain of accumulators that entry `entry` of a step belongs to.
  void multiplyAdd(SmallVector<Value> &row, Value value, ArrayRef<Value> activations, int64_t entry);

  LinearOp op;
  LinearKernelOptions options;
  int64_t registerLanes; ///< lanes of a whole register; `options.lanes` may be fewer

  int64_t numLanes = 0, numColumns = 0, numRows = 0, numChunks = 0, chunk = 0;
  int64_t inputStride = 0; ///< elements from column to column of the input
  VectorType vectorType;         ///< of sums
  Value input, output;           // [batch, column or row, lane]
  SmallVector<Value> extras;     // [row] or [batch, row, lane]
  SmallVector<Value> coldExtras; // those that are larger than the second-level cache
  MemRefType scratchType;        ///< a chunk of activations, for tiles that are not whole rows of lanes
  Value sharedScratch;
  /// Sums of the chunks so far, [row, lane] of a tile: rows of the result would lie far apart, often in the same sets
  /// of the cache. Null where they do not fit: then the result holds them.
  MemRefType partialType;
  Value partialSums;
  // State of the share being emitted: its groups of rows, all where they are null.
  Value firstGroup, groupsEnd, isLastShare, chunkOfShare;
  // State of the tile being emitted.
  int64_t vectors = 0;
  /// Accumulators of one row and vector, summed at the end: few accumulators alone would wait for each other.
  int64_t chains = 1;
  int64_t tailLanes = 0; ///< of the last vector, 0 where it is full
  Value batch, lane, tailMask;
  Value scratch;
  Value activations; ///< what the inner loops read: the columns of the chunk one after the other, in one dimension
  int64_t activationsStride = 0; ///< elements from column to column of them
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOVECTOR_LINEAREMITTER_H
