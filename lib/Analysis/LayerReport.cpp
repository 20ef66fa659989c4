//===- LayerReport.cpp - What the layers of a model cost ----------------------===//

#include "prune/Analysis/LayerReport.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

std::optional<int64_t> prune::countKept(Value mask) {
  arith::ConstantOp constant = getConstant(mask);
  auto attr = constant ? dyn_cast<ElementsAttr>(constant.getValue()) : ElementsAttr();
  if (!attr || !attr.getElementType().isInteger(1))
    return std::nullopt;
  if (auto dense = dyn_cast<DenseElementsAttr>(attr)) {
    if (dense.isSplat())
      return dense.getSplatValue<bool>() ? dense.getNumElements() : 0;
    return llvm::count(dense.getValues<bool>(), true);
  }
  FailureOr<ConstantBytes> bytes = getConstantBytes(attr);
  if (failed(bytes))
    return std::nullopt;
  return bytes->data.size() - llvm::count(bytes->data, char(0));
}

LayerReport prune::buildLayerReport(ModuleOp module) {
  LayerReport report;
  report.layers = findPrunableLayers(module);
  llvm::DenseSet<Operation *> seen, seenPrunable;
  for (const PrunableLayer &layer : report.layers) {
    arith::ConstantOp constant = layer.getConstant();
    std::optional<int64_t> kept;
    if (layer.weight)
      if (auto apply = layer.weight->get().getDefiningOp<ApplyOp>())
        kept = countKept(apply->getOperand(1));
    report.kept.push_back(kept);
    report.flops += layer.flops;
    if (constant && seen.insert(constant).second)
      report.params += layer.params;
    if (!layer.isPrunable())
      continue;
    ++report.prunableLayers;
    report.prunableFlops += layer.flops;
    if (constant && seenPrunable.insert(constant).second)
      report.prunableParams += layer.params;
  }
  return report;
}

static double share(int64_t part, int64_t whole) { return whole ? 100.0 * part / whole : 0.0; }

static std::string printShape(ArrayRef<int64_t> shape) {
  return shape.empty() ? "-"
                       : llvm::join(llvm::map_range(shape, [](int64_t size) { return std::to_string(size); }), "x");
}

static std::string printKept(const PrunableLayer &layer, std::optional<int64_t> kept) {
  return kept ? llvm::formatv("{0:F1}", 100.0 - share(*kept, layer.params)).str() : "-";
}

void prune::printLayerReport(const LayerReport &report, raw_ostream &os) {
  constexpr size_t kColumns = 9;
  using Row = std::array<std::string, kColumns>;
  std::vector<Row> rows = {
      {"layer", "kind", "op", "shape", "parameters", "%", "MFLOP", "%", "zeros %"},
  };
  auto percent = [](int64_t part, int64_t whole) { return llvm::formatv("{0:F1}", share(part, whole)).str(); };
  auto mega = [](int64_t flops) { return llvm::formatv("{0:F2}", flops * 1e-6).str(); };
  std::vector<std::string> reasons = {"prunable"};
  for (auto [layer, kept] : llvm::zip(report.layers, report.kept)) {
    rows.push_back({layer.name, layer.kind.str(), layer.op->getName().getStringRef().str(),
                    printShape(layer.getShape()), std::to_string(layer.params), percent(layer.params, report.params),
                    mega(layer.flops), percent(layer.flops, report.flops), printKept(layer, kept)});
    reasons.push_back(layer.isPrunable() ? "yes" : "no: " + layer.reason);
  }
  rows.push_back({"all", "", "", "", std::to_string(report.params), "100.0", mega(report.flops), "100.0", ""});
  reasons.push_back("");
  rows.push_back({llvm::formatv("prunable ({0} layers)", report.prunableLayers).str(), "", "", "",
                  std::to_string(report.prunableParams), percent(report.prunableParams, report.params),
                  mega(report.prunableFlops), percent(report.prunableFlops, report.flops), ""});
  reasons.push_back("");

  std::array<size_t, kColumns> widths{};
  for (const Row &row : rows)
    for (size_t column = 0; column < kColumns; ++column)
      widths[column] = std::max(widths[column], row[column].size());
  for (auto [row, reason] : llvm::zip(rows, reasons)) {
    std::string line;
    llvm::raw_string_ostream text(line);
    for (size_t column = 0; column < kColumns; ++column) {
      // Text to the left, numbers to the right.
      text << (column < 4 ? llvm::left_justify(row[column], widths[column])
                          : llvm::right_justify(row[column], widths[column]))
           << "  ";
    }
    text << reason;
    os << StringRef(line).rtrim() << "\n";
  }
}

llvm::json::Value prune::toJSON(const LayerReport &report) {
  llvm::json::Array layers;
  for (auto [layer, kept] : llvm::zip(report.layers, report.kept)) {
    llvm::json::Object entry{
        {"name", layer.name},
        {"kind", layer.kind.str()},
        {"op", layer.op->getName().getStringRef().str()},
        {"shape", llvm::json::Array(layer.getShape())},
        {"parameters", layer.params},
        {"parameter_share", share(layer.params, report.params) / 100},
        {"flops", layer.flops},
        {"flop_share", share(layer.flops, report.flops) / 100},
        {"prunable", layer.isPrunable()},
    };
    if (!layer.isPrunable())
      entry["reason"] = layer.reason;
    if (kept) {
      entry["kept"] = *kept;
      entry["sparsity"] = 1 - share(*kept, layer.params) / 100;
    }
    layers.push_back(std::move(entry));
  }
  return llvm::json::Object{
      {"layers", std::move(layers)},
      {"parameters", report.params},
      {"prunable_parameters", report.prunableParams},
      {"flops", report.flops},
      {"prunable_flops", report.prunableFlops},
      {"prunable_layers", report.prunableLayers},
  };
}
