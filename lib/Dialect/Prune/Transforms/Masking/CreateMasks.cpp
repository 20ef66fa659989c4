//===- CreateMasks.cpp - Put undecided masks on weights -----------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Remarks.h"
#include "mlir/IR/TypeUtilities.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/Transforms/Masking/LayerSplit.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Masking/Recipe.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Support/Constants.h"
#include "prune/Support/RegexOption.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Regex.h"
#include <cmath>
#include <map>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Several uses of one constant that get one mask.
struct MaskedWeight {
  std::string name;
  Operation *op = nullptr;
  SmallVector<OpOperand *> uses;
  MaskSettings settings;
};

class MaskCreator {
public:
  MaskCreator(ModuleOp module, const PruneCreateMasksOptions &options)
      : module(module), context(module.getContext()), options(options) {}

  FailureOr<CreateMasksResult> run();

private:
  /// Errors about options are about no place in the module; printing the module with them would bury them.
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }
  void skip(Operation *op, StringRef name, const Twine &reason);

  LogicalResult readOptions();
  LogicalResult collect();
  LogicalResult checkThatAllMatched();
  LogicalResult checkLayerSplit(const MaskedWeight &weight);
  LogicalResult splitByShapes();
  LogicalResult create(arith::ConstantOp constant, const MaskedWeight &weight);

  ModuleOp module;
  MLIRContext *context;
  const PruneCreateMasksOptions &options;
  CreateMasksResult result;

  MaskSettings defaults;
  std::shared_ptr<llvm::Regex> include, exclude;
  std::vector<RecipeEntry> entries;
  std::vector<llvm::Regex> entryRegexes;
  SmallVector<int64_t> entryMatches;
  int64_t prunable = 0, included = 0;
  llvm::MapVector<Operation *, MaskedWeight> weights;
  llvm::StringMap<unsigned> nameCounts;
};

} // namespace

void MaskCreator::skip(Operation *op, StringRef name, const Twine &reason) {
  ++result.skippedLayers;
  remark::missed(op->getLoc(), remark::RemarkOpts::name("NoMask").category("masks"))
      << remark::add("'{0}' skipped because {1}", name.str(), reason.str());
}

LogicalResult MaskCreator::readOptions() {
  std::string error;
  MaskSettings given;
  given.criterion = parseCriterion(options.criterion, context, error);
  if (!given.criterion)
    return fail() << error;
  given.pattern = parsePattern(options.pattern, context, error);
  if (!given.pattern)
    return fail() << error;
  // NaN says "not given", and is what the value of an option that is NaN looks like too.
  if (!std::isnan(options.sparsity)) {
    if (!(options.sparsity >= 0 && options.sparsity <= 1))
      return fail() << "sparsity: expected a value in [0, 1], got " << formatNumber(options.sparsity);
    given.sparsity = options.sparsity;
  }
  if (!std::isnan(options.threshold)) {
    if (given.sparsity)
      return fail() << "sparsity and threshold exclude each other, got " << formatNumber(options.sparsity) << " and "
                    << formatNumber(options.threshold);
    if (options.threshold < 0)
      return fail() << "threshold: expected a value of 0 or more, got " << formatNumber(options.threshold);
    given.threshold = options.threshold;
  }
  if (options.minKeep < -1)
    return fail() << "min-keep: expected a value of 0 or more, got " << options.minKeep;
  if (options.minKeep >= 0)
    given.minKeep = options.minKeep;
  if (!options.scope.empty()) {
    if (options.scope != "layer" && options.scope != "global")
      return fail() << "scope: expected layer or global, got '" << options.scope << "'";
    given.scope = options.scope == "global" ? MaskScope::Global : MaskScope::Layer;
  }
  given.layerSplit = symbolizeLayerSplit(options.layerSplit);
  if (!given.layerSplit)
    return fail() << "layer-split: expected uniform, erk, l2 or lamp, got '" << options.layerSplit << "'";

  auto emit = [&] { return fail(); };
  LogicalResult readsInclude = readRegex("include", options.include, include, emit);
  if (failed(readRegex("exclude", options.exclude, exclude, emit)) || failed(readsInclude))
    return failure();

  if (!options.recipe.empty()) {
    FailureOr<Recipe> recipe = Recipe::read(options.recipe, context, [&] { return fail(); });
    if (failed(recipe))
      return failure();
    defaults = recipe->defaults;
    entries = std::move(recipe->entries);
    for (const RecipeEntry &entry : entries)
      entryRegexes.emplace_back(entry.match);
    entryMatches.assign(entries.size(), 0);
  }
  defaults.inherit(given);
  return success();
}

