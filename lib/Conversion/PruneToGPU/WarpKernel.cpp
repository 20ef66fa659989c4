//===- WarpKernel.cpp - Packed layers by the matrix instructions of a warp -----===//
//
// result[m, n] = epilogue(sum over k of W[n, k] * input[m, k]) by `mma.sync` and `mma.sp`, W dense or 2:4, in fragments
// of 16 rows that a warp loads as they are. Tokens go through shared memory, two parts of the columns in turn. OpenCL
// gets the same kernel; there the instruction's meaning is written out on fragments that lanes exchange through shared
// memory.
//
//===----------------------------------------------------------------------===//

#include "InlinePTX.h"
#include "TensorCoreKernels.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

constexpr int64_t kTokenStrideBytes =
    TensorCoreLayout::kRowBytes + 16; ///< of tokens in shared memory: no bank conflicts
constexpr int64_t kWarps = 8, kThreads = kWarps * 32;

/// How the warps of a block divide its rows and tokens.
struct WarpConfig {
  int64_t rowWarps, tokenWarps;         ///< `kWarps` together
  int64_t rowFragments, tokenFragments; ///< of 16 rows and of 8 tokens in a warp

  int64_t getRows() const { return rowWarps * rowFragments * 16; }
  int64_t getTokens() const { return tokenWarps * tokenFragments * 8; }
};

class WarpKernel {
public:
  WarpKernel(RewriterBase &rewriter, LinearOp layer, const GPUTarget &target, const TensorCoreLayout &layout)
      : rewriter(rewriter), layer(layer), target(target), layout(layout) {}

  LogicalResult emit(const GPUKernelOptions &options);

private:
  int64_t getNumSteps() const { return layout.isSparse ? 2 : 4; }
  int64_t getTokenRegisters() const { return layout.isSparse ? 4 : 2; }
  /// Elements in a register of 4 bytes, and in a lane's 16 bytes of a row.
  int64_t getUnit() const { return 4 / layout.getElementBytes(); }
  int64_t getColumns() const { return layout.getColumns(); }
  bool isI8() const { return layout.type == TensorCoreType::I8; }

  void chooseConfig();
  void copyTokens(KernelBuilder &b, Value firstToken, Value tile, Value slot);
  void endCopies(KernelBuilder &b, bool wait);
  SmallVector<Value> multiplyTile(KernelBuilder &b, Value tile, Value slot, ValueRange sums);
  /// One step: `weights` has four words for each row fragment, `tokens` getTokenRegisters() for each token fragment,
  /// `metadata` one for each row fragment; four sums for each pair of fragments.
  SmallVector<Value> multiply(KernelBuilder &b, int64_t step, ValueRange weights, ValueRange metadata,
                              ValueRange tokens, ValueRange sums);
  SmallVector<Value> multiplyReference(KernelBuilder &b, int64_t step, ValueRange weights, ValueRange metadata,
                                       ValueRange tokens, ValueRange sums);
  void storeSums(KernelBuilder &b, const ColumnParts &parts, Value firstToken, ValueRange sums);

  RewriterBase &rewriter;
  LayerBuffers layer;
  const GPUTarget &target;
  TensorCoreLayout layout;
  WarpConfig config{2, 4, 4, 4};
  Value shared;   ///< [2][tokens][columns and padding]
  Value exchange; ///< of the reference: [warp][lane][register]
  Value lane, rowWarp, tokenWarp, firstRow;
};

} // namespace

void WarpKernel::chooseConfig() {
  // Few tokens: all warps side by side over the rows.
  if (layer.numTokens <= 8)
    config = {8, 1, 1, 1};
  else if (layer.numTokens <= 64)
    config = {8, 1, 1, 4};
  else if (getNumTiles(layer.numTokens, 128) * getNumTiles(layer.numRows, 128) < 100)
    config = {4, 2, 1, 4}; // 64 x 64: more blocks
}

