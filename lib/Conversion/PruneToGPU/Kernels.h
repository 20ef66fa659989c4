//===- Kernels.h - Kernels by kind of operation ---------------------*- C++ -*-===//
//
// Each function launches kernels before `op`, which does the same on buffers, and leaves it for the caller to erase; or
// emits an error at it.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_KERNELS_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_KERNELS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Analysis/GPUCostModel.h"
#include "prune/Conversion/PruneToGPU/KernelBuilder.h"
#include "prune/Conversion/PruneToSparseTensor/TensorCorePacking.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"

namespace mlir::prune {

/// Who copies the activations of blocks into shared memory: the threads that multiply, or the tensor copy engine of
/// sm_90, whose instructions are written out for OpenCL. Auto: the engine of sm_90.
enum class ActivationCopies { Auto, Threads, Engine };

/// What kernels may do to be faster than plain f32.
struct GPUKernelOptions {
  /// Multiply f32 on tensor cores, rounded to tf32.
  bool useTF32 = false;
  /// Multiply by matrices with cuBLAS.
  bool useCuBLAS = false;
  /// Parts of the columns of layers on tensor cores; 0: by the cost model.
  int64_t columnSplits = 0;
  ActivationCopies copies = ActivationCopies::Auto;
  GPUCostModel model;
};

/// Packed layers, by storage format.
LogicalResult lowerMatrix(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                          const GPUKernelOptions &options);
LogicalResult lowerCSR(RewriterBase &rewriter, LinearOp op, const GPUTarget &target, const GPUKernelOptions &options);
LogicalResult lowerBlockCSR(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                            const GPUKernelOptions &options);
/// Blocks stored as fragments of tensor cores.
LogicalResult lowerBlockFragments(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                  const GPUKernelOptions &options);
/// The library whose form the storage has; empty: none.
StringRef findLibrary(LinearOp op, const GPUKernelOptions &options);
LogicalResult lowerByLibrary(RewriterBase &rewriter, LinearOp op, StringRef library, const GPUTarget &target,
                             const GPUKernelOptions &options);
/// The formats `two_of_four` and `tiles`, by the instructions that their tiles are for.
LogicalResult lowerTiles(RewriterBase &rewriter, LinearOp op, const GPUTarget &target, const GPUKernelOptions &options);
/// Products that read only what is multiplied with nonzeros.
LogicalResult lowerColumns(RewriterBase &rewriter, LinearOp op, const GPUTarget &target);
LogicalResult lowerByWarps(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                           const GPUKernelOptions &options);
/// Few tokens and whole tiles of columns.
LogicalResult lowerByWarpColumns(RewriterBase &rewriter, LinearOp op, const GPUTarget &target);
LogicalResult lowerByWarpGroups(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                const GPUKernelOptions &options);

/// The fills that reductions take along: they start from the fill's value and do not read their result.
using LinalgFills = llvm::DenseMap<Operation *, linalg::FillOp>;

/// True for contractions of two buffers that are large enough for the tiles of lowerProduct.
bool isProduct(linalg::LinalgOp op);
/// Such a contraction, batched or not, in tiles.
LogicalResult lowerProduct(RewriterBase &rewriter, linalg::LinalgOp op, const GPUTarget &target,
                           const LinalgFills &fills);

/// Any linalg operation on buffers: one thread for each point of its parallel loops.
LogicalResult lowerPointwise(RewriterBase &rewriter, linalg::LinalgOp op, const GPUTarget &target,
                             const LinalgFills &fills);

/// The operations at the start of `ops` that work on the same rows around a reduction along them; none if there is no
/// reduction whose rows are long enough for a block each.
SmallVector<linalg::LinalgOp> findRowGroup(ArrayRef<Operation *> ops);
/// Such a group as one kernel, launched before its last operation.
LogicalResult lowerRowGroup(RewriterBase &rewriter, ArrayRef<linalg::LinalgOp> group, const GPUTarget &target,
                            const LinalgFills &fills);

/// The largest elements of rows: a block for each row.
LogicalResult lowerKeepLargest(RewriterBase &rewriter, KeepLargestOp op, const GPUTarget &target);

/// memref.copy between any views of equal shape.
LogicalResult lowerCopy(RewriterBase &rewriter, memref::CopyOp op, const GPUTarget &target);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_KERNELS_H
