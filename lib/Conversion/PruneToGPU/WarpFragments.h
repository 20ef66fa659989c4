//===- WarpFragments.h - Products by the matrix instruction of a warp -*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_WARPFRAGMENTS_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_WARPFRAGMENTS_H

#include "TensorCoreKernels.h"

namespace mlir::prune {

/// Bytes from a token's part of a tile of columns to the next one's in shared memory: no bank conflicts.
inline constexpr int64_t kTokenStrideBytes = TensorCoreLayout::kRowBytes + 16;

/// What a warp multiplies by `mma.sync` or `mma.sp`: fragments of 16 rows of a packed weight, and of 8 tokens. OpenCL
/// has the instruction's meaning written out on fragments that lanes exchange through shared memory; there all warps of
/// a block must multiply together.
class WarpFragments {
public:
  WarpFragments(KernelBuilder &builder, const LayerBuffers &layer, const TensorCoreLayout &layout, int64_t rowFragments,
                int64_t tokenFragments);

  int64_t getNumSums() const { return rowFragments * tokenFragments * 4; }
  /// Elements in a register of 4 bytes.
  int64_t getUnit() const { return 4 / layout.getElementBytes(); }
  Value getLane() const { return lane; }
  Value getWarp() const { return warp; }

  /// All words of packed tiles, of which `places` are the first bytes in `bytes`, one for each row fragment: of each
  /// step four for each row fragment, then metadata.
  SmallVector<Value> loadWeights(Value bytes, ArrayRef<Value> places);
  /// Adds the products of a tile. `loadTokens` gives getUnit() elements of a token of the warp, from a column of the
  /// tile on, as a word.
  SmallVector<Value> multiplyTile(ValueRange weights, function_ref<Value(Value token, Value column)> loadTokens,
                                  ValueRange sums);
  /// Calls `store` with each sum and its row and token among those of the warp.
  void forEachSum(ValueRange sums, function_ref<void(Value sum, Value row, Value token)> store);

private:
  int64_t getNumSteps() const { return layout.isSparse ? 2 : 4; }
  int64_t getTokenRegisters() const { return layout.isSparse ? 4 : 2; }
  /// For each row fragment; of i8 one for each step.
  int64_t getNumMetadataWords() const { return layout.isSparse ? (isI8() ? getNumSteps() : 1) : 0; }
  bool isI8() const { return layout.type == TensorCoreType::I8; }

  /// One step: `weights` has four words for each row fragment, `tokens` getTokenRegisters() for each token fragment,
  /// `metadata` one for each row fragment; four sums for each pair of fragments.
  SmallVector<Value> multiply(int64_t step, ValueRange weights, ValueRange metadata, ValueRange tokens,
                              ValueRange sums);
  SmallVector<Value> multiplyReference(int64_t step, ValueRange weights, ValueRange metadata, ValueRange tokens,
                                       ValueRange sums);

  KernelBuilder &b;
  const LayerBuffers &layer;
  TensorCoreLayout layout;
  int64_t rowFragments, tokenFragments;
  Value exchange; ///< of the reference: [warp][lane][register]
  Value lane, warp;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_WARPFRAGMENTS_H
