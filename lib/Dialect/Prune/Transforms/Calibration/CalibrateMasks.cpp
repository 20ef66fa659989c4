//===- CalibrateMasks.cpp - Masks decided in the order of the network ---------===//

#include "Examples.h"
#include "LayerDecision.h"
#include "Stages.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/Calibration/Calibration.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Dialect/Prune/Transforms/Structured/ModelExecution.h"
#include "prune/Support/Constants.h"
#include "prune/Support/Progress.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECALIBRATEMASKS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

class MaskCalibrator {
public:
  MaskCalibrator(ModuleOp module, const PruneCalibrateMasksOptions &options)
      : module(module), options(options), pool(options.threads) {}

  FailureOr<CalibrateMasksResult> run();

private:
  /// Errors about options are about no place in the module; printing the module with them would bury them.
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }

  LogicalResult readOptions();
  LogicalResult collectMasks();
  LogicalResult readWeights();
  LogicalResult checkUpdate(MaskOp mask);

  FailureOr<const ModelCode *> compile(const Stage &stage, Statistic statistic);
  const void *getData(Value value, int64_t batch);
  FailureOr<InputStatistic> observe(const Stage &stage);
  LogicalResult prepare(const Stage &stage);
  LogicalResult runStage(const Stage &stage);
  void setMasked(ApplyOp apply, ArrayRef<float> values);
  void release(ArrayRef<Stage> later);
  LogicalResult write();

  ModuleOp module;
  const PruneCalibrateMasksOptions &options;
  WorkerPool pool;
  CalibrateMasksResult result;

  func::FuncOp entry;
  Value padding;
  unsigned paddingIndex = 0;
  std::optional<Examples> examples;
  SmallVector<MaskOp> masks;
  SmallVector<ObservedWeight> weights;
  std::vector<LayerDecision> decisions;
  /// Code by the text of the function.
  llvm::StringMap<std::unique_ptr<ModelCode>> codes;
  /// Results of stages that are still needed, for each batch.
  llvm::DenseMap<Value, std::vector<HostTensor>> kept;
  /// Weights as they are with their masks.
  llvm::DenseMap<Value, HostTensor> masked;
};

} // namespace

/// The statistics of activations among what a criterion needs.
static uint32_t getActivationNeeds(MaskOp mask) {
  return mask.getCriterion().getRequiredInputs() & (NeedsColumnNorms | NeedsGram);
}

LogicalResult MaskCalibrator::readOptions() {
  if (!(options.damping > 0 && options.damping <= kMaxDamping))
    return fail() << "damping: expected a value in (0, " << formatNumber(kMaxDamping) << "], got "
                  << formatNumber(options.damping);
  entry = module.lookupSymbol<func::FuncOp>(options.entry);
  if (!entry || entry.isExternal())
    return fail() << "entry: expected a function with a body, got '" << options.entry << "'";
  return success();
}

