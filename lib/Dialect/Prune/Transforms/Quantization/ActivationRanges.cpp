//===- ActivationRanges.cpp - What values activations take --------------------===//
//
// A copy of the module returns the activations, is compiled and run on the examples; quantiles are read off a histogram
// in a second run.
//
//===----------------------------------------------------------------------===//

#include "ActivationRanges.h"
#include "../Calibration/Examples.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Structured/ModelExecution.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// How often the values of an activation fall into equal parts of its range.
class Histogram {
public:
  explicit Histogram(ActivationRange range) : range(range), counts(kBins, 0) {}

  void add(ArrayRef<float> values) {
    float width = range.high - range.low;
    for (float value : values)
      ++counts[width > 0 ? std::min<int64_t>(kBins - 1, (value - range.low) / width * kBins) : 0];
    total += values.size();
  }

  /// The end of the part in which the values reach the share `quantile`, counted from the lower end.
  float getQuantile(double quantile) const {
    int64_t seen = 0, part = 0;
    while (part < kBins && seen < quantile * total)
      seen += counts[part++];
    return range.low + (range.high - range.low) * static_cast<float>(part) / kBins;
  }

private:
  static constexpr int64_t kBins = 8192; // fine against the 256 steps of an integer
  ActivationRange range;
  std::vector<int64_t> counts;
  int64_t total = 0;
};

} // namespace

/// The module of `entry` with a function `main` that returns `values`.
static OwningOpRef<ModuleOp> buildObserved(func::FuncOp entry, ArrayRef<Value> values) {
  IRMapping mapping;
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>(entry->getParentOfType<ModuleOp>()->clone(mapping)));
  SymbolTable symbols(*copy);
  auto function = symbols.lookup<func::FuncOp>(entry.getName());
  SmallVector<Value> results;
  for (Value value : values)
    results.push_back(mapping.lookup(value));
  function.front().getTerminator()->setOperands(results);
  function.removeResAttrsAttr();
  function.setType(FunctionType::get(copy->getContext(), function.getArgumentTypes(), TypeRange(ValueRange(results))));
  // Layers that serve no activation are dead here, and their masks with them.
  for (RecordOp record : llvm::make_early_inc_range(copy->getOps<RecordOp>()))
    record.erase();
  if (entry.getName() != "main") {
    if (Operation *other = symbols.lookup("main"))
      (void)symbols.renameToUnique(other, {});
    (void)symbols.rename(function, "main");
  }
  return copy;
}

FailureOr<std::vector<ActivationRange>> mlir::prune::observeRanges(func::FuncOp entry, ArrayRef<Value> values,
                                                                   const Examples &examples, double quantile) {
  const auto *execution =
      entry.getContext()->getLoadedDialect<PruneDialect>()->getRegisteredInterface<ModelExecutionInterface>();
  if (!execution)
    return emitError(entry.getLoc()) << "prune-quantize: no way to run code here: link PrunePipelines and register it";
  llvm::Expected<std::unique_ptr<ModelCode>> code =
      execution->compile(writeModule(*buildObserved(entry, values)), /*workers=*/1);
  if (!code)
    return emitError(entry.getLoc()) << "prune-quantize: '" << entry.getName() << "' "
                                     << llvm::toString(code.takeError());
  std::vector<HostTensor> outputs;
  SmallVector<void *> pointers;
  for (Value value : values) {
    outputs.emplace_back(ElementKind::Float32, cast<RankedTensorType>(value.getType()).getShape());
    pointers.push_back(outputs.back().data.data());
  }
  auto getValues = [&](size_t i) {
    return ArrayRef(reinterpret_cast<const float *>(outputs[i].data.data()), outputs[i].getNumElements());
  };
  auto runAll = [&](function_ref<LogicalResult()> visit) {
    for (int64_t batch = 0; batch < examples.getNumBatches(); ++batch) {
      SmallVector<const void *> inputs;
      for (unsigned i = 0; i < entry.getNumArguments(); ++i)
        inputs.push_back(examples.getBatch(i, batch));
      (*code)->run(inputs, pointers, /*worker=*/0);
      if (failed(visit()))
        return failure();
    }
    return success();
  };

  std::vector<ActivationRange> ranges(values.size());
  auto widen = [&]() -> LogicalResult {
    for (auto [i, range] : llvm::enumerate(ranges))
      for (float value : getValues(i)) {
        if (!std::isfinite(value))
          return emitError(values[i].getLoc())
                 << "expected finite activations on the examples, got " << formatNumber(value);
        range.low = std::min(range.low, value);
        range.high = std::max(range.high, value);
      }
    return success();
  };
  if (failed(runAll(widen)))
    return failure();
  if (quantile == 1)
    return ranges;
  std::vector<Histogram> histograms(ranges.begin(), ranges.end());
  (void)runAll([&] {
    for (auto [i, histogram] : llvm::enumerate(histograms))
      histogram.add(getValues(i));
    return success();
  });
  for (auto [range, histogram] : llvm::zip_equal(ranges, histograms))
    range = {std::min(0.0f, histogram.getQuantile(1 - quantile)), std::max(0.0f, histogram.getQuantile(quantile))};
  return ranges;
}
