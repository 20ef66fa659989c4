//===- PermuteChannels.cpp - Channels in an order that suits n:m --------------===//
//
// The units of a group (prune/Analysis/DimCoupling.h) change places in all dimensions that have them: rows of the
// weights that make the channels, biases, norms, columns of the weights that read them. No op changes, only constants
// do.
//
//===----------------------------------------------------------------------===//

#include "prune/Dialect/Prune/Transforms/Structured/PermuteChannels.h"
#include "GroupFilter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Remarks.h"
#include "prune/Analysis/DimCoupling.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Dialect/Prune/Transforms/Structured/ChannelSearch.h"
#include "prune/Dialect/Prune/Transforms/Structured/Shrink.h"
#include "prune/Support/Parallel.h"
#include "prune/Support/Progress.h"
#include "prune/Support/RegexOption.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <map>
#include <numeric>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEPERMUTECHANNELS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

static constexpr llvm::StringLiteral kCategory = "prune-permute-channels";

//===----------------------------------------------------------------------===//
// Orders of indices
//===----------------------------------------------------------------------===//

/// For each index of a dimension with these units: the index whose place it takes if `unitAt` says which unit comes to
/// the place of each. The k-th index of a unit takes the place of the k-th of the other.
static SmallVector<int64_t> orderIndices(ArrayRef<int32_t> units, llvm::function_ref<int32_t(int32_t)> unitAt) {
  llvm::DenseMap<int32_t, SmallVector<int64_t, 1>> indicesOf;
  SmallVector<size_t> rank;
  for (auto [index, unit] : llvm::enumerate(units)) {
    rank.push_back(indicesOf[unit].size());
    indicesOf[unit].push_back(index);
  }
  SmallVector<int64_t> order;
  for (auto [index, unit] : llvm::enumerate(units))
    order.push_back(unit < 0 ? static_cast<int64_t>(index) : indicesOf[unitAt(unit)][rank[index]]);
  return order;
}

namespace {

/// Finds groups whose units cannot change places because a tie would not hold: each unit takes the place of the one
/// before it, which all orders are made of.
class TieChecker : public DimRelations {
public:
  TieChecker(const DimCoupling &coupling, FactorChoice choice) : coupling(coupling), choice(choice) {}

  void check(ModuleOp module) {
    module.walk([&](DimCouplingOpInterface op) {
      current = op;
      op.collectDimRelations(*this);
    });
  }

  /// The op that makes such a tie, by group.
  llvm::DenseMap<unsigned, Operation *> broken;

private:
  // Dimensions of one axis are ordered alike.
  void tie(DimRef, DimRef) override {}
  void freeze(DimRef, const Twine &, bool) override {}
  void reduce(OpOperand &, int64_t) override {}

  void tieRange(DimRef part, DimRef whole, int64_t offset) override {
    for (int64_t i = 0, size = part.getSize(); i < size; ++i)
      if (getSource(whole, offset + i) != offset + getSource(part, i))
        refuse({{whole, offset + i}, {part, i}});
  }

  void tieProduct(DimRef flat, ArrayRef<DimRef> factors) override {
    for (int64_t i = 0, size = flat.getSize(); i < size; ++i) {
      int64_t rest = i, stride = 1, source = 0;
      SmallVector<std::pair<DimRef, int64_t>> indices = {{flat, i}};
      for (DimRef factor : llvm::reverse(factors)) {
        int64_t index = rest % factor.getSize();
        source += getSource(factor, index) * stride;
        indices.push_back({factor, index});
        rest /= factor.getSize();
        stride *= factor.getSize();
      }
      if (getSource(flat, i) != source)
        refuse(indices);
    }
  }

  int64_t getSource(DimRef dim, int64_t index) {
    ArrayRef<int32_t> units = coupling.getUnits(dim, choice);
    if (units.empty())
      return index;
    // Dimensions of one axis share the list of their units.
    auto [place, isNew] = orders.try_emplace(units.data());
    if (isNew)
      place->second = orderIndices(units, [&](int32_t unit) {
        ArrayRef<int32_t> all = coupling.getGroups()[coupling.getGroupOfUnit()[unit]].units;
        return unit == all.back() ? all.front() : unit + 1;
      });
    return place->second[index];
  }