LogicalResult MaskCreator::collect() {
  for (PrunableLayer &layer : findPrunableLayers(module)) {
    if (!layer.isPrunable()) {
      skip(layer.op, layer.name, layer.reason);
      continue;
    }
    ++prunable;
    if (include && !include->match(layer.name)) {
      skip(layer.op, layer.name, "include does not match it");
      continue;
    }
    ++included;
    if (exclude && exclude->match(layer.name)) {
      skip(layer.op, layer.name, "exclude matches it");
      continue;
    }
    MaskSettings settings;
    bool found = false;
    for (auto [index, regex] : llvm::enumerate(entryRegexes)) {
      if (!regex.match(layer.name))
        continue;
      ++entryMatches[index];
      if (!found)
        settings = entries[index].settings;
      found = true;
    }
    settings.inherit(defaults);
    if (settings.skip) {
      skip(layer.op, layer.name, "the recipe says so");
      continue;
    }
    ArrayRef<int64_t> shape = layer.getShape();
    if (!isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(
            getElementTypeOrSelf(layer.weight->get().getType()))) {
      skip(layer.op, layer.name, "its elements are not f16, bf16, f32 or f64");
      continue;
    }
    std::string why;
    {
      ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) { why = diagnostic.str(); });
      if (succeeded(settings.pattern.verifyShape([&] { return fail(); }, shape)))
        why.clear();
    }
    if (!why.empty()) {
      skip(layer.op, layer.name, why);
      continue;
    }
    MaskedWeight &weight = weights[layer.getConstant()];
    weight.op = layer.op;
    // Names tie masks to records: different constants of one name are told apart.
    if (weight.name.empty()) {
      unsigned count = ++nameCounts[layer.name];
      weight.name = count > 1 ? layer.name + "#" + std::to_string(count) : layer.name;
    }
    weight.settings = settings;
    weight.uses.push_back(layer.weight);
  }
  return success();
}

LogicalResult MaskCreator::checkThatAllMatched() {
  if (include && !included)
    return fail() << "include: '" << options.include << "' matches none of " << prunable << " prunable weights";
  for (auto [entry, matches] : llvm::zip_equal(entries, entryMatches))
    if (!matches)
      return fail() << entry.place << ": key 'match': '" << entry.match << "' matches none of "
                    << (include ? included : prunable) << " prunable weights";
  if (!prunable)
    emitWarning(module.getLoc()) << "nothing is pruned: the module has no prunable weight (see prune-identify)";
  return success();
}

/// The target of a weight: as given, or one half unless a threshold or the pattern says how much goes.
static std::optional<double> getTarget(const MaskSettings &settings, ArrayRef<int64_t> shape) {
  if (!settings.sparsity && !settings.threshold && settings.pattern.getNumGroups(shape) == 0)
    return 0.5;
  return settings.sparsity;
}

static ArrayRef<int64_t> getShape(Operation *constant) {
  return cast<ShapedType>(constant->getResult(0).getType()).getShape();
}

LogicalResult MaskCreator::checkLayerSplit(const MaskedWeight &weight) {
  const MaskSettings &settings = weight.settings;
  StringRef split = stringifyLayerSplit(*settings.layerSplit);
  if (!settings.sparsity)
    return fail() << "layer-split: " << split << " splits a sparsity, but '" << weight.name << "' has "
                  << (settings.threshold ? "threshold " + formatNumber(*settings.threshold) : std::string("none"));
  MaskScope wanted = *settings.layerSplit == LayerSplit::ERK ? MaskScope::Layer : MaskScope::Global;
  if (settings.scope && *settings.scope != wanted)
    return fail() << "layer-split: " << split << " expects scope " << (wanted == MaskScope::Layer ? "layer" : "global")
                  << ", got " << (wanted == MaskScope::Layer ? "global" : "layer") << " for '" << weight.name << "'";
  return success();
}