LogicalResult MaskCalibrator::collectMasks() {
  WalkResult walk = module.walk([&](MaskOp mask) {
    bool isInside = mask->getParentOfType<func::FuncOp>() == entry;
    uint32_t needs = mask.getCriterion().getRequiredInputs();
    auto refuse = [&](const Twine &what) {
      emitError(mask.getLoc()) << "mask of '" << getWeightName(mask) << "' by " << spell(mask.getCriterion()) << " "
                               << what;
      return WalkResult::interrupt();
    };
    if (!getActivationNeeds(mask)) {
      if (!isInside)
        return WalkResult::advance();
      return refuse("is not decided, and the network cannot run without it (run prune-evaluate-masks)");
    }
    if (needs & ~uint32_t(NeedsWeight | NeedsColumnNorms | NeedsGram))
      return refuse("needs more than weights and activations");
    if (!isInside)
      return refuse("is not in '" + options.entry + "', which is the function that is run");
    if (mask.getThreshold())
      return refuse("expects a sparsity, got threshold " + formatNumber(mask.getThreshold()->convertToDouble()));
    if (!getConstantAttr(mask.getWeight()) || !mask.getWeight().getType().getElementType().isF32())
      return refuse("expects a constant weight of f32");
    if (isElidedResource(getConstantAttr(mask.getWeight())))
      return refuse("cannot be decided because the data of its weight is elided");
    if (mask.getCriterion().updatesWeights() && failed(checkUpdate(mask)))
      return WalkResult::interrupt();
    masks.push_back(mask);
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

/// Checks that the weight of `mask` may change.
LogicalResult MaskCalibrator::checkUpdate(MaskOp mask) {
  auto refuse = [&] {
    return emitError(mask.getLoc()) << "mask of '" << getWeightName(mask) << "' by " << spell(mask.getCriterion())
                                    << " ";
  };
  if (mask.getPattern().getColumnPeriod() == 0)
    return refuse() << "expects a pattern whose units lie within columns, got " << spell(mask.getPattern());
  if (!(mask.getCriterion().getRequiredInputs() & NeedsGram))
    return refuse() << "updates weights, but does not ask for the Gram matrix";
  // A resource is shared by all constants with its key.
  Attribute value = getConstantAttr(mask.getWeight());
  Operation *other = nullptr;
  module.walk([&](arith::ConstantOp constant) {
    if (constant != mask.getWeight().getDefiningOp() &&
        (!isa<DenseResourceElementsAttr>(value) || constant.getValue() != value))
      return;
    for (Operation *user : constant->getUsers())
      if (auto apply = dyn_cast<ApplyOp>(user); user != mask && !(apply && apply.getMask() == mask.getMask()))
        other = user;
  });
  if (other)
    return refuse() << "changes the weight, which " << other->getName() << " uses without that mask";
  return success();
}

LogicalResult MaskCalibrator::readWeights() {
  for (auto [index, weight] : llvm::enumerate(weights)) {
    MaskOp mask = weight.mask;
    FailureOr<WeightData> data = readWeight(mask, pool);
    if (failed(data))
      return failure();
    ArrayRef<float> values = data->values();
    if (!llvm::all_of(values, [](float value) { return std::isfinite(value); }))
      return emitError(mask.getLoc()) << "weight '" << getWeightName(mask) << "' holds infinity";
    decisions.emplace_back(mask, values);
  }
  // How much each weight of a group prunes is decided together, before anything else.
  llvm::DenseMap<Operation *, LayerDecision *> decisionOf;
  for (LayerDecision &decision : decisions)
    decisionOf[decision.mask] = &decision;
  for (ArrayRef<MaskOp> set : collectMaskSets(module)) {
    if (llvm::none_of(set, [&](MaskOp mask) { return decisionOf.contains(mask); }))
      continue;
    if (failed(checkMaskSet(set)))
      return failure();
    SmallVector<LayerDecision *> members;
    for (MaskOp mask : set)
      members.push_back(decisionOf.lookup(mask));
    countPrunedTogether(members, pool);
  }
  return success();
}

FailureOr<const ModelCode *> MaskCalibrator::compile(const Stage &stage, Statistic statistic) {
  OwningOpRef<ModuleOp> part = buildStage(stage, statistic, padding);
  expandObservations(*part);
  std::string text;
  llvm::raw_string_ostream(text) << *part;
  std::unique_ptr<ModelCode> &code = codes[text];
  if (code)
    return code.get();
  const auto *execution = module.getContext()
                              ->getLoadedDialect<PruneDialect>()
                              ->getRegisteredInterface<ModelExecutionInterface>();
  if (!execution)
    return fail() << "prune-calibrate-masks: no way to run code here: link PrunePipelines and register it";
  llvm::Expected<std::unique_ptr<ModelCode>> compiled = execution->compile(writeModule(*part), pool.getNumThreads());
  if (!compiled)
    return emitError(weights[stage.weights.front()].mask.getLoc())
           << "the part of '" << options.entry << "' before '" << decisions[stage.weights.front()].name
           << "': " << llvm::toString(compiled.takeError());
  code = std::move(*compiled);
  ++result.compiled;
  return code.get();
}

const void *MaskCalibrator::getData(Value value, int64_t batch) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return examples->getBatch(argument.getArgNumber(), batch);
  if (auto found = kept.find(value); found != kept.end())
    return found->second[batch].data.data();
  if (auto found = masked.find(value); found != masked.end())
    return found->second.data.data();
  return getConstantBytes(cast<ElementsAttr>(getConstantAttr(value)))->data.data();
}

/// Runs a stage on all examples.
FailureOr<InputStatistic> MaskCalibrator::observe(const Stage &stage) {
  InputStatistic statistic;
  statistic.kind = Statistic::Norms;
  for (unsigned index : stage.weights)
    if (getActivationNeeds(weights[index].mask) & NeedsGram)
      statistic.kind = Statistic::Gram;
  FailureOr<const ModelCode *> code = compile(stage, statistic.kind);
  if (failed(code))
    return failure();

  MatrixView matrix(weights[stage.weights.front()].mask.getWeight().getType().getShape());
  statistic.numGroups = stage.inputs.front().numGroups;
  statistic.numColumns = matrix.columns;
  statistic.sums.assign(statistic.numGroups * matrix.columns *
                            (statistic.kind == Statistic::Gram ? matrix.columns : 1),
                        0.0);
  int64_t numBatches = examples->getNumBatches(), workers = std::min<int64_t>(pool.getNumThreads(), numBatches);
  SmallVector<std::vector<HostTensor> *> keeps;
  for (Value value : stage.keeps)
    kept[value].resize(numBatches);
  for (Value value : stage.keeps)
    keeps.push_back(&kept[value]);
  int64_t size = statistic.sums.size();
  std::vector<std::vector<HostTensor>> parts(workers);
  for (std::vector<HostTensor> &part : parts)
    for (size_t i = 0; i < stage.inputs.size(); ++i)
      part.emplace_back(ElementKind::Float64, size);
  for (int64_t first = 0; first < numBatches; first += workers) {
    int64_t count = std::min(workers, numBatches - first);
    pool.forEach(count, [&](int64_t worker) {
      int64_t batch = first + worker;
      SmallVector<const void *> inputs;
      SmallVector<void *> outputs;
      for (Value value : stage.reads)
        inputs.push_back(getData(value, batch));
      for (auto [value, tensors] : llvm::zip_equal(stage.keeps, keeps)) {
        auto type = cast<RankedTensorType>(value.getType());
        (*tensors)[batch] = HostTensor(*getElementKind(type.getElementType()), type.getShape());
        outputs.push_back((*tensors)[batch].data.data());
      }
      for (HostTensor &part : parts[worker])
        outputs.push_back(part.data.data());
      (*code)->run(inputs, outputs, worker);
    });
    // In the order of the batches, for any number of workers.
    pool.forEachChunk(size, 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t worker = 0; worker < count; ++worker)
        for (const HostTensor &part : parts[worker]) {
          const auto *values = reinterpret_cast<const double *>(part.data.data());
          for (int64_t i = begin; i < end; ++i)
            statistic.sums[i] += values[i];
        }
    });
  }
  for (const LayerInput &input : stage.inputs) {
    int64_t rows = 1;
    for (int64_t size : input.rows)
      rows *= size;
    statistic.numRows += isPadded(input, padding) ? examples->countNonzeros(paddingIndex) : rows * numBatches;
  }
  return statistic;
}

