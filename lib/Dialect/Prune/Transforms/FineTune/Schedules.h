//===- Schedules.h - The learning rate as a function of the step -*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_SCHEDULES_H
#define PRUNE_TRANSFORMS_FINETUNE_SCHEDULES_H

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// Checks the options of the learning rate; errors name option, rule and value.
LogicalResult checkSchedules(Location loc, const PruneBuildTrainingOptions &options);

/// The learning rate (f64) at `step` (i64).
Value emitLearningRate(ImplicitLocOpBuilder &b, Value step, const PruneBuildTrainingOptions &options);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_SCHEDULES_H
