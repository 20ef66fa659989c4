//===- MaskingPasses.cpp - The passes on masks --------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECREATEMASKS
#define GEN_PASS_DEF_PRUNEEVALUATEMASKS
#define GEN_PASS_DEF_PRUNEVERIFYMASKS
#define GEN_PASS_DEF_PRUNEFOLDMASKS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

struct CreateMasks : prune::impl::PruneCreateMasksBase<CreateMasks> {
  using PruneCreateMasksBase::PruneCreateMasksBase;

  void runOnOperation() override {
    PruneCreateMasksOptions options;
    options.criterion = criterion;
    options.pattern = pattern;
    options.sparsity = sparsity;
    options.threshold = threshold;
    options.minKeep = minKeep;
    options.scope = scope;
    options.layerSplit = layerSplit;
    options.include = include;
    options.exclude = exclude;
    options.recipe = recipe;
    FailureOr<CreateMasksResult> result = createMasks(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numMasks = result->masks;
    numSkipped = result->skippedLayers;
  }
};

struct EvaluateMasks : prune::impl::PruneEvaluateMasksBase<EvaluateMasks> {
  using PruneEvaluateMasksBase::PruneEvaluateMasksBase;

  void runOnOperation() override {
    PruneEvaluateMasksOptions options;
    options.gradients = gradients;
    options.refit = refit;
    options.threads = threads;
    FailureOr<EvaluateMasksResult> result = evaluateMasks(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numMasks = result->masks;
    numWeights = result->weights;
    numPruned = result->pruned;
    numUndecided = result->undecided;
    numUpdated = result->updated;
  }
};

struct VerifyMasks : prune::impl::PruneVerifyMasksBase<VerifyMasks> {
  void runOnOperation() override {
    FailureOr<VerifyMasksResult> result = verifyMasks(getOperation());
    if (failed(result))
      return signalPassFailure();
    numRecords = result->records;
    markAllAnalysesPreserved();
  }
};

struct FoldMasks : prune::impl::PruneFoldMasksBase<FoldMasks> {
  void runOnOperation() override {
    FailureOr<FoldMasksResult> result = foldMasks(getOperation());
    if (failed(result))
      return signalPassFailure();
    numFolded = result->folded;
    numSelects = result->selects;
  }
};

} // namespace