LogicalResult MaskCreator::splitByShapes() {
  // Weights of one group and one sparsity share a budget.
  std::map<std::pair<StringRef, double>, SmallVector<std::pair<Operation *, MaskedWeight *>>> budgets;
  for (auto &[constant, weight] : weights) {
    if (weight.settings.layerSplit == LayerSplit::Uniform)
      continue;
    weight.settings.sparsity = getTarget(weight.settings, getShape(constant));
    if (failed(checkLayerSplit(weight)))
      return failure();
    if (weight.settings.layerSplit == LayerSplit::ERK)
      budgets[{weight.settings.group, *weight.settings.sparsity}].push_back({constant, &weight});
  }
  for (auto &[key, members] : budgets) {
    SmallVector<SplitLayer> layers;
    for (auto [constant, weight] : members) {
      ArrayRef<int64_t> shape = getShape(constant);
      PatternAttrInterface pattern = weight->settings.pattern;
      layers.push_back({shape, countUnits(pattern, shape), pattern.getNumImposed(shape)});
    }
    std::optional<SmallVector<double>> sparsities = splitByERK(layers, key.second);
    if (!sparsities)
      return fail() << "layer-split: erk cannot reach sparsity " << formatNumber(key.second) << " in the "
                    << members.size() << " weights of '" << members.front().second->name
                    << "': their patterns impose more";
    for (auto [member, sparsity] : llvm::zip_equal(members, *sparsities))
      member.second->settings.sparsity = sparsity;
  }
  return success();
}

LogicalResult MaskCreator::create(arith::ConstantOp constant, const MaskedWeight &weight) {
  const MaskSettings &settings = weight.settings;
  PatternAttrInterface pattern = settings.pattern;
  ArrayRef<int64_t> shape = cast<ShapedType>(constant.getType()).getShape();
  int64_t numUnits = countUnits(pattern, shape), imposed = pattern.getNumImposed(shape);
  std::optional<double> sparsity = getTarget(settings, shape);
  if (sparsity && countPruned(*sparsity, numUnits) < imposed)
    return fail() << "sparsity: " << formatNumber(*sparsity) << " prunes " << countPruned(*sparsity, numUnits) << " of "
                  << numUnits << " units of '" << weight.name << "', but pattern " << spell(pattern) << " imposes "
                  << imposed;
  if (settings.threshold &&
      failed(settings.criterion.getScoreThreshold([&] { return fail() << "threshold: "; }, *settings.threshold)))
    return failure();
  if (settings.minKeep && *settings.minKeep > numUnits)
    return fail() << "min-keep: '" << weight.name << "' has " << numUnits << " units, fewer than " << *settings.minKeep;

  OpBuilder builder(context);
  builder.setInsertionPointAfter(constant);
  // The name of the weight goes with the ops, as locations and orders of ops do not last.
  StringAttr name = builder.getStringAttr(weight.name);
  StringAttr group;
  NormalizationAttr normalization;
  if (settings.layerSplit == LayerSplit::L2 || settings.layerSplit == LayerSplit::LAMP)
    normalization = NormalizationAttr::get(context, settings.layerSplit == LayerSplit::L2 ? Normalization::L2
                                                                                          : Normalization::LAMP);
  if (settings.scope == MaskScope::Global || normalization)
    group = builder.getStringAttr(settings.group.empty() ? "global" : settings.group);
  auto mask = MaskOp::create(
      builder, constant.getLoc(), cast<RankedTensorType>(constant.getType()).clone(builder.getI1Type()), constant,
      settings.criterion, pattern, sparsity ? builder.getF64FloatAttr(*sparsity) : FloatAttr(),
      settings.threshold ? builder.getF64FloatAttr(*settings.threshold) : FloatAttr(),
      settings.minKeep ? builder.getI64IntegerAttr(*settings.minKeep) : IntegerAttr(), group, normalization, name);
  auto apply = ApplyOp::create(builder, constant.getLoc(), constant.getType(), constant, mask, pattern, name,
                               mask.getEffectiveMinKeep() == 0 ? builder.getUnitAttr() : UnitAttr());
  for (OpOperand *use : weight.uses) {
    auto old = use->get().getDefiningOp<ApplyOp>();
    use->set(apply);
    if (!old || !old->use_empty())
      continue;
    Operation *oldMask = old.getMask().getDefiningOp();
    old->erase();
    if (oldMask && isPure(oldMask) && oldMask->use_empty())
      oldMask->erase();
  }
  ++result.masks;
  return success();
}

FailureOr<CreateMasksResult> MaskCreator::run() {
  if (failed(readOptions()) || failed(collect()) || failed(checkThatAllMatched()) || failed(splitByShapes()))
    return failure();
  for (auto &[constant, weight] : weights)
    if (failed(create(cast<arith::ConstantOp>(constant), weight)))
      return failure();
  remark::analysis(module.getLoc(), remark::RemarkOpts::name("Masks").category("masks"))
      << remark::add("{0} masks created, {1} layers skipped", result.masks, result.skippedLayers);
  return result;
}

FailureOr<CreateMasksResult> mlir::prune::createMasks(ModuleOp module, const PruneCreateMasksOptions &options) {
  return MaskCreator(module, options).run();
}
