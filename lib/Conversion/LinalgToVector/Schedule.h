//===- Schedule.h - How a nest is run -----------------------------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_LINALGTOVECTOR_SCHEDULE_H
#define PRUNE_LIB_CONVERSION_LINALGTOVECTOR_SCHEDULE_H

#include "Nest.h"
#include "prune/Conversion/LinalgToVector/LinalgToVector.h"

namespace mlir::prune {

/// The decisions about one nest: which dimension lies in the lanes, how many rows and vectors a tile holds.
struct Schedule {
  /// Dimension in the lanes, or -1: scalars.
  int vector = -1;
  /// Dimension unrolled beside it, or -1.
  int row = -1;
  int64_t lanes = 1;
  int64_t vectors = 1;
  int64_t rows = 1;
  /// The vector dimension is a reduction: accumulators are reduced across lanes after the loop.
  bool horizontal = false;
  /// Row is unrolled by `lanes` because an input is contiguous along it: blocks are transposed in registers.
  bool transposed = false;
  /// Parallel dimensions that are neither vector nor row, outermost first.
  SmallVector<int> outer;
  SmallVector<int> reductions;
  /// Dimension split over the threads, or -1.
  int split = -1;
  /// Why the nest works on scalars.
  std::string reason;
};

/// For each output the operation that combines the accumulator with a value which does not depend on accumulators;
/// empty if some output has no such operation.
SmallVector<Operation *> findCombiners(Nest &nest);

Schedule makeSchedule(Nest &nest, const LinalgToVectorOptions &options);

/// Estimated serial run time in nanoseconds.
int64_t estimateNanoseconds(Nest &nest, const Schedule &schedule);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_LINALGTOVECTOR_SCHEDULE_H
