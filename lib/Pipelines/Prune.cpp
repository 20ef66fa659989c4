//===- Prune.cpp - The pipeline that decides masks ----------------------------===//

#include "mlir/Transforms/Passes.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Pipelines/CPU.h"
#include "prune/Pipelines/GPU.h"
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
  create.layerSplit = options.layerSplit;
  create.include = options.include;
  create.exclude = options.exclude;
  create.recipe = options.recipe;
  manager.addPass(createPruneCreateMasks(create));

  PruneEvaluateMasksOptions evaluate;
  evaluate.gradients = options.gradients;
  evaluate.refit = options.refit;
  evaluate.threads = options.threads;
  manager.addPass(createPruneEvaluateMasks(evaluate));

  PruneCalibrateMasksOptions calibrate;
  calibrate.data = options.data;
  calibrate.entry = options.entry;
  calibrate.padding = options.padding;
  calibrate.damping = options.damping;
  calibrate.columnCounts = options.columnCounts;
  calibrate.refit = options.refit;
  calibrate.threads = options.threads;
  manager.addPass(createPruneCalibrateMasks(calibrate));

  // Masks were decided a moment ago: this checks the records themselves, on which later checks stand.
  manager.addPass(createPruneVerifyMasks());
}

void mlir::prune::buildStructuredPipeline(OpPassManager &manager, const StructuredOptions &options) {
  // Weights as outputs by inputs, batch norms folded, one constant for each weight. What batch norms shall judge is
  // folded behind.
  bool judgesScales = options.criterion == "bn-scale";
  PruneNormalizeOptions normalize;
  normalize.foldBatchNorm = !judgesScales;
  manager.addPass(createPruneNormalize(normalize));

  PruneSelectGroupsOptions select;
  select.ratio = options.ratio;
  select.target = options.target;
  select.criterion = options.criterion;
  select.gradients = options.gradients;
  select.aggregate = options.aggregate;
  select.normalize = options.normalize;
  select.scope = options.scope;
  select.roundTo = options.roundTo;
  select.maxRatio = options.maxRatio;
  select.ratios = llvm::to_vector(options.ratios);
  select.include = options.include;
  select.exclude = options.exclude;
  select.groups = llvm::to_vector(options.groups);
  select.kinds = llvm::to_vector(options.kinds);
  select.statistics = options.statistics;
  select.threads = options.threads;
  manager.addPass(createPruneSelectGroups(select));
  if (!options.data.empty() || options.units != "keep") {
    PruneCompensateGroupsOptions compensate;
    compensate.data = options.data;
    compensate.units = options.units;
    compensate.entry = options.entry;
    compensate.padding = options.padding;
    compensate.damping = options.damping;
    compensate.threads = options.threads;
    manager.addPass(createPruneCompensateGroups(compensate));
  }
  if (!options.shrink)
    return;

  PruneShrinkOptions shrink;
  shrink.checkEquivalence = options.checkEquivalence;
  shrink.report = options.report;
  manager.addPass(createPruneShrink(shrink));
  // Tensors that hold one number were copied for each of their users.
  manager.addPass(createCSEPass());
  if (judgesScales)
    manager.addPass(createPruneNormalize());
}

void mlir::prune::buildDynamicPipeline(OpPassManager &manager, const DynamicOptions &options) {
  manager.addPass(createPruneNormalize());

  PruneInsertGatesOptions insert;
  insert.kind = options.kind;
  insert.sparsity = options.sparsity;
  insert.threshold = options.threshold;
  insert.keep = options.keep;
  insert.include = options.include;
  insert.exclude = options.exclude;
  insert.scores = options.scores;
  manager.addPass(createPruneInsertGates(insert));

  PruneCalibrateGatesOptions calibrate;
  calibrate.data = options.calibration;
  calibrate.entry = options.entry;
  calibrate.padding = options.padding;
  calibrate.allocation = options.allocation;
  calibrate.searchExamples = options.searchExamples;
  calibrate.threads = options.threads;
  manager.addPass(createPruneCalibrateGates(calibrate));
}

void mlir::prune::registerPipelines() {
  PassPipelineRegistration<PruneOptions>(
      "prune", "Mask the weights of prunable layers: normalize, create masks, evaluate, calibrate, verify",
      buildPrunePipeline);
  PassPipelineRegistration<StructuredOptions>(
      "prune-structured", "Remove whole channels, neurons and heads: normalize, select groups, mask, shrink all shapes",
      buildStructuredPipeline);
  PassPipelineRegistration<TrainOptions>("prune-train",
                                         "Replace a model by the functions that train it, masks held: normalize, build",
                                         buildTrainPipeline);
  PassPipelineRegistration<DynamicOptions>(
      "prune-dynamic", "Mask activations while the model runs: normalize, insert gates, calibrate their thresholds",
      buildDynamicPipeline);
  registerCPUPipeline();
  registerGPUPipeline();
}
