//===- Benchmark.cpp - Times of repeated calls --------------------------------===//

#include "prune/ExecutionEngine/Benchmark.h"
#include "llvm/ADT/APFloat.h"
#include <chrono>
#include <cmath>
#include <cstring>

using namespace mlir::prune;

llvm::json::Object Timing::toJSON() const {
  return llvm::json::Object{{"median", median},   {"p10", p10},
                            {"p90", p90},         {"min", min},
                            {"max", max},         {"spread", getSpread()},
                            {"warm_up", warmUps}, {"runs", llvm::json::Array(runs)}};
}

void mlir::prune::summarize(Timing &timing) {
  if (timing.runs.empty())
    return;
  std::vector<double> sorted = timing.runs;
  llvm::sort(sorted);
  auto percentile = [&](double p) {
    double at = p * (sorted.size() - 1);
    size_t low = static_cast<size_t>(at), high = std::min(low + 1, sorted.size() - 1);
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
  };
  timing.median = percentile(0.5);
  timing.p10 = percentile(0.1);
  timing.p90 = percentile(0.9);
  timing.min = sorted.front();
  timing.max = sorted.back();
}

Timing mlir::prune::benchmark(CompiledModule &module, llvm::ArrayRef<const void *> inputs,
                              llvm::ArrayRef<void *> outputs, unsigned runs) {
  using Clock = std::chrono::steady_clock;
  auto millisecondsSince = [](Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  };
  Timing timing;
  for (auto start = Clock::now(); timing.warmUps < 3 || millisecondsSince(start) < 200; ++timing.warmUps)
    module.run(inputs, outputs);
  timing.runs.reserve(runs);
  for (unsigned i = 0; i < runs; ++i) {
    auto start = Clock::now();
    module.run(inputs, outputs);
    timing.runs.push_back(millisecondsSince(start));
  }
  summarize(timing);
  return timing;
}

template <typename T> static void store(HostTensor &tensor, int64_t i, T value) {
  std::memcpy(tensor.data.data() + i * sizeof(T), &value, sizeof(T));
}

std::vector<HostTensor> mlir::prune::makeRandomInputs(llvm::ArrayRef<TensorSpec> specs, uint64_t seed) {
  // SplitMix64: the same numbers everywhere.
  uint64_t state = seed;
  auto next = [&] {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  };
  std::vector<HostTensor> tensors;
  for (const TensorSpec &spec : specs) {
    HostTensor tensor(spec.kind, spec.shape);
    unsigned width = getByteWidth(spec.kind);
    for (int64_t i = 0, e = tensor.getNumElements(); i < e; ++i) {
      double value = static_cast<double>(next() >> 11) / double(uint64_t(1) << 52) - 1.0;
      switch (spec.kind) {
      case ElementKind::Float64:
        store<double>(tensor, i, value);
        break;
      case ElementKind::Float32:
        store<float>(tensor, i, static_cast<float>(value));
        break;
      case ElementKind::Float16:
      case ElementKind::BFloat16: {
        llvm::APFloat number(value);
        bool lost;
        number.convert(spec.kind == ElementKind::Float16 ? llvm::APFloat::IEEEhalf() : llvm::APFloat::BFloat(),
                       llvm::APFloat::rmNearestTiesToEven, &lost);
        store<uint16_t>(tensor, i, number.bitcastToAPInt().getZExtValue());
        break;
      }
      default:
        tensor.data.data()[i * width] = value >= 0;
      }
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}
