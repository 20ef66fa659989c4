//===- CalibrateGates.cpp - prune-calibrate-gates ---------------------------------===//

#include "ScoreRunner.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Support/Progress.h"
#include "llvm/Support/FormatVariadic.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECALIBRATEGATES
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Sparsities that `greedy` tries are multiples of this, up to the largest.
constexpr double kStep = 0.1;
constexpr int64_t kNumSteps = 9;

class GateCalibrator {
public:
  GateCalibrator(ModuleOp module, const PruneCalibrateGatesOptions &options)
      : module(module), options(options), pool(options.threads) {}

  FailureOr<CalibrateGatesResult> run();

private:
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }
  LogicalResult readOptions();
  LogicalResult checkMask(DynamicMaskOp mask);
  LogicalResult allocate(ScoreRunner &runner, const Examples &examples);
  double countWork(DynamicMaskOp mask);
  std::string getName(unsigned index);

  ModuleOp module;
  const PruneCalibrateGatesOptions &options;
  WorkerPool pool;
  Progress progress;
  func::FuncOp entry;
  BlockArgument padding;
  SmallVector<DynamicMaskOp> masks;
  std::vector<double> sparsities;
  CalibrateGatesResult result;
};

} // namespace

std::string GateCalibrator::getName(unsigned index) {
  std::optional<StringRef> name = masks[index].getName();
  return name ? name->str() : "mask " + std::to_string(index);
}

LogicalResult GateCalibrator::readOptions() {
  entry = module.lookupSymbol<func::FuncOp>(options.entry);
  if (!entry || entry.isExternal())
    return fail() << "entry: expected a function with a body, got '" << options.entry << "'";
  if (options.data.empty())
    return fail() << "data: expected an .npz file with examples, which thresholds for a sparsity need, got none";
  if (options.allocation != "uniform" && options.allocation != "greedy")
    return fail() << "allocation: expected uniform or greedy, got '" << options.allocation << "'";
  if (options.searchExamples < 1)
    return fail() << "search-examples: expected 1 or more, got " << options.searchExamples;
  FailureOr<BlockArgument> found = findPadding(entry, options.padding, [&] { return fail(); });
  if (failed(found))
    return failure();
  padding = *found;
  WalkResult walk = entry.walk([](CallOpInterface) { return WalkResult::interrupt(); });
  if (walk.wasInterrupted())
    return fail() << "entry: expected a function without calls, got '" << options.entry << "'";
  return success();
}

LogicalResult GateCalibrator::checkMask(DynamicMaskOp mask) {
  if (mask->getBlock() != &entry.getBody().front())
    return mask.emitOpError() << "expected to be in the body of '" << options.entry
                              << "', which is the function that is run";
  if (Type type = mask.getInput().getType().getElementType(); !type.isF32())
    return mask.emitOpError() << "expected scores of f32 to calibrate, got " << type;
  for (Operation *user : mask->getUsers())
    if (!isa<GateOp>(user))
      return mask.emitOpError() << "expected to be used by prune.gate only, got " << user->getName();
  return success();
}

/// Multiply-adds behind the gates of `mask`.
double GateCalibrator::countWork(DynamicMaskOp mask) {
  double work = 0;
  for (Operation *gate : mask->getUsers())
    for (Operation *user : gate->getUsers())
      if (auto op = dyn_cast<linalg::LinalgOp>(user)) {
        double points = 1;
        for (int64_t range : op.getStaticLoopRanges())
          points *= static_cast<double>(std::max<int64_t>(range, 1));
        work += points;
      }
  return std::max(work, 1.0);
}

