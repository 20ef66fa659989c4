//===- TensorCoreKernels.h - What kernels of tensor cores share -----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_TENSORCOREKERNELS_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_TENSORCOREKERNELS_H

#include "Kernels.h"
#include "LayerBuffers.h"

namespace mlir::prune {

/// Emits an error unless input and result are in row-major order.
LogicalResult verifyRowMajor(LinearOp layer, const GPUTarget &target);

/// How the tiles of a layer lie.
TensorCoreLayout getTensorCoreLayout(LinearOp op, bool isWarpGroup);

/// What tokens and weights are in memory, and sums in registers.
Type getElementType(Builder &b, const TensorCoreLayout &layout);
Type getSumType(Builder &b, const TensorCoreLayout &layout);
/// The types of two factors, as instructions spell them: "f16".
StringRef getFactorName(const TensorCoreLayout &layout);
/// The type of sums likewise.
StringRef getSumName(const TensorCoreLayout &layout);

/// sum + weight * token as the instructions have it, of elements in memory.
Value multiplyAddElements(KernelBuilder &b, Value weight, Value token, Value sum);

/// The columns of a layer in parts, of which each is the work of other blocks of threads. With more than one, a kernel
/// stores the sums of its part, and another one adds them up and finishes the results.
class ColumnParts {
public:
  /// Chooses how many, for a kernel of `blocks` blocks of threads, `together` on a processor, that go through
  /// `columnTiles` tiles and take `tileNs` for each.
  ColumnParts(const LayerBuffers &layer, int64_t columnTiles, int64_t blocks, int64_t together, double tileNs,
              const GPUKernelOptions &options);

  int64_t getCount() const { return count; }
  bool isSplit() const { return count > 1; }
  /// The tiles of columns of a part.
  Value getFirstTile(KernelBuilder &b, Value part) const { return b.mul(part, tilesOfPart); }
  Value getEndTile(KernelBuilder &b, Value part) const;
  /// What the kernel gets: the layer's buffers, or storage, input and sums [part, token, row], which are allocated
  /// here.
  SmallVector<Value> getBuffers(RewriterBase &rewriter, const LayerBuffers &layer, Type sumType);
  /// Stores the result, or the sum of the part.
  void store(KernelBuilder &b, const LayerBuffers &layer, Value sum, Value part, Value token, Value row) const;
  /// Launches what is left to do after the kernel.
  LogicalResult finish(RewriterBase &rewriter, const LayerBuffers &layer, const GPUTarget &target) const;

private:
  int64_t columnTiles, tilesOfPart, count;
  Value sums; ///< of the host side, if split
};

/// The element of a token and column, zero beyond the layer's.
Value loadTokenOrZero(KernelBuilder &b, const LayerBuffers &layer, Value token, Value column);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_TENSORCOREKERNELS_H
