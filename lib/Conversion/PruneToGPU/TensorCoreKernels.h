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

/// The element of a token and column, zero beyond the layer's.
Value loadTokenOrZero(KernelBuilder &b, const LayerBuffers &layer, Value token, Value column);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_TENSORCOREKERNELS_H
