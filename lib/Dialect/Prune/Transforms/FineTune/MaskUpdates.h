//===- MaskUpdates.h - Masks that change while a model is trained ---*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_MASKUPDATES_H
#define PRUNE_TRANSFORMS_FINETUNE_MASKUPDATES_H

#include "Parameterize.h"
#include "Ports.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::prune {

/// Masks that are decided together.
struct MaskGroup {
  SmallVector<MaskOp> masks;
  /// The parameter under each of them.
  SmallVector<unsigned> parameters;

  std::optional<double> getTarget() const;
};

/// What happens to masks in training.
struct MaskPlan {
  ScheduleAttr schedule;
  /// Undecided masks, in the order of the module.
  SmallVector<MaskGroup> groups;
  /// RigL: share of the kept weights that decided masks exchange at first; 0: decided masks stay.
  double regrow = 0;
  /// update=straight-through: pruned weights are trained as if they were kept.
  bool trainsPruned = false;

  /// Whether the mask of `parameter` changes.
  bool changes(const Parameter &parameter) const { return parameter.undecided || (regrow > 0 && parameter.isMasked()); }
  bool hasUpdates() const { return !groups.empty() || regrow > 0; }
  /// Whether all groups have a target sparsity.
  bool hasTargets() const {
    return llvm::all_of(groups, [](const MaskGroup &group) { return group.getTarget().has_value(); });
  }
};

/// Reads the options `schedule`, `update` and `regrow` and the undecided masks of `function`. Errors name what cannot
/// be done in training.
FailureOr<MaskPlan> planMasks(func::FuncOp function, ArrayRef<Parameter> parameters,
                              const PruneBuildTrainingOptions &options);

/// Lets each parameter with a mask hold its kept elements only. Fails where a mask is not decided or may change.
LogicalResult compressParameters(Location loc, MutableArrayRef<Parameter> parameters, const MaskPlan &plan);

/// The criterion of a parameter whose scores training keeps; null for all others.
CriterionAttrInterface getKeptScores(const Parameter &parameter);

/// The next scores that training keeps, one for each parameter with `getKeptScores`.
SmallVector<Value> emitScoreSteps(ImplicitLocOpBuilder &b, ArrayRef<Parameter> parameters, ValueRange scores,
                                  ValueRange weights, ValueRange gradients);

/// The mask of each parameter, null where it has none, from those of the masked ones.
SmallVector<Value> spreadMasks(ArrayRef<Parameter> parameters, ValueRange masks);

/// Adds @schedule: whether masks are decided before a step and, where all have a target, the share of all masked
/// elements that is then to be pruned.
void buildSchedule(ImplicitLocOpBuilder &b, ModuleOp module, const MaskPlan &plan, ArrayRef<Parameter> parameters);

/// What @update_masks takes; `states` has as many for each parameter.
struct MaskUpdatePorts {
  Ports params, stats, masks, states, scores, batch;
};
/// Gradients by the masked parameters, from parameters, statistics, masks and a batch.
using EmitGradientsFn = function_ref<SmallVector<Value>(ValueRange, ValueRange, ValueRange, ValueRange)>;

/// Adds @update_masks: the masks that change, and the parameters and states under them.
void buildUpdateMasks(ImplicitLocOpBuilder &b, ModuleOp module, const MaskPlan &plan, ArrayRef<Parameter> parameters,
                      const MaskUpdatePorts &ports, EmitGradientsFn emitGradients);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_MASKUPDATES_H
