//===- Calibration.h - Masks that activations decide ----------------*- C++ -*-===//
//
// The functions behind the passes prune-calibrate-masks and prune-expand-observations; what they do is described in
// CalibrationPasses.td.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_CALIBRATION_CALIBRATION_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_CALIBRATION_CALIBRATION_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

struct CalibrateMasksResult {
  int64_t masks = 0;
  int64_t updated = 0;
  int64_t stages = 0;
  int64_t compiled = 0;
};
/// Decides the masks whose criterion sees activations, and updates weights.
FailureOr<CalibrateMasksResult> calibrateMasks(ModuleOp module, const PruneCalibrateMasksOptions &options);

/// Replaces each prune.observe by loops; returns how many there were.
int64_t expandObservations(ModuleOp module);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_CALIBRATION_CALIBRATION_H
