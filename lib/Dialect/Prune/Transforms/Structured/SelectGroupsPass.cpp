//===- SelectGroupsPass.cpp - The pass prune-select-groups --------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Structured/ModelExecution.h"
#include "prune/Dialect/Prune/Transforms/Structured/SelectGroups.h"
#include "prune/Dialect/Prune/Transforms/Structured/Shrink.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNESELECTGROUPS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
struct SelectGroups : prune::impl::PruneSelectGroupsBase<SelectGroups> {
  using PruneSelectGroupsBase::PruneSelectGroupsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    PruneSelectGroupsOptions options;
    options.ratio = ratio;
    options.target = target;
    options.criterion = criterion;
    options.gradients = gradients;
    options.aggregate = aggregate;
    options.normalize = normalize;
    options.scope = scope;
    options.roundTo = roundTo;
    options.maxRatio = maxRatio;
    options.ratios.assign(ratios.begin(), ratios.end());
    options.include = include;
    options.exclude = exclude;
    options.groups.assign(groups.begin(), groups.end());
    options.kinds.assign(kinds.begin(), kinds.end());
    options.statistics = statistics;
    options.threads = threads;

    // As prune-shrink does: the units here are the units there.
    unshareUniformTensors(module);
    std::unique_ptr<DimCoupling> coupling = DimCoupling::create(module);
    auto *execution = getContext().getLoadedDialect<PruneDialect>()->getRegisteredInterface<ModelExecutionInterface>();
    std::string bytecode;
    auto measure = [&](const ShrinkPlan &plan) -> FailureOr<double> {
      if (bytecode.empty())
        bytecode = writeModule(module);
      llvm::Expected<double> nanoseconds = execution->measure(bytecode, plan);
      if (!nanoseconds)
        return emitError(module.getLoc()) << "target: " << llvm::toString(nanoseconds.takeError());
      return *nanoseconds;
    };
    FailureOr<SelectGroupsResult> result =
        selectGroups(module, *coupling, options, execution ? MeasureLatencyFn(measure) : MeasureLatencyFn());
    if (failed(result))
      return signalPassFailure();
    FailureOr<int64_t> masks = maskRemovedUnits(module, *coupling, result->plan);
    if (failed(masks))
      return signalPassFailure();
    numGroups = result->groups;
    numDeclined = result->declined;
    numUnits = result->units;
    numMasks = *masks;
  }
};
} // namespace
