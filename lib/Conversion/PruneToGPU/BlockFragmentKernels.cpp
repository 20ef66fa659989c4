//===- BlockFragmentKernels.cpp - Blocks on tensor cores ------------------------===//
//
// Blocks of 16 x 16 f16 or bf16 lie in memory as the matrix instruction of a warp takes them, 16 bytes for each lane. A
// block of threads copies the activations of a chunk of columns and a tile of tokens into shared memory; each warp has
// one row of blocks, multiplies those that it has there, and keeps its sums in registers until the last chunk. OpenCL
// gets the same kernel with the meaning of the instruction written out. Where the tensor copy engine can bring the
// activations, BlockRingKernel does the same without waiting for copies; few tokens go without (BlockRowKernel).
//
//===----------------------------------------------------------------------===//

#include "BlockFragments.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Buffers of the kernel, in order: storage, input, extras, init.
enum FragmentBuffer { Positions, Coordinates, Values, Rows, Input };

class BlockFragmentKernel {
public:
  BlockFragmentKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target)
      : layer(op), chunk(op.getChunk()), warps(op.getRows() / kFragmentSide), tokens(op.getVectors() * kFragmentTokens),
        numChunks(op.getNumChunks()), element(op.getInputType().getElementType()),
        b(rewriter, op, target, "block_csr_fragments", layer.getBuffers(),
          {getNumTiles(layer.numRows, op.getRows()), getNumTiles(layer.numTokens, tokens), 1},
          {warps * kWarpThreads, 1, 1}) {}

  LogicalResult emit();

private:
  void copyChunk(Value chunkNumber);
  SmallVector<Value> multiplyRun(Value position, Value end, ValueRange sums);
  /// Two neighbours of a token for each lane, and those eight columns further.
  SmallVector<Value> loadTokens(Value firstColumn, int64_t firstToken);

  LayerBuffers layer;
  int64_t chunk, warps, tokens, numChunks;
  Type element;
  KernelBuilder b;
  Value shared; ///< [tokens][chunk + padding]
  Value lane, firstToken;
};

} // namespace

LogicalResult BlockFragmentKernel::emit() {
  constexpr int64_t padding = 8; // a token is four banks further than the one before
  shared = b.allocShared(MemRefType::get({tokens, chunk + padding}, element));
  lane = b.rem(b.threadId(), kWarpThreads);
  firstToken = b.mul(b.blockId(1), tokens);
  Value exchanged = b.allocShared(MemRefType::get({warps, kFragmentSums, kWarpThreads}, b.getF32Type()));
  Value warp = b.div(b.threadId(), kWarpThreads), slot = b.add(b.mul(b.blockId(0), warps), warp);
  SmallVector<Value> init(tokens / kFragmentTokens * kFragmentSums, b.zero(b.getF32Type()));
  SmallVector<Value> sums =
      b.forLoop(b.constant(0), b.constant(numChunks), 1, init, [&](Value chunkNumber, ValueRange carried) {
        b.barrier(); // all warps are done with the chunk before
        copyChunk(chunkNumber);
        b.barrier();
        Value run = b.add(b.mul(slot, numChunks), chunkNumber);
        SmallVector<Value> bounds = loadPositions(b, b.getBuffer(Positions), run, 1);
        return multiplyRun(bounds[0], bounds[1], carried);
      });
  FragmentSlot place(b, b.getBuffer(Rows), slot);
  sums = addSlots(b, exchanged, warp, lane, place, sums);
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Value row = b.add(b.mul(place.rowOfBlocks, kFragmentSide), getFragmentRow(b, lane, i % kFragmentSums));
    Value token = b.add(firstToken, b.add(getFragmentToken(b, lane), i / kFragmentSums * kFragmentTokens + i % 2));
    layer.storeResults(b, sum, token, row);
  }
  return b.finish();
}

void BlockFragmentKernel::copyChunk(Value chunkNumber) {
  // Pieces of 16 bytes where the rows of the input consist of them.
  int64_t width = getLoadWidth(layer.op.getInput());
  int64_t pieces = chunk / width, threads = warps * kWarpThreads;
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
  return b.forLoop(begin, end, 1, sums, [&](Value block, ValueRange carried) {
    Value coordinate = memref::LoadOp::create(b, b.getBuffer(Coordinates), block), values = b.getBuffer(Values);
    Value firstColumn = b.mul(arith::IndexCastUIOp::create(b, b.getIndexType(), coordinate), kFragmentSide);
    SmallVector<Value> weights, results;
    if (!b.target.isOpenCL)
      weights = loadFragment(b, values, block, lane);
    for (int64_t first = 0; first < tokens; first += kFragmentTokens) {
      ValueRange own = carried.slice(first / kFragmentTokens * kFragmentSums, kFragmentSums);
      auto load = [&](Value token, Value column) -> Value {
        return memref::LoadOp::create(b, shared, ValueRange{b.add(token, first), b.add(firstColumn, column)});
      };
      llvm::append_range(results,
                         b.target.isOpenCL
                             ? multiplyFragmentReference(b, FragmentOrder::Tiles, values, block, lane, own, load)
                             : multiplyFragment(b, element, weights, loadTokens(firstColumn, first), own));
    }
    return results;
  });
}

SmallVector<Value> BlockFragmentKernel::loadTokens(Value firstColumn, int64_t firstToken) {
  Value token = b.add(b.div(lane, 4), firstToken), column = b.add(firstColumn, b.mul(b.rem(lane, 4), 2));
  SmallVector<Value> words;
  for (int64_t half = 0; half < 2; ++half)
    llvm::append_range(words, loadWords(b, shared, {token, b.add(column, half * 8)}, 1));
  return words;
}

LogicalResult mlir::prune::lowerBlockFragments(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                               const GPUKernelOptions &options) {
  bool isOfRows = getFragmentOrder(op.getRows()) == FragmentOrder::Rows;
  size_t operands = isOfRows ? Rows : Input;
  if (op.getRows() % kFragmentSide != 0 || op.getStorage().size() != operands)
    return op.emitOpError() << "expected " << operands << " operands as storage of block_csr in groups of "
                            << kFragmentSide << " rows or a multiple, got " << op.getStorage().size()
                            << " and groups of " << op.getRows() << " rows";
  if (isOfRows)
    return lowerBlockRows(rewriter, op, target, options);
  bool isByEngine =
      options.copies == ActivationCopies::Auto ? target.sm >= 90 : options.copies == ActivationCopies::Engine;
  if (isByEngine && suitsBlockRing(op))
    return lowerBlockRing(rewriter, op, target);
  return BlockFragmentKernel(rewriter, op, target).emit();
}
