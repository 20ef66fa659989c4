//===- BlockFragmentKernels.cpp - Blocks on tensor cores ------------------------===//
//
// Blocks of 16 x 16 f16 or bf16 lie in memory as the matrix instruction of a warp takes them, 16 bytes for each lane. A
// block of threads copies the activations of a chunk of columns and up to 64 tokens into shared memory; each warp
// multiplies the blocks that its rows of blocks have there, and keeps their sums in registers until the last chunk.
// OpenCL gets the same kernel with the meaning of the instruction written out.
//
//===----------------------------------------------------------------------===//

#include "InlinePTX.h"
#include "Kernels.h"
#include "LayerBuffers.h"
#include "prune/Analysis/GPUCostModel.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Buffers of the kernel, in order: storage, input, extras, init.
enum FragmentBuffer { Positions, Coordinates, Values, Input };

constexpr int64_t kSide = kFragmentSide, kTokensOfFragment = 8, kSumsOfFragment = 4;

class BlockFragmentKernel {
public:
  BlockFragmentKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target)
      : layer(op), tokenFragments(op.getVectors()), chunk(op.getChunk()), groupRows(op.getRows()),
        rowFragments(groupRows / kSide / kTileWarps), tokens(tokenFragments * kTokensOfFragment),
        numChunks(op.getNumChunks()), element(op.getInputType().getElementType()),
        b(rewriter, op, target, "block_csr_fragments", layer.getBuffers(),
          {getNumTiles(layer.numRows, groupRows), getNumTiles(layer.numTokens, tokens), 1},
          {kTileWarps * kWarpThreads, 1, 1}) {}

  LogicalResult emit();

private:
  void copyChunk(Value chunkNumber);
  SmallVector<Value> multiplyRun(Value position, Value end, ValueRange sums);
  /// sums[4] += block x activations of eight tokens from `firstToken` on.
  SmallVector<Value> multiply(ValueRange weights, Value firstColumn, int64_t firstToken, ValueRange sums);
  SmallVector<Value> multiplyReference(Value block, Value firstColumn, int64_t firstToken, ValueRange sums);
  Value loadWord(Value buffer, ValueRange indices);

  LayerBuffers layer;
  int64_t tokenFragments, chunk, groupRows, rowFragments, tokens, numChunks;
  Type element;
  KernelBuilder b;
  Value shared; ///< [tokens][chunk + padding]
  Value warp, lane, group, firstToken;
};

} // namespace

LogicalResult BlockFragmentKernel::emit() {
  constexpr int64_t padding = 8; // a token is four banks further than the one before
  shared = b.allocShared(MemRefType::get({tokens, chunk + padding}, element));
  lane = b.rem(b.threadId(), kWarpThreads);
  warp = b.div(b.threadId(), kWarpThreads);
  group = b.blockId(0);
  firstToken = b.mul(b.blockId(1), tokens);
  int64_t sumsOfRow = tokenFragments * kSumsOfFragment;
  SmallVector<Value> init(rowFragments * sumsOfRow, b.zero(b.getF32Type()));
  SmallVector<Value> sums =
      b.forLoop(b.constant(0), b.constant(numChunks), 1, init, [&](Value chunkNumber, ValueRange carried) {
        b.barrier(); // all warps are done with the chunk before
        copyChunk(chunkNumber);
        b.barrier();
        SmallVector<Value> results;
        Value run = b.mul(b.add(b.mul(group, numChunks), chunkNumber), kTileWarps * rowFragments);
        SmallVector<Value> bounds =
            loadPositions(b, b.getBuffer(Positions), b.add(run, b.mul(warp, rowFragments)), rowFragments);
        for (int64_t row = 0; row < rowFragments; ++row)
          llvm::append_range(results,
                             multiplyRun(bounds[row], bounds[row + 1], carried.slice(row * sumsOfRow, sumsOfRow)));
        return results;
      });
  Value firstRow = b.add(b.mul(group, groupRows), b.mul(warp, rowFragments * kSide));
  for (size_t i = 0; i < sums.size(); ++i) {
    int64_t fragment = i / kSumsOfFragment, sum = i % kSumsOfFragment;
    int64_t row = fragment / tokenFragments * kSide + sum / 2 * 8,
            token = fragment % tokenFragments * kTokensOfFragment;
    Value ownRow = b.add(b.add(firstRow, b.div(lane, 4)), row);
    Value ownToken = b.add(b.add(firstToken, b.mul(b.rem(lane, 4), 2)), token + sum % 2);
    Value isInside = arith::AndIOp::create(b, b.less(ownRow, b.constant(layer.numRows)),
                                           b.less(ownToken, b.constant(layer.numTokens)));
    b.ifThen(isInside, [&] { layer.storeResult(b, sums[i], ownToken, ownRow); });
  }
  return b.finish();
}