LogicalResult WarpKernel::emit(const GPUKernelOptions &options) {
  if (failed(verifyRowMajor(layer.op, target)))
    return failure();
  chooseConfig();
  int64_t rowBlocks = getNumTiles(layer.numRows, config.getRows()),
          tokenBlocks = getNumTiles(layer.numTokens, config.getTokens());
  int64_t tileBytes =
      config.getRows() / layout.getRows() * layout.getTileBytes() + config.getTokens() * TensorCoreLayout::kRowBytes;
  ColumnParts parts(layer, layout.getNumColumnTiles(layer.numColumns), rowBlocks * tokenBlocks, tileBytes, options);
  KernelBuilder b(rewriter, layer.op, target, layout.isSparse ? "two_of_four_warps" : "dense_warps",
                  parts.getBuffers(rewriter, layer, getSumType(rewriter, layout)),
                  {tokenBlocks, rowBlocks, parts.getCount()}, {kThreads, 1, 1});
  shared = b.allocShared(
      MemRefType::get({2, config.getTokens(), kTokenStrideBytes / layout.getElementBytes()}, getElementType(b, layout)),
      128);
  if (target.isOpenCL)
    exchange = b.allocShared(
        MemRefType::get({kWarps, 32, config.rowFragments * 5 + config.tokenFragments * 4}, b.getI32Type()));
  lane = b.rem(b.threadId(), 32);
  Value warp = b.div(b.threadId(), 32);
  rowWarp = b.div(warp, config.tokenWarps);
  tokenWarp = b.rem(warp, config.tokenWarps);
  firstRow = b.add(b.mul(b.blockId(1), config.getRows()), b.mul(rowWarp, config.rowFragments * 16));
  Value firstToken = b.mul(b.blockId(), config.getTokens());

  Value first = parts.getFirstTile(b, b.blockId(2)), end = parts.getEndTile(b, b.blockId(2));
  copyTokens(b, firstToken, first, b.rem(first, 2));
  endCopies(b, /*wait=*/false);
  SmallVector<Value> sums(config.rowFragments * config.tokenFragments * 4, b.zero(getSumType(b, layout)));
  sums = b.forLoop(first, end, 1, sums, [&](Value tile, ValueRange sums) {
    Value slot = b.rem(tile, 2), next = b.add(tile, 1);
    b.ifThen(b.less(next, end), [&] { copyTokens(b, firstToken, next, b.rem(next, 2)); });
    endCopies(b, /*wait=*/true);
    b.barrier();
    SmallVector<Value> results = multiplyTile(b, tile, slot, sums);
    b.barrier();
    return results;
  });
  storeSums(b, parts, firstToken, sums);
  return success(succeeded(b.finish()) && succeeded(parts.finish(rewriter, layer, target)));
}

/// Part `tile` of the block's tokens into `slot`; zeros beyond the matrix.
void WarpKernel::copyTokens(KernelBuilder &b, Value firstToken, Value tile, Value slot) {
  int64_t elementBytes = layout.getElementBytes(), width = 16 / elementBytes, pieces = getColumns() / width;
  Value firstColumn = b.mul(tile, getColumns());
  if (!target.isOpenCL && layer.numColumns % width == 0) {
    InlinePTX ptx(b);
    Value from = ptx.getGlobalAddress(b.getBuffer(layer.getInputBuffer())), to = ptx.getSharedAddress(shared);
    b.forLoop(b.threadId(), b.constant(config.getTokens() * pieces), kThreads, [&](Value i) {
      Value inBlock = b.div(i, pieces), piece = b.mul(b.rem(i, pieces), width);
      Value token = b.add(firstToken, inBlock), column = b.add(firstColumn, piece);
      Value isInside = arith::AndIOp::create(b, b.less(token, b.constant(layer.numTokens)),
                                             b.less(column, b.constant(layer.numColumns)));
      Value size = arith::SelectOp::create(b, isInside, ptx.i32(16), ptx.i32(0));
      Value element =
          arith::SelectOp::create(b, isInside, b.add(b.mul(token, layer.numColumns), column), b.constant(0));
      Value offset =
          b.add(b.mul(b.add(b.mul(slot, config.getTokens()), inBlock), kTokenStrideBytes), b.mul(piece, elementBytes));
      ptx.run("cp.async.cg.shared.global [$0], [$1], 16, $2;", "rlr",
              {arith::AddIOp::create(b, to, ptx.toI32(offset)),
               arith::AddIOp::create(b, from, ptx.toI64(b.mul(element, elementBytes))), size});
    });
    return;
  }
  b.forLoop(b.threadId(), b.constant(config.getTokens() * getColumns()), kThreads, [&](Value i) {
    Value inBlock = b.div(i, getColumns()), inTile = b.rem(i, getColumns());
    Value loaded = loadTokenOrZero(b, layer, b.add(firstToken, inBlock), b.add(firstColumn, inTile));
    memref::StoreOp::create(b, loaded, shared, ValueRange{slot, inBlock, inTile});
  });
}

