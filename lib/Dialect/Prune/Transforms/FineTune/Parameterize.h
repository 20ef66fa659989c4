//===- Parameterize.h - Weights of a model as arguments -------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_PARAMETERIZE_H
#define PRUNE_TRANSFORMS_FINETUNE_PARAMETERIZE_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include <optional>

namespace mlir::prune {

/// A constant of the model that training changes.
struct Parameter {
  std::string name;
  /// The mean or variance of a batch norm: it follows the batches, not a gradient.
  bool isStatistic = false;
  RankedTensorType type;
  ElementsAttr value;
  SmallVector<arith::ConstantOp> constants;
  /// The applications of its mask; none: it has no mask.
  SmallVector<ApplyOp> applies;
  /// The mask still to be decided; null: decided, or no mask.
  MaskOp undecided;
  /// The decided mask, a byte for each element.
  std::optional<std::vector<uint8_t>> mask;
  /// The constant mask whose kept elements `type` and `value` hold; null: they hold all elements.
  ElementsAttr compressedBy;

  /// True if a mask must be applied to what the parameter holds.
  bool isMasked() const { return !applies.empty() && !compressedBy; }
  RankedTensorType getMaskType() const {
    return RankedTensorType::get(type.getShape(), IntegerType::get(type.getContext(), 1));
  }
};

/// The constants of `function` that training changes, in the order of the module.
FailureOr<SmallVector<Parameter>> findParameters(func::FuncOp function, const PruneBuildTrainingOptions &options);

/// A constant of f32 `values`; large ones are a resource with the key `name`.
ElementsAttr makeWeightAttr(RankedTensorType type, ArrayRef<float> values, StringRef name);

/// A private clone of `function` named `name`, and what became of its values.
func::FuncOp clonePrivate(func::FuncOp function, StringRef name, IRMapping &mapping);

/// A private clone of `function` named `name` whose weights are dense: as if they had no masks.
func::FuncOp cloneWithoutMasks(func::FuncOp function, StringRef name);

/// A private clone of `function` named `name` that takes the parameters, without their masks, in front of its
/// arguments.
func::FuncOp cloneWithParameters(func::FuncOp function, ArrayRef<Parameter> parameters, StringRef name);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_PARAMETERIZE_H
