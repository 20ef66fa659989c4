//===- LayerReport.h - What the layers of a model cost ---------------*- C++ -*-===//
#ifndef PRUNE_ANALYSIS_LAYERREPORT_H
#define PRUNE_ANALYSIS_LAYERREPORT_H

#include "prune/Analysis/PrunableLayers.h"
#include "llvm/Support/JSON.h"
#include <optional>

namespace mlir::prune {

/// Layers with their sums. A weight that several layers share counts once among the parameters.
struct LayerReport {
  SmallVector<PrunableLayer> layers;
  /// For each layer: weights its mask keeps; none when it has no decided mask.
  SmallVector<std::optional<int64_t>> kept;
  int64_t params = 0;
  int64_t prunableParams = 0;
  int64_t flops = 0;
  int64_t prunableFlops = 0;
  int64_t prunableLayers = 0;
};

LayerReport buildLayerReport(ModuleOp module);

/// The number of true elements of a constant mask; none when `mask` is not constant.
std::optional<int64_t> countKept(Value mask);

/// An aligned table, one layer a line, then the sums and the reasons why layers are not prunable.
void printLayerReport(const LayerReport &report, raw_ostream &os);

llvm::json::Value toJSON(const LayerReport &report);

} // namespace mlir::prune

#endif // PRUNE_ANALYSIS_LAYERREPORT_H