  void refuse(ArrayRef<std::pair<DimRef, int64_t>> indices) {
    for (auto [dim, index] : indices)
      if (ArrayRef<int32_t> units = coupling.getUnits(dim, choice); !units.empty() && units[index] >= 0)
        broken.try_emplace(coupling.getGroupOfUnit()[units[index]], current);
  }

  const DimCoupling &coupling;
  FactorChoice choice;
  Operation *current = nullptr;
  llvm::DenseMap<const int32_t *, SmallVector<int64_t>> orders;
};

/// The new order of the constants' dimensions.
class ConstantOrder : public ShrunkDims {
public:
  ConstantOrder(ModuleOp module, const DimCoupling &coupling, ArrayRef<FactorChoice> choices,
                llvm::function_ref<int32_t(int32_t)> unitAt) {
    module.walk([&](arith::ConstantOp constant) {
      auto type = dyn_cast<RankedTensorType>(constant.getType());
      for (int64_t dim = 0; type && dim < type.getRank(); ++dim) {
        DimRef ref{constant, dim};
        SmallVector<int64_t> order = orderIndices(coupling.getUnits(ref, choices[coupling.getComponent(ref)]), unitAt);
        if (!llvm::equal(order, llvm::seq<int64_t>(order.size())))
          orders[{constant.getOperation(), dim}] = std::move(order);
      }
    });
  }

  std::optional<ArrayRef<int64_t>> getKept(Value value, int64_t dim) const override {
    auto found = orders.find({value.getDefiningOp(), dim});
    return found == orders.end() ? std::nullopt : std::optional(ArrayRef<int64_t>(found->second));
  }

private:
  llvm::DenseMap<std::pair<Operation *, int64_t>, SmallVector<int64_t>> orders;
};

} // namespace

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {

/// A weight that is to get a mask.
struct Target {
  std::string name;
  /// What the mask would keep of its magnitude, and all of it.
  double kept = 0, magnitude = 0;
  bool isReordered = false;
};

class ChannelPermuter {
public:
  ChannelPermuter(ModuleOp module, const PrunePermuteChannelsOptions &options)
      : module(module), options(options), pool(options.threads) {}

  FailureOr<PermuteChannelsResult> run();

private:
  /// Errors about options are about no place in the module.
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }
  LogicalResult readOptions();
  LogicalResult checkUnmasked();
  LogicalResult collectTargets();
  FailureOr<WeightData> read(arith::ConstantOp constant, StringRef name) const;
  double measureKept(const WeightData &weight) const;
  llvm::MapVector<Operation *, SmallVector<int64_t, 1>> findColumns(const DimGroup &group) const;
  FailureOr<ChannelOrder> search(const DimGroup &group);
  LogicalResult searchAll();
  void chooseFactors();
  void decline(const DimGroup &group, StringRef why);
  LogicalResult apply();
  LogicalResult report();

  ModuleOp module;
  const PrunePermuteChannelsOptions &options;
  WorkerPool pool;
  std::shared_ptr<llvm::Regex> include, exclude;
  ChannelPattern pattern;
  llvm::MapVector<Operation *, Target> targets;
  std::unique_ptr<DimCoupling> coupling;
  /// The op that ties units of a group in another order, by group.
  llvm::DenseMap<unsigned, Operation *> broken;
  /// By group, of those that own columns of targets.
  std::map<unsigned, ChannelOrder> orders;
  SmallVector<FactorChoice> choices;
  PermuteChannelsResult result;
};

} // namespace

