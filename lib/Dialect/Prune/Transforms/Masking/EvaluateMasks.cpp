//===- EvaluateMasks.cpp - Decide the masks of constant weights ---------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Dialect/Prune/Transforms/Scoring/FisherBlocks.h"
#include "prune/Dialect/Prune/Transforms/Scoring/GradientFile.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Scores are computed in pieces of this size.
constexpr int64_t kScoreChunk = 1 << 16;

class MaskEvaluator {
public:
  MaskEvaluator(ModuleOp module, const PruneEvaluateMasksOptions &options)
      : module(module), options(options), pool(options.threads), writer(module) {}

  FailureOr<EvaluateMasksResult> run();

private:
  /// Why this mask cannot be decided now; empty if it can.
  std::string whyUndecided(MaskOp mask);
  void leave(MaskOp mask, const Twine &reason);
  LogicalResult evaluate(ArrayRef<MaskOp> masks);
  LogicalResult readFisherBlocks(MaskOp mask, FisherProblem &problem);
  FailureOr<std::vector<float>> findMultipliers(MaskOp mask, FisherProblem &problem);
  LogicalResult update(MaskOp mask, const FisherProblem &problem, ArrayRef<uint8_t> bytes);

  ModuleOp module;
  const PruneEvaluateMasksOptions &options;
  std::optional<GradientFile> gradients;
  WorkerPool pool;
  MaskWriter writer;
  EvaluateMasksResult result;
};

} // namespace

StringRef mlir::prune::getWeightName(MaskOp mask) {
  if (mask.getName())
    return *mask.getName();
  if (arith::ConstantOp constant = prune::getConstant(mask.getWeight()))
    return getConstantName(constant);
  return {};
}

SmallVector<SmallVector<MaskOp>> mlir::prune::collectMaskGroups(Operation *root) {
  SmallVector<SmallVector<MaskOp>> groups;
  llvm::StringMap<size_t> places;
  root->walk([&](MaskOp mask) {
    if (mask.getGroup()) {
      auto [place, isNew] = places.try_emplace(*mask.getGroup(), groups.size());
      if (!isNew)
        return groups[place->second].push_back(mask);
    }
    groups.push_back({mask});
  });
  return groups;
}

LogicalResult mlir::prune::checkMaskGroup(ArrayRef<MaskOp> masks) {
  MaskOp first = masks.front();
  for (MaskOp mask : masks.drop_front()) {
    if (mask.getCriterion() == first.getCriterion() && mask.getPattern() == first.getPattern() &&
        mask.getTargetSparsityAttr() == first.getTargetSparsityAttr() &&
        mask.getThresholdAttr() == first.getThresholdAttr() && mask.getNormalization() == first.getNormalization())
      continue;
    InFlightDiagnostic error = emitError(mask.getLoc())
                               << "masks of group '" << *mask.getGroup()
                               << "' must agree in criterion, pattern, target and normalization: '"
                               << getWeightName(mask) << "' differs from '" << getWeightName(first) << "'";
    error.attachNote(first.getLoc()) << "'" << getWeightName(first) << "' is here";
    return error;
  }
  return success();
}

std::string MaskEvaluator::whyUndecided(MaskOp mask) {
  if (!getConstantAttr(mask.getWeight()))
    return "its weight is not a constant";
  if (isElidedResource(getConstantAttr(mask.getWeight())))
    return "the data of its weight is elided";
  uint32_t needs = mask.getCriterion().getRequiredInputs() & ~uint32_t(NeedsWeight);
  if (!needs)
    return {};
  std::string criterion = "criterion " + spell(mask.getCriterion());
  if (mask.getCriterion().keepsScores())
    return criterion + " adds scores up in training";
  if (needs & ~(kNeedsGradients | NeedsFisherBlocks))
    return criterion + " needs more than the weight";
  return gradients ? "" : criterion + " needs gradients=FILE";
}

void MaskEvaluator::leave(MaskOp mask, const Twine &reason) {
  ++result.undecided;
  remark::missed(mask.getLoc(), remark::RemarkOpts::name("UndecidedMask").category("masks"))
      << remark::add("mask of '{0}' left undecided because {1}", getWeightName(mask).str(), reason.str());
}

