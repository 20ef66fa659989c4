//===- WarpKernel.cpp - Packed layers by the matrix instructions of a warp -----===//
//
// result[m, n] = epilogue(sum over k of W[n, k] * input[m, k]) by `mma.sync` and `mma.sp`, W dense or 2:4, in fragments
// of 16 rows that a warp loads as they are. Tokens go through shared memory, two parts of the columns in turn. OpenCL
// gets the same kernel; there the instruction's meaning is written out on fragments that lanes exchange through shared
// memory.
//
//===----------------------------------------------------------------------===//

#include "InlinePTX.h"
#include "WarpFragments.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

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
  int64_t getColumns() const { return layout.getColumns(); }

  void chooseConfig();
  void copyTokens(KernelBuilder &b, Value firstToken, Value tile, Value slot);
  void endCopies(KernelBuilder &b, bool wait);
  SmallVector<Value> loadWeights(KernelBuilder &b, Value tile);
  Value loadTokens(KernelBuilder &b, Value slot, Value token, Value column);
  void storeSums(KernelBuilder &b, const ColumnParts &parts, Value firstToken, ValueRange sums);

  RewriterBase &rewriter;
  LayerBuffers layer;
  const GPUTarget &target;
  TensorCoreLayout layout;
  WarpConfig config{2, 4, 4, 4};
  Value shared; ///< [2][tokens][columns and padding]
  std::optional<WarpFragments> fragments;
  Value firstRow;
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
  ColumnParts parts(layer, layout.getNumColumnTiles(layer.numColumns), rowBlocks * tokenBlocks,
                    /*together=*/2, tileBytes / (options.model.tileBytesPerCycle * options.model.clockGHz), options);
  KernelBuilder b(rewriter, layer.op, target, layout.isSparse ? "two_of_four_warps" : "dense_warps",
                  parts.getBuffers(rewriter, layer, getSumType(rewriter, layout)),
                  {tokenBlocks, rowBlocks, parts.getCount()}, {kThreads, 1, 1});
  shared = b.allocShared(
      MemRefType::get({2, config.getTokens(), kTokenStrideBytes / layout.getElementBytes()}, getElementType(b, layout)),
      128);
  fragments.emplace(b, layer, layout, config.rowFragments, config.tokenFragments);
  Value rowWarp = b.div(fragments->getWarp(), config.tokenWarps),
        tokenWarp = b.rem(fragments->getWarp(), config.tokenWarps);
  firstRow = b.add(b.mul(b.blockId(1), config.getRows()), b.mul(rowWarp, config.rowFragments * 16));
  Value firstToken = b.mul(b.blockId(), config.getTokens());
  Value warpToken = b.mul(tokenWarp, config.tokenFragments * 8);

  Value first = parts.getFirstTile(b, b.blockId(2)), end = parts.getEndTile(b, b.blockId(2));
  copyTokens(b, firstToken, first, b.rem(first, 2));
  endCopies(b, /*wait=*/false);
  SmallVector<Value> carried(fragments->getNumSums(), b.zero(getSumType(b, layout)));
  // Registers are left for the weights of the next tile where a warp has few rows.
  bool loadsAhead = config.rowFragments == 1;
  if (loadsAhead)
    llvm::append_range(carried, loadWeights(b, first));
  carried = b.forLoop(first, end, 1, carried, [&](Value tile, ValueRange carried) {
    Value slot = b.rem(tile, 2), next = b.add(tile, 1);
    ValueRange sums = carried.take_front(fragments->getNumSums());
    SmallVector<Value> weights(carried.drop_front(sums.size())), nextWeights;
    if (loadsAhead)
      nextWeights = loadWeights(b, arith::MinUIOp::create(b, next, b.sub(end, b.constant(1))));
    else
      weights = loadWeights(b, tile);
    b.ifThen(b.less(next, end), [&] { copyTokens(b, firstToken, next, b.rem(next, 2)); });
    endCopies(b, /*wait=*/true);
    b.barrier();
    SmallVector<Value> results = fragments->multiplyTile(
        weights, [&](Value token, Value column) { return loadTokens(b, slot, b.add(warpToken, token), column); }, sums);
    b.barrier();
    llvm::append_range(results, nextWeights);
    return results;
  });
  storeSums(b, parts, b.add(firstToken, warpToken), ValueRange(carried).take_front(fragments->getNumSums()));
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

SmallVector<Value> WarpKernel::loadWeights(KernelBuilder &b, Value tile) {
  int64_t rowTiles = layout.getNumRowTiles(layer.numRows), columnTiles = layout.getNumColumnTiles(layer.numColumns);
  SmallVector<Value> places;
  for (int64_t i = 0; i < config.rowFragments; ++i) {
    Value rowTile = b.add(b.div(firstRow, 16), i);
    if (rowTiles * 16 % config.getRows() != 0) // the last block's other rows are computed in vain
      rowTile = clampBelow(b, rowTile, rowTiles);
    places.push_back(b.mul(b.add(b.mul(rowTile, columnTiles), tile), layout.getTileBytes()));
  }
  return fragments->loadWeights(b.getBuffer(0), places);
}

Value WarpKernel::loadTokens(KernelBuilder &b, Value slot, Value token, Value column) {
  return loadWords(b, shared, {slot, token, column}, 1).front();
}

/// The copies up to here are one part; waits, if asked, for all parts of this thread before it.
void WarpKernel::endCopies(KernelBuilder &b, bool wait) {
  if (target.isOpenCL)
    return;
  InlinePTX(b).run(wait ? "cp.async.commit_group;\ncp.async.wait_group 1;" : "cp.async.commit_group;");
}

void WarpKernel::storeSums(KernelBuilder &b, const ColumnParts &parts, Value firstToken, ValueRange sums) {
  fragments->forEachSum(sums, [&](Value sum, Value row, Value token) {
    Value m = b.add(firstToken, token), n = b.add(firstRow, row);
    Value isInside =
        arith::AndIOp::create(b, b.less(m, b.constant(layer.numTokens)), b.less(n, b.constant(layer.numRows)));
    b.ifThen(isInside, [&] { parts.store(b, layer, sum, b.blockId(2), m, n); });
  });
}

LogicalResult mlir::prune::lowerByWarps(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                        const GPUKernelOptions &options) {
  return WarpKernel(rewriter, op, target, getTensorCoreLayout(op, /*isWarpGroup=*/false)).emit(options);
}
