//===- Shrink.h - Dimensions that really disappear ------------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SHRINK_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SHRINK_H

#include "prune/Analysis/DimCoupling.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// Gives every user its own copy of tensors that hold nothing or one number (tensor.empty, fills of them, splats),
/// which would tie dimensions that have nothing to do with each other. `prune-unshare-fills` does less; CSE undoes it.
void unshareUniformTensors(ModuleOp module);

/// What was removed from one dimension of a weight.
struct ShrunkWeight {
  std::string name;
  SmallVector<int64_t> shape;
  int64_t dim = 0;
  SmallVector<int64_t> removed;
};

/// Removes the units of `plan` from all tensors. Constants keep their names. The module must be the one that `coupling`
/// was made of, unchanged since.
FailureOr<std::vector<ShrunkWeight>> shrinkDims(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan);

/// Puts zeros where `plan` removes, and leaves all shapes: the masked model that the shrunk one must equal. Means over
/// a dimension that the plan shrinks are taken over the survivors, as there.
LogicalResult maskDims(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan);

/// Rearranges all constants: `order` says which index each index of a dimension takes its elements from. Constants keep
/// their names.
LogicalResult reorderConstants(ModuleOp module, const ShrunkDims &order);

/// Units that are not in `plan` yet but add nothing to any sum because of zeros in the weights. Adds them to `plan`;
/// returns how many.
int64_t findIdleUnits(ModuleOp module, const DimCoupling &coupling, ShrinkPlan &plan);

/// The units that are masked in all of their weights.
FailureOr<ShrinkPlan> planMaskedUnits(ModuleOp module, const DimCoupling &coupling);

struct ShrinkResult {
  int64_t units = 0;
  int64_t weights = 0;
  int64_t declined = 0;
};
/// The pass prune-shrink.
FailureOr<ShrinkResult> shrinkMasked(ModuleOp module, const PruneShrinkOptions &options);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SHRINK_H
