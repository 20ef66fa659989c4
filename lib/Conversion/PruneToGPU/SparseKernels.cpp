//===- SparseKernels.cpp - Packed layers in CSR on GPUs -------------------------===//
//
// Each kept weight meets a vector of tokens. A block of threads copies the activations of a chunk of columns and 32, 64
// or 128 tokens into shared memory, transposed so that lanes are tokens, and goes through the entries that its group of
// rows has there: an entry is read once for a warp, its activations are one conflict-free load for 32 tokens, and the
// sums of all rows of a warp stay in registers until the last chunk. Results go out through shared memory too, in whole
// lines.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"
#include "LayerBuffers.h"
#include "prune/Analysis/GPUCostModel.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Buffers of the kernels, in order: storage, input, extras, init.
enum CSRBuffer { Positions, Coordinates, Values, Rows, Input, FirstExtra };

class CSRKernel {
public:
  CSRKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target, const SparseTile &tile)
      : op(op), tile(tile), layer(op), rowsOfWarp(tile.rows / kTileWarps),
        numGroups(getNumTiles(layer.numRows, tile.rows)), numChunks(op.getNumChunks()),
        b(rewriter, op, target, "csr", layer.getBuffers(),
          {numGroups, getNumTiles(layer.numTokens, tile.getNumTokens()), 1}, {kTileWarps * kWarpThreads, 1, 1}) {}

  LogicalResult emit();

private:
  void copyChunk(Value shared, Value chunk);
  void addEntries(SmallVectorImpl<Value> &sums, Value shared, Value chunk);
  void storeSums(ArrayRef<Value> sums, Value bytes);
  /// View of the start of shared memory, which serves activations first and then results.
  Value viewShared(Value bytes, ArrayRef<int64_t> shape) {
    auto space = cast<MemRefType>(bytes.getType()).getMemorySpace();
    auto type = MemRefType::get(shape, b.getF32Type(), MemRefLayoutAttrInterface(), space);
    return memref::ViewOp::create(b, type, bytes, b.constant(0), ValueRange());
  }

  LinearOp op;
  SparseTile tile;
  LayerBuffers layer;
  int64_t rowsOfWarp, numGroups, numChunks;
  KernelBuilder b;
  Value warp, lane, firstToken, group;
};

} // namespace

/// Four entries at `position`: their columns in the chunk and their values.
static void loadEntries(KernelBuilder &b, Value position, SmallVectorImpl<Value> &columns,
                        SmallVectorImpl<Value> &values) {
  Value allColumns = loadVector(b, b.getBuffer(Coordinates), position, kCSRStep);
  Value allValues = loadVector(b, b.getBuffer(Values), position, kCSRStep);
  for (int64_t i = 0; i < kCSRStep; ++i) {
    Value column = vector::ExtractOp::create(b, allColumns, i);
    columns.push_back(arith::IndexCastUIOp::create(b, b.getIndexType(), column));
    values.push_back(vector::ExtractOp::create(b, allValues, i));
  }
}

LogicalResult CSRKernel::emit() {
  Value thread = b.threadId();
  warp = b.div(thread, kWarpThreads);
  lane = b.rem(thread, kWarpThreads);
  group = b.blockId(0);
  firstToken = b.mul(b.blockId(1), tile.getNumTokens());
  Value bytes = b.allocShared(MemRefType::get(tile.getSharedBytes(), b.getI8Type()));
  Value shared = viewShared(bytes, {getNumTiles(tile.chunk, kWarpThreads) * kWarpThreads, tile.getNumTokens() + 1});
  SmallVector<Value> init(rowsOfWarp * tile.vectors, b.zero(b.getF32Type()));
  SmallVector<Value> sums =
      b.forLoop(b.constant(0), b.constant(numChunks), 1, init, [&](Value chunk, ValueRange carried) {
        b.barrier(); // all warps are done with the chunk before
        copyChunk(shared, chunk);
        b.barrier();
        SmallVector<Value> sums(carried);
        addEntries(sums, shared, chunk);
        return sums;
      });
  b.barrier();
  storeSums(sums, bytes);
  return b.finish();
}

