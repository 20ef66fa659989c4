//===- SparseKernels.cpp - Packed layers in CSR on GPUs -------------------------===//
//
// Each kept weight meets a vector of tokens. A block of threads copies the activations of a chunk of columns and 8 to
// 32 tokens into shared memory, transposed, and goes through the entries that its group of rows has there. A lane has
// four tokens of a row, one load of 16 bytes; a warp has four to sixteen rows side by side, whose entries are stored as
// it takes them. The sums of all rows stay in registers until the last chunk. Results go out through shared memory too,
// in whole lines.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"
#include "LayerBuffers.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "prune/Analysis/GPUCostModel.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Buffers of the kernels, in order: storage, input, extras, init.
enum CSRBuffer { Positions, Coordinates, Values, Rows, Input, FirstExtra };

class CSRKernel {
public:
  CSRKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target, const SparseTile &tile)
      : tile(tile), layer(op), numGroups(getNumTiles(layer.numRows, tile.rows)), numChunks(op.getNumChunks()),
        numWarps(tile.getNumWarps()), bundlesOfWarp(tile.getBundlesOfWarp()), stepsAhead(tile.getStepsAhead()),
        stepEntries(tile.getRowsOfBundle() * kCSRStep),
        b(rewriter, op, target, "csr", layer.getBuffers(),
          {numGroups, getNumTiles(layer.numTokens, tile.getNumTokens()), 1}, {numWarps * kWarpThreads, 1, 1}) {}

  LogicalResult emit();

private:
  /// What a warp goes through its entries with. The next steps are always loaded, in this run or those after it.
  struct Stream {
    Value begin, end;           ///< of the run
    SmallVector<Value> entries; ///< places and values of each step that is loaded, in turn
  };

  Value loadPosition(Value run);
  /// Places and values of the step that is `ahead` steps after `position`.
  SmallVector<Value> loadStep(Value position, int64_t ahead);
  /// A bundle's sums with those of a step.
  SmallVector<Value> addStep(Value places, Value values, ValueRange sums);
  /// All bundles of the warp in a chunk.
  void addChunk(SmallVectorImpl<Value> &sums, Stream &stream, Value chunk);
  void copyChunk(Value chunk);
  /// Where this lane's part of a piece of the warp begins: column of the chunk and token of the tile.
  std::pair<Value, Value> locatePiece(Value number);
  SmallVector<Value> loadPiece(Value chunk, Value number);
  void storePiece(ArrayRef<Value> piece, Value number);
  void storeSums(ArrayRef<Value> sums);

  Value i32(int64_t value) { return arith::ConstantIntOp::create(b, b.getI32Type(), value); }
  Value toIndex(Value number) { return arith::IndexCastUIOp::create(b, b.getIndexType(), number); }
  /// View of shared memory from `byte` on.
  Value viewShared(Value byte, ArrayRef<int64_t> shape) {
    auto space = cast<MemRefType>(bytes.getType()).getMemorySpace();
    auto type = MemRefType::get(shape, b.getF32Type(), MemRefLayoutAttrInterface(), space);
    return memref::ViewOp::create(b, type, bytes, byte, ValueRange());
  }

  static constexpr int64_t kQuadBytes = 4 * kCSRTokens;
  /// Columns that a lane loads at once.
  static constexpr int64_t kLaneColumns = 4;

  SparseTile tile;
  LayerBuffers layer;
  int64_t numGroups, numChunks, numWarps, bundlesOfWarp, stepsAhead, stepEntries;
  KernelBuilder b;
  Value bytes; ///< shared memory
  Value warp, lane, group, firstToken;
  Value inBundle, laneOfRow; ///< the row of a bundle that a lane works on, and its number among the lanes that do
  Value firstRun;            ///< of the warp
};

} // namespace

/// Loops of a few turns each, many of them: unrolled they would not fit into the cache of instructions, and their
/// addresses not into the registers.
static void keepRolled(Operation *loop) {
  MLIRContext *context = loop->getContext();
  auto unroll = LLVM::LoopUnrollAttr::get(context, /*disable=*/BoolAttr::get(context, true), {}, {}, {}, {}, {}, {});
  loop->setAttr("loop_annotation",
                LLVM::LoopAnnotationAttr::get(context, {}, {}, {}, unroll, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}));
}

