//===- LowerToLLVM.cpp - prune-lower-to-llvm ------------------------------------===//

#include "prune/Conversion/LowerToLLVM/LowerToLLVM.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToSCF/VectorToSCF.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "prune/Conversion/Passes.h"

using namespace mlir;
using namespace mlir::prune;

void prune::buildLowerToLLVMPipeline(OpPassManager &pm, const LowerToLLVMOptions &options) {
  if (options.approximateMath) {
    PruneApproximateMathOptions math;
    math.fuseMultiplyAdd = options.fuseMultiplyAdd;
    pm.addNestedPass<func::FuncOp>(createPruneApproximateMath(math));
  }
  // Transfers and vectors of higher rank, which hand-written kernels may hold.
  VectorTransferToSCFOptions vectorToSCF;
  vectorToSCF.enableFullUnroll();
  pm.addNestedPass<func::FuncOp>(createConvertVectorToSCFPass(vectorToSCF));
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createCSEPass());
  if (options.threads > 1) {
    PruneSplitParallelLoopsOptions split;
    split.threads = options.threads;
    pm.addPass(createPruneSplitParallelLoops(split));
    // What is left: loops with reductions, which hand-written kernels may hold.
    ConvertSCFToOpenMPPassOptions openMP;
    openMP.numThreads = options.threads;
    pm.addPass(createConvertSCFToOpenMPPass(openMP));
  }
  // The scopes that threads leave behind may not hold branches.
  pm.addPass(createPruneHoistStackBuffers());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertMathToFuncs());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertMathToLibmPass());
  // After libm: its calls take vectors apart with vector.extract.
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  ConvertFuncToLLVMPassOptions funcToLLVM;
  funcToLLVM.useBarePtrCallConv = options.bareMemrefCalls;
  pm.addPass(createConvertFuncToLLVMPass(funcToLLVM));
  pm.addPass(createConvertControlFlowToLLVMPass());
  if (options.threads > 1)
    pm.addPass(createConvertOpenMPToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCSEPass());
}

void prune::registerConversionPipelines() {
  PassPipelineRegistration<LowerToLLVMOptions>(
      "prune-lower-to-llvm", "Lower functions on memrefs with scf, vector, arith, math and omp to the LLVM dialect",
      buildLowerToLLVMPipeline);
}
