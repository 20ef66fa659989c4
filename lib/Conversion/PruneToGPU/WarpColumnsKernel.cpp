//===- WarpColumnsKernel.cpp - Few tokens on tensor cores -----------------------===//
//
// With few tokens reading the weights is all the time. A block of threads takes 16 rows and all columns, whose tiles
// its eight warps take in turn, so that the whole device reads at once without parts that a second kernel adds up. Each
// warp copies tiles and tokens into a ring of its own in shared memory and runs ahead of its products; warps meet at
// the end only, where their sums are added in their order.
//
//===----------------------------------------------------------------------===//

#include "InlinePTX.h"
#include "WarpFragments.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

constexpr int64_t kWarps = 8, kThreads = kWarps * 32, kRows = 16, kPiece = 16;

class WarpColumnsKernel {
public:
  WarpColumnsKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target, const TensorCoreLayout &layout)
      : layer(op), layout(layout), tokenFragments(getNumTiles(layer.numTokens, 8)),
        columnTiles(layout.getNumColumnTiles(layer.numColumns)),
        b(rewriter, op, target, layout.isSparse ? "two_of_four_columns" : "dense_columns", layer.getBuffers(),
          {getNumTiles(layer.numRows, kRows), 1, 1}, {kThreads, 1, 1}),
        fragments(b, layer, layout, /*rowFragments=*/1, tokenFragments) {
    // Two blocks of threads share a processor. OpenCL copies when it needs a tile.
    constexpr int64_t bytesOfBlock = 112 << 10, leastStages = 2, mostStages = 4;
    int64_t bytes = std::min(bytesOfBlock, target.sharedBytes) - getSumBytes();
    numStages = target.isOpenCL ? 1 : std::clamp(bytes / (kWarps * getStageBytes()), leastStages, mostStages);
  }

  LogicalResult emit();

private:
  int64_t getStageBytes() const { return layout.getTileBytes() + tokenFragments * 8 * kTokenStrideBytes; }
  int64_t getSumBytes() const { return kWarps * tokenFragments * 8 * (kRows + 1) * 4; }
  /// The first byte of the warp's stage for a turn.
  Value getStage(Value turn);
  Value getTile(Value turn) { return b.add(b.mul(turn, kWarps), fragments.getWarp()); }
  /// Begins to copy what the warp multiplies in a turn, if anything; one part, as `wait` counts them.
  void copy(Value turn);
  /// `copyPiece` by the lanes for each of `count` pieces.
  void forEachPiece(int64_t count, function_ref<void(Value piece)> copyPiece);
  /// 16 bytes of `buffer` from `indices` on, whose offset is `bytes`, to a place in shared memory.
  void copyPiece(Value buffer, ValueRange indices, Value bytes, Value to);
  /// The oldest part is there for all lanes of the warp, which are done with the turn before.
  void wait();
  SmallVector<Value> multiply(Value turn, ValueRange sums);
  void store(ValueRange sums);

  LayerBuffers layer;
  TensorCoreLayout layout;
  int64_t tokenFragments, columnTiles, numStages;
  KernelBuilder b;
  WarpFragments fragments;
  Value input;
  Value shared; ///< bytes [warp][stage][tile, then tokens]
};

} // namespace

LogicalResult WarpColumnsKernel::emit() {
  input = viewAsMatrix(b, b.getBuffer(layer.getInputBuffer()));
  shared = b.allocShared(MemRefType::get({kWarps * numStages * getStageBytes()}, b.getI8Type()));
  int64_t turns = getNumTiles(columnTiles, kWarps);
  for (int64_t turn = 0; turn < numStages - 1; ++turn)
    copy(b.constant(turn));
  SmallVector<Value> init(fragments.getNumSums(), b.zero(getSumType(b, layout)));
  store(b.forLoop(b.constant(0), b.constant(turns), 1, init, [&](Value turn, ValueRange sums) {
    wait();
    copy(b.add(turn, numStages - 1));
    if (b.target.isOpenCL)
      b.barrier();
    return multiply(turn, sums);
  }));
  return b.finish();
}

Value WarpColumnsKernel::getStage(Value turn) {
  Value stage = b.add(b.mul(fragments.getWarp(), numStages), b.rem(turn, numStages));
  return b.mul(stage, getStageBytes());
}

void WarpColumnsKernel::forEachPiece(int64_t count, function_ref<void(Value piece)> copyPiece) {
  for (int64_t first = 0; first < count; first += kWarpThreads) {
    Value piece = b.add(fragments.getLane(), first);
    if (first + kWarpThreads <= count)
      copyPiece(piece);
    else
      b.ifThen(b.less(piece, b.constant(count)), [&] { copyPiece(piece); });
  }
}

