//===- PruneToVector.h - Loops of packed layers ---------------------*- C++ -*-===//
#ifndef PRUNE_CONVERSION_PRUNETOVECTOR_PRUNETOVECTOR_H
#define PRUNE_CONVERSION_PRUNETOVECTOR_PRUNETOVECTOR_H

#include "prune/Dialect/Prune/IR/PruneDynamic.h"

namespace mlir {
class RewriterBase;
namespace prune {

/// Shape of the register tile.
struct LinearKernelOptions {
  int64_t lanes = 8;      ///< elements of one vector register
  int64_t vectors = 4;    ///< most vectors along the lane dimension that a row accumulates at once
  int64_t registers = 16; ///< vector registers of the target; more accumulators than three quarters of them spill
  bool parallel = false;  ///< emit `scf.parallel` over leading dimensions and lane tiles
  bool vnni = false;      ///< the target has vpdpbusd for the registers in use
};

/// Replaces a `prune.linear` on memrefs with identity layouts by loops of `scf` and `vector`, with accumulators in
/// registers.
LogicalResult lowerLinear(RewriterBase &rewriter, LinearOp op, const LinearKernelOptions &options);

/// The same for a depthwise convolution: blocks of rows of the result, one vector wide, share what they read.
LogicalResult lowerDepthwise(RewriterBase &rewriter, DepthwiseOp op, const LinearKernelOptions &options);

/// The same for the gradient of a weight's kept elements: a row of the gradient stays in registers while the columns of
/// its kept elements stream past, and four sums at a time are folded and added to the result.
LogicalResult lowerWeightGradient(RewriterBase &rewriter, WeightGradientOp op, const LinearKernelOptions &options);

/// A loop over the elements of each token that appends those which are not zero.
LogicalResult lowerListNonzeros(RewriterBase &rewriter, ListNonzerosOp op);

/// Loops that add eight listed rows of the transposed weight at a time to the result, whole rows or shares of them.
LogicalResult lowerSumColumns(RewriterBase &rewriter, SumColumnsOp op, const LinearKernelOptions &options);

/// The same for all rows, in order: streaming past up to three tokens, or with the sums of a few tokens in registers.
LogicalResult lowerSumAllColumns(RewriterBase &rewriter, SumAllColumnsOp op, const LinearKernelOptions &options);

/// Loops that multiply eight listed rows of the weight at a time with the activations of a token.
LogicalResult lowerMultiplyRows(RewriterBase &rewriter, MultiplyRowsOp op, const LinearKernelOptions &options);

} // namespace prune
} // namespace mlir

#endif // PRUNE_CONVERSION_PRUNETOVECTOR_PRUNETOVECTOR_H