/// Checks the values between a stage and the others; applies the masks that are decided.
LogicalResult MaskCalibrator::prepare(const Stage &stage) {
  for (Value value : stage.keeps) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type || !type.hasStaticShape() || !getElementKind(type.getElementType()))
      return value.getDefiningOp()->emitOpError()
             << "expected a tensor of static shape to keep for layers behind, got " << value.getType();
  }
  for (Value value : stage.reads) {
    if (auto constant = value.getDefiningOp<arith::ConstantOp>()) {
      if (failed(getConstantBytes(cast<ElementsAttr>(constant.getValue()))))
        return constant.emitOpError() << "expected a constant whose data is at hand to calibrate";
      continue;
    }
    auto apply = value.getDefiningOp<ApplyOp>();
    if (!apply || masked.contains(value))
      continue;
    Attribute weightAttr = getConstantAttr(apply.getWeight()), maskAttr = getConstantAttr(apply.getMask());
    if (!weightAttr || !apply.getWeight().getType().getElementType().isF32() ||
        (!maskAttr && !apply.getMask().getDefiningOp<MaskOp>()))
      return apply.emitOpError() << "expected a constant weight of f32 and a constant mask to calibrate";
    FailureOr<WeightData> data = WeightData::read(weightAttr, [&] { return apply.emitOpError(); });
    if (failed(data))
      return failure();
    std::vector<float> values(data->values());
    if (maskAttr) {
      FailureOr<MaskData> mask = MaskData::read(maskAttr, [&] { return apply.emitOpError(); });
      if (failed(mask))
        return failure();
      for (auto [value, keeps] : llvm::zip_equal(values, mask->bytes()))
        value = keeps ? value : 0.0f;
    }
    setMasked(apply, values);
  }
  return success();
}

