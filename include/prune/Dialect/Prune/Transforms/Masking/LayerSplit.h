//===- LayerSplit.h - How weights share one sparsity ---------------*- C++ -*-===//
//
// Two ways to say how much each weight of several keeps, so that all together meet one target: by their shapes (ERK),
// or by a common ranking of scores that are made comparable (l2, LAMP). All sums are f64 in a fixed order.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_LAYERSPLIT_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_LAYERSPLIT_H

#include "prune/Dialect/Prune/IR/Prune.h"
#include <optional>
#include <vector>

namespace mlir::prune {

/// A weight that takes part in a split by shapes.
struct SplitLayer {
  ArrayRef<int64_t> shape;
  int64_t numUnits;
  /// Units that its pattern prunes by itself.
  int64_t numImposed;
};

/// Erdos-Renyi-Kernel (RigL): the density of each weight is proportional to sum(shape) / product(shape), scaled so that
/// all keep together as many elements as if each had `sparsity`. While a density exceeds what the pattern allows (1
/// without one), the largest excess is cut to that and the rest scaled again. Returns the sparsity of each weight; none
/// if the patterns allow less than the target keeps.
std::optional<SmallVector<double>> splitByERK(ArrayRef<SplitLayer> layers, double sparsity);

/// The units of one weight in a split by ranks.
struct SplitRanking {
  /// Scores of the units that may be kept, 0 or more; sorted by `normalizeScores`, largest first.
  std::vector<float> candidates;
  /// What each of them is worth compared with units of other weights; never increases.
  std::vector<double> normalized;
  int64_t minKeep = 0;
};

/// Sorts the candidates and normalises them. `rest` are the scores of the other units, which count in the sums.
/// Infinities count as the largest float; a weight of zeros only is worth 0 everywhere.
void normalizeScores(SplitRanking &ranking, ArrayRef<float> rest, Normalization normalization);

/// How many units each weight keeps if `keep` are kept together: the best, at least `minKeep` (or all) of each; of
/// equal ones those of the earlier weight.
SmallVector<int64_t> splitByRank(ArrayRef<SplitRanking> rankings, int64_t keep);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_LAYERSPLIT_H
