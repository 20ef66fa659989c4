//===- CalibrateMasks.cpp - Masks decided in the order of the network ---------===//

#include "MaskCalibrator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Support/Constants.h"
#include "prune/Support/Progress.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECALIBRATEMASKS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Gives the memory back too.
template <typename T> static void clear(std::vector<T> &values) { values = std::vector<T>(); }

/// Takes `bytes`, which have other values in the end, out of memory as far as they are pages of a mapped file.
static void pageOut(ArrayRef<char> bytes) {
#ifdef MADV_PAGEOUT
  // Pages of other memory stay where there is no swap to write them to.
  struct sysinfo info;
  if (sysinfo(&info) != 0 || info.totalswap)
    return;
  uintptr_t page = sysconf(_SC_PAGESIZE);
  uintptr_t begin = llvm::alignTo(reinterpret_cast<uintptr_t>(bytes.begin()), page);
  uintptr_t end = llvm::alignDown(reinterpret_cast<uintptr_t>(bytes.end()), page);
  if (begin < end)
    madvise(reinterpret_cast<void *>(begin), end - begin, MADV_PAGEOUT);
#endif
}

static bool needsGram(MaskOp mask) {
  CriterionAttrInterface criterion = mask.getCriterion();
  return criterion.updatesWeights() || (criterion.getRequiredInputs() & NeedsGram);
}

/// True if what `mask` needs can be found out by running the network, and not without.
static bool needsActivations(MaskOp mask) {
  uint32_t needs = mask.getCriterion().getRequiredInputs();
  return (needsGram(mask) || (needs & NeedsColumnNorms)) &&
         !(needs & ~uint32_t(NeedsWeight | NeedsColumnNorms | NeedsGram));
}

LogicalResult MaskCalibrator::readOptions() {
  if (!(options.damping > 0 && options.damping <= kMaxDamping))
    return fail() << "damping: expected a value in (0, " << formatNumber(kMaxDamping) << "], got "
                  << formatNumber(options.damping);
  if (options.columnCounts != "even" && options.columnCounts != "ranked")
    return fail() << "column-counts: expected even or ranked, got '" << options.columnCounts << "'";
  settings.damping = options.damping;
  settings.counts = options.columnCounts == "even" ? ColumnCounts::Even : ColumnCounts::Ranked;
  settings.refits = options.refit;
  entry = module.lookupSymbol<func::FuncOp>(options.entry);
  if (!entry || entry.isExternal())
    return fail() << "entry: expected a function with a body, got '" << options.entry << "'";
  if (options.data.empty())
    return fail() << "data: expected an .npz file with examples, which criterion "
                  << spell(masks.front().getCriterion()) << " needs, got none";
  FailureOr<BlockArgument> found = findPadding(entry, options.padding, [&] { return fail(); });
  if (failed(found))
    return failure();
  padding = *found;
  return success();
}

/// Checks that `mask` can be decided here.
LogicalResult MaskCalibrator::checkMask(MaskOp mask) {
  CriterionAttrInterface criterion = mask.getCriterion();
  auto refuse = [&] {
    return emitError(mask.getLoc()) << "mask of '" << getWeightName(mask) << "' by " << spell(criterion) << " ";
  };
  bool isInside = mask->getParentOfType<func::FuncOp>() == entry;
  if (!needsActivations(mask)) {
    if (!isInside)
      return success();
    return refuse() << "is not decided, and the network cannot run without it (run prune-evaluate-masks)";
  }
  if (!isInside)
    return refuse() << "is not in '" << options.entry << "', which is the function that is run";
  if (!entry.getNumArguments())
    return refuse() << "needs examples, but '" << options.entry << "' has no inputs";
  if (mask.getThreshold())
    return refuse() << "expects a sparsity, got threshold " << formatNumber(mask.getThreshold()->convertToDouble());
  if (!getConstantAttr(mask.getWeight()) || !mask.getWeight().getType().getElementType().isF32())
    return refuse() << "expects a constant weight of f32";
  if (isElidedResource(getConstantAttr(mask.getWeight())))
    return refuse() << "cannot be decided because the data of its weight is elided";
  if (!criterion.updatesWeights())
    return success();
  if (mask.getPattern().getColumnPeriod() == 0)
    return refuse() << "expects a pattern whose units lie within columns, got " << spell(mask.getPattern());
  return checkSoleMask(mask, module);
}

LogicalResult MaskCalibrator::checkMasks() {
  WalkResult walk = module.walk(
      [&](MaskOp mask) { return succeeded(checkMask(mask)) ? WalkResult::advance() : WalkResult::interrupt(); });
  return failure(walk.wasInterrupted());
}

LogicalResult MaskCalibrator::prepareDecisions() {
  for (ObservedWeight &weight : weights) {
    MaskOp mask = weight.mask;
    FailureOr<WeightData> data = readWeight(mask, pool);
    if (failed(data))
      return failure();
    if (!llvm::all_of(data->values(), [](float value) { return std::isfinite(value); }))
      return emitError(mask.getLoc()) << "weight '" << getWeightName(mask) << "' holds infinity";
    decisions.emplace_back(mask);
  }
  // How much each weight of a group prunes is decided together, before anything else.
  llvm::DenseMap<Operation *, LayerDecision *> decisionOf;
  for (LayerDecision &decision : decisions)
    decisionOf[decision.mask] = &decision;
  for (ArrayRef<MaskOp> set : collectMaskGroups(module)) {
    if (llvm::none_of(set, [&](MaskOp mask) { return decisionOf.contains(mask); }))
      continue;
    if (auto found = given.find(set.front()); found != given.end()) {
      LayerDecision &decision = *decisionOf.lookup(set.front());
      decision.isGiven = true;
      decision.bytes = found->second.bytes;
      decision.unitOfColumn = found->second.unitOfColumn;
      decision.numPruned = llvm::count(decision.bytes, 0);
      continue;
    }
    if (failed(checkMaskGroup(set)))
      return failure();
    SmallVector<LayerDecision *> members;
    for (MaskOp mask : set)
      members.push_back(decisionOf.lookup(mask));
    countPrunedTogether(members, pool);
  }
  return success();
}