/// The copies up to here are one part; waits, if asked, for all parts of this thread before it.
void WarpKernel::endCopies(KernelBuilder &b, bool wait) {
  if (target.isOpenCL)
    return;
  InlinePTX(b).run(wait ? "cp.async.commit_group;\ncp.async.wait_group 1;" : "cp.async.commit_group;");
}

SmallVector<Value> WarpKernel::multiplyTile(KernelBuilder &b, Value tile, Value slot, ValueRange sums) {
  Type i32 = b.getI32Type();
  Value weights = b.getBuffer(0);
  int64_t rowTiles = layout.getNumRowTiles(layer.numRows), columnTiles = layout.getNumColumnTiles(layer.numColumns);
  auto load = [&](Value at, int64_t words) -> Value {
    auto bytes = VectorType::get({words * 4}, b.getI8Type());
    Value loaded = vector::LoadOp::create(b, bytes, weights, at, /*nontemporal=*/false, llvm::MaybeAlign(words * 4));
    return vector::BitCastOp::create(b, VectorType::get({words}, i32), loaded);
  };
  SmallVector<Value> places; // of the row fragments' tiles
  for (int64_t i = 0; i < config.rowFragments; ++i) {
    Value rowTile = b.add(b.div(firstRow, 16), i);
    if (rowTiles * 16 % config.getRows() != 0) // the last block's other rows are computed in vain
      rowTile = arith::MinUIOp::create(b, rowTile, b.constant(rowTiles - 1));
    places.push_back(b.mul(b.add(b.mul(rowTile, columnTiles), tile), layout.getTileBytes()));
  }
  SmallVector<Value> metadata; // of each row fragment; of i8 for each step
  for (int64_t word = 0; layout.isSparse && word < (isI8() ? getNumSteps() : 1); ++word)
    for (Value place : places) {
      Value at = b.add(b.add(place, b.mul(lane, 4)), layout.getValueBytes() + word * 128);
      metadata.push_back(vector::ExtractOp::create(b, load(at, 1), 0));
    }
  SmallVector<Value> results(sums);
  for (int64_t step = 0; step < getNumSteps(); ++step) {
    SmallVector<Value> fragments, tokens;
    for (Value place : places) {
      Value words = load(b.add(b.add(place, b.mul(lane, 16)), step * 512), 4);
      for (int64_t i = 0; i < 4; ++i)
        fragments.push_back(vector::ExtractOp::create(b, words, i));
    }
    Value token = b.add(b.mul(tokenWarp, config.tokenFragments * 8), b.div(lane, 4)),
          column = b.mul(b.rem(lane, 4), getUnit());
    for (int64_t i = 0; i < config.tokenFragments; ++i)
      for (int64_t k = 0; k < getTokenRegisters(); ++k) {
        auto word = VectorType::get({getUnit()}, getElementType(b, layout));
        Value at = b.add(column, (step * getTokenRegisters() + k) * 4 * getUnit());
        Value loaded = vector::LoadOp::create(b, word, shared, ValueRange{slot, b.add(token, i * 8), at},
                                              /*nontemporal=*/false, llvm::MaybeAlign(4));
        tokens.push_back(
            vector::ExtractOp::create(b, vector::BitCastOp::create(b, VectorType::get({1}, i32), loaded), 0));
      }
    ValueRange own = ValueRange(metadata).drop_front(isI8() && layout.isSparse ? step * config.rowFragments : 0);
    results = target.isOpenCL ? multiplyReference(b, step, fragments, own, tokens, results)
                              : multiply(b, step, fragments, own, tokens, results);
  }
  return results;
}

