//===- Identify.cpp - Report which layers can be pruned -----------------------===//

#include "prune/Analysis/LayerReport.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "llvm/Support/raw_ostream.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEIDENTIFY
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;

namespace {
/// Writes `file` through a temporary beside it, so that a reader never sees half of it.
LogicalResult writeFile(ModuleOp module, StringRef file, llvm::function_ref<void(raw_ostream &)> write) {
  llvm::Error error = llvm::writeToOutput(file, [&](raw_ostream &os) {
    write(os);
    return llvm::Error::success();
  });
  if (!error)
    return success();
  return module.emitError() << "cannot write report '" << file << "': " << llvm::toString(std::move(error));
}

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
    else if (table != "none" && failed(writeFile(module, table, print)))
      return signalPassFailure();
    if (!json.empty() && failed(writeFile(module, json, [&](raw_ostream &os) {
          os << llvm::formatv("{0:2}\n", prune::toJSON(report));
        })))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
