//===- StructuredPasses.cpp - The passes that remove dimensions ---------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Analysis/DimCoupling.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Structured/RemoveBlocks.h"
#include "prune/Dialect/Prune/Transforms/Structured/Shrink.h"
#include "prune/Dialect/Prune/Transforms/Structured/ShrinkVocabulary.h"
#include "prune/Support/OutputFile.h"
#include "llvm/Support/FormatVariadic.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEEXPLAINGROUPS
#define GEN_PASS_DEF_PRUNEREMOVEBLOCKS
#define GEN_PASS_DEF_PRUNESHRINK
#define GEN_PASS_DEF_PRUNESHRINKVOCABULARY
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

struct ExplainGroups : prune::impl::PruneExplainGroupsBase<ExplainGroups> {
  using PruneExplainGroupsBase::PruneExplainGroupsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    // On a copy, whose uniform tensors tie nothing.
    OwningOpRef<ModuleOp> copy = module.clone();
    unshareUniformTensors(*copy);
    std::unique_ptr<DimCoupling> coupling = DimCoupling::create(*copy);
    for (const DimGroup &group : coupling->getGroups())
      ++(group.isFrozen() ? numFrozen : numGroups);
    auto print = [&](raw_ostream &os) {
      for (const DimGroup &group : coupling->getGroups())
        coupling->explain(group, os);
    };
    if (text == "stderr")
      print(llvm::errs());
    else if (text == "stdout")
      print(llvm::outs());
    else if (text != "none" && failed(writeFile(module.getLoc(), "groups", text, print)))
      return signalPassFailure();
    auto printJSON = [&](raw_ostream &os) {
      llvm::json::Array groups;
      for (const DimGroup &group : coupling->getGroups())
        groups.push_back(coupling->toJSON(group));
      os << llvm::formatv("{0:2}\n", llvm::json::Value(llvm::json::Object{{"groups", std::move(groups)}}));
    };
    if (!json.empty() && failed(writeFile(module.getLoc(), "groups", json, printJSON)))
      return signalPassFailure();
    if (!dot.empty() &&
        failed(writeFile(module.getLoc(), "groups", dot, [&](raw_ostream &os) { coupling->printGraph(os); })))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};

struct Shrink : prune::impl::PruneShrinkBase<Shrink> {
  using PruneShrinkBase::PruneShrinkBase;

  void runOnOperation() override {
    PruneShrinkOptions options;
    options.zeros = zeros;
    options.checkEquivalence = checkEquivalence;
    options.report = report;
    FailureOr<ShrinkResult> result = shrinkMasked(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numUnits = result->units;
    numWeights = result->weights;
    numDeclined = result->declined;
  }
};

struct RemoveBlocks : prune::impl::PruneRemoveBlocksBase<RemoveBlocks> {
  using PruneRemoveBlocksBase::PruneRemoveBlocksBase;

  void runOnOperation() override {
    PruneRemoveBlocksOptions options;
    options.blocks = blocks;
    options.count = count;
    FailureOr<int64_t> removed = removeBlocks(getOperation(), options);
    if (failed(removed))
      return signalPassFailure();
    numRemoved = *removed;
  }
};

struct ShrinkVocabulary : prune::impl::PruneShrinkVocabularyBase<ShrinkVocabulary> {
  using PruneShrinkVocabularyBase::PruneShrinkVocabularyBase;

  void runOnOperation() override {
    PruneShrinkVocabularyOptions options;
    options.table = table;
    options.keep = keep;
    options.unknown = unknown;
    FailureOr<int64_t> removed = shrinkVocabulary(getOperation(), options);
    if (failed(removed))
      return signalPassFailure();
    numRows = *removed;
  }
};

} // namespace
