//===- FineTune.h - Training as functions of a module ---------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_FINETUNE_FINETUNE_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_FINETUNE_FINETUNE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

struct BuildTrainingResult {
  int64_t parameters = 0;
  int64_t masks = 0;
  /// Masks that change while the model is trained.
  int64_t changingMasks = 0;
};
/// Replaces the model in `module` by the functions that train it; see the pass prune-build-training.
FailureOr<BuildTrainingResult> buildTraining(ModuleOp module, const PruneBuildTrainingOptions &options);

/// What `schedule.getSparsity(step, target)` and `schedule.isUpdate(step)` say, as code: `step` is a scalar (i64), the
/// results are f64 and i1.
Value emitSparsity(ImplicitLocOpBuilder &b, Value step, ScheduleAttr schedule, double target);
Value emitIsUpdate(ImplicitLocOpBuilder &b, Value step, ScheduleAttr schedule);

struct LoadWeightsResult {
  int64_t weights = 0;
  int64_t masks = 0;
};
/// Puts the arrays of a file into the weights and masks of `module`; see the pass prune-load-weights.
FailureOr<LoadWeightsResult> loadWeights(ModuleOp module, const PruneLoadWeightsOptions &options);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_FINETUNE_FINETUNE_H
