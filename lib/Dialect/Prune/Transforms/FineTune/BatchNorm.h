//===- BatchNorm.h - Batch norms in the form that trains ------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_BATCHNORM_H
#define PRUNE_TRANSFORMS_FINETUNE_BATCHNORM_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::prune {

/// A batch norm as models have it when they only run: an elementwise op that reads, for each channel, a mean m only as
/// x - m and a variance v only as v + epsilon under a root.
struct BatchNorm {
  linalg::GenericOp op;
  OpOperand *input, *mean, *variance;
  /// The loop over the channels.
  unsigned channel;

  /// How many elements of the input one channel has.
  int64_t getCount() const;
};

/// The batch norms of `function` whose mean and variance are values that `isWeight` accepts, in the order of the
/// function.
SmallVector<BatchNorm> findBatchNorms(func::FuncOp function, function_ref<bool(Value)> isWeight);

/// What one batch says of the channels: mean, and variance with n - 1 in the denominator, as running statistics want
/// it.
struct BatchStatistics {
  Value mean, variance;
};

/// Normalises by the mean and variance (with n in the denominator) of the input at hand in the place of the given ones.
BatchStatistics useBatchStatistics(OpBuilder &builder, const BatchNorm &norm);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_BATCHNORM_H
