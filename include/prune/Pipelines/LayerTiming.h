//===- LayerTiming.h - Layers compiled and timed alone --------------*- C++ -*-===//
#ifndef PRUNE_PIPELINES_LAYERTIMING_H
#define PRUNE_PIPELINES_LAYERTIMING_H

#include "mlir/IR/MLIRContext.h"
#include "prune/Conversion/PruneToSparseTensor/LayerChoice.h"
#include "llvm/Support/Error.h"
#include <memory>

namespace mlir {
class DialectRegistry;

namespace prune {

/// One layer as code in this process, by the pipeline that models go through, on activations in the kernel's layout.
class TimedLayer {
public:
  static llvm::Expected<std::unique_ptr<TimedLayer>> create(const DialectRegistry &registry, const LayerShape &shape,
                                                            const LayerCandidate &candidate, llvm::StringRef cpu,
                                                            llvm::StringRef features, int64_t threads);
  virtual ~TimedLayer();

  /// Nanoseconds of one call: the mean of as many calls as take at least `least` nanoseconds together.
  virtual double time(double least) = 0;
};

/// The least mean time of each layer over `rounds` rounds, in each of which every layer has its turn. Null layers take
/// infinitely long.
std::vector<double> timeInTurn(ArrayRef<std::unique_ptr<TimedLayer>> layers, unsigned rounds, double leastNs);

/// Lets prune-pack measure (`measure=true`).
void registerLayerMeasurement(DialectRegistry &registry);

} // namespace prune
} // namespace mlir

#endif // PRUNE_PIPELINES_LAYERTIMING_H
