//===- ColumnsKernels.cpp - Products that read only what is multiplied with nonzeros -===//
//
// Few tokens read a weight once, so that memory decides. A block of threads lists the columns of its chunk whose
// activations are not all zero, in ascending order, and adds up the rows of the transposed weight that belong to them:
// lanes lie along the results, so that each row is read in whole lines, and warps take turns at the list. Where results
// alone are too few for all processors, chunks of columns are added up by a second kernel. All sums have one order.
//
//===----------------------------------------------------------------------===//

#include "BlockSums.h"
#include "Kernels.h"
#include "LayerBuffers.h"
#include "prune/Conversion/PruneToSparseTensor/GPUPacking.h"
#include "llvm/ADT/STLExtras.h"
#include <algorithm>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Buffers of the kernel, in order: storage, input, and then extras and init, or the sums of chunks.
enum ColumnsBuffer { Values, Input, ChunkSums };

class ColumnsKernel {
public:
  /// `chunkSums`: where the sums of chunks go, [chunks, tokens, rows]; null if there is one chunk.
  ColumnsKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target, Value chunkSums)
      : op(op), layer(op), chunkSums(chunkSums), rows(op.getRows()), chunk(op.getChunk()), width(rows / kWarpThreads),
        columnsOfThread(chooseColumnsOfThread(layer.numTokens)),
        b(rewriter, op, target, "columns", getBuffers(),
          {getNumTiles(layer.numRows, rows), static_cast<int64_t>(op.getNumChunks()), 1}, {BlockSums::kThreads, 1, 1}),
        counter(b, 1), thread(b.threadId()), warp(b.div(thread, kWarpThreads)), lane(b.rem(thread, kWarpThreads)) {}

  LogicalResult emit();

private:
  static int64_t chooseColumnsOfThread(int64_t tokens);
  SmallVector<Value> getBuffers() const {
    if (!chunkSums)
      return layer.getBuffers();
    return {op.getStorage().front(), op.getInput(), chunkSums};
  }
  /// Elements of a list for all threads; a last step may go beyond.
  int64_t getListSize() const { return columnsOfThread * BlockSums::kThreads + kColumnsStep; }
  SmallVector<Value> loadActivations(int64_t token, Value column, Value end);
  /// Lists what the columns from `first` on have; returns how many.
  Value list(Value first, Value end);
  SmallVector<Value> loadStep(Value buffer, ArrayRef<Value> indices, Value entry);
  SmallVector<Value> addEntries(Value count, ValueRange carried);
  void store(ArrayRef<Value> sums);

  mutable LinearOp op;
  LayerBuffers layer;
  Value chunkSums;
  int64_t rows, chunk;
  int64_t width;           ///< results of a lane
  int64_t columnsOfThread; ///< at once
  KernelBuilder b;
  BlockSums counter;
  Value thread, warp, lane;
  Value firstRow, place; ///< of the block, and of the lane in the storage
  Value listColumns, listValues;
};

} // namespace

int64_t ColumnsKernel::chooseColumnsOfThread(int64_t tokens) {
  constexpr int64_t most = 8, listBytes = 32 * 1024;
  int64_t count = most;
  while (count > 1 && count * BlockSums::kThreads * 4 * (tokens + 1) > listBytes)
    count /= 2;
  return count;
}

/// The activations of consecutive columns, zeros from `end` on.
SmallVector<Value> ColumnsKernel::loadActivations(int64_t token, Value column, Value end) {
  int64_t load = std::min(getLoadWidth(op.getInput()), columnsOfThread);
  if (chunk % load != 0)
    load = 1;
  SmallVector<Value> loaded;
  Value zero = b.zero(b.getF32Type());
  for (int64_t i = 0; i < columnsOfThread; i += load) {
    Value first = b.add(column, i), isInside = b.less(first, end);
    Value inside = arith::SelectOp::create(b, isInside, first, b.constant(0));
    SmallVector<Value> indices = layer.getInputIndices(b, b.constant(token), inside);
    Value x = load == 1 ? memref::LoadOp::create(b, b.getBuffer(Input), indices).getResult()
                        : loadVector(b, b.getBuffer(Input), indices, load);
    for (int64_t j = 0; j < load; ++j) {
      Value element = b.convert(load == 1 ? x : vector::ExtractOp::create(b, x, j).getResult(), b.getF32Type());
      loaded.push_back(arith::SelectOp::create(b, isInside, element, zero));
    }
  }
  return loaded;
}

