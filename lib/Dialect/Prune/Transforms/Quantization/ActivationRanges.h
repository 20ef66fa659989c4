//===- ActivationRanges.h - What values activations take ------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_QUANTIZATION_ACTIVATIONRANGES_H
#define PRUNE_TRANSFORMS_QUANTIZATION_ACTIVATIONRANGES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <vector>

namespace mlir::prune {

class Examples;

/// An interval that holds 0.
struct ActivationRange {
  float low = 0, high = 0;
};

/// Runs `entry` on all examples and returns the range of each of `values`, f32 tensors of its body: all that occurs, or
/// with `quantile` below 1 what lies between the (1 - quantile)- and the quantile-quantile. Fails with a message on
/// values that are not finite.
FailureOr<std::vector<ActivationRange>> observeRanges(func::FuncOp entry, ArrayRef<Value> values,
                                                      const Examples &examples, double quantile);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_QUANTIZATION_ACTIVATIONRANGES_H
