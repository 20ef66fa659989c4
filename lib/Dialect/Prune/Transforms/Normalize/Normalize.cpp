//===- Normalize.cpp - Imported modules in one form ---------------------------===//

#include "prune/Dialect/Prune/Transforms/Normalize.h"
#include "Patterns.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/TosaToLinalg/TosaToLinalg.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Index/IR/IndexDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tosa/IR/TosaOps.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNENORMALIZE
#define GEN_PASS_DEF_PRUNENAMEWEIGHTS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;

bool prune::hasTosaOps(ModuleOp module) {
  return module
      .walk([](Operation *op) {
        return op->getName().getDialectNamespace() == "tosa" ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

void prune::addTosaToLinalg(OpPassManager &pm) {
  TosaToLinalgOptions options;
  TosaToLinalgNamedOptions namedOptions;
  namedOptions.preferConv2DKernelLayoutHWCF = false;
  // No validation against a TOSA profile: what converts is accepted.
  tosa::addTosaToLinalgPasses(pm, options, namedOptions, std::nullopt);
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createTosaToArithPass());
  functions.addPass(createTosaToTensorPass());
  functions.addPass(createTosaToSCFPass());
}

LogicalResult prune::normalizeModule(ModuleOp module, const NormalizeOptions &options, NormalizeCounts &counts) {
  MLIRContext *context = module.getContext();
  ConstantStore store(context, options.inlineLimit);
  store.externalize(module);

  NormalizeState state{store, options, counts};
  RewritePatternSet patterns(context);
  populateFoldConstantPatterns(patterns, state);
  populateContractionPatterns(patterns, state);
  populateConvolutionPatterns(patterns, state);
  populateFoldAffinePatterns(patterns, state);
  populateSimplifyPatterns(patterns, state);
  // Casts and dimensions that are static after all.
  memref::populateResolveRankedShapedTypeResultDimsPatterns(patterns);
  for (StringRef name : {"linalg", "tensor", "arith", "scf"})
    if (Dialect *dialect = context->getLoadedDialect(name)) {
      dialect->getCanonicalizationPatterns(patterns);
      for (RegisteredOperationName op : context->getRegisteredOperationsByDialect(name))
        op.getCanonicalizationPatterns(patterns, context);
    }
  GreedyRewriteConfig config;
  config.setUseTopDownTraversal(true);
  config.setMaxIterations(32);
  if (failed(applyPatternsGreedily(module, std::move(patterns), config)))
    return module.emitError() << "normalisation did not come to an end after 32 rounds";

  counts.namedWeights = store.nameWeights(module);
  for (const PrunableLayer &layer : findPrunableLayers(module))
    if (layer.weight && !layer.isPrunable() &&
        llvm::is_contained({"linear", "conv", "grouped-conv", "depthwise-conv"}, layer.kind))
      remark::missed(layer.op->getLoc(), remark::RemarkOpts::name("not-normal").category("prune-normalize"))
          << remark::add("layer '{0}' is not in normal form: {1}", layer.name, layer.reason);
  return success();
}

namespace {
struct Normalize : prune::impl::PruneNormalizeBase<Normalize> {
  using PruneNormalizeBase::PruneNormalizeBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (prune::hasTosaOps(module)) {
      OpPassManager pipeline(ModuleOp::getOperationName());
      prune::addTosaToLinalg(pipeline);
      if (failed(runPipeline(pipeline, module)))
        return signalPassFailure();
    }
    prune::NormalizeOptions options;
    options.foldBatchNorm = foldBatchNorm;
    options.moveBias = moveBias;
    options.inlineLimit = inlineLimit;
    options.evaluationLimit = evaluationLimit;
    prune::NormalizeCounts counts;
    if (failed(prune::normalizeModule(module, options, counts)))
      return signalPassFailure();
    numFoldedConstants = counts.foldedConstants;
    numLinearLayers = counts.linearLayers;
    numPointwise = counts.pointwiseConvolutions;
    numRecognized = counts.recognizedOps;
    numBatchNorms = counts.foldedBatchNorms;
    numBiases = counts.movedBiases;
    numDeadResults = counts.deadResults;
    numNamed = counts.namedWeights;
  }
};

struct NameWeights : prune::impl::PruneNameWeightsBase<NameWeights> {
  using PruneNameWeightsBase::PruneNameWeightsBase;
  void runOnOperation() override { numNamed = prune::nameWeights(getOperation(), inlineLimit); }
};
} // namespace