SmallVector<Value> WarpKernel::multiply(KernelBuilder &b, int64_t step, ValueRange weights, ValueRange metadata,
                                        ValueRange tokens, ValueRange sums) {
  InlinePTX ptx(b);
  SmallVector<Value> results(sums);
  int64_t count = getTokenRegisters();
  // Of i8 all lanes' metadata is read, else that of lanes 0 and 1 or of 2 and 3 of each four.
  std::string text =
      llvm::formatv("mma{0}.sync.aligned.m16n8k{1}.row.col.{2}.{3}.{3}.{2} {{$0, $1, $2, $3}, {{$4, $5, $6, $7}, {4}, "
                    "{{$0, $1, $2, $3}{5};",
                    layout.isSparse ? ".sp::ordered_metadata" : "", (layout.isSparse ? 16 : 8) * getUnit(),
                    getSumName(layout), getFactorName(layout), layout.isSparse ? "{$8, $9, $10, $11}" : "{$8, $9}",
                    layout.isSparse ? llvm::formatv(", $12, {0}", isI8() ? 0 : step % 2).str() : "");
  for (int64_t row = 0; row < config.rowFragments; ++row)
    for (int64_t token = 0; token < config.tokenFragments; ++token) {
      int64_t first = (row * config.tokenFragments + token) * 4;
      SmallVector<Value> operands(weights.slice(row * 4, 4));
      llvm::append_range(operands, tokens.slice(token * count, count));
      if (layout.isSparse)
        operands.push_back(metadata[row]);
      SmallVector<Value> updated =
          ptx.update(text, ArrayRef<Value>(results).slice(first, 4), std::string(operands.size(), 'r'), operands);
      llvm::copy(updated, results.begin() + first);
    }
  return results;
}

