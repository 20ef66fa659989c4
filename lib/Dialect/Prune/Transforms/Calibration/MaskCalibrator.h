//===- MaskCalibrator.h - Masks decided in the order of the network -*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_CALIBRATION_MASKCALIBRATOR_H
#define PRUNE_TRANSFORMS_CALIBRATION_MASKCALIBRATOR_H

#include "LayerDecision.h"
#include "StageRunner.h"
#include "prune/Dialect/Prune/Transforms/Calibration/Calibration.h"
#include "llvm/ADT/DenseMap.h"

namespace mlir::prune {

struct GivenMask {
  /// A byte for each element.
  std::vector<uint8_t> bytes;
  /// If it says only how many units of columns go: the unit of each column (UpdateProblem). Empty: the mask stays.
  std::vector<int32_t> unitOfColumn;
};
/// By the prune.mask that stands for them.
using GivenMasks = llvm::DenseMap<Operation *, GivenMask>;

class MaskCalibrator {
public:
  /// Weights under `given` masks get the best values for them.
  MaskCalibrator(ModuleOp module, const PruneCalibrateMasksOptions &options, GivenMasks given = GivenMasks())
      : module(module), options(options), given(std::move(given)), pool(options.threads) {}

  /// Decides all masks that see activations; the module stays as it is.
  FailureOr<CalibrateMasksResult> decide();
  ArrayRef<LayerDecision> getDecisions() const { return decisions; }

  /// Puts what was decided into the module.
  LogicalResult write();

private:
  /// Errors about options are about no place in the module; printing the module with them would bury them.
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }

  LogicalResult readOptions();
  LogicalResult checkMasks();
  LogicalResult checkMask(MaskOp mask);
  LogicalResult prepareDecisions();

  LogicalResult decide(const Stage &stage, StageRunner &runner);

  ModuleOp module;
  const PruneCalibrateMasksOptions &options;
  GivenMasks given;
  WorkerPool pool;
  UpdateSettings settings;

  func::FuncOp entry;
  BlockArgument padding;
  SmallVector<MaskOp> masks;
  SmallVector<ObservedWeight> weights;
  std::vector<LayerDecision> decisions;
};

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_CALIBRATION_MASKCALIBRATOR_H