Value ColumnsKernel::list(Value first, Value end) {
  Value column = b.add(first, b.mul(thread, columnsOfThread)), zero = b.zero(b.getF32Type());
  SmallVector<SmallVector<Value>> activations;
  SmallVector<Value> isKept(columnsOfThread);
  for (int64_t token = 0; token < layer.numTokens; ++token) {
    activations.push_back(loadActivations(token, column, end));
    for (auto [kept, x] : llvm::zip(isKept, activations.back())) { // NaN is kept
      Value isNonzero = arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, x, zero);
      kept = kept ? arith::OrIOp::create(b, kept, isNonzero).getResult() : isNonzero;
    }
  }
  Value count = b.zero(b.getI32Type());
  for (Value kept : isKept)
    count = b.add(count, arith::ExtUIOp::create(b, b.getI32Type(), kept));
  auto toIndex = [&](Value number) -> Value { return arith::IndexCastUIOp::create(b, b.getIndexType(), number); };
  auto write = [&](Value position, Value column, function_ref<Value(int64_t token)> getValue) {
    memref::StoreOp::create(b, arith::IndexCastUIOp::create(b, b.getI32Type(), column), listColumns, position);
    for (int64_t token = 0; token < layer.numTokens; ++token)
      memref::StoreOp::create(b, getValue(token), listValues, ValueRange{b.constant(token), position});
  };
  Value total = toIndex(counter.add(count).front()), position = toIndex(counter.getSumBefore());
  for (int64_t i = 0; i < columnsOfThread; ++i) {
    b.ifThen(isKept[i],
             [&] { write(position, b.add(column, i), [&](int64_t token) { return activations[token][i]; }); });
    position = arith::SelectOp::create(b, isKept[i], b.add(position, 1), position);
  }
  // Zeros complete the last step.
  b.ifThen(b.less(thread, b.constant(kColumnsStep)),
           [&] { write(b.add(total, thread), first, [&](int64_t) { return zero; }); });
  return total;
}

/// The elements of a list from `entry` on.
SmallVector<Value> ColumnsKernel::loadStep(Value buffer, ArrayRef<Value> indices, Value entry) {
  constexpr int64_t load = 4;
  SmallVector<Value> elements;
  for (int64_t i = 0; i < kColumnsStep; i += load) {
    SmallVector<Value> at(indices);
    at.push_back(b.add(entry, i));
    Value vector = loadVector(b, buffer, at, load);
    for (int64_t j = 0; j < load; ++j)
      elements.push_back(vector::ExtractOp::create(b, vector, j));
  }
  return elements;
}

SmallVector<Value> ColumnsKernel::addEntries(Value count, ValueRange carried) {
  return b.forLoop(b.mul(warp, kColumnsStep), count, kTileWarps * kColumnsStep, carried,
                   [&](Value entry, ValueRange carried) {
                     SmallVector<Value> sums(carried);
                     SmallVector<SmallVector<Value>> weights;
                     for (Value column : loadStep(listColumns, {}, entry)) {
                       SmallVector<Value> indices{arith::IndexCastUIOp::create(b, b.getIndexType(), column), place};
                       Value loaded = loadVector(b, b.getBuffer(Values), indices, width);
                       weights.emplace_back();
                       for (int64_t i = 0; i < width; ++i)
                         weights.back().push_back(b.convert(vector::ExtractOp::create(b, loaded, i), b.getF32Type()));
                     }
                     for (int64_t token = 0; token < layer.numTokens; ++token)
                       for (auto [weight, x] : llvm::zip(weights, loadStep(listValues, b.constant(token), entry)))
                         for (int64_t i = 0; i < width; ++i) {
                           Value &sum = sums[token * width + i];
                           sum = math::FmaOp::create(b, weight[i], x, sum);
                         }
                     return sums;
                   });
}