SmallVector<Value> WarpKernel::multiplyReference(KernelBuilder &b, int64_t step, ValueRange weights,
                                                 ValueRange metadata, ValueRange tokens, ValueRange sums) {
  // Registers in the exchange: four of each row fragment, its metadata, those of the token fragments.
  int64_t firstMetadata = config.rowFragments * 4, firstToken = config.rowFragments * 5, count = getTokenRegisters();
  Value warp = b.div(b.threadId(), 32);
  auto put = [&](Value word, int64_t slot) {
    memref::StoreOp::create(b, word, exchange, ValueRange{warp, lane, b.constant(slot)});
  };
  b.barrier();
  for (auto [i, word] : llvm::enumerate(weights))
    put(word, i);
  for (auto [i, word] : llvm::enumerate(metadata.take_front(config.rowFragments)))
    put(word, firstMetadata + i);
  for (auto [i, word] : llvm::enumerate(tokens))
    put(word, firstToken + i);
  b.barrier();
  auto getWord = [&](Value fromLane, Value slot) -> Value {
    return memref::LoadOp::create(b, exchange, ValueRange{warp, fromLane, slot});
  };
  // Element `number` (an index) of the getUnit() ones of a register.
  Type element = getElementType(b, layout);
  auto getElementOf = [&](Value word, Value number) -> Value {
    if (getUnit() > 1) {
      int64_t bits = 32 / getUnit();
      Value shift = arith::IndexCastUIOp::create(b, b.getI32Type(), b.mul(number, bits));
      word = arith::TruncIOp::create(b, b.getIntegerType(bits), arith::ShRUIOp::create(b, word, shift));
    }
    return isI8() ? word : arith::BitcastOp::create(b, element, word).getResult();
  };
  int64_t unit = getUnit();
  Value quad = b.div(lane, 4), inQuad = b.rem(lane, 4);
  return b.forLoop(b.constant(0), b.constant(8 * unit), 1, sums, [&](Value stored, ValueRange sums) {
    SmallVector<Value> results(sums);
    Value storedLane = b.div(b.rem(stored, 4 * unit), unit), inWord = b.rem(stored, unit);
    for (int64_t row = 0; row < config.rowFragments; ++row)
      for (int64_t side = 0; side < 2; ++side) {
        Value slot = b.add(b.mul(b.div(stored, 4 * unit), 2), row * 4 + side);
        Value weight = getElementOf(getWord(b.add(b.mul(quad, 4), storedLane), slot), inWord), column = stored;
        if (layout.isSparse) {
          Value number = b.mul(stored, layout.getPlaces());
          Value ofLane = isI8() ? b.add(b.mul(b.div(stored, 16), 2), side) : b.add(b.div(number, 8), step * 2);
          Value word = getWord(b.add(b.mul(quad, 4), ofLane), b.constant(firstMetadata + row));
          Value bit = isI8() ? b.mul(b.rem(stored, 16), 2) : b.add(b.mul(b.rem(number, 8), 2), side * 16);
          Value shift = arith::IndexCastUIOp::create(b, b.getI32Type(), bit);
          Value place = arith::AndIOp::create(b, arith::ShRUIOp::create(b, word, shift), InlinePTX(b).i32(3));
          column = b.add(b.mul(b.div(number, 2), 4), arith::IndexCastUIOp::create(b, b.getIndexType(), place));
          column = b.div(column, layout.getPlaces());
        }
        for (int64_t token = 0; token < config.tokenFragments; ++token)
          for (int64_t next = 0; next < 2; ++next) {
            Value fromLane = b.add(b.mul(b.add(b.mul(inQuad, 2), next), 4), b.div(b.rem(column, 4 * unit), unit));
            Value word = getWord(fromLane, b.add(b.div(column, 4 * unit), firstToken + token * count));
            Value &sum = results[(row * config.tokenFragments + token) * 4 + side * 2 + next];
            sum = multiplyAddElements(b, weight, getElementOf(word, b.rem(column, unit)), sum);
          }
      }
    return results;
  });
}

void WarpKernel::storeSums(KernelBuilder &b, const ColumnParts &parts, Value firstToken, ValueRange sums) {
  Value warpToken = b.add(firstToken, b.add(b.mul(tokenWarp, config.tokenFragments * 8), b.mul(b.rem(lane, 4), 2)));
  Value warpRow = b.add(firstRow, b.div(lane, 4));
  for (size_t i = 0; i < sums.size(); ++i) {
    int64_t fragment = i / 4, row = fragment / config.tokenFragments, token = fragment % config.tokenFragments;
    Value m = b.add(warpToken, token * 8 + i % 2), n = b.add(warpRow, row * 16 + i / 2 % 2 * 8);
    Value isInside =
        arith::AndIOp::create(b, b.less(m, b.constant(layer.numTokens)), b.less(n, b.constant(layer.numRows)));
    b.ifThen(isInside, [&] { parts.store(b, layer, sums[i], b.blockId(2), m, n); });
  }
}

LogicalResult mlir::prune::lowerByWarps(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                        const GPUKernelOptions &options) {
  return WarpKernel(rewriter, op, target, getTensorCoreLayout(op, /*isWarpGroup=*/false)).emit(options);
}