LogicalResult CSRKernel::emit() {
  // Two blocks of threads of few or twice as many warps, or one of four times as many, share the registers.
  constexpr int64_t processorRegisters = 65536;
  int64_t warps = (numWarps <= kFewCSRWarps ? 2 : 4) * kFewCSRWarps;
  if (!b.target.isOpenCL)
    b.getKernel()->setAttr(NVVM::NVVMDialect::getMaxnregAttrName(),
                           b.getI32IntegerAttr(processorRegisters / (warps * kWarpThreads)));
  Value thread = b.threadId();
  warp = b.div(thread, kWarpThreads);
  lane = b.rem(thread, kWarpThreads);
  inBundle = b.div(lane, tile.vectors);
  laneOfRow = b.rem(lane, tile.vectors);
  group = b.blockId(0);
  firstToken = b.mul(b.blockId(1), tile.getNumTokens());
  firstRun = b.mul(b.add(b.mul(group, numWarps), warp), numChunks * bundlesOfWarp);
  bytes = b.allocShared(MemRefType::get(tile.getSharedBytes(), b.getI8Type()));
  Value zeros = viewShared(b.constant(tile.getZeroPlace() * kQuadBytes), {tile.getNumTokens()});
  b.ifThen(b.less(thread, b.constant(tile.getNumTokens())),
           [&] { memref::StoreOp::create(b, b.zero(b.getF32Type()), zeros, thread); });

  SmallVector<Value> carried(bundlesOfWarp * kCSRTokens, b.zero(b.getF32Type()));
  size_t numSums = carried.size();
  carried.append({loadPosition(firstRun), loadPosition(b.add(firstRun, 1))});
  for (int64_t i = 0; i < stepsAhead; ++i)
    llvm::append_range(carried, loadStep(carried[numSums], i));
  carried = b.forLoop(b.constant(0), b.constant(numChunks), 1, carried, [&](Value chunk, ValueRange carried) {
    b.barrier(); // all warps are done with the chunk before
    copyChunk(chunk);
    b.barrier();
    SmallVector<Value> results(carried.take_front(numSums));
    Stream stream{carried[numSums], carried[numSums + 1], llvm::to_vector(carried.drop_front(numSums + 2))};
    addChunk(results, stream, chunk);
    results.append({stream.begin, stream.end});
    llvm::append_range(results, stream.entries);
    return results;
  });
  b.barrier();
  storeSums(ArrayRef(carried).take_front(numSums));
  return b.finish();
}

/// In 32 bits, which are half as many registers as an index.
Value CSRKernel::loadPosition(Value run) { return memref::LoadOp::create(b, b.getBuffer(Positions), run); }

SmallVector<Value> CSRKernel::loadStep(Value position, int64_t ahead) {
  Value entry = b.add(b.add(toIndex(position), b.mul(inBundle, kCSRStep)), ahead * stepEntries);
  Value places = loadVector(b, b.getBuffer(Coordinates), entry, kCSRStep);
  return {vector::BitCastOp::create(b, VectorType::get(kCSRStep / 2, b.getI32Type()), places),
          loadVector(b, b.getBuffer(Values), entry, kCSRStep)};
}

SmallVector<Value> CSRKernel::addStep(Value places, Value values, ValueRange sums) {
  // Bytes are 16 times the quad, which has 16 bits: two instructions for an address.
  constexpr int64_t quadBits = 16, byteShift = 4, byteMask = 0xffff0;
  Value laneByte = arith::IndexCastUIOp::create(b, b.getI32Type(), b.mul(laneOfRow, kQuadBytes));
  SmallVector<Value> results(sums);
  for (int64_t i = 0; i < kCSRStep; ++i) {
    Value pair = vector::ExtractOp::create(b, places, i / 2);
    Value shifted = i % 2 ? arith::ShRUIOp::create(b, pair, i32(quadBits - byteShift)).getResult()
                          : arith::ShLIOp::create(b, pair, i32(byteShift)).getResult();
    Value byte = arith::XOrIOp::create(b, arith::AndIOp::create(b, shifted, i32(byteMask)), laneByte);
    Value x = loadVector(b, viewShared(toIndex(byte), {kCSRTokens}), b.constant(0), kCSRTokens);
    Value value = vector::ExtractOp::create(b, values, i);
    for (int64_t token = 0; token < kCSRTokens; ++token)
      results[token] = math::FmaOp::create(b, value, vector::ExtractOp::create(b, x, token), results[token]);
  }
  return results;
}

