//===- Distillation.h - Learning from the outputs of a teacher ------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_DISTILLATION_H
#define PRUNE_TRANSFORMS_FINETUNE_DISTILLATION_H

#include "Losses.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// An output that shall be like the teacher's.
struct DistilledOutput {
  unsigned index;
  Loss loss;
  double weight;
};

/// What is learnt from a teacher: `hardness` h takes h times the weighted sum of the losses of `outputs`, and 1 - h of
/// the loss by labels.
struct Distillation {
  /// A private function of the module with the model's signature; null: no teacher.
  func::FuncOp teacher;
  double hardness = 0;
  SmallVector<DistilledOutput> outputs;

  bool needsLabels() const { return hardness < 1; }
};

/// Reads the options of distillation for the model `entry`; without a teacher a distillation of hardness 0. Errors name
/// option, rule and value.
FailureOr<Distillation> readDistillation(func::FuncOp entry, ArrayRef<StringRef> outputNames, const Loss &labelLoss,
                                         const PruneBuildTrainingOptions &options);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_DISTILLATION_H
