//===- Benchmark.h - Times of repeated calls ------------------------*- C++ -*-===//
#ifndef PRUNE_EXECUTIONENGINE_BENCHMARK_H
#define PRUNE_EXECUTIONENGINE_BENCHMARK_H

#include "prune/ExecutionEngine/CompiledModule.h"
#include "llvm/Support/JSON.h"
#include <vector>

namespace mlir::prune {

/// Milliseconds of each call, in the order of running, and what they come to.
struct Timing {
  std::vector<double> runs;
  unsigned warmUps = 0;
  double median = 0, p10 = 0, p90 = 0, min = 0, max = 0;

  /// (p90 - p10) / median: how steady the machine was.
  double getSpread() const { return median > 0 ? (p90 - p10) / median : 0; }
  llvm::json::Object toJSON() const;
};

/// Fills in the statistics of `runs`. Percentiles are interpolated between neighbours.
void summarize(Timing &timing);

/// Calls `module` for `runs` timed runs, after at least three calls and a fifth of a second of warm-up.
Timing benchmark(CompiledModule &module, llvm::ArrayRef<const void *> inputs, llvm::ArrayRef<void *> outputs,
                 unsigned runs);

/// Inputs that depend on nothing but the signature and the seed: floats in [-1, 1), integers 0 or 1 (valid as an index or
/// a mask).
std::vector<HostTensor> makeRandomInputs(llvm::ArrayRef<TensorSpec> specs, uint64_t seed = 42);

} // namespace mlir::prune

#endif // PRUNE_EXECUTIONENGINE_BENCHMARK_H
