//===- SumColumns.h - Products that skip zeros among their activations --*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_SUMCOLUMNS_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_SUMCOLUMNS_H

#include "LayerWeight.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Conversion/PruneToSparseTensor/LayerChoice.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"

namespace mlir::prune {

/// The share of `activations`, whose dimension `columnDim` is summed over by `op`, that is not zero, where code may
/// skip what belongs to the others: behind a gate, or a maximum with zero. Nothing where it may not, with a remark of
/// `category` if somebody could expect it.
std::optional<double> findActivationDensity(linalg::LinalgOp op, Value activations, int64_t columnDim,
                                            const LayerWeight &weight, StringRef category);

/// Replaces `op` by sums over columns of the transposed weight: all of them, or those that lists of nonzeros name,
/// where each call takes the former if there are too many of the latter. `choice` says which.
void sumColumns(RewriterBase &rewriter, linalg::LinalgOp op, Value activations, const LayerWeight &weight,
                const LayerChoice &choice, const PackOptions &options);

/// A value of rank 2 or more as the matrix of its last dimension, and such a matrix as a value of type `type`.
Value collapseToMatrix(ImplicitLocOpBuilder &b, Value value);
Value expandMatrix(ImplicitLocOpBuilder &b, Value matrix, RankedTensorType type);

/// The weight as a constant, with what its mask prunes as zeros; transposed its columns are the rows.
Value makeDense(ImplicitLocOpBuilder &b, const LayerWeight &weight, bool isTransposed);

/// The parts that threads compute of a product of `numTokens` tokens with `weight`.
int64_t getShares(const MaskedMatrix &weight, int64_t numTokens, const PackOptions &options);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_SUMCOLUMNS_H