/// Lanes go along the columns, so that both the loads and the stores, an odd number of words apart, are whole lines.
void CSRKernel::copyChunk(Value shared, Value chunk) {
  constexpr int64_t tokensAtOnce = 8;
  int64_t tokensOfWarp = tile.getNumTokens() / kTileWarps;
  Value first = b.mul(chunk, tile.chunk);
  b.forLoop(b.constant(0), b.constant(getNumTiles(tile.chunk, kWarpThreads)), 1, [&](Value piece) {
    Value inChunk = b.add(b.mul(piece, kWarpThreads), lane);
    // What lies beyond the edges is read from the edge; no entry and no result refers to it.
    Value column = clampBelow(b, b.add(first, inChunk), layer.numColumns);
    for (int64_t begin = 0; begin < tokensOfWarp; begin += tokensAtOnce) {
      SmallVector<Value> tokens, loaded;
      for (int64_t i = begin; i < std::min(begin + tokensAtOnce, tokensOfWarp); ++i) {
        tokens.push_back(b.add(warp, i * kTileWarps));
        Value token = clampBelow(b, b.add(firstToken, tokens.back()), layer.numTokens);
        Value x = memref::LoadOp::create(b, b.getBuffer(Input), layer.getInputIndices(b, token, column));
        loaded.push_back(b.convert(x, b.getF32Type()));
      }
      for (auto [token, x] : llvm::zip(tokens, loaded))
        memref::StoreOp::create(b, x, shared, ValueRange{inChunk, token});
    }
  });
}

void CSRKernel::addEntries(SmallVectorImpl<Value> &sums, Value shared, Value chunk) {
  // Where most runs are one step or two, or registers are left, the first steps of several rows are loaded before any
  // is used, so that their loads wait side by side. Measured on an H200: 1.2 to 1.4 times as fast for tiles of 16 sums,
  // and half as slow again for 64 sums and runs of 20 entries.
  constexpr int64_t mostAtOnce = 8, fewSums = 16, shortRun = 6;
  Value firstRun = b.mul(b.add(b.mul(group, numChunks), chunk), tile.rows);
  SmallVector<Value> bounds =
      loadPositions(b, b.getBuffer(Positions), b.add(firstRun, b.mul(warp, rowsOfWarp)), rowsOfWarp);
  int64_t numEntries = cast<MemRefType>(b.getBuffer(Values).getType()).getNumElements();
  bool loadsAhead = rowsOfWarp * tile.vectors <= fewSums || numEntries <= shortRun * numGroups * tile.rows * numChunks;
  int64_t rowsAtOnce = loadsAhead ? mostAtOnce : rowsOfWarp;
  struct Step {
    SmallVector<Value> columns, values;
  };
  auto add = [&](const Step &step, ValueRange carried, Value isThere) {
    SmallVector<Value> result(carried);
    Value zero = b.zero(b.getF32Type());
    for (auto [column, value] : llvm::zip(step.columns, step.values))
      for (int64_t v = 0; v < tile.vectors; ++v) {
        Value x = memref::LoadOp::create(b, shared, ValueRange{column, b.add(lane, v * kWarpThreads)});
        if (isThere) // not even an infinite activation times zero
          x = arith::SelectOp::create(b, isThere, x, zero);
        result[v] = math::FmaOp::create(b, value, x, result[v]);
      }
    return result;
  };
  for (int64_t first = 0; first < rowsOfWarp; first += rowsAtOnce) {
    int64_t last = std::min(first + rowsAtOnce, rowsOfWarp);
    SmallVector<Step> steps;
    for (int64_t row = first; loadsAhead && row < last; ++row) {
      steps.emplace_back();
      Value position = arith::MinUIOp::create(b, bounds[row], b.constant(numEntries - kCSRStep));
      loadEntries(b, position, steps.back().columns, steps.back().values);
    }
    for (int64_t row = first; row < last; ++row) {
      MutableArrayRef<Value> sumsOfRow = MutableArrayRef(sums).slice(row * tile.vectors, tile.vectors);
      SmallVector<Value> added(sumsOfRow);
      Value begin = bounds[row];
      if (loadsAhead) {
        Value isThere = b.less(bounds[row], bounds[row + 1]), zero = b.zero(b.getF32Type());
        Step &step = steps[row - first];
        for (Value &value : step.values)
          value = arith::SelectOp::create(b, isThere, value, zero);
        added = add(step, sumsOfRow, isThere);
        begin = b.add(begin, kCSRStep);
      }
      added = b.forLoop(begin, bounds[row + 1], kCSRStep, added, [&](Value position, ValueRange carried) {
        Step step;
        loadEntries(b, position, step.columns, step.values);
        return add(step, carried, Value());
      });
      llvm::copy(added, sumsOfRow.begin());
    }
  }
}

