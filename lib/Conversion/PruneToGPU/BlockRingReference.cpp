//===- BlockRingReference.cpp - Blocks on tensor cores of sm_90, on OpenCL ------===//
//
// The meaning of the instructions of BlockRingKernel, on the same places of shared memory. Threads of OpenCL can only
// wait for all others of their block, so the warps go through the chunks together.
//
//===----------------------------------------------------------------------===//

#include "BlockRingKernel.h"
#include "TensorCoreKernels.h"

using namespace mlir;
using namespace mlir::prune;

/// All chunks of a warp whose first block is `begin`, and the barriers between them.
SmallVector<Value> BlockRingKernel::multiplyChunks(Value begin, ValueRange carried) {
  SmallVector<Value> init(carried);
  init.push_back(begin);
  return b.forLoop(b.constant(0), b.constant(numChunks), 1, init, [&](Value, ValueRange values) {
    State state(values.drop_back().take_back(kStateValues));
    Value first = values.back(), end = arith::IndexCastUIOp::create(b, b.getIndexType(), state.chunkEnd);
    SmallVector<Value> all = multiplyBlocks(first, end, values.drop_back());
    // After an odd number of blocks the next one is in the second place.
    MutableArrayRef<Value> blocks = MutableArrayRef(all).slice(getNumSums(), kBlocksAhead * getBlockValues());
    static_assert(kBlocksAhead == 2, "two places are exchanged");
    Value isOdd =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ne, b.rem(b.sub(end, first), kBlocksAhead), b.constant(0));
    for (auto [x, y] : llvm::zip(blocks.take_front(getBlockValues()), blocks.take_back(getBlockValues()))) {
      Value before = x;
      x = arith::SelectOp::create(b, isOdd, y, x);
      y = arith::SelectOp::create(b, isOdd, before, y);
    }
    llvm::copy(advance(state).toValues(), all.end() - kStateValues);
    all.push_back(end);
    return all;
  });
}

/// What the tensor copy engine does for one box, of the tokens from `token` on: zeros beyond the edges, and pieces of
/// 16 bytes exchanged by the number of 128 bytes that their address has.
void BlockRingKernel::copyBoxReference(Value destination, Value column, Value token) {
  constexpr int64_t pieceBytes = 16, swizzledRows = 8;
  auto toIndex = [&](Value value) -> Value { return arith::IndexCastUIOp::create(b, b.getIndexType(), value); };
  int64_t elementBytes = element.getIntOrFloatBitWidth() / 8;
  Value halves = viewRing(stages * getStageBytes() / elementBytes, element);
  b.forLoop(b.constant(0), b.constant(tokens * kBoxColumns), 1, [&](Value number) {
    Value inTile = b.div(number, kBoxColumns), inBox = b.rem(number, kBoxColumns);
    Value x = loadTokenOrZero(b, layer, b.add(toIndex(token), inTile), b.add(toIndex(column), inBox));
    Value address = b.add(b.add(toIndex(destination), b.mul(inTile, kBoxRowBytes)), b.mul(inBox, elementBytes));
    Value exchange = b.mul(b.rem(b.div(address, kBoxRowBytes), swizzledRows), pieceBytes);
    Value place = b.div(arith::XOrIOp::create(b, address, exchange), elementBytes);
    memref::StoreOp::create(b, x, halves, place);
  });
}

/// Loads of matrices and products: the activation of a token and column as the lane has it that holds it, from the row
/// whose address another lane gave.
SmallVector<Value> BlockRingKernel::multiplyReference(const Block &block, const RingPlace &place, ValueRange sums) {
  constexpr int64_t side = 8; // of a matrix
  int64_t elementBytes = element.getIntOrFloatBitWidth() / 8;
  Value halves = viewRing(stages * getStageBytes() / elementBytes, element);
  Value number = arith::IndexCastUIOp::create(b, b.getIndexType(), block.weights.front());
  SmallVector<Value> results;
  for (int64_t first = 0; first < tokens; first += kFragmentTokens) {
    auto load = [&](Value token, Value column) -> Value {
      Value matrix = b.add(b.div(column, side), first % kLoadTokens / kFragmentTokens * 2);
      LanePlace giver = getLanePlace(b.add(b.mul(matrix, side), token), ptx.i32(0));
      Value address =
          add32(b, getBlockAddress(block.coordinate, place, giver), first / kLoadTokens * kLoadTokens * kBoxRowBytes);
      Value row = b.div(arith::IndexCastUIOp::create(b, b.getIndexType(), address), elementBytes);
      return memref::LoadOp::create(b, halves, b.add(row, b.rem(column, side)));
    };
    llvm::append_range(
        results, multiplyFragmentReference(b, FragmentOrder::Tiles, b.getBuffer(Values), number, lane,
                                           sums.slice(first / kFragmentTokens * kFragmentSums, kFragmentSums), load));
  }
  return results;
}

Value BlockRingKernel::permuteBytesReference(Value x, Value y, int64_t bytes) {
  constexpr int64_t wordBytes = 4, byteBits = 8, digitBits = 4;
  Value word;
  for (int64_t i = 0; i < wordBytes; ++i) {
    int64_t digit = bytes >> i * digitBits & 0x7;
    Value shifted = arith::ShRUIOp::create(b, digit < wordBytes ? x : y, ptx.i32(digit % wordBytes * byteBits));
    Value byte = arith::AndIOp::create(b, shifted, ptx.i32(0xFF));
    byte = arith::ShLIOp::create(b, byte, ptx.i32(i * byteBits));
    word = word ? arith::OrIOp::create(b, word, byte).getResult() : byte;
  }
  return word;
}

/// Through shared memory, where each matrix has a place of its own. All threads of the block take part.
Value BlockRingKernel::transposeReference(Value halves) {
  constexpr int64_t halfBits = 16;
  if (numTransposed == 0)
    b.barrier(); // what lay there before is not needed any more
  Value words = viewRing({getNumSums(), warps, kWarpThreads}, b.getI32Type());
  Value matrix = b.constant(numTransposed++);
  memref::StoreOp::create(b, halves, words, ValueRange{matrix, warp, lane});
  b.barrier();
  // The neighbours of this lane are in the same column of two rows, four lanes each.
  Value column = b.div(lane, 4), result;
  for (int64_t next = 0; next < 2; ++next) {
    Value row = b.add(b.mul(b.rem(lane, 4), 2), next);
    Value word = memref::LoadOp::create(b, words, ValueRange{matrix, warp, b.add(b.mul(row, 4), b.div(column, 2))});
    Value half = arith::ShRUIOp::create(b, word, ptx.toI32(b.mul(b.rem(column, 2), halfBits)));
    half = arith::AndIOp::create(b, half, ptx.i32(0xFFFF));
    result = next == 0 ? half
                       : arith::OrIOp::create(b, result, arith::ShLIOp::create(b, half, ptx.i32(halfBits))).getResult();
  }
  return result;
}
