//===- WarpGroupKernel.h - Packed layers by warp-group instructions -*- C++ -*-===//
//
// One kernel, in two files: WarpGroupKernel.cpp (choice of tiles, copies and products on CUDA) and
// WarpGroupEpilogue.cpp (the way out, and the products written out for OpenCL).
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_WARPGROUPKERNEL_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_WARPGROUPKERNEL_H

#include "CopyRing.h"
#include "TensorCoreKernels.h"

namespace mlir::prune {

constexpr int64_t kTileRows = kWarpGroupRows, kGroupRows = 64;
constexpr int64_t kRowBytes = TensorCoreLayout::kRowBytes;
constexpr int64_t kPieceTokens = 64; ///< of a result that leaves by the tensor copy engine
constexpr int64_t kStagedTokens = 32,
                  kStagedStride = kGroupRows + 4; ///< of the epilogue; the stride avoids bank conflicts

/// The shape of the work of a block.
struct WarpGroupConfig {
  int64_t tokens = 256; ///< of a tile
  int64_t cluster = 2;  ///< blocks that share the tokens of a tile
  int64_t stages = 4;   ///< tiles in flight
  int64_t together = 1; ///< of them, multiplied before a wait
};

class WarpGroupKernel {
public:
  WarpGroupKernel(RewriterBase &rewriter, LinearOp layer, const GPUTarget &target, const TensorCoreLayout &layout)
      : rewriter(rewriter), layer(layer), target(target), layout(layout) {}

  LogicalResult emit(const GPUKernelOptions &options);

private:
  int64_t getWeightBytes() const { return layout.getTileBytes(); }
  int64_t getTokenBytes() const { return config.tokens * kRowBytes; }
  int64_t getNumAccumulators() const { return config.tokens / 2; }
  int64_t getNumColumnTiles() const { return layout.getNumColumnTiles(layer.numColumns); }
  /// Pieces of work: tiles of rows (of a cluster) and tokens.
  int64_t countTiles() const {
    return getNumTiles(layer.numRows, kTileRows * config.cluster) * getNumTiles(layer.numTokens, config.tokens);
  }

  WarpGroupConfig chooseConfig(const GPUCostModel &model) const;
  void setUpShared(KernelBuilder &b);
  void emitCUDA(KernelBuilder &b);
  void emitCopies(KernelBuilder &b, Value rank, Value firstTile);
  void emitProducts(KernelBuilder &b, Value rank, Value firstTile);
  void emitReference(KernelBuilder &b);
  SmallVector<Value> multiplyReference(KernelBuilder &b, Value group, Value thread, ValueRange sums);
  void emitEpilogue(KernelBuilder &b, ValueRange sums, Value group, Value thread, Value part, Value firstRow,
                    Value firstToken, function_ref<void()> wait);
  /// The same where the result is of 16 bits and no extra of its shape is read: in registers, then to the tensor copy
  /// engine.
  void emitEpilogueInRegisters(KernelBuilder &b, ValueRange sums, Value group, Value thread, Value firstRow,
                               Value firstToken, function_ref<void()> wait);
  void storePiece(KernelBuilder &b, ArrayRef<Value> pairs, Value group, Value thread, int64_t slot);
  bool suitsRegisters();
  int64_t getStagedBytes() const {
    return usesRegisters ? 2 * 2 * kPieceTokens * kGroupRows * 2 : 2 * kStagedTokens * kStagedStride * 4;
  }
  /// What the `number`-th piece of work is.
  struct Work {
    Value rowTile; ///< of a cluster
    Value tokenTile;
    Value part; ///< of the columns
  };
  Work getWork(KernelBuilder &b, Value number);
  std::string getInstruction(int64_t step) const;
  Value getDescriptor(KernelBuilder &b, InlinePTX &ptx, Value address, int64_t rowBytes);

  RewriterBase &rewriter;
  LayerBuffers layer;
  const GPUTarget &target;
  TensorCoreLayout layout;
  WarpGroupConfig config;
  std::optional<ColumnParts> parts;
  bool usesRegisters = false;
  Value sharedWeights, sharedTokens, staged, barriers, resultMap;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_WARPGROUPKERNEL_H
