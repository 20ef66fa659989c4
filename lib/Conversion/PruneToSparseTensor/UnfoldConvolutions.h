//===- UnfoldConvolutions.h - Convolutions as products, for GPUs ----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UNFOLDCONVOLUTIONS_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UNFOLDCONVOLUTIONS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Conversion/PruneToSparseTensor/GPUChoice.h"

namespace mlir::prune {

/// Replaces a convolution of constant filters by a product of its pixels' windows and the filters as a matrix. Fails,
/// with a remark, where that cannot be done or does not pay.
LogicalResult unfoldConvolution(RewriterBase &rewriter, linalg::Conv2DNchwFchwOp op);

/// The same for one of groups of channels: masked filters become one weight over all channels where CSR of it is
/// estimated to be faster, or is asked for by `kernel`; others a batch of dense products.
LogicalResult unfoldGroupedConvolution(RewriterBase &rewriter, linalg::Conv2DNgchwGfchwOp op,
                                       std::optional<GPUKernelKind> kernel, const GPUCostModel &model);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UNFOLDCONVOLUTIONS_H
