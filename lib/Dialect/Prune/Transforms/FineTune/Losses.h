//===- Losses.h - Loss functions as structured ops ------------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_LOSSES_H
#define PRUNE_TRANSFORMS_FINETUNE_LOSSES_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Support/LLVM.h"
#include <optional>

namespace mlir::prune {

enum class LossKind { CrossEntropy, MeanSquare, BinaryCrossEntropy, Cosine, Divergence };

/// The kind that options call `cross-entropy`, `mse`, `bce`, `cosine` or `kl`; none for other names.
std::optional<LossKind> parseLossKind(StringRef name);
StringRef stringifyLossKind(LossKind kind);

/// A loss between an output and what it should be. The target of a cross entropy is one class (i64) for each row, that
/// of all others has the output's type.
struct Loss {
  LossKind kind = LossKind::CrossEntropy;
  double labelSmoothing = 0; ///< of cross entropy
  double temperature = 1;    ///< of the divergence

  /// Checks that the loss can be taken of `output`; errors name `option`.
  LogicalResult verify(Location loc, StringRef option, Type output) const;
  RankedTensorType getTargetType(RankedTensorType output) const;

  /// A tensor of rank 0 of the element type of `output`: the mean over all rows, or elements. `rowWeights`, if not
  /// null, is a tensor of numbers whose shape the shape of `output` begins with, and the mean is weighted.
  Value emit(ImplicitLocOpBuilder &b, Value output, Value target, Value rowWeights = {}) const;
};

/// How many rows of `output` have their largest element (of equal ones the first) at the place `labels` names.
Value emitCorrect(ImplicitLocOpBuilder &b, Value output, Value labels);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_LOSSES_H
