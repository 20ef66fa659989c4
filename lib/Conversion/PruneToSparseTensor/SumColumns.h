//===- SumColumns.h - Products that skip zeros among their activations --*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_SUMCOLUMNS_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_SUMCOLUMNS_H

#include "LayerWeight.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::prune {

/// The share of `activations`, whose dimension `columnDim` is summed over by `op`, that is not zero, where code may
/// skip what belongs to the others: behind a gate, or a maximum with zero. Nothing where it may not, with a remark of
/// `category` if somebody could expect it.
std::optional<double> findActivationDensity(linalg::LinalgOp op, Value activations, int64_t columnDim,
                                            const LayerWeight &weight, StringRef category);

/// Replaces `op` by lists of nonzeros and sums over what they name of the transposed weight.
void sumColumns(RewriterBase &rewriter, linalg::LinalgOp op, Value activations, const LayerWeight &weight,
                const PackOptions &options);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_SUMCOLUMNS_H