void CSRKernel::addChunk(SmallVectorImpl<Value> &sums, Stream &stream, Value chunk) {
  Value run = b.add(firstRun, b.mul(chunk, bundlesOfWarp));
  int64_t numPositions = numGroups * numWarps * numChunks * bundlesOfWarp + 1;
  for (int64_t bundle = 0; bundle < bundlesOfWarp; ++bundle) {
    Value nextEnd = loadPosition(clampBelow(b, b.add(run, bundle + 2), numPositions));
    MutableArrayRef<Value> ownSums = MutableArrayRef(sums).slice(bundle * kCSRTokens, kCSRTokens);
    SmallVector<Value> carried(ownSums);
    llvm::append_range(carried, stream.entries);
    carried = b.forLoop(stream.begin, stream.end, i32(stepEntries), carried, [&](Value position, ValueRange carried) {
      SmallVector<Value> ahead = loadStep(position, stepsAhead);
      ValueRange entries = carried.drop_front(kCSRTokens);
      SmallVector<Value> results = addStep(entries[0], entries[1], carried.take_front(kCSRTokens));
      llvm::append_range(results, entries.drop_front(ahead.size()));
      llvm::append_range(results, ahead);
      return results;
    });
    keepRolled(carried.front().getDefiningOp());
    llvm::copy(ArrayRef(carried).take_front(kCSRTokens), ownSums.begin());
    stream = {stream.end, nextEnd, llvm::to_vector(ArrayRef(carried).drop_front(kCSRTokens))};
  }
}

/// In pieces of 32 columns and four tokens for a warp; some are loaded before any is stored.
void CSRKernel::copyChunk(Value chunk) {
  int64_t numPieces = getNumTiles(tile.getCopiedColumns() / kWarpThreads * tile.vectors, numWarps);
  int64_t piecesAtOnce = std::min<int64_t>(numPieces, numWarps <= kFewCSRWarps ? 16 : 4);
  b.forLoop(b.constant(0), b.constant(numPieces), piecesAtOnce, [&](Value first) {
    SmallVector<SmallVector<Value>> pieces;
    for (int64_t i = 0; i < piecesAtOnce; ++i)
      pieces.push_back(loadPiece(chunk, b.add(first, i)));
    for (auto [i, piece] : llvm::enumerate(pieces))
      storePiece(piece, b.add(first, i));
    keepRolled(first.getParentBlock()->getParentOp());
  });
}

std::pair<Value, Value> CSRKernel::locatePiece(Value number) {
  // Beyond the last one: that once more.
  int64_t count = tile.getCopiedColumns() / kWarpThreads * tile.vectors;
  Value piece = clampBelow(b, b.add(warp, b.mul(number, numWarps)), count);
  constexpr int64_t lanesOfToken = kWarpThreads / kLaneColumns;
  Value column = b.add(b.mul(b.div(piece, tile.vectors), kWarpThreads), b.mul(b.rem(lane, lanesOfToken), kLaneColumns));
  Value token = b.add(b.mul(b.rem(piece, tile.vectors), kCSRTokens), b.div(lane, lanesOfToken));
  return {column, token};
}

