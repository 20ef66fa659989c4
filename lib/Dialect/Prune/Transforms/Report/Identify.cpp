//===- Identify.cpp - Report which layers can be pruned -----------------------===//

#include "prune/Analysis/LayerReport.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Support/OutputFile.h"
#include "llvm/Support/raw_ostream.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEIDENTIFY
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;

namespace {
struct Identify : prune::impl::PruneIdentifyBase<Identify> {
  using PruneIdentifyBase::PruneIdentifyBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    prune::LayerReport report = prune::buildLayerReport(module);
    numLayers = report.layers.size();
    numPrunable = report.prunableLayers;
    auto print = [&](raw_ostream &os) { prune::printLayerReport(report, os); };
    if (table == "stderr")
      print(llvm::errs());
    else if (table == "stdout")
      print(llvm::outs());
    else if (table != "none" && failed(prune::writeFile(module.getLoc(), "report", table, print)))
      return signalPassFailure();
    if (!json.empty() && failed(prune::writeFile(module.getLoc(), "report", json, [&](raw_ostream &os) {
          os << llvm::formatv("{0:2}\n", prune::toJSON(report));
        })))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
