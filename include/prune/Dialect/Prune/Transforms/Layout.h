//===- Layout.h - One activation layout for the whole graph ---------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_LAYOUT_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_LAYOUT_H

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace mlir::prune {

/// `value` with `shape`, by tensor.collapse_shape and tensor.expand_shape. The two shapes without their unit dimensions
/// must be equal or a merge or split of one another.
Value reshapeTensor(OpBuilder &b, Value value, ArrayRef<int64_t> shape);

/// Moves elementwise consumers of packed layers (bias, activation, residual) into their epilogues. Returns how many.
int64_t fuseEpilogues(Operation *root);

/// Counts of what `propagateLayouts` did, for statistics.
struct LayoutStatistics {
  int64_t numRewritten = 0;    ///< ops that now compute in the layout of their operands
  int64_t numMaterialized = 0; ///< copies that remain
};

/// Pushes transposes and reshapes of tensors through the ops that use them: an op computes on its operands as they lie
/// in memory, and its result lies likewise, until something needs the row-major order.
LogicalResult propagateLayouts(FunctionOpInterface function, LayoutStatistics &statistics);

/// Runs what a batch passes through sample by sample, where its largest intermediate has more than `cacheBytes` bytes,
/// in loops that read at most `weightBytes` bytes of weights. Returns how many loops over a batch it made.
int64_t tileBatch(FunctionOpInterface function, int64_t cacheBytes, int64_t weightBytes);

/// Most bytes of slices that one iteration of a chain may hold: they lie on a thread's stack.
constexpr int64_t kMaxChainBytes = 2 << 20;

/// Turns chains of linalg ops and packed layers with common outer parallel dimensions into loops over these whose
/// bodies work on slices, where the largest intermediate has more than `sliceBytes` bytes. Looks into loops that are
/// there already (over a batch). Returns how many chains.
int64_t tileChains(FunctionOpInterface function, int64_t sliceBytes);

/// Turns 1x1 layers around depthwise convolutions into loops over strips of rows, where the image that a convolution
/// reads has more than `cacheBytes` bytes. A strip holds at most `stripBytes`, if a row of the result needs no more.
/// Returns how many loops.
int64_t tileStrips(FunctionOpInterface function, int64_t cacheBytes, int64_t stripBytes, int64_t threads);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_LAYOUT_H
