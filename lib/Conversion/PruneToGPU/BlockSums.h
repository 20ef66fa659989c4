//===- BlockSums.h - Sums over the threads of a block ----------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKSUMS_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKSUMS_H

#include "prune/Conversion/PruneToGPU/KernelBuilder.h"

namespace mlir::prune {

/// Adds up numbers of i32 that the 256 threads of a block hold, in two steps of 16 through shared memory.
class BlockSums {
public:
  static constexpr int64_t kSide = 16, kThreads = kSide * kSide;

  /// `count`: most numbers of a thread, up to 16.
  BlockSums(KernelBuilder &builder, int64_t count);

  /// The sums of each of `values` over all threads. All threads take part.
  SmallVector<Value> add(ArrayRef<Value> values);
  /// What the threads before this one hold of the first of the last values. The next `add` has to be behind a barrier.
  Value getSumBefore();

private:
  /// The sum of the elements of `buffer` at `indices` and 0 to 15; of those before `end` if it is given.
  Value sumRow(Value buffer, ArrayRef<Value> indices, Value end = Value());

  KernelBuilder &b;
  Value own, groups; ///< of each number: of threads [16, 16, one more against bank conflicts], and of 16 threads each
  Value thread, group, place;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_BLOCKSUMS_H
