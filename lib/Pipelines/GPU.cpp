//===- GPU.cpp - prune-to-gpu: from a pruned model to code for a graphics processor -===//

#include "prune/Pipelines/GPU.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToSCF/VectorToSCF.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "prune/Conversion/Passes.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::prune;

static void addCleanup(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

/// From kernels on memrefs to the LLVM dialect.
static void addKernelLowering(OpPassManager &pm, StringRef chip) {
  pm.addPass(createPruneExpandKernelMath());
  // Transfers and vectors of higher rank.
  VectorTransferToSCFOptions vectorToSCF;
  vectorToSCF.enableFullUnroll();
  pm.addPass(createConvertVectorToSCFPass(vectorToSCF));
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  addCleanup(pm);
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createSCFToControlFlowPass());
  PruneLowerKernelsOptions lower;
  lower.chip = chip.str();
  pm.addPass(createPruneLowerKernels(lower));
  addCleanup(pm);
}

void mlir::prune::buildGPUPipeline(OpPassManager &pm, const GPUPipelineOptions &options) {
  pm.addPass(createPruneNormalize());
  PruneCaptureEntryOptions capture;
  capture.function = options.entry;
  // The processor only calls the driver: any of its kind will do.
  capture.cpu = "";
  capture.gpu = options.chip;
  pm.addPass(createPruneCaptureEntry(capture));
  pm.addPass(createInlinerPass());
  pm.addPass(createSymbolDCEPass()); // other functions of the module

  // Tensors: storage, then fusion.
  pm.addPass(createPruneVerifyMasks());
  PrunePackGPUOptions pack;
  pack.chip = options.chip;
  pack.precision = options.precision;
  pack.kernel = options.kernel;
  pack.tiles = options.tiles;
  pack.libraries.assign(options.libraries.begin(), options.libraries.end());
  pack.costModel = options.costModel;
  pack.report = options.report;
  pm.addPass(createPrunePackGPU(pack));
  pm.addPass(createPruneFoldMasks());                             // layers that were declined
  pm.addPass(createPruneLowerCompressed());                       // and those held as their kept elements
  pm.addPass(createPruneLowerDynamic({/*useKeepLargest=*/true})); // and gates, all of them
  pm.addPass(createConvertElementwiseToLinalgPass());             // arith on tensors, as people write it by hand
  addCleanup(pm);
  pm.addPass(createPruneFuseElementwise());
  addCleanup(pm);
  pm.addPass(createPruneFuseEpilogues());
  addCleanup(pm);
  pm.addPass(createConvertTensorToLinalgPass()); // tensor.pad

  // Buffers.
  pm.addPass(createPruneUnshareFills());
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.functionBoundaryTypeConversion = bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  bufferization::BufferResultsToOutParamsPassOptions outParams;
  outParams.hoistStaticAllocs = true;
  outParams.modifyPublicFunctions = true;
  pm.addPass(bufferization::createBufferResultsToOutParamsPass(outParams));
  addCleanup(pm);
  PruneConstantsToBlobOptions blob;
  blob.inlineElements = 0; // the device reads none of the host's constants
  pm.addPass(createPruneConstantsToBlob(blob));

  // Kernels.
  ConvertPruneToGPUOptions kernels;
  kernels.chip = options.chip;
  kernels.useTF32 = options.precision == "tf32";
  kernels.useCuBLAS = llvm::is_contained(options.libraries, "cublas");
  kernels.columnSplits = options.columnSplits;
  kernels.copies = options.copies;
  pm.addPass(createConvertPruneToGPU(kernels));
  addCleanup(pm);
  pm.addPass(createPrunePlanMemory());
  addKernelLowering(pm.nest<gpu::GPUModuleOp>(), options.chip);
  PruneFinalizeGPUEntryOptions finalize;
  finalize.chip = options.chip;
  finalize.format = options.format;
  pm.addPass(createPruneFinalizeGPUEntry(finalize));
}

void mlir::prune::registerGPUPipeline() {
  PassPipelineRegistration<GPUPipelineOptions>(
      "prune-to-gpu", "Compile a model on tensors, pruned or not, for a graphics processor", buildGPUPipeline);
}
