//===- FineTune.h - Training as functions of a module ---------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_FINETUNE_FINETUNE_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_FINETUNE_FINETUNE_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// Replaces the model in `module` by the functions that train it; see the pass prune-build-training.
LogicalResult buildTraining(ModuleOp module, const PruneBuildTrainingOptions &options);

struct LoadWeightsResult {
  int64_t weights = 0;
  int64_t masks = 0;
};
/// Puts the arrays of a file into the weights and masks of `module`; see the pass prune-load-weights.
FailureOr<LoadWeightsResult> loadWeights(ModuleOp module, const PruneLoadWeightsOptions &options);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_FINETUNE_FINETUNE_H
