//===- BlockFragments.h - What kernels of blocks on tensor cores share -*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKFRAGMENTS_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKFRAGMENTS_H

#include "InlinePTX.h"
#include "Kernels.h"
#include "LayerBuffers.h"
#include "prune/Conversion/PruneToSparseTensor/GPUPacking.h"

namespace mlir::prune {

/// Sums of a lane for 16 rows and eight tokens.
inline constexpr int64_t kFragmentSums = 4;

/// The four registers of a lane of fragment number `block`.
SmallVector<Value> loadFragment(KernelBuilder &b, Value values, Value block, Value lane);

/// sums[4] += fragment x the two registers of activations of eight tokens.
SmallVector<Value> multiplyFragment(KernelBuilder &b, Type element, ValueRange weights, ValueRange tokens,
                                    ValueRange sums);

/// The same with the meaning of the instruction written out; `load` gives the activation of one of the eight tokens and
/// of a column of the block, `order` is that of the storage.
SmallVector<Value> multiplyFragmentReference(KernelBuilder &b, FragmentOrder order, Value values, Value block,
                                             Value lane, ValueRange sums,
                                             function_ref<Value(Value token, Value column)> load);

/// The row of the block that sum 0 or 2 of a lane is of; sum 1 or 3 is of the next token.
Value getFragmentRow(KernelBuilder &b, Value lane, int64_t sum);
/// The token of sum 0 and 2 of a lane, of the eight.
inline Value getFragmentToken(KernelBuilder &b, Value lane) { return b.mul(b.rem(lane, 4), 2); }

/// Where the sums of a warp go: to the row of blocks that the warp stores, with those of the `numSlots - 1` slots
/// behind it; with 0 to the slot before, and nothing is left for its own row.
struct FragmentSlot {
  FragmentSlot(KernelBuilder &b, Value rows, Value slot);
  Value rowOfBlocks, numSlots;
};
/// What each warp stores: sums are added in the order of their slots. `shared`: [warps][sums at a time][lanes]. All
/// threads of the block take part.
SmallVector<Value> addSlots(KernelBuilder &b, Value shared, Value warp, Value lane, const FragmentSlot &slot,
                            ValueRange sums);

/// Few tokens: the warps of a block of threads share a row of blocks.
LogicalResult lowerBlockRows(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                             const GPUKernelOptions &options);

/// True if the tensor copy engine can bring the activations, and warps read them as it leaves them.
bool suitsBlockRing(LinearOp op);
/// Many tokens: a warp for each row of blocks, activations from a ring of chunks that the tensor copy engine fills.
LogicalResult lowerBlockRing(RewriterBase &rewriter, LinearOp op, const GPUTarget &target);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKFRAGMENTS_H