FailureOr<WeightData> mlir::prune::readWeight(MaskOp mask, WorkerPool &pool) {
  auto emit = [&] { return emitError(mask.getLoc()) << "weight '" << getWeightName(mask) << "': "; };
  FailureOr<WeightData> weight = WeightData::read(getConstantAttr(mask.getWeight()), emit);
  if (failed(weight))
    return failure();
  if (int64_t place = findNaN(weight->values(), pool); place >= 0)
    return emitError(mask.getLoc()) << "weight '" << getWeightName(mask) << "' holds NaN at index "
                                    << formatIndex(weight->shape(), place);
  return weight;
}

LogicalResult mlir::prune::checkSoleMask(MaskOp mask, ModuleOp module) {
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
  if (!other)
    return success();
  return emitError(mask.getLoc()) << "mask of '" << getWeightName(mask) << "' by " << spell(mask.getCriterion())
                                  << " changes the weight, which " << other->getName() << " uses without that mask";
}

SelectionOptions mlir::prune::getSelectionOptions(MaskOp mask) {
  SelectionOptions options;
  options.pattern = mask.getPattern();
  options.order = mask.getCriterion().getScoreOrder();
  options.reduction = mask.getCriterion().getReduction();
  if (mask.getTargetSparsity())
    options.sparsity = mask.getTargetSparsity()->convertToDouble();
  if (mask.getThreshold())
    options.threshold = mask.getThreshold()->convertToDouble();
  options.normalization = mask.getNormalization();
  options.withinRows = mask.getCriterion().ranksWithinRows();
  return options;
}

LogicalResult MaskEvaluator::readFisherBlocks(MaskOp mask, FisherProblem &problem) {
  llvm::Expected<FisherBlocks> blocks =
      gradients->getFisherBlocks(getWeightName(mask), mask.getWeight().getType(), pool);
  if (!blocks)
    return emitError(mask.getLoc()) << "gradients: " << llvm::toString(blocks.takeError());
  problem.blocks = std::move(*blocks);
  return success();
}

/// Finds the Fisher blocks of the weight of `mask` and, by them, the multipliers of its elements.
FailureOr<std::vector<float>> MaskEvaluator::findMultipliers(MaskOp mask, FisherProblem &problem) {
  auto refuse = [&](const Twine &why) {
    return emitError(mask.getLoc()) << "mask of '" << getWeightName(mask) << "' by " << spell(mask.getCriterion())
                                    << ": " << why;
  };
  RankedTensorType type = mask.getWeight().getType();
  if (!type.getElementType().isF32())
    return refuse("expected a weight of f32, got ") << type;
  if (failed(checkSoleMask(mask, module)) || failed(readFisherBlocks(mask, problem)))
    return failure();
  problem.damping = mask.getCriterion().getFisherDamping();
  if (llvm::Error error = findUnits(problem, mask.getPattern(), type.getShape()))
    return refuse(llvm::toString(std::move(error)));
  llvm::Expected<std::vector<float>> multipliers = computeMultipliers(problem, pool);
  if (!multipliers)
    return refuse(llvm::toString(multipliers.takeError()));
  return std::move(*multipliers);
}

/// Gives what `bytes` keeps of the weight new values.
LogicalResult MaskEvaluator::update(MaskOp mask, const FisherProblem &problem, ArrayRef<uint8_t> bytes) {
  std::vector<float> updated(bytes.size());
  FisherLoss loss = updateByFisher(problem, bytes, options.refit, updated, pool);
  if (auto wrong = llvm::find_if_not(updated, [](float value) { return std::isfinite(value); }); wrong != updated.end())
    return emitError(mask.getLoc()) << "weight '" << getWeightName(mask) << "' becomes " << formatNumber(*wrong)
                                    << " at index "
                                    << formatIndex(mask.getWeight().getType().getShape(), wrong - updated.begin())
                                    << " when it makes up for what is pruned";
  setConstantBytes(prune::getConstant(mask.getWeight()),
                   ArrayRef(reinterpret_cast<const char *>(updated.data()), updated.size() * sizeof(float)));
  ++result.updated;
  remark::passed(mask.getLoc(), remark::RemarkOpts::name("Updated").category("masks"))
      << remark::add("'{0}' makes up for what is pruned in {1} Fisher blocks of {2}: loss up by {3} by the mask alone, "
                     "{4} with the update",
                     getWeightName(mask).str(), problem.blocks.getNumBlocks(), problem.blocks.spell(),
                     formatNumber(loss.byMask), formatNumber(loss.updated));
  return success();
}