void WarpColumnsKernel::copyPiece(Value buffer, ValueRange indices, Value bytes, Value to) {
  if (!b.target.isOpenCL) {
    InlinePTX ptx(b);
    Value from = arith::AddIOp::create(b, ptx.getGlobalAddress(buffer), ptx.toI64(bytes));
    Value place = arith::AddIOp::create(b, ptx.getSharedAddress(shared), ptx.toI32(to));
    ptx.run("cp.async.cg.shared.global [$0], [$1], 16;", "rl", {place, from});
    return;
  }
  Type element = cast<MemRefType>(buffer.getType()).getElementType();
  Value loaded = loadVector(b, buffer, indices, kPiece * 8 / element.getIntOrFloatBitWidth());
  loaded = vector::BitCastOp::create(b, VectorType::get({kPiece}, b.getI8Type()), loaded);
  vector::StoreOp::create(b, loaded, shared, to, /*nontemporal=*/false, llvm::MaybeAlign(kPiece));
}

void WarpColumnsKernel::copy(Value turn) {
  b.ifThen(b.less(getTile(turn), b.constant(columnTiles)), [&] {
    int64_t tileBytes = layout.getTileBytes(), elementBytes = layout.getElementBytes();
    Value tile = getTile(turn), stage = getStage(turn);
    Value firstByte = b.mul(b.add(b.mul(b.blockId(), columnTiles), tile), tileBytes);
    forEachPiece(tileBytes / kPiece, [&](Value piece) {
      Value inTile = b.mul(piece, kPiece), byte = b.add(firstByte, inTile);
      copyPiece(b.getBuffer(0), byte, byte, b.add(stage, inTile));
    });
    // What lies at the places of tokens beyond the layer's is multiplied into sums that nobody looks at.
    constexpr int64_t piecesOfToken = TensorCoreLayout::kRowBytes / kPiece;
    forEachPiece(layer.numTokens * piecesOfToken, [&](Value piece) {
      Value token = b.div(piece, piecesOfToken), inRow = b.mul(b.rem(piece, piecesOfToken), kPiece);
      Value column = b.add(b.mul(tile, layout.getColumns()), b.div(inRow, elementBytes));
      Value element = b.add(b.mul(token, layer.numColumns), column);
      copyPiece(input, {token, column}, b.mul(element, elementBytes),
                b.add(b.add(stage, b.mul(token, kTokenStrideBytes)), b.add(inRow, tileBytes)));
    });
  });
  if (!b.target.isOpenCL)
    InlinePTX(b).run("cp.async.commit_group;");
}

void WarpColumnsKernel::wait() {
  if (b.target.isOpenCL)
    return b.barrier();
  InlinePTX(b).run("cp.async.wait_group " + std::to_string(numStages - 2) + ";\nbar.warp.sync 0xffffffff;");
}

SmallVector<Value> WarpColumnsKernel::multiply(Value turn, ValueRange sums) {
  // A warp without a tile in the last turn multiplies zeros: OpenCL wants it to take part.
  Value hasTile = columnTiles % kWarps != 0 ? b.less(getTile(turn), b.constant(columnTiles)) : Value();
  auto orZero = [&](Value word) -> Value {
    return hasTile ? arith::SelectOp::create(b, hasTile, word, b.zero(word.getType())).getResult() : word;
  };
  Value stage = getStage(turn);
  SmallVector<Value> weights = fragments.loadWeights(shared, stage);
  for (Value &word : weights)
    word = orZero(word);
  auto loadTokens = [&](Value token, Value column) {
    Value at = b.add(b.add(stage, b.mul(token, kTokenStrideBytes)),
                     b.add(b.mul(column, layout.getElementBytes()), layout.getTileBytes()));
    return orZero(loadWords(b, shared, at, 1).front());
  };
  return fragments.multiplyTile(weights, loadTokens, sums);
}

void WarpColumnsKernel::store(ValueRange sums) {
  Value sumsOfWarps = b.allocShared(MemRefType::get({kWarps, tokenFragments * 8, kRows + 1}, getSumType(b, layout)));
  fragments.forEachSum(sums, [&](Value sum, Value row, Value token) {
    memref::StoreOp::create(b, sum, sumsOfWarps, ValueRange{fragments.getWarp(), token, row});
  });
  storeTilesOfWarps(b, layer, sumsOfWarps, b.constant(0), b.mul(b.blockId(), kRows));
}

LogicalResult mlir::prune::lowerByWarpColumns(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  if (failed(verifyRowMajor(op, target)))
    return failure();
  return WarpColumnsKernel(rewriter, op, target, getTensorCoreLayout(op, /*isWarpGroup=*/false)).emit();
}
