//===- UnfoldConvolutions.h - Convolutions as products, for GPUs ----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UNFOLDCONVOLUTIONS_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UNFOLDCONVOLUTIONS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::prune {

/// Replaces a convolution of constant filters by a product of its pixels' windows and the filters as a matrix. Fails,
/// with a remark, where that cannot be done or does not pay.
LogicalResult unfoldConvolution(RewriterBase &rewriter, linalg::Conv2DNchwFchwOp op);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UNFOLDCONVOLUTIONS_H