void MaskCalibrator::setMasked(ApplyOp apply, ArrayRef<float> values) {
  HostTensor tensor(ElementKind::Float32, apply.getWeight().getType().getShape());
  llvm::copy(values, reinterpret_cast<float *>(tensor.data.data()));
  masked[apply.getResult()] = std::move(tensor);
}

LogicalResult MaskCalibrator::runStage(const Stage &stage) {
  FailureOr<InputStatistic> statistic = observe(stage);
  if (failed(statistic))
    return failure();
  SmallVector<LayerDecision *> members;
  for (unsigned index : stage.weights)
    members.push_back(&decisions[index]);
  if (failed(decideLayers(members, *statistic, options.damping, pool)))
    return failure();
  for (LayerDecision *decision : members)
    for (Operation *user : decision->mask->getUsers())
      setMasked(cast<ApplyOp>(user), decision->values);
  return success();
}

/// Frees what no later stage reads.
void MaskCalibrator::release(ArrayRef<Stage> later) {
  SmallVector<Value> done;
  for (auto &[value, tensors] : kept)
    if (llvm::none_of(later, [&, value = value](const Stage &stage) { return llvm::is_contained(stage.reads, value); }))
      done.push_back(value);
  for (Value value : done)
    kept.erase(value);
}

LogicalResult MaskCalibrator::write() {
  MaskWriter writer(module);
  for (LayerDecision &decision : decisions) {
    if (decision.mask.getCriterion().updatesWeights()) {
      auto bytes = ArrayRef(reinterpret_cast<const char *>(decision.values.data()),
                            decision.values.size() * sizeof(float));
      setConstantBytes(prune::getConstant(decision.mask.getWeight()), bytes);
      ++result.updated;
    }
    if (failed(writer.replace(decision.mask, decision.bytes)))
      return failure();
    ++result.masks;
  }
  return success();
}

FailureOr<CalibrateMasksResult> MaskCalibrator::run() {
  if (failed(readOptions()) || failed(collectMasks()))
    return failure();
  if (masks.empty()) {
    remark::analysis(module.getLoc(), remark::RemarkOpts::name("Nothing").category("calibrate"))
        << remark::add("no mask waits for activations");
    return result;
  }
  if (options.data.empty())
    return fail() << "data: expected an .npz file with examples, which criterion " << spell(masks.front().getCriterion())
                  << " needs, got none";
  FailureOr<SmallVector<ObservedWeight>> found = findInputs(entry, masks);
  if (failed(found))
    return failure();
  weights = std::move(*found);
  if (!options.padding.empty()) {
    for (; paddingIndex < entry.getNumArguments(); ++paddingIndex)
      if (getInputName(entry, paddingIndex) == options.padding)
        break;
    if (paddingIndex == entry.getNumArguments())
      return fail() << "padding: expected an input of '" << options.entry << "', got '" << options.padding << "'";
    padding = entry.getArgument(paddingIndex);
    if (Type type = getElementTypeOrSelf(padding.getType()); !type.isSignlessInteger() && !type.isF32())
      return fail() << "padding: expected an input of integers or f32, got '" << options.padding << "' of " << type;
  }
  llvm::Expected<Examples> read = Examples::read(options.data, entry);
  if (!read)
    return fail() << "data: " << llvm::toString(read.takeError());
  examples = std::move(*read);
  if (failed(readWeights()))
    return failure();
  FailureOr<std::vector<Stage>> stages = planStages(entry, weights, padding);
  if (failed(stages))
    return failure();
  for (const Stage &stage : *stages)
    if (failed(prepare(stage)))
      return failure();

  Progress progress;
  for (auto [index, stage] : llvm::enumerate(*stages)) {
    progress.start(llvm::formatv("calibrating: input {0} of {1}, '{2}'", index + 1, stages->size(),
                                 decisions[stage.weights.front()].name)
                       .str());
    if (failed(runStage(stage)))
      return failure();
    release(ArrayRef(*stages).drop_front(index + 1));
  }
  progress.finish();
  result.stages = stages->size();
  if (failed(write()))
    return failure();
  remark::analysis(module.getLoc(), remark::RemarkOpts::name("Calibrated").category("calibrate"))
      << remark::add("{0} masks decided by {1} inputs on {2} examples; {3} parts of '{4}' compiled", result.masks,
                     result.stages, examples->getNumExamples(), result.compiled, options.entry);
  return result;
}

FailureOr<CalibrateMasksResult> mlir::prune::calibrateMasks(ModuleOp module, const PruneCalibrateMasksOptions &options) {
  return MaskCalibrator(module, options).run();
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
