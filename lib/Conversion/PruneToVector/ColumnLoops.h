//===- ColumnLoops.h - Loops of kernels for few tokens -----------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOVECTOR_COLUMNLOOPS_H
#define PRUNE_LIB_CONVERSION_PRUNETOVECTOR_COLUMNLOOPS_H

#include "KernelBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Conversion/PruneToVector/PruneToVector.h"

namespace mlir::prune {

/// Elements of a line of the cache.
inline constexpr int64_t kFloatsPerLine = 64 / 4;

struct ColumnLoops : VectorKernelBuilder {
  ColumnLoops(Location loc, OpBuilder &builder, const LinearKernelOptions &options)
      : VectorKernelBuilder(loc, builder), options(options), f32(builder.getF32Type()) {}

  void loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body);
  void loop(int64_t end, function_ref<void(Value)> body) { loop(index(0), index(end), 1, body); }
  /// Runs `body` for `vectors` registers of columns from `begin` to `end` at a time, then for single ones, and for
  /// single columns where none fits.
  void overColumns(Value begin, Value end, int64_t vectors,
                   function_ref<void(Value column, int64_t vectors, int64_t width)> body);
  /// Runs `body` for all of 0 to `end`, or in parallel for `shares` parts that are multiples of `unit`.
  void overShares(Value end, int64_t shares, int64_t unit, function_ref<void(Value begin, Value end)> body);
  /// The length of the longest list.
  Value findLongest(Value counts);
  /// Tokens take turns in their lists, from entry `begin` to `end`, `step` at a time: what several of them read is still
  /// in a cache.
  void takeTurns(Value counts, Value begin, Value end, int64_t step, function_ref<void(Value token, Value entry)> body);
  /// Stores zeros in columns `begin` to `end` of all rows of `matrix`.
  void fillZero(Value matrix, Value begin, Value end);
  Value broadcast(Value scalar, VectorType type);
  Value fma(Value x, Value y, Value sum);

  LinearKernelOptions options;
  Type f32;
};

/// Fails unless all operands are buffers of static shape with contiguous rows.
LogicalResult checkBuffers(Operation *op);

/// Replaces `op` by what its emitter writes.
template <typename Emitter, typename Op, typename... Options>
LogicalResult lowerBy(RewriterBase &rewriter, Op op, const Options &...options) {
  if (failed(checkBuffers(op)))
    return failure();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  Emitter(rewriter, op, options...).run();
  rewriter.eraseOp(op);
  return success();
}

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOVECTOR_COLUMNLOOPS_H
