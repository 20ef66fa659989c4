//===- LayerDecision.h - Masks from statistics of activations -------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H
#define PRUNE_TRANSFORMS_CALIBRATION_LAYERDECISION_H

#include "StageRunner.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Scoring/ColumnUpdates.h"

namespace mlir::prune {

/// A weight and what is decided for it. What its turn has not come for takes no memory.
struct LayerDecision {
  explicit LayerDecision(MaskOp mask) : mask(mask), name(getWeightName(mask)) {}

  MaskOp mask;
  std::string name;
  /// Units to prune.
  int64_t numPruned = 0;
  /// While it is decided the weight, then with its mask and its update. Empty afterwards if nothing is updated.
  std::vector<float> values;
  /// The mask, once it is decided.
  std::vector<uint8_t> bytes;
  /// `bytes` is decided already.
  bool isGiven = false;
  /// If it only says how many units of columns go: the unit of each column.
  std::vector<int32_t> unitOfColumn;
};

/// Counts the units that weights which are ranked together prune: for several by their magnitudes, which are there.
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