void CSRKernel::storeSums(ArrayRef<Value> sums, Value bytes) {
  Value results = viewShared(bytes, {tile.getNumTokens(), tile.rows + 1});
  Value firstSlot = b.add(b.mul(group, tile.rows), b.mul(warp, rowsOfWarp));
  for (int64_t row = 0; row < rowsOfWarp; ++row) {
    Value inGroup = memref::LoadOp::create(b, b.getBuffer(Rows), b.add(firstSlot, row));
    inGroup = arith::IndexCastUIOp::create(b, b.getIndexType(), inGroup);
    for (int64_t v = 0; v < tile.vectors; ++v)
      memref::StoreOp::create(b, sums[row * tile.vectors + v], results,
                              ValueRange{b.add(lane, v * kWarpThreads), inGroup});
  }
  b.barrier();
  int64_t numThreads = kTileWarps * kWarpThreads, numResults = tile.rows * tile.getNumTokens();
  b.forLoop(b.constant(0), b.constant(numResults / numThreads), 1, [&](Value turn) {
    Value number = b.add(b.mul(turn, numThreads), b.threadId());
    Value inGroup = b.rem(number, tile.rows), inTile = b.div(number, tile.rows);
    Value row = b.add(b.mul(group, tile.rows), inGroup), token = b.add(firstToken, inTile);
    Value isInside =
        arith::AndIOp::create(b, b.less(row, b.constant(layer.numRows)), b.less(token, b.constant(layer.numTokens)));
    b.ifThen(isInside, [&] {
      Value sum = memref::LoadOp::create(b, results, ValueRange{inTile, inGroup});
      layer.storeResult(b, sum, token, row);
    });
  });
}

/// For few tokens: the lanes of a warp share the entries of one row, and add up at the end.
static LogicalResult lowerByEntry(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  LayerBuffers layer(op);
  KernelBuilder b(rewriter, op, target, "csr_by_entry", layer.getBuffers(),
                  {getNumTiles(layer.numRows, kTileWarps), 1, 1}, {kTileWarps * kWarpThreads, 1, 1});
  Value thread = b.threadId(), lane = b.rem(thread, kWarpThreads);
  Value row = b.add(b.mul(b.blockId(), kTileWarps), b.div(thread, kWarpThreads));
  SmallVector<Value> bounds = loadPositions(b, b.getBuffer(Positions), clampBelow(b, row, layer.numRows), 1);
  SmallVector<Value> init(layer.numTokens, b.zero(b.getF32Type()));
  Value begin = b.add(bounds[0], b.mul(lane, kCSRStep));
  SmallVector<Value> sums =
      b.forLoop(begin, bounds[1], kWarpThreads * kCSRStep, init, [&](Value position, ValueRange carried) {
        SmallVector<Value> result(carried), columns, values;
        loadEntries(b, position, columns, values);
        for (auto [column, value] : llvm::zip(columns, values))
          for (int64_t token = 0; token < layer.numTokens; ++token) {
            Value x =
                memref::LoadOp::create(b, b.getBuffer(Input), layer.getInputIndices(b, b.constant(token), column));
            result[token] = math::FmaOp::create(b, value, b.convert(x, b.getF32Type()), result[token]);
          }
        return result;
      });
  storeSumsOfWarps(b, layer, sums, row, /*rowsOfWarp=*/1);
  return b.finish();
}

LogicalResult mlir::prune::lowerCSR(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                    const GPUKernelOptions &options) {
  SparseTile tile;
  tile.vectors = op.getVectors();
  tile.rows = op.getRows();
  tile.chunk = op.getChunk();
  bool isWhole = tile.isByEntry() ? tile.rows == 1 && op.getNumChunks() == 1 : tile.rows % kTileWarps == 0;
  if (op.getStorage().size() != FirstExtra - 1 || !isWhole)
    return op.emitOpError() << "expected positions, coordinates, values and rows in groups for " << kTileWarps
                            << " warps as storage of csr, got " << op.getStorage().size() << " operands and groups of "
                            << tile.rows << " rows";
  if (tile.isByEntry())
    return lowerByEntry(rewriter, op, target);
  return CSRKernel(rewriter, op, target, tile).emit();
}
