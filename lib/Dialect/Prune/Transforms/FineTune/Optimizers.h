//===- Optimizers.h - Masked optimizer steps as structured ops ------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_OPTIMIZERS_H
#define PRUNE_TRANSFORMS_FINETUNE_OPTIMIZERS_H

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// Checks the options of the optimizer; errors name option, rule and value.
LogicalResult checkOptimizer(Location loc, const PruneBuildTrainingOptions &options);

/// The states that the optimizer keeps for each parameter: `m` and `v`, `momentum`, or none.
SmallVector<StringRef> getStateNames(const PruneBuildTrainingOptions &options);

/// What all parameters share in one step: tensors of rank 0.
struct StepScalars {
  Value rate;                              ///< learning rate
  Value firstCorrection, secondCorrection; ///< 1 - beta^(step + 1), for Adam
  Value gradientScale;                     ///< of clip-norm; null without it
  Value gradientNorm;                      ///< before clipping; null without clip-norm
};

/// `step` is a scalar (i64), `rate` a scalar (f64).
StepScalars emitStepScalars(ImplicitLocOpBuilder &b, Value step, Value rate, ValueRange gradients, ValueRange masks,
                            const PruneBuildTrainingOptions &options);

/// The next value of a parameter, then those of its states. `mask` may be null.
SmallVector<Value> emitUpdate(ImplicitLocOpBuilder &b, Value parameter, Value gradient, Value mask, ValueRange states,
                              const StepScalars &scalars, const PruneBuildTrainingOptions &options);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_OPTIMIZERS_H
