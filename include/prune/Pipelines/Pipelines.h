//===- Pipelines.h - The pipelines of the pruning compiler ----------*- C++ -*-===//
#ifndef PRUNE_PIPELINES_PIPELINES_H
#define PRUNE_PIPELINES_PIPELINES_H

#include "mlir/Pass/PassManager.h"
#include "prune/Pipelines/Options.h"

namespace mlir::prune {

/// `prune`: leaves weight, constant mask, prune.apply and prune.record of each pruned weight in the module.
void buildPrunePipeline(OpPassManager &manager, const PruneOptions &options);

/// `prune-structured`: leaves a smaller dense module.
void buildStructuredPipeline(OpPassManager &manager, const StructuredOptions &options);

/// `prune-train`: leaves the functions that train the model.
void buildTrainPipeline(OpPassManager &manager, const TrainOptions &options);

/// `prune-dynamic`: leaves gates before the products with constant weights.
void buildDynamicPipeline(OpPassManager &manager, const DynamicOptions &options);

/// Registers all pipelines of this folder for command lines and textual pipelines.
void registerPipelines();

} // namespace mlir::prune

#endif // PRUNE_PIPELINES_PIPELINES_H
