//===- SelectGroups.h - Which units of which groups go --------------*- C++ -*-===//
//
// The functions behind prune-select-groups, whose description says what they do: from options to a plan, what is left
// under a plan, and from the plan to masks in the module.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SELECTGROUPS_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SELECTGROUPS_H

#include "prune/Analysis/DimCoupling.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace mlir::prune {

/// Nanoseconds of one call of the module with the units of a plan removed.
using MeasureLatencyFn = llvm::function_ref<FailureOr<double>(const ShrinkPlan &)>;

struct SelectGroupsResult {
  ShrinkPlan plan;
  /// Groups that lose units, and groups of interest that do not.
  int64_t groups = 0;
  int64_t declined = 0;
  int64_t units = 0;
};

/// Decides which units go. Changes nothing; declined groups and the outcome are remarks. `measure` serves
/// target=latency:SHARE, which is refused without.
FailureOr<SelectGroupsResult> selectGroups(ModuleOp module, const DimCoupling &coupling,
                                           const PruneSelectGroupsOptions &options, MeasureLatencyFn measure = nullptr);

/// Masks the indices that `plan` removes, in every constant that is a member of a group, and records the masks.
/// Returns their number.
FailureOr<int64_t> maskRemovedUnits(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan);

/// What a model costs.
struct ModelCost {
  /// Elements of the weights of all layers (see prune-identify), shared ones once.
  int64_t params = 0;
  /// Multiply-adds of one call.
  int64_t macs = 0;
};

/// Knows the layers of a module, so that many plans are counted fast.
class PlanCost {
public:
  PlanCost(ModuleOp module, const DimCoupling &coupling);

  /// The cost once the units of `plan` are removed.
  ModelCost count(const ShrinkPlan &plan) const;

private:
  const DimCoupling &coupling;
  SmallVector<Value> weights;
  /// The loops of a product: tensor dimensions that are as long, and the number of points of all others.
  struct Product {
    SmallVector<DimRef> loops;
    int64_t rest = 1;
  };
  std::vector<Product> products;
};

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SELECTGROUPS_H