/// Lanes: eight times four columns, and four tokens. So loads are whole lines.
SmallVector<Value> CSRKernel::loadPiece(Value chunk, Value number) {
  auto [inChunk, token] = locatePiece(number);
  Value column = b.add(b.mul(chunk, tile.chunk), inChunk);
  token = clampBelow(b, b.add(firstToken, token), layer.numTokens);
  // What lies beyond the edges is read from the edge; no entry and no result refers to it.
  SmallVector<Value> loaded;
  auto type = cast<MemRefType>(b.getBuffer(Input).getType());
  if (type.getLayout().isIdentity() && layer.numColumns % kLaneColumns == 0) {
    if (numChunks * tile.getCopiedColumns() != layer.numColumns)
      column = arith::MinUIOp::create(b, column, b.constant(layer.numColumns - kLaneColumns));
    Value x = loadVector(b, b.getBuffer(Input), layer.getInputIndices(b, token, column), kLaneColumns);
    for (int64_t i = 0; i < kLaneColumns; ++i)
      loaded.push_back(vector::ExtractOp::create(b, x, i));
    return loaded;
  }
  for (int64_t i = 0; i < kLaneColumns; ++i) {
    Value inside = clampBelow(b, b.add(column, i), layer.numColumns);
    loaded.push_back(memref::LoadOp::create(b, b.getBuffer(Input), layer.getInputIndices(b, token, inside)));
  }
  return loaded;
}

/// Neighbouring lanes store to other banks: see SparseTile::getPlace.
void CSRKernel::storePiece(ArrayRef<Value> piece, Value number) {
  constexpr int64_t quadsExchanged = 8;
  auto [inChunk, token] = locatePiece(number);
  Value shared = viewShared(b.constant(0), {tile.getCopiedColumns() * tile.getNumTokens()});
  Value quad = b.div(token, kCSRTokens), inQuad = b.rem(token, kCSRTokens);
  Value exchange = b.rem(b.div(inChunk, kLaneColumns), quadsExchanged);
  auto getPlace = [&](int64_t i) -> Value {
    return arith::XOrIOp::create(b, b.add(b.mul(b.add(inChunk, i), tile.vectors), quad), exchange);
  };
  Value first = getPlace(0);
  for (auto [i, x] : llvm::enumerate(piece)) {
    // Of columns of eight quads all four keep their distance.
    Value place = tile.vectors == quadsExchanged ? b.add(first, i * tile.vectors) : getPlace(i);
    memref::StoreOp::create(b, b.convert(x, b.getF32Type()), shared, b.add(b.mul(place, kCSRTokens), inQuad));
  }
}

void CSRKernel::storeSums(ArrayRef<Value> sums) {
  Value results = viewShared(b.constant(0), {tile.getNumTokens(), tile.rows + 1});
  Value firstSlot = b.add(b.mul(group, tile.rows), b.mul(warp, bundlesOfWarp * tile.getRowsOfBundle()));
  for (int64_t bundle = 0; bundle < bundlesOfWarp; ++bundle) {
    Value slot = b.add(b.add(firstSlot, bundle * tile.getRowsOfBundle()), inBundle);
    Value row = toIndex(memref::LoadOp::create(b, b.getBuffer(Rows), slot));
    for (int64_t i = 0; i < kCSRTokens; ++i)
      memref::StoreOp::create(b, sums[bundle * kCSRTokens + i], results,
                              ValueRange{b.add(b.mul(laneOfRow, kCSRTokens), i), row});
  }
  b.barrier();
  int64_t numThreads = numWarps * kWarpThreads, numResults = tile.rows * tile.getNumTokens();
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
  bool isWhole = tile.isByEntry() ? tile.rows == 1 && op.getNumChunks() == 1
                                  : kWarpThreads % tile.vectors == 0 && tile.rows % tile.getRowsOfBundle() == 0;
  if (op.getStorage().size() != FirstExtra - 1 || !isWhole)
    return op.emitOpError() << "expected positions, coordinates, values and rows in groups of whole bundles as storage "
                               "of csr, got "
                            << op.getStorage().size() << " operands and groups of " << tile.rows << " rows with "
                            << tile.vectors << " vectors";
  if (tile.isByEntry())
    return lowerByEntry(rewriter, op, target);
  return CSRKernel(rewriter, op, target, tile).emit();
}
