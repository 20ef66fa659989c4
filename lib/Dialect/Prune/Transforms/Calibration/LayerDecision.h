//===- LayerDecision.h - Masks from statistics of activations -------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H
#define PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H

#include "StageRunner.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Scoring/ColumnUpdates.h"

namespace mlir::prune {

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

/// How criteria with updates proceed.
struct UpdateSettings {
  double damping = 0.01;
  ColumnCounts counts = ColumnCounts::Even;
  bool refits = false;
};

/// Decides weights that read the same input.
LogicalResult decideLayers(ArrayRef<LayerDecision *> members, const InputStatistic &statistic,
                           const UpdateSettings &settings, WorkerPool &pool);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H
