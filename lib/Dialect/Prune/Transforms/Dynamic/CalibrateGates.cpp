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
#include <cmath>
#include <limits>
#include <utility>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECALIBRATEGATES
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Sparsities that `greedy` tries are multiples of 1 / kStepsToAll, up to the largest.
constexpr int64_t kStepsToAll = 10, kNumSteps = 9;
constexpr double getSparsity(int64_t steps) { return static_cast<double>(steps) / kStepsToAll; }

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

/// Distributes the sparsities anew: step by step to the mask whose next step costs least, beside all steps taken
/// before.
LogicalResult GateCalibrator::allocate(ScoreRunner &runner, const Examples &examples) {
  std::vector<double> work;
  std::vector<std::vector<double>> steps; // of each mask, after none; its own sparsity last
  double target = 0, total = 0;
  for (auto [mask, sparsity] : llvm::zip_equal(masks, sparsities)) {
    work.push_back(countWork(mask));
    target += work.back() * sparsity;
    total += work.back();
    steps.emplace_back();
    for (int64_t step = 1; step <= kNumSteps; ++step)
      steps.back().push_back(getSparsity(step));
    steps.back().push_back(sparsity);
  }
  if (double most = getSparsity(kNumSteps); target > most * total)
    return fail() << "allocation: greedy expects a sparsity of at most " << formatNumber(most) << ", got "
                  << formatNumber(target / total);
  progress.start("calibrating: thresholds to try");
  auto thresholds = runner.findThresholds(steps);
  int64_t numBatches =
      std::clamp<int64_t>(options.searchExamples / examples.getBatchSize(), 1, examples.getNumBatches());
  if (failed(thresholds) || failed(runner.prepareErrors(numBatches)))
    return failure();

  std::vector<float> taken, given;
  for (auto [mask, found] : llvm::zip_equal(masks, *thresholds)) {
    taken.push_back(ScoreRunner::getNoThreshold(mask));
    given.push_back(static_cast<float>(found.back().value));
  }
  // What the next step of a mask costs. It is found again only if it looks cheapest, as others' steps seldom make it
  // less.
  struct Step {
    double price = -std::numeric_limits<double>::infinity(), error = 0;
    int64_t number = 0, foundAfter = -1;
  };
  std::vector<Step> next(masks.size());
  std::vector<double> greedy(masks.size(), 0);
  double error = 0, saved = 0;
  for (int64_t numTaken = 0; saved < target;) {
    progress.start(llvm::formatv("calibrating: sparsity {0:f2} of {1:f2}", saved / total, target / total).str());
    auto best = llvm::min_element(next, [](const Step &a, const Step &b) { return a.price < b.price; });
    if (best->number == kNumSteps)
      break; // of rounding alone is left
    size_t index = best - next.begin();
    auto threshold = static_cast<float>((*thresholds)[index][best->number].value);
    if (best->foundAfter < numTaken) {
      float before = std::exchange(taken[index], threshold);
      best->error = runner.findError(taken);
      best->price = (best->error - error) / work[index];
      if (std::isnan(best->price)) // results that are not finite
        best->price = std::numeric_limits<double>::infinity();
      best->foundAfter = numTaken;
      taken[index] = before;
      ++result.trials;
      continue;
    }
    // The last step is as long as it takes.
    double before = greedy[index];
    greedy[index] = std::min(getSparsity(best->number + 1), before + (target - saved) / work[index]);
    saved += (greedy[index] - before) * work[index];
    taken[index] = threshold;
    error = best->error;
    ++numTaken;
    if (++best->number == kNumSteps)
      best->price = std::numeric_limits<double>::infinity();
  }
  // Steps look no further than the next one.
  double givenError = runner.findError(given);
  bool isBetter = error <= givenError;
  remark::analysis(entry.getLoc(), remark::RemarkOpts::name("Allocation").category("dynamic"))
      << llvm::formatv("error {0:e2} by steps, {1:e2} as given: sparsities {2}", error, givenError,
                       isBetter ? "by steps" : "stay as they are")
             .str();
  if (isBetter)
    sparsities = std::move(greedy);
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