LogicalResult ChannelPermuter::readOptions() {
  std::string error;
  PatternAttrInterface attr = parsePattern(options.pattern, module.getContext(), error);
  if (!attr)
    return fail() << error;
  auto nOfM = dyn_cast<NOfMAttr>(attr);
  if (!nOfM || nOfM.getM() > ChannelPattern::kMaxSize)
    return fail() << "pattern: expected N:M with M of at most " << ChannelPattern::kMaxSize << ", got '"
                  << options.pattern << "'";
  pattern = {nOfM.getN(), nOfM.getM()};
  if (!(options.effort > 0 && options.effort <= 1000))
    return fail() << "effort: expected a value in (0, 1000], got " << formatNumber(options.effort);
  auto emit = [&] { return fail(); };
  return failure(failed(readRegex("include", options.include, include, emit)) ||
                 failed(readRegex("exclude", options.exclude, exclude, emit)));
}

LogicalResult ChannelPermuter::checkUnmasked() {
  WalkResult walk = module.walk([&](Operation *op) {
    if (!isa<MaskOp, ApplyOp, RecordOp>(op))
      return WalkResult::advance();
    emitError(op->getLoc()) << "expected a module without masks, whose order would change, got '" << op->getName()
                            << "' (permute channels before masks are put on weights)";
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}

FailureOr<WeightData> ChannelPermuter::read(arith::ConstantOp constant, StringRef name) const {
  auto emit = [&] { return emitError(constant.getLoc()) << "weight '" << name << "': "; };
  FailureOr<WeightData> weight = WeightData::read(constant.getValue(), emit);
  if (failed(weight))
    return failure();
  const float *bad = llvm::find_if(weight->values(), [](float value) { return !std::isfinite(value); });
  if (bad != weight->values().end())
    return emit() << "expected finite numbers, got " << formatNumber(*bad) << " at index "
                  << formatIndex(weight->shape(), bad - weight->values().begin());
  return weight;
}

/// What masks of the pattern keep of the sum of absolute values.
double ChannelPermuter::measureKept(const WeightData &weight) const {
  MatrixView view(weight.shape());
  double kept = 0;
  SmallVector<float> group;
  for (int64_t row = 0; row < view.rows; ++row)
    for (int64_t column = 0; column < view.columns; column += pattern.m) {
      int64_t size = std::min(pattern.m, view.columns - column), n = std::min(pattern.n, size);
      group.clear();
      for (float value : weight.values().slice(row * view.columns + column, size))
        group.push_back(std::fabs(value));
      std::partial_sort(group.begin(), group.begin() + n, group.end(), std::greater<float>());
      kept = std::accumulate(group.begin(), group.begin() + n, kept);
    }
  return kept;
}

LogicalResult ChannelPermuter::collectTargets() {
  int64_t prunable = 0, included = 0;
  for (const PrunableLayer &layer : findPrunableLayers(module)) {
    if (!layer.isPrunable())
      continue;
    ++prunable;
    if (include && !include->match(layer.name))
      continue;
    ++included;
    if (layer.getShape().size() < 2 || (exclude && exclude->match(layer.name)))
      continue;
    arith::ConstantOp constant = layer.getConstant();
    auto [target, isNew] = targets.insert({constant, Target{layer.name}});
    if (!isNew)
      continue;
    FailureOr<WeightData> weight = read(constant, layer.name);
    if (failed(weight))
      return failure();
    target->second.kept = measureKept(*weight);
    for (float value : weight->values())
      target->second.magnitude += std::fabs(value);
  }
  if (include && !included)
    return fail() << "include: '" << options.include << "' matches none of " << prunable << " prunable weights";
  return success();
}

/// The dimensions of targets, without dimension 0 (rows stay whole wherever they are), that have units of the group.
llvm::MapVector<Operation *, SmallVector<int64_t, 1>> ChannelPermuter::findColumns(const DimGroup &group) const {
  llvm::MapVector<Operation *, SmallVector<int64_t, 1>> columns;
  for (const GroupMember &member : group.members)
    if (Operation *constant = member.dim.value.getDefiningOp(); member.dim.dim > 0 && targets.count(constant))
      columns[constant].push_back(member.dim.dim);
  return columns;
}

/// The channel of each column of a weight whose dimension `dim` has these units.
static std::vector<int32_t> getChannels(ArrayRef<int64_t> shape, int64_t dim, ArrayRef<int32_t> units,
                                        const DimGroup &group) {
  int64_t inner = ShapedType::getNumElements(shape.drop_front(dim + 1));
  std::vector<int32_t> channels(MatrixView(shape).columns);
  for (auto [column, channel] : llvm::enumerate(channels)) {
    int32_t unit = units[column / inner % shape[dim]];
    channel = group.hasUnit(unit) ? unit - group.units.front() : -1;
  }
  return channels;
}

FailureOr<ChannelOrder> ChannelPermuter::search(const DimGroup &group) {
  ChannelOrder none;
  if (group.isFrozen())
    none.whyNot = describeFrozen(group);
  else if (Operation *op = broken.lookup(group.id))
    none.whyNot = ("'" + op->getName().getStringRef() + "' ties its units in another order").str();
  else if (group.units.size() < 2)
    none.whyNot = "it has one unit only";
  std::vector<ChannelWeight> weights;
  for (auto &[op, dims] : findColumns(group)) {
    if (!none.whyNot.empty())
      return none;
    auto constant = cast<arith::ConstantOp>(op);
    StringRef name = targets.find(op)->second.name;
    if (dims.size() > 1) {
      none.whyNot = llvm::formatv("it has units in two dimensions of the columns of '{0}'", name).str();
      return none;
    }
    FailureOr<WeightData> weight = read(constant, name);
    if (failed(weight))
      return failure();
    ArrayRef<int32_t> units = coupling->getUnits({constant, dims.front()}, group.choice);
    weights.emplace_back(weight->values(), MatrixView(weight->shape()),
                         getChannels(weight->shape(), dims.front(), units, group), group.units.size());
  }
  ChannelOrder order = searchChannelOrder(weights, group.units.size(), pattern, options.effort, pool);
  if (order.whyNot.empty() && order.gain == 0)
    order.whyNot = "no order was found that keeps more";
  return order;
}

LogicalResult ChannelPermuter::searchAll() {
  for (FactorChoice choice : {FactorChoice::Outermost, FactorChoice::Innermost}) {
    TieChecker checker(*coupling, choice);
    checker.check(module);
    broken.insert(checker.broken.begin(), checker.broken.end());
  }
  Progress progress;
  ArrayRef<DimGroup> groups = coupling->getGroups();
  for (const DimGroup &group : groups) {
    // That inputs are read as they come is no news.
    if (findColumns(group).empty() || (group.isFrozen() && !group.members.front().isOutput))
      continue;
    progress.start(
        llvm::formatv("channels in a new order: group {0} of {1}, '{2}'", group.id + 1, groups.size(), group.name)
            .str());
    FailureOr<ChannelOrder> order = search(group);
    if (failed(order))
      return failure();
    orders[group.id] = std::move(*order);
  }
  return success();
}

/// Where two factors of a reshaped dimension could change places: the one that gains more.
void ChannelPermuter::chooseFactors() {
  choices.assign(coupling->getNumComponents(), FactorChoice::Outermost);
  std::vector<double> lead(coupling->getNumComponents(), 0);
  for (auto &[id, order] : orders) {
    const DimGroup &group = coupling->getGroups()[id];
    lead[group.component] += group.choice == FactorChoice::Outermost ? order.gain : -order.gain;
  }
  for (auto [component, choice] : llvm::enumerate(choices))
    if (coupling->hasAlternatives(component) && lead[component] < 0)
      choice = FactorChoice::Innermost;
}

void ChannelPermuter::decline(const DimGroup &group, StringRef why) {
  ++result.declined;
  Operation *op = group.frozenBy ? group.frozenBy : broken.lookup(group.id);
  Location loc = op ? op->getLoc() : group.members.front().dim.value.getLoc();
  remark::missed(loc, remark::RemarkOpts::name("Declined").category(kCategory))
      << remark::add("'{0}' keeps its order because {1}", group.name, why.str());
}

LogicalResult ChannelPermuter::apply() {
  ArrayRef<DimGroup> groups = coupling->getGroups();
  for (auto &[id, order] : orders) {
    const DimGroup &group = groups[id];
    if (!group.isFrozen() && choices[group.component] != group.choice)
      order.channelAt.clear();
    else if (!order.whyNot.empty())
      decline(group, order.whyNot);
    if (order.channelAt.empty() || !order.whyNot.empty())
      continue;
    ++result.groups;
    for (auto &[op, dims] : findColumns(group))
      targets[op].isReordered = true;
    remark::passed(group.members.front().dim.value.getLoc(), remark::RemarkOpts::name("Permuted").category(kCategory))
        << remark::add("'{0}' has its {1} units in a new order", group.name, group.units.size());
  }
  auto unitAt = [&](int32_t unit) {
    const DimGroup &group = groups[coupling->getGroupOfUnit()[unit]];
    auto found = orders.find(group.id);
    bool moves = found != orders.end() && found->second.whyNot.empty() && !found->second.channelAt.empty();
    return moves ? group.units[found->second.channelAt[unit - group.units.front()]] : unit;
  };
  return reorderConstants(module, ConstantOrder(module, *coupling, choices, unitAt));
}

LogicalResult ChannelPermuter::report() {
  double before = 0, after = 0, all = 0;
  auto percent = [](double kept, double magnitude) { return llvm::formatv("{0:F2} %", 100 * kept / magnitude).str(); };
  for (auto &[op, target] : targets) {
    if (!target.isReordered || target.magnitude == 0)
      continue;
    FailureOr<WeightData> weight = read(cast<arith::ConstantOp>(op), target.name);
    if (failed(weight))
      return failure();
    ++result.weights;
    double kept = measureKept(*weight);
    before += target.kept;
    after += kept;
    all += target.magnitude;
    remark::passed(op->getLoc(), remark::RemarkOpts::name("Kept").category(kCategory))
        << remark::add("'{0}' keeps {1} of its magnitude as {2}, {3} before", target.name,
                       percent(kept, target.magnitude), options.pattern, percent(target.kept, target.magnitude));
  }
  std::string kept = all > 0 ? llvm::formatv(": they keep {0} of their magnitude as {1}, {2} before",
                                             percent(after, all), options.pattern, percent(before, all))
                                   .str()
                             : "";
  remark::analysis(module.getLoc(), remark::RemarkOpts::name("Channels").category(kCategory))
      << remark::add("{0} groups in a new order, {1} as they were; {2} weights read them{3}", result.groups,
                     result.declined, result.weights, kept);
  return success();
}

FailureOr<PermuteChannelsResult> ChannelPermuter::run() {
  if (failed(readOptions()) || failed(checkUnmasked()) || failed(collectTargets()))
    return failure();
  // As prune-shrink does: uniform tensors tie nothing.
  unshareUniformTensors(module);
  coupling = DimCoupling::create(module, /*reorders=*/true);
  if (failed(searchAll()))
    return failure();
  chooseFactors();
  if (failed(apply()) || failed(report()))
    return failure();
  return result;
}

FailureOr<PermuteChannelsResult> mlir::prune::permuteChannels(ModuleOp module,
                                                              const PrunePermuteChannelsOptions &options) {
  return ChannelPermuter(module, options).run();
}

namespace {
struct PermuteChannels : prune::impl::PrunePermuteChannelsBase<PermuteChannels> {
  using PrunePermuteChannelsBase::PrunePermuteChannelsBase;

  void runOnOperation() override {
    PrunePermuteChannelsOptions options;
    options.pattern = pattern;
    options.include = include;
    options.exclude = exclude;
    options.effort = effort;
    options.threads = threads;
    FailureOr<PermuteChannelsResult> result = permuteChannels(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numGroups = result->groups;
    numDeclined = result->declined;
    numWeights = result->weights;
  }
};
} // namespace
