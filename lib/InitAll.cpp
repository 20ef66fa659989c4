//===- InitAll.cpp - Registration of everything in prune ----------------------===//

#include "prune/InitAll.h"
#include "prune/Conversion/LowerToLLVM/LowerToLLVM.h"
#include "prune/Conversion/Passes.h"
#include "prune/Dialect/Prune/IR/BufferizableOpInterfaceImpl.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Interfaces/DimCoupling.h"
#include "prune/Interfaces/Gradient.h"
#include "prune/Pipelines/LayerTiming.h"
#include "prune/Pipelines/ModelExecution.h"
#include "prune/Pipelines/Pipelines.h"

void mlir::prune::registerAllDialects(DialectRegistry &registry) {
  registry.insert<PruneDialect>();
  registerBufferizableOpInterfaceExternalModels(registry);
  registerLayerMeasurement(registry);
  registerModelExecution(registry);
  registerDimCouplingExternalModels(registry);
  registerGradientExternalModels(registry);
}

void mlir::prune::registerAllPasses() {
  registerPrunePasses();
  registerPruneDynamicPasses();
  registerPruneConversionPasses();
  registerConversionPipelines();
  registerPipelines();
}