LogicalResult MaskEvaluator::evaluate(ArrayRef<MaskOp> masks) {
  if (failed(checkMaskGroup(masks)))
    return failure();
  MaskOp first = masks.front();
  CriterionAttrInterface criterion = first.getCriterion();

  // Vectors of unknown length first: tensors point into them.
  std::vector<WeightData> weights;
  std::vector<std::vector<float>> scores(masks.size());
  std::vector<std::vector<uint8_t>> bytes(masks.size());
  std::vector<FisherProblem> problems(masks.size());
  bool needsFisherBlocks = criterion.getRequiredInputs() & NeedsFisherBlocks;
  // Blocks are much larger than weights: of weights that are ranked together those of one are in memory at a time.
  bool readsBlocksAgain = needsFisherBlocks && masks.size() > 1;
  weights.reserve(masks.size());
  SmallVector<SelectionTensor> tensors;
  for (auto [index, op] : llvm::enumerate(masks)) {
    MaskOp mask = op;
    FailureOr<WeightData> weight = readWeight(mask, pool);
    if (failed(weight))
      return failure();
    weights.push_back(std::move(*weight));
    ArrayRef<int64_t> shape = weights.back().shape();
    ArrayRef<float> values = weights.back().values();
    if (!criterion.isWeightItself()) {
      ScoreInputs inputs;
      inputs.name = getWeightName(mask);
      inputs.shape = shape;
      inputs.weight = values;
      if (uint32_t needs = criterion.getRequiredInputs() & kNeedsGradients)
        if (llvm::Error error = gradients->provide(inputs, needs, inputs.name, mask.getWeight().getType(), pool))
          return emitError(mask.getLoc()) << "gradients: " << llvm::toString(std::move(error));
      FailureOr<std::vector<float>> multipliers;
      if (needsFisherBlocks) {
        problems[index].weight = values;
        multipliers = findMultipliers(mask, problems[index]);
        if (failed(multipliers))
          return failure();
        inputs.multipliers = *multipliers;
        if (readsBlocksAgain)
          problems[index].blocks = FisherBlocks();
      }
      scores[index].resize(values.size());
      pool.forEachChunk(values.size(), kScoreChunk, [&, index = index](int64_t begin, int64_t end) {
        criterion.scoreElements(inputs, begin, end, scores[index].data() + begin);
      });
      values = scores[index];
      if (int64_t place = findNaN(values, pool); place >= 0)
        return emitError(mask.getLoc()) << "criterion " << spell(criterion) << " scores weight '" << getWeightName(mask)
                                        << "' NaN at index " << formatIndex(shape, place);
    }
    bytes[index].resize(values.size());
    tensors.push_back({shape, values, mask.getEffectiveMinKeep(), bytes[index]});
  }
  selectMasks(tensors, getSelectionOptions(first), pool);
  for (auto [mask, kept, problem] : llvm::zip_equal(masks, bytes, problems)) {
    if (readsBlocksAgain && failed(readFisherBlocks(mask, problem)))
      return failure();
    if (needsFisherBlocks && failed(update(mask, problem, kept)))
      return failure();
    problem.blocks = FisherBlocks();
    result.weights += kept.size();
    result.pruned += llvm::count(kept, 0);
    ++result.masks;
    if (failed(writer.replace(mask, kept)))
      return failure();
    kept = {};
  }
  return success();
}

