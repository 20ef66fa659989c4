//===- CPU.cpp - prune-to-cpu: from a pruned model to code for a processor ----------===//

#include "prune/Pipelines/CPU.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SparseTensor/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "prune/Analysis/CostModel.h"
#include "prune/Conversion/LowerToLLVM/LowerToLLVM.h"
#include "prune/Conversion/Passes.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Support/Target.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
/// What the passes need to know of the target; the plainest one if its name is wrong, which prune-capture-entry
/// reports.
struct TargetFacts {
  explicit TargetFacts(const CPUPipelineOptions &options);

  VectorUnits units;
  std::string costModel; ///< name of the built-in one
};
} // namespace

TargetFacts::TargetFacts(const CPUPipelineOptions &options) {
  auto target = resolveTarget(options.cpu, options.features);
  if (!target) {
    llvm::consumeError(target.takeError());
  } else if (auto described = describeVectorUnits(*target)) {
    units = *described;
  } else {
    llvm::consumeError(described.takeError());
  }
  costModel = CostModel::findBuiltIn(target ? target->cpu : "", units).str();
}

static void addCleanup(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

static void addBufferization(OpPassManager &pm) {
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.functionBoundaryTypeConversion = bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
}

void mlir::prune::buildCPUPipeline(OpPassManager &pm, const CPUPipelineOptions &options) {
  TargetFacts target(options);
  const VectorUnits &units = target.units;
  int64_t lanes = units.bits / 32, vectors = 4;

  pm.addPass(createPruneNormalize());
  PruneCaptureEntryOptions capture;
  capture.function = options.entry;
  capture.cpu = options.cpu;
  capture.features = options.features;
  capture.threads = options.threads;
  pm.addPass(createPruneCaptureEntry(capture));
  pm.addPass(createInlinerPass());
  pm.addPass(createSymbolDCEPass()); // other functions of the module

  // Tensors: storage, then one layout for the whole graph, then fusion along it.
  PrunePackOptions pack;
  pack.kernel = options.kernel;
  pack.panel = lanes * vectors;
  pack.lanes = lanes;
  pack.registers = units.registers;
  pack.chunk = options.chunk;
  pack.vectors = options.vectors;
  pack.vnni = units.hasVNNI;
  pack.wordColumns = options.wordColumns;
  pack.denseRows = options.denseRows;
  pack.threads = options.threads;
  pack.costModel = options.costModel.getValue().empty() ? target.costModel : options.costModel.getValue();
  pack.measure = options.measure;
  pack.measureLimit = options.measureLimit;
  pack.report = options.report;
  pm.addPass(createPruneVerifyMasks());
  pm.addPass(createPrunePack(pack));
  pm.addPass(createPruneSkipUnits());                 // of gates; those of layers are skipped by their products
  pm.addPass(createPruneFoldMasks());                 // layers that were declined
  pm.addPass(createPruneLowerCompressed());           // and those held as their kept elements
  pm.addPass(createPruneLowerDynamic());              // and gates, all of them
  pm.addPass(createConvertElementwiseToLinalgPass()); // arith on tensors, as people write it by hand
  pm.addPass(createPrunePropagateLayouts());
  addCleanup(pm);
  pm.addPass(createPruneFuseElementwise());
  addCleanup(pm);
  pm.addPass(createPruneFuseEpilogues());
  addCleanup(pm);
  pm.addPass(createPruneTileBatch());
  pm.addPass(createPruneTileChains());
  PruneTileStripsOptions strips;
  strips.threads = options.threads;
  if (options.threads > 1) // a strip stays with one core, where layers would pass it on to the other
    strips.cacheBytes = 192 << 10;
  pm.addPass(createPruneTileStrips(strips));
  pm.addPass(createPruneExpandStorage());
  pm.addPass(createConvertTensorToLinalgPass()); // tensor.pad

  // Buffers.
  pm.addPass(createPruneUnshareFills());
  bool usesSparsifier = options.kernel == "sparsifier";
  if (usesSparsifier) {
    pm.addNestedPass<func::FuncOp>(createLinalgGeneralizeNamedOpsPass());
    pm.addPass(createSparsificationAndBufferizationPass(
        getBufferizationOptionsForSparsification(/*analysisOnly=*/false), SparsificationOptions(),
        /*createSparseDeallocs=*/false, /*enableRuntimeLibrary=*/false, /*enableBufferInitialization=*/false,
        /*vectorLength=*/0, /*enableVLAVectorization=*/false, /*enableSIMDIndex32=*/false, /*enableGPULibgen=*/false,
        SparseEmitStrategy::kFunctional, SparseParallelizationStrategy::kNone));
    addCleanup(pm);
  } else {
    addBufferization(pm);
  }
  bufferization::BufferResultsToOutParamsPassOptions outParams;
  outParams.hoistStaticAllocs = true;
  outParams.modifyPublicFunctions = true;
  pm.addPass(bufferization::createBufferResultsToOutParamsPass(outParams));
  if (usesSparsifier)
    pm.addPass(createStorageSpecifierToLLVMPass());
  pm.addNestedPass<func::FuncOp>(createPruneForallToLoops({options.threads}));
  addCleanup(pm);
  pm.addPass(createPruneConstantsToBlob());

  // Loops.
  ConvertPruneToVectorOptions linear;
  linear.lanes = lanes;
  linear.vectors = vectors;
  linear.registers = units.registers;
  linear.parallel = options.threads > 1;
  linear.vnni = units.hasVNNI;
  pm.addPass(createConvertPruneToVector(linear));
  pm.addPass(createConvertPruneToLoops());
  pm.addPass(createPruneFuseReductions());
  // Equal kernels compile once, and no function grows beyond what LLVM compiles in time.
  pm.addPass(createPruneOutlineKernels());
  ConvertLinalgToVectorLoopsOptions loops;
  loops.vectorBits = units.bits;
  loops.fuseMultiplyAdd = units.hasFMA;
  loops.threads = options.threads;
  pm.addPass(createConvertLinalgToVectorLoops(loops));
  addCleanup(pm);
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createPrunePlanMemory());
  pm.addPass(createPruneFinalizeEntry());

  LowerToLLVMOptions lower;
  lower.threads = options.threads;
  lower.fuseMultiplyAdd = units.hasFMA;
  buildLowerToLLVMPipeline(pm, lower);
}

void mlir::prune::registerCPUPipeline() {
  PassPipelineRegistration<CPUPipelineOptions>(
      "prune-to-cpu", "Compile a model on tensors, pruned or not, for a processor", buildCPUPipeline);
}
