//===- Losses.h - Loss functions as structured ops ------------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_LOSSES_H
#define PRUNE_TRANSFORMS_FINETUNE_LOSSES_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// What the labels of a loss look like for a model whose first output is `output`.
struct LossSignature {
  /// `labels` or `target`.
  StringRef labelName;
  RankedTensorType labelType;
  /// Labels are classes, and the right answers are counted.
  bool countsCorrect = false;
};

/// Checks the options of the loss against the output; errors name option, rule and value.
FailureOr<LossSignature> getLossSignature(Location loc, Type output, const PruneBuildTrainingOptions &options);

/// The loss, a tensor of rank 0 of the element type of `output`.
Value emitLoss(ImplicitLocOpBuilder &b, Value output, Value labels, const PruneBuildTrainingOptions &options);

/// How many rows of `output` have their largest element (of equal ones the first) at the place `labels` names.
Value emitCorrect(ImplicitLocOpBuilder &b, Value output, Value labels);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_LOSSES_H
