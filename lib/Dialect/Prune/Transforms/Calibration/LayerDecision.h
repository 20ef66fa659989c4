//===- LayerDecision.h - Masks from statistics of activations -------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H
#define PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H

#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Scoring/ColumnUpdates.h"

namespace mlir::prune {

/// What was observed of the input of one or several weights.
struct InputStatistic {
  Statistic kind = Statistic::Norms;
  int64_t numGroups = 1, numColumns = 0;
  int64_t numRows = 0;
  /// [groups, columns], or [groups, columns, columns] for Gram.
  std::vector<double> sums;
};

/// A weight and what is decided for it.
struct LayerDecision {
  LayerDecision(MaskOp mask, ArrayRef<float> weight)
      : mask(mask), name(getWeightName(mask)), values(weight), bytes(weight.size()) {}

  MaskOp mask;
  std::string name;
  /// Units to prune.
  int64_t numPruned = 0;
  /// The weight; with its mask and its update once they are decided.
  std::vector<float> values;
  std::vector<uint8_t> bytes;
};

/// Counts the units that weights which are ranked together prune: for several by their magnitudes.
void countPrunedTogether(ArrayRef<LayerDecision *> members, WorkerPool &pool);

/// Decides weights that read the same input.
LogicalResult decideLayers(ArrayRef<LayerDecision *> members, const InputStatistic &statistic, double damping,
                           WorkerPool &pool);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H
