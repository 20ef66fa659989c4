//===- Prune.cpp - The pipeline that decides masks ----------------------------===//

#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Pipelines/CPU.h"
#include "prune/Pipelines/Pipelines.h"

using namespace mlir;
using namespace mlir::prune;

void mlir::prune::buildPrunePipeline(OpPassManager &manager, const PruneOptions &options) {
  // Patterns are defined on weights of outputs by inputs; this brings them there.
  manager.addPass(createPruneNormalize());

  PruneCreateMasksOptions create;
  create.criterion = options.criterion;
  create.pattern = options.pattern;
  create.sparsity = options.sparsity;
  create.threshold = options.threshold;
  create.minKeep = options.minKeep;
  create.scope = options.scope;
  create.include = options.include;
  create.exclude = options.exclude;
  create.recipe = options.recipe;
  manager.addPass(createPruneCreateMasks(create));

  PruneEvaluateMasksOptions evaluate;
  evaluate.threads = options.threads;
  manager.addPass(createPruneEvaluateMasks(evaluate));

  // Masks were decided a moment ago: this checks the records themselves, on which later checks stand.
  manager.addPass(createPruneVerifyMasks());
}

void mlir::prune::registerPipelines() {
  PassPipelineRegistration<PruneOptions>(
      "prune", "Mask the weights of prunable layers: normalize, create masks, evaluate, verify", buildPrunePipeline);
  registerCPUPipeline();
}
