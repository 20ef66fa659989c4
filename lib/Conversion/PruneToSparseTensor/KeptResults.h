//===- KeptResults.h - Products whose results are pruned ----------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_KEPTRESULTS_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_KEPTRESULTS_H

#include "LayerWeight.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Conversion/PruneToSparseTensor/LayerChoice.h"

namespace mlir::prune {

/// The mask that decides which results of a product are needed, and the share that it keeps; nothing of both if all
/// are.
struct KeptResults {
  Value mask;
  std::optional<double> density;
};

/// Finds the mask of the gates that all results of `op` end in, with elementwise operations in between at most: what
/// they make of a pruned result is never seen. A remark says why a product before a gate is not such a one.
KeptResults findKeptResults(linalg::LinalgOp op, const LayerWeight &weight, const LayerShape &shape);

/// Replaces `op` by a list of what `mask` keeps and the product of these rows of the weight.
void multiplyRows(RewriterBase &rewriter, linalg::LinalgOp op, Value activations, const LayerWeight &weight, Value mask,
                  const PackOptions &options);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_KEPTRESULTS_H