/// Distributes the sparsities anew, by the errors that each mask makes alone.
LogicalResult GateCalibrator::allocate(ScoreRunner &runner, const Examples &examples) {
  std::vector<double> work, steps;
  double target = 0, total = 0;
  for (auto [mask, sparsity] : llvm::zip_equal(masks, sparsities)) {
    work.push_back(countWork(mask));
    target += work.back() * sparsity;
    total += work.back();
  }
  for (int64_t step = 1; step <= kNumSteps; ++step)
    steps.push_back(kStep * static_cast<double>(step));
  if (target > steps.back() * total)
    return fail() << "allocation: greedy expects a sparsity of at most " << formatNumber(steps.back()) << ", got "
                  << formatNumber(target / total);
  progress.start("calibrating: thresholds to try");
  auto thresholds = runner.findThresholds(std::vector<std::vector<double>>(masks.size(), steps));
  int64_t numBatches =
      std::clamp<int64_t>(options.searchExamples / examples.getBatchSize(), 1, examples.getNumBatches());
  if (failed(thresholds) || failed(runner.prepareErrors(numBatches)))
    return failure();

  // Never less error for more sparsity.
  std::vector<std::vector<double>> errors(masks.size(), {0.0});
  std::vector<float> trial;
  for (DynamicMaskOp mask : masks)
    trial.push_back(ScoreRunner::getNoThreshold(mask));
  for (unsigned index = 0; index < masks.size(); ++index) {
    progress.start(llvm::formatv("calibrating: trying sparsities, mask {0} of {1}", index + 1, masks.size()).str());
    float none = trial[index];
    for (const FoundThreshold &threshold : (*thresholds)[index]) {
      trial[index] = static_cast<float>(threshold.value);
      errors[index].push_back(std::max(errors[index].back(), runner.findError(trial)));
      ++result.trials;
    }
    trial[index] = none;
  }

  std::vector<int64_t> taken(masks.size(), 0);
  llvm::fill(sparsities, 0.0);
  for (double saved = 0; saved < target;) {
    std::optional<unsigned> best;
    double least = 0;
    for (unsigned index = 0; index < masks.size(); ++index) {
      if (taken[index] == kNumSteps)
        continue;
      double price = (errors[index][taken[index] + 1] - errors[index][taken[index]]) / work[index];
      if (!best || price < least) {
        best = index;
        least = price;
      }
    }
    if (!best)
      break; // of rounding alone is left
    // The last step is as long as it takes.
    double step = std::min(kStep, (target - saved) / work[*best]);
    sparsities[*best] += step;
    saved += step * work[*best];
    ++taken[*best];
  }
  return success();
}

FailureOr<CalibrateGatesResult> GateCalibrator::run() {
  module.walk([&](DynamicMaskOp mask) {
    if (mask.getTargetSparsity() && !mask.getThreshold())
      masks.push_back(mask);
  });
  if (masks.empty())
    return result;
  if (failed(readOptions()))
    return failure();
  for (DynamicMaskOp mask : masks)
    if (failed(checkMask(mask)))
      return failure();
  llvm::Expected<Examples> examples = Examples::read(options.data, entry);
  if (!examples)
    return fail() << "data: " << llvm::toString(examples.takeError());
  for (DynamicMaskOp mask : masks)
    sparsities.push_back(mask.getTargetSparsity()->convertToDouble());

  ScoreRunner runner(entry, masks, *examples, padding, pool);
  if (failed(runner.prepareScores()) || (options.allocation == "greedy" && failed(allocate(runner, *examples))))
    return failure();
  progress.start("calibrating: thresholds");
  std::vector<std::vector<double>> wanted;
  for (double sparsity : sparsities)
    wanted.push_back({sparsity});
  auto thresholds = runner.findThresholds(wanted);
  if (failed(thresholds))
    return failure();
  progress.finish();
  Builder b(module.getContext());
  for (auto [index, mask] : llvm::enumerate(masks)) {
    const FoundThreshold &found = (*thresholds)[index].front();
    mask.setThresholdAttr(b.getF64FloatAttr(found.value));
    mask.setTargetSparsityAttr(b.getF64FloatAttr(sparsities[index]));
    remark::analysis(mask.getLoc(), remark::RemarkOpts::name("Threshold").category("dynamic"))
        << llvm::formatv("'{0}': sparsity {1:f3}, threshold {2} prunes {3} of {4} scores", getName(index),
                         sparsities[index], formatNumber(found.value), found.numPruned, found.numScores)
               .str();
    ++result.masks;
  }
  return result;
}

FailureOr<CalibrateGatesResult> mlir::prune::calibrateGates(ModuleOp module,
                                                            const PruneCalibrateGatesOptions &options) {
  return GateCalibrator(module, options).run();
}

namespace {
struct CalibrateGates : prune::impl::PruneCalibrateGatesBase<CalibrateGates> {
  using PruneCalibrateGatesBase::PruneCalibrateGatesBase;

  void runOnOperation() override {
    PruneCalibrateGatesOptions options;
    options.data = data;
    options.entry = entry;
    options.padding = padding;
    options.allocation = allocation;
    options.searchExamples = searchExamples;
    options.threads = threads;
    FailureOr<CalibrateGatesResult> result = calibrateGates(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numMasks = result->masks;
    numTrials = result->trials;
  }
};
} // namespace