void mlir::prune::recordMask(ModuleOp module, Location loc, StringRef weight, PatternAttrInterface pattern,
                             ArrayRef<int64_t> shape, ArrayRef<uint8_t> mask) {
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  RecordOp::create(builder, loc, builder.getStringAttr(weight), pattern,
                   builder.getI64IntegerAttr(llvm::count(mask, 1)), builder.getI64IntegerAttr(mask.size()),
                   builder.getStringAttr(digestMask(shape, mask)), StringAttr(), StringAttr());
}

MaskWriter::MaskWriter(ModuleOp module) : module(module) {
  for (RecordOp old : module.getOps<RecordOp>())
    oldRecords[old.getWeight()].push_back(old);
}

LogicalResult MaskWriter::replace(MaskOp mask, ArrayRef<uint8_t> bytes) {
  std::string name = getWeightName(mask).str();
  ArrayRef<int64_t> shape = mask.getMask().getType().getShape();
  int64_t kept = llvm::count(bytes, 1);
  // A weight is recorded once, also if several applications share the mask.
  llvm::SetVector<StringRef> names;
  for (Operation *user : mask->getUsers()) {
    auto apply = dyn_cast<ApplyOp>(user);
    if (!apply)
      continue;
    if (!kept && !apply.getAllowEmpty())
      return emitError(apply.getLoc()) << "mask of '" << name << "' keeps none of " << bytes.size()
                                       << " weights, and allow_empty is not set";
    if (!apply.getName() && !name.empty())
      apply.setName(name);
    if (apply.getName())
      names.insert(*apply.getName());
    else
      remark::analysis(apply.getLoc(), remark::RemarkOpts::name("Unrecorded").category("masks"))
          << remark::add("mask is not recorded because its weight has no name");
  }
  for (StringRef weight : names) {
    for (RecordOp old : oldRecords.lookup(weight))
      old->erase();
    oldRecords.erase(weight);
    recordMask(module, mask.getLoc(), weight, mask.getPattern(), shape, bytes);
  }

  OpBuilder builder(mask);
  ElementsAttr attr = makeMaskAttr(mask.getMask().getType(), bytes, (name.empty() ? "weight" : name) + ".mask");
  auto constant = arith::ConstantOp::create(builder, mask.getLoc(), attr);
  remark::passed(mask.getLoc(), remark::RemarkOpts::name("Mask").category("masks"))
      << remark::add("'{0}' keeps {1} of {2} weights as {3} by {4}", name, kept, static_cast<int64_t>(bytes.size()),
                     spell(mask.getPattern()), spell(mask.getCriterion()));
  mask.replaceAllUsesWith(constant.getResult());
  mask->erase();
  return success();
}

FailureOr<EvaluateMasksResult> MaskEvaluator::run() {
  if (!options.gradients.empty()) {
    llvm::Expected<GradientFile> file = GradientFile::read(options.gradients);
    if (!file)
      return emitError(module.getLoc()) << "gradients: " << llvm::toString(file.takeError());
    gradients = std::move(*file);
  }
  for (ArrayRef<MaskOp> masks : collectMaskGroups(module)) {
    MaskOp blocked;
    std::string reason;
    for (MaskOp mask : masks)
      if (std::string why = whyUndecided(mask); !why.empty() && !blocked) {
        blocked = mask;
        reason = why;
      }
    if (blocked) {
      for (MaskOp mask : masks)
        leave(mask, mask == blocked ? reason
                                    : "it shares a group with '" + getWeightName(blocked).str() + "', and " + reason);
      continue;
    }
    if (failed(evaluate(masks)))
      return failure();
  }
  remark::analysis(module.getLoc(), remark::RemarkOpts::name("Masks").category("masks"))
      << remark::add("{0} masks decided, {1} of {2} weights pruned, {3} masks left undecided", result.masks,
                     result.pruned, result.weights, result.undecided);
  return result;
}

FailureOr<EvaluateMasksResult> mlir::prune::evaluateMasks(ModuleOp module, const PruneEvaluateMasksOptions &options) {
  return MaskEvaluator(module, options).run();
}