/// Adds up what the warps hold, some tokens at a time.
void ColumnsKernel::store(ArrayRef<Value> sums) {
  constexpr int64_t sharedBytes = 16 * 1024;
  int64_t tokensAtOnce = std::clamp<int64_t>(sharedBytes / (4 * kTileWarps * rows), 1, layer.numTokens);
  Value shared = b.allocShared(MemRefType::get({tokensAtOnce, kTileWarps, rows}, b.getF32Type()));
  for (int64_t first = 0; first < layer.numTokens; first += tokensAtOnce) {
    int64_t count = std::min(tokensAtOnce, layer.numTokens - first);
    if (first != 0)
      b.barrier();
    for (int64_t token = 0; token < count; ++token)
      for (int64_t i = 0; i < width; ++i)
        memref::StoreOp::create(b, sums[(first + token) * width + i], shared,
                                ValueRange{b.constant(token), warp, b.add(b.mul(lane, width), i)});
    b.barrier();
    b.forLoop(thread, b.constant(count * rows), BlockSums::kThreads, [&](Value number) {
      Value inTile = b.rem(number, rows), row = b.add(firstRow, inTile), ofThese = b.div(number, rows);
      b.ifThen(b.less(row, b.constant(layer.numRows)), [&] {
        Value sum = memref::LoadOp::create(b, shared, ValueRange{ofThese, b.constant(0), inTile});
        for (int64_t i = 1; i < kTileWarps; ++i)
          sum = arith::AddFOp::create(b, sum,
                                      memref::LoadOp::create(b, shared, ValueRange{ofThese, b.constant(i), inTile}));
        Value token = b.add(ofThese, first);
        if (chunkSums)
          memref::StoreOp::create(b, sum, b.getBuffer(ChunkSums), ValueRange{b.blockId(1), token, row});
        else
          layer.storeResult(b, sum, token, row);
      });
    });
  }
}

LogicalResult ColumnsKernel::emit() {
  firstRow = b.mul(b.blockId(0), rows);
  // Lanes beyond the results read the last ones again.
  int64_t lastPlace = getNumColumnsRows(layer.numRows, rows) - width;
  place = arith::MinUIOp::create(b, b.add(firstRow, b.mul(lane, width)), b.constant(lastPlace));
  listColumns = b.allocShared(MemRefType::get(getListSize(), b.getI32Type()));
  listValues = b.allocShared(MemRefType::get({layer.numTokens, getListSize()}, b.getF32Type()));
  Value begin = b.mul(b.blockId(1), chunk);
  Value end = arith::MinUIOp::create(b, b.add(begin, chunk), b.constant(layer.numColumns));
  SmallVector<Value> init(layer.numTokens * width, b.zero(b.getF32Type()));
  store(b.forLoop(begin, end, columnsOfThread * BlockSums::kThreads, init, [&](Value first, ValueRange carried) {
    b.barrier(); // all warps are done with the list before
    Value count = list(first, end);
    b.barrier();
    return addEntries(count, carried);
  }));
  return b.finish();
}

LogicalResult mlir::prune::lowerColumns(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  LayerBuffers layer(op);
  int64_t rows = op.getRows(), width = rows / kWarpThreads;
  if (!llvm::is_contained({4 * kWarpThreads, 8 * kWarpThreads}, rows))
    return op.emitOpError() << "expected 128 or 256 rows for columns, got " << rows;
  if (layer.numTokens < 1 || layer.numTokens > kMostColumnsTokens || layer.numTokens * width > kMostColumnsSums)
    return op.emitOpError() << "expected 1 to " << std::min(kMostColumnsTokens, kMostColumnsSums / width)
                            << " tokens for columns in tiles of " << rows << " rows, got " << layer.numTokens;
  int64_t numPadded = getNumColumnsRows(layer.numRows, rows);
  SmallVector<int64_t> expected{layer.numColumns, numPadded};
  if (op.getStorage().size() != 1 ||
      cast<MemRefType>(op.getStorage().front().getType()).getShape() != ArrayRef(expected))
    return op.emitOpError() << "expected values [" << ArrayRef(expected) << "] as storage of columns, got "
                            << op.getStorage().getTypes();
  if (op.getNumChunks() == 1)
    return ColumnsKernel(rewriter, op, target, Value()).emit();
  rewriter.setInsertionPoint(op);
  auto sumsType =
      MemRefType::get({static_cast<int64_t>(op.getNumChunks()), layer.numTokens, layer.numRows}, rewriter.getF32Type());
  Value chunkSums = memref::AllocOp::create(rewriter, op.getLoc(), sumsType);
  if (failed(ColumnsKernel(rewriter, op, target, chunkSums).emit()))
    return failure();
  return addParts(rewriter, layer, chunkSums, target);
}