void BlockFragmentKernel::copyChunk(Value chunkNumber) {
  // Pieces of 16 bytes where the rows of the input consist of them.
  int64_t width = getLoadWidth(layer.op.getInput());
  int64_t pieces = chunk / width, threads = kTileWarps * kWarpThreads;
  Value first = b.mul(chunkNumber, chunk);
  bool isRagged = layer.numColumns % chunk != 0;
  b.forLoop(b.threadId(), b.constant(tokens * pieces), threads, [&](Value piece) {
    Value inTile = b.div(piece, pieces), inChunk = b.mul(b.rem(piece, pieces), width), column = b.add(first, inChunk);
    Value token = clampBelow(b, b.add(firstToken, inTile), layer.numTokens), isInside;
    if (isRagged) { // zeros there: blocks may reach over the edge
      isInside = b.less(column, b.constant(layer.numColumns));
      column = arith::MinUIOp::create(b, column, b.constant(layer.numColumns - width));
    }
    SmallVector<Value> from = layer.getInputIndices(b, token, column);
    Value x = width == 1 ? memref::LoadOp::create(b, b.getBuffer(Input), from).getResult()
                         : loadVector(b, b.getBuffer(Input), from, width);
    if (isRagged)
      x = arith::SelectOp::create(b, isInside, x, b.zero(x.getType()));
    SmallVector<Value> to{inTile, inChunk};
    if (width == 1)
      memref::StoreOp::create(b, x, shared, to);
    else
      vector::StoreOp::create(b, x, shared, to, /*nontemporal=*/false, llvm::MaybeAlign(16));
  });
}

SmallVector<Value> BlockFragmentKernel::multiplyRun(Value begin, Value end, ValueRange sums) {
  constexpr int64_t halvesOfLane = 8;
  return b.forLoop(begin, end, 1, sums, [&](Value block, ValueRange carried) {
    Value coordinate = memref::LoadOp::create(b, b.getBuffer(Coordinates), block);
    Value firstColumn = b.mul(arith::IndexCastUIOp::create(b, b.getIndexType(), coordinate), kSide);
    SmallVector<Value> weights, results;
    if (!b.target.isOpenCL) {
      Value halves = loadVector(b, b.getBuffer(Values), {block, b.mul(lane, halvesOfLane)}, halvesOfLane);
      Value words = vector::BitCastOp::create(b, VectorType::get(4, b.getI32Type()), halves);
      for (int64_t i = 0; i < 4; ++i)
        weights.push_back(vector::ExtractOp::create(b, words, i));
    }
    for (int64_t i = 0; i < tokenFragments; ++i) {
      ValueRange own = carried.slice(i * kSumsOfFragment, kSumsOfFragment);
      llvm::append_range(results, b.target.isOpenCL ? multiplyReference(block, firstColumn, i * kTokensOfFragment, own)
                                                    : multiply(weights, firstColumn, i * kTokensOfFragment, own));
    }
    return results;
  });
}

Value BlockFragmentKernel::loadWord(Value buffer, ValueRange indices) {
  Value pair = loadVector(b, buffer, indices, 2);
  return vector::ExtractOp::create(b, vector::BitCastOp::create(b, VectorType::get(1, b.getI32Type()), pair), 0);
}

SmallVector<Value> BlockFragmentKernel::multiply(ValueRange weights, Value firstColumn, int64_t firstToken,
                                                 ValueRange sums) {
  Value token = b.add(b.div(lane, 4), firstToken), column = b.add(firstColumn, b.mul(b.rem(lane, 4), 2));
  SmallVector<Value> operands(weights);
  operands.push_back(loadWord(shared, {token, column}));
  operands.push_back(loadWord(shared, {token, b.add(column, 8)}));
  std::string type = element.isF16() ? "f16" : "bf16";
  std::string text = "mma.sync.aligned.m16n8k16.row.col.f32." + type + "." + type +
                     ".f32 {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$0, $1, $2, $3};";
  return InlinePTX(b).update(text, sums, "rrrrrr", operands);
}

/// The same sums, in the order of the columns: those of a lane are in rows lane / 4 and 8 further, of two tokens.
SmallVector<Value> BlockFragmentKernel::multiplyReference(Value block, Value firstColumn, int64_t firstToken,
                                                          ValueRange sums) {
  Type f32 = b.getF32Type();
  return b.forLoop(b.constant(0), b.constant(kSide), 1, sums, [&](Value column, ValueRange carried) {
    SmallVector<Value> results;
    for (int64_t i = 0; i < kSumsOfFragment; ++i) {
      // Lane 4 (row % 8) + (column % 8) / 2 has (row, column) in slot row / 8 + 2 (column / 8).
      Value holder = b.add(b.mul(b.div(lane, 4), 4), b.div(b.rem(column, 8), 2));
      Value slot = b.add(b.mul(b.div(column, 8), 2), i / 2);
      Value place = b.add(b.add(b.mul(holder, 8), b.mul(slot, 2)), b.rem(column, 2));
      Value weight = memref::LoadOp::create(b, b.getBuffer(Values), ValueRange{block, place});
      Value token = b.add(b.mul(b.rem(lane, 4), 2), firstToken + i % 2);
      Value x = memref::LoadOp::create(b, shared, ValueRange{token, b.add(firstColumn, column)});
      results.push_back(math::FmaOp::create(b, b.convert(weight, f32), b.convert(x, f32), carried[i]));
    }
    return results;
  });
}

LogicalResult mlir::prune::lowerBlockFragments(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  return BlockFragmentKernel(rewriter, op, target).emit();
}