/// Observes what the weights of `stage` multiply, and decides them.
LogicalResult MaskCalibrator::decide(const Stage &stage, StageRunner &runner) {
  SmallVector<LayerDecision *> members;
  Statistic kind = Statistic::Norms;
  for (unsigned index : stage.weights) {
    members.push_back(&decisions[index]);
    if (needsGram(decisions[index].mask))
      kind = Statistic::Gram;
  }
  for (LayerDecision *decision : members) {
    decision->values = WeightData::read(getConstantAttr(decision->mask.getWeight()))->values();
    decision->bytes.resize(decision->values.size());
  }
  FailureOr<InputStatistic> statistic = runner.run(stage, kind, members.front()->mask.getLoc());
  if (failed(statistic) || failed(decideLayers(members, *statistic, settings, pool)))
    return failure();
  for (LayerDecision *decision : members) {
    if (!options.independent)
      for (Operation *user : decision->mask->getUsers())
        runner.setMasked(cast<ApplyOp>(user), decision->values);
    if (decision->mask.getCriterion().updatesWeights())
      pageOut(getConstantBytes(cast<ElementsAttr>(getConstantAttr(decision->mask.getWeight())))->data);
    else
      clear(decision->values);
  }
  return success();
}

FailureOr<CalibrateMasksResult> MaskCalibrator::decide() {
  CalibrateMasksResult result;
  module.walk([&](MaskOp mask) {
    if (needsActivations(mask))
      masks.push_back(mask);
  });
  if (masks.empty())
    return result;
  if (failed(readOptions()) || failed(checkMasks()))
    return failure();
  FailureOr<SmallVector<ObservedWeight>> found = findInputs(entry, masks);
  if (failed(found))
    return failure();
  weights = std::move(*found);
  llvm::Expected<Examples> examples = Examples::read(options.data, entry);
  if (!examples)
    return fail() << "data: " << llvm::toString(examples.takeError());
  if (failed(prepareDecisions()))
    return failure();
  FailureOr<std::vector<Stage>> stages = planStages(entry, weights, padding);
  if (failed(stages))
    return failure();
  StageRunner runner(*examples, padding, pool);
  for (const Stage &stage : *stages)
    if (failed(runner.prepare(stage)))
      return failure();

  Progress progress;
  for (auto [index, stage] : llvm::enumerate(*stages)) {
    progress.start(llvm::formatv("calibrating: input {0} of {1}, '{2}'", index + 1, stages->size(),
                                 decisions[stage.weights.front()].name)
                       .str());
    if (failed(decide(stage, runner)))
      return failure();
    runner.release(ArrayRef(*stages).drop_front(index + 1));
  }
  progress.finish();
  result.stages = stages->size();
  result.compiled = runner.getNumCompiled();
  result.masks = decisions.size();
  result.updated =
      llvm::count_if(decisions, [](LayerDecision &decision) { return decision.mask.getCriterion().updatesWeights(); });
  remark::analysis(module.getLoc(), remark::RemarkOpts::name("Calibrated").category("calibrate"))
      << remark::add("{0} masks decided by {1} inputs on {2} examples; {3} parts of '{4}' compiled", result.masks,
                     result.stages, examples->getNumExamples(), result.compiled, options.entry);
  return result;
}

LogicalResult MaskCalibrator::write() {
  MaskWriter writer(module);
  for (LayerDecision &decision : decisions) {
    if (decision.mask.getCriterion().updatesWeights()) {
      auto bytes =
          ArrayRef(reinterpret_cast<const char *>(decision.values.data()), decision.values.size() * sizeof(float));
      setConstantBytes(prune::getConstant(decision.mask.getWeight()), bytes);
      clear(decision.values);
    }
    if (failed(writer.replace(decision.mask, decision.bytes)))
      return failure();
    clear(decision.bytes);
  }
  return success();
}

FailureOr<CalibrateMasksResult> mlir::prune::calibrateMasks(ModuleOp module,
                                                            const PruneCalibrateMasksOptions &options) {
  MaskCalibrator calibrator(module, options);
  FailureOr<CalibrateMasksResult> result = calibrator.decide();
  if (failed(result) || failed(calibrator.write()))
    return failure();
  return result;
}

namespace {
struct CalibrateMasks : prune::impl::PruneCalibrateMasksBase<CalibrateMasks> {
  using PruneCalibrateMasksBase::PruneCalibrateMasksBase;

  void runOnOperation() override {
    PruneCalibrateMasksOptions options;
    options.data = data;
    options.entry = entry;
    options.padding = padding;
    options.damping = damping;
    options.columnCounts = columnCounts;
    options.refit = refit;
    options.independent = independent;
    options.threads = threads;
    FailureOr<CalibrateMasksResult> result = calibrateMasks(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numMasks = result->masks;
    numUpdated = result->updated;
    numStages = result->stages;
    numCompiled = result->compiled;
  }
};
} // namespace
