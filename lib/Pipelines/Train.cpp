//===- Train.cpp - The pipeline that makes a model trainable ------------------===//

#include "mlir/Transforms/Passes.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Pipelines/Pipelines.h"

using namespace mlir;
using namespace mlir::prune;

void mlir::prune::buildTrainPipeline(OpPassManager &manager, const TrainOptions &options) {
  PruneNormalizeOptions normalize;
  normalize.foldBatchNorm = false; // a batch norm trains as such
  manager.addPass(createPruneNormalize(normalize));

  PruneBuildTrainingOptions build;
  build.entry = options.entry;
  build.loss = options.loss;
  build.labelSmoothing = options.labelSmoothing;
  build.optimizer = options.optimizer;
  build.lr = options.lr;
  build.momentum = options.momentum;
  build.nesterov = options.nesterov;
  build.weightDecay = options.weightDecay;
  build.beta1 = options.beta1;
  build.beta2 = options.beta2;
  build.epsilon = options.epsilon;
  build.clipNorm = options.clipNorm;
  build.clipValue = options.clipValue;
  build.lrSchedule = options.lrSchedule;
  build.lrMin = options.lrMin;
  build.lrGamma = options.lrGamma;
  build.lrPeriod = options.lrPeriod;
  build.lrMilestones = llvm::to_vector(options.lrMilestones);
  build.warmup = options.warmup;
  build.steps = options.steps;
  build.rewindEvery = options.rewindEvery;
  build.freeze = options.freeze;
  build.batchNorm = options.batchNorm;
  build.batchNormMomentum = options.batchNormMomentum;
  build.teacher = options.teacher;
  build.hardness = options.hardness;
  build.temperature = options.temperature;
  build.distill = llvm::to_vector(options.distill);
  build.rowWeights = options.rowWeights;
  build.schedule = options.schedule;
  build.update = options.update;
  build.regrow = options.regrow;
  build.sparse = options.sparse;
  manager.addPass(createPruneBuildTraining(build));
  PruneExpandGradientsOptions expand;
  expand.recompute = options.recompute;
  manager.addPass(createPruneExpandGradients(expand));
  manager.addPass(createSymbolDCEPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}
