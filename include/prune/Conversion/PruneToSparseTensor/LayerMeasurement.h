//===- LayerMeasurement.h - Timing layers from inside a pass --------*- C++ -*-===//
//
// Packing does not know how to run code. Whoever does attaches this interface to the prune dialect.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_PRUNETOSPARSETENSOR_LAYERMEASUREMENT_H
#define PRUNE_CONVERSION_PRUNETOSPARSETENSOR_LAYERMEASUREMENT_H

#include "mlir/IR/DialectInterface.h"
#include "prune/Conversion/PruneToSparseTensor/LayerChoice.h"

namespace mlir::prune {

class LayerMeasurementInterface : public DialectInterface::Base<LayerMeasurementInterface> {
public:
  LayerMeasurementInterface(Dialect *dialect) : Base(dialect) {}

  /// Nanoseconds that each candidate takes on this machine, compiled for the processor and threads of `entry`; infinite
  /// for one that cannot run here.
  virtual std::vector<double> measure(EntryOp entry, const LayerShape &shape,
                                      ArrayRef<LayerCandidate> candidates) const = 0;
};

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PRUNETOSPARSETENSOR_LAYERMEASUREMENT_H
