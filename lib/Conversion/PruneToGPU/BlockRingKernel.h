//===- BlockRingKernel.h - Blocks on tensor cores of sm_90, many tokens -*- C++ -*-===//
//
// One kernel, in two files: BlockRingKernel.cpp (the ring, the blocks and their sums) and BlockRingReference.cpp (its
// instructions written out for OpenCL).
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKRINGKERNEL_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKRINGKERNEL_H

#include "BlockFragments.h"
#include "CopyRing.h"

namespace mlir::prune {

class BlockRingKernel {
public:
  BlockRingKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target)
      : layer(op), tokens(op.getVectors() * kFragmentTokens), chunk(op.getChunk()), numChunks(op.getNumChunks()),
        warps(op.getRows() / kFragmentSide), element(op.getInputType().getElementType()),
        b(rewriter, op, target, "block_csr_ring", layer.getBuffers(),
          {getNumTiles(layer.numRows, op.getRows()), getNumTiles(layer.numTokens, tokens), 1},
          {warps * kWarpThreads, 1, 1}),
        ptx(b) {}

  LogicalResult emit();

  /// A copy of the tensor copy engine brings so many columns, 128 bytes, of each token: a swizzled row of shared
  /// memory.
  static constexpr int64_t kBoxColumns = 64, kBoxRowBytes = 128;

private:
  /// Buffers of the kernel, in order: storage, input, extras, init.
  enum Buffer { Positions, Coordinates, Values, Rows };
  /// Blocks that are loaded before they are needed.
  static constexpr int64_t kBlocksAhead = 2;
  static constexpr int64_t kMostStages = 4;
  /// Tokens of one load from the ring, four matrices of 8 x 8.
  static constexpr int64_t kLoadTokens = 2 * kFragmentTokens;

  /// Where a warp is, besides its block: all i32.
  struct State {
    Value chunk;
    RingPlace place, fill;   ///< of the chunk, and of the next one that is filled
    Value chunkEnd, nextEnd; ///< the first block of the next chunk and of the one after it

    State() = default;
    explicit State(ValueRange values)
        : chunk(values[0]), place{values[1], values[2]}, fill{values[3], values[4]}, chunkEnd(values[5]),
          nextEnd(values[6]) {}
    SmallVector<Value> toValues() const {
      return {chunk, place.slot, place.parity, fill.slot, fill.parity, chunkEnd, nextEnd};
    }
  };
  static constexpr int64_t kStateValues = 7;
  struct Block {                ///< all i32
    SmallVector<Value> weights; ///< the registers of a lane; OpenCL: the block's number
    Value coordinate;
    SmallVector<Value> toValues() const {
      SmallVector<Value> values(weights);
      values.push_back(coordinate);
      return values;
    }
  };
  int64_t getBlockValues() const { return b.target.isOpenCL ? 2 : 5; }
  /// What a lane reads of a block of the ring: the place of its token, and what its 16 bytes are exchanged by.
  struct LanePlace {
    Value ring, swizzle; ///< i32
  };

  void chooseStages();
  void setUp();
  LanePlace getLanePlace(Value lane, Value ring);
  void startCopies(Value chunk, const RingPlace &place);
  void waitForChunk(const State &state);
  void leaveChunk(const State &state);
  State advance(const State &state);
  State advanceWhile(State state, function_ref<Value(const State &state)> condition);
  Value loadPosition(Value chunk);
  Block loadBlock(Value number);
  Value getBlockAddress(Value coordinate, const RingPlace &place, const LanePlace &lane);
  SmallVector<Value> multiply(const Block &block, const RingPlace &place, ValueRange sums);
  SmallVector<Value> multiplyBlocks(Value begin, Value end, ValueRange carried);
  Value permuteBytes(Value x, Value y, int64_t bytes);
  Value transpose(Value halves);
  void storeSums(ValueRange sums, Value rowOfBlocks);
  int64_t getStageBytes() const { return tokens * chunk * 2; }
  int64_t getNumSums() const { return tokens / kFragmentTokens * kFragmentSums; }
  /// The ring's memory as elements of `type`.
  Value viewRing(ArrayRef<int64_t> shape, Type type);

  // OpenCL.
  SmallVector<Value> multiplyChunks(Value begin, ValueRange carried);
  void copyBoxReference(Value destination, Value column, Value token);
  SmallVector<Value> multiplyReference(const Block &block, const RingPlace &place, ValueRange sums);
  Value permuteBytesReference(Value x, Value y, int64_t bytes);
  Value transposeReference(Value halves);

  LayerBuffers layer;
  int64_t tokens, chunk, numChunks, warps, stages = 2, chunksAhead = 1;
  int64_t numTransposed = 0; ///< matrices, so far
  Type element;
  KernelBuilder b;
  InlinePTX ptx;
  Value lane, warp, slot, firstToken; ///< of type index
  Value stageBytes, isFirstLane, mapAddress, barriers;
  LanePlace ownPlace;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKRINGKERNEL_H
