//===- TransposedConvolutions.h - Transposed convolutions as products ----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_TRANSPOSEDCONVOLUTIONS_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_TRANSPOSEDCONVOLUTIONS_H

#include "LayerWeight.h"

namespace mlir::prune {

/// The image whose pixels `op` finds between zeros, if each element of the result meets exactly one of them: a
/// transposed convolution whose strides are the size of its kernel. Null for others.
Value findSpreadImage(linalg::Conv2DNchwFchwOp op);

/// Replaces such a convolution by one product for all elements of the kernel, whose results interleave. Fails where the
/// image has too few pixels for lanes, or where other code is faster.
LogicalResult packTransposedConvolution(RewriterBase &rewriter, linalg::Conv2DNchwFchwOp op, Value image,
                                        LayerWeight &&weight, const PackOptions &options);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_TRANSPOSEDCONVOLUTIONS_H
