//===- SelectGroups.cpp - Which units of which groups go ----------------------===//

#include "prune/Dialect/Prune/Transforms/Structured/SelectGroups.h"
#include "GroupFilter.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Dialect/Prune/Transforms/Structured/GroupScores.h"
#include "prune/Dialect/Prune/Transforms/Structured/RankUnits.h"
#include "prune/Dialect/Prune/Transforms/Structured/RatioSearch.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Process.h"
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

/// The largest power of two that the default rounding takes: 8 floats fill a register of 256 bits, the width that
/// kernels of x86-64-v3 and of most older processors work with; longer registers hold two of them. A constant, not the
/// width of this machine: which channels go must not depend on where the compiler runs.
static constexpr int64_t kMaxDefaultMultiple = 8;
/// Rounding to at most this part of a group moves its ratio by half of that, three points.
static constexpr int64_t kDefaultMultiplesPerGroup = 16;
/// A share of whole heads that is further from the ratio than this (in units) makes way for the width of heads.
static constexpr double kMaxHeadError = 0.06;

namespace {
/// A group that options ask for.
struct Candidate {
  unsigned id;
  int64_t numUnits;
  int64_t multiple;
  int64_t maxPruned;
  std::optional<double> ownRatio;
  unsigned contest;
  std::vector<double> scores;
};

class GroupSelector {
public:
  GroupSelector(ModuleOp module, const DimCoupling &coupling, const PruneSelectGroupsOptions &options,
                MeasureLatencyFn measure)
      : module(module), coupling(coupling), options(options), measure(measure), pool(options.threads) {}

  FailureOr<SelectGroupsResult> run();

private:
  /// Errors about options are about no place in the module.
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }

  LogicalResult readOptions();
  LogicalResult collect();
  LogicalResult score(double ratio);
  int64_t chooseMultiple(const DimGroup &group) const;
  void chooseFactors(double ratio, ShrinkPlan &plan) const;
  ShrinkPlan select(double ratio) const;
  FailureOr<double> searchTarget();
  LogicalResult checkNamed(const ShrinkPlan &plan);
  void report(SelectGroupsResult &result, double ratio);
  bool isChosen(const DimGroup &group, const ShrinkPlan &plan) const {
    return group.isFrozen() || plan.choices[group.component] == group.choice;
  }

  ModuleOp module;
  const DimCoupling &coupling;
  const PruneSelectGroupsOptions &options;
  MeasureLatencyFn measure;
  WorkerPool pool;

  GroupScoreOptions scoring;
  std::optional<GradientFile> gradients;
  std::optional<GroupFilter> filter;
  std::optional<RatioTarget> target;
  /// For each group.
  std::vector<GroupFilter::Verdict> verdicts;
  std::vector<Candidate> candidates;
};
} // namespace

LogicalResult GroupSelector::readOptions() {
  std::string error;
  std::optional<GroupCriterion> criterion = GroupCriterion::parse(options.criterion, module.getContext(), error);
  if (!criterion)
    return fail() << error;
  scoring.criterion = *criterion;
  if (!std::isnan(options.ratio) && !(options.ratio >= 0 && options.ratio < 1))
    return fail() << "ratio: expected a value in [0, 1), got " << formatNumber(options.ratio);
  if (!options.target.empty()) {
    if (!std::isnan(options.ratio))
      return fail() << "ratio and target exclude each other, got " << formatNumber(options.ratio) << " and '"
                    << options.target << "'";
    target = RatioTarget::parse(options.target, error);
    if (!target)
      return fail() << error;
    if (target->quantity == RatioTarget::Quantity::Latency && !measure)
      return fail() << "target: nothing here can measure latency";
  }
  if (options.scope != "local" && options.scope != "global" && options.scope != "isomorphic")
    return fail() << "scope: expected local, global or isomorphic, got '" << options.scope << "'";
  if (options.aggregate != "mean" && options.aggregate != "sum" && options.aggregate != "max")
    return fail() << "aggregate: expected mean, sum or max, got '" << options.aggregate << "'";
  scoring.aggregation = options.aggregate == "mean"  ? ScoreAggregation::Mean
                        : options.aggregate == "sum" ? ScoreAggregation::Sum
                                                     : ScoreAggregation::Max;
  if (options.normalize != "mean" && options.normalize != "none")
    return fail() << "normalize: expected mean or none, got '" << options.normalize << "'";
  scoring.normalize = options.normalize == "mean";
  if (options.roundTo < 0)
    return fail() << "round-to: expected a value of 0 or more, got " << options.roundTo;
  if (!(options.maxRatio >= 0 && options.maxRatio <= 1))
    return fail() << "max-ratio: expected a value in [0, 1], got " << formatNumber(options.maxRatio);

  FailureOr<GroupFilter> read = GroupFilter::create(options, [&] { return fail(); });
  if (failed(read))
    return failure();
  filter = std::move(*read);

  if (criterion->needsGradients() != !options.gradients.empty()) {
    if (options.gradients.empty())
      return fail() << "criterion " << options.criterion << " needs gradients=FILE";
    return fail() << "gradients: criterion " << options.criterion << " has no use for '" << options.gradients << "'";
  }
  if (!options.gradients.empty()) {
    llvm::Expected<GradientFile> file = GradientFile::read(options.gradients);
    if (!file)
      return fail() << "gradients: " << llvm::toString(file.takeError());
    gradients = std::move(*file);
    scoring.gradients = &*gradients;
  }
  return success();
}

/// The multiple of units that is left of a group, from the elements that a unit has in the main member.
int64_t GroupSelector::chooseMultiple(const DimGroup &group) const {
  if (group.kind == GroupKind::Heads || group.members.empty())
    return 1;
  ArrayRef<int32_t> units = coupling.getUnits(group.members.front().dim, group.choice);
  int64_t elements = llvm::count_if(units, [&](int32_t unit) { return group.hasUnit(unit); });
  int64_t multiple = options.roundTo;
  if (multiple == 0)
    for (multiple = kMaxDefaultMultiple; multiple > 1 && multiple * kDefaultMultiplesPerGroup > elements;)
      multiple /= 2;
  int64_t ofUnit = std::max<int64_t>(1, elements / static_cast<int64_t>(group.units.size()));
  return multiple / std::gcd(multiple, ofUnit);
}

/// Groups of one kind whose units and members have the same shapes.
static std::string getSignature(const DimCoupling &coupling, const DimGroup &group) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << toString(group.kind) << group.units.size();
  for (const GroupMember &member : group.members) {
    os << "|" << member.dim.getType() << member.dim.dim << member.isOutput << ":"
       << llvm::count_if(coupling.getUnits(member.dim, group.choice),
                         [&](int32_t unit) { return group.hasUnit(unit); });
  }
  return text;
}

LogicalResult GroupSelector::collect() {
  if (failed(filter->check(coupling.getGroups(), [&] { return fail(); })))
    return failure();
  llvm::StringMap<unsigned> signatures;
  for (const DimGroup &group : coupling.getGroups())
    verdicts.push_back(filter->judge(group));
  bool anyScored = llvm::any_of(coupling.getGroups(), [&](const DimGroup &group) {
    return verdicts[group.id].whyNot.empty() && canScore(group, scoring.criterion);
  });
  for (const DimGroup &group : coupling.getGroups()) {
    GroupFilter::Verdict &verdict = verdicts[group.id];
    // Where no group has a scale, scoring says so: that is a mistake, not a property of some group.
    if (verdict.whyNot.empty() && anyScored && !canScore(group, scoring.criterion))
      verdict.whyNot = "criterion " + options.criterion + " finds no scale of different values for it";
    if (!verdict.whyNot.empty())
      continue;
    Candidate candidate;
    candidate.id = group.id;
    candidate.numUnits = group.units.size();
    candidate.multiple = chooseMultiple(group);
    candidate.maxPruned = static_cast<int64_t>(options.maxRatio * candidate.numUnits);
    candidate.ownRatio = verdict.ratio;
    // Contest 0 is that of all groups; those of single groups come behind those of signatures.
    candidate.contest = 0;
    if (options.scope == "local" || verdict.ratio)
      candidate.contest = coupling.getGroups().size() + 1 + group.id;
    else if (options.scope == "isomorphic")
      candidate.contest = signatures.try_emplace(getSignature(coupling, group), signatures.size() + 1).first->second;
    candidates.push_back(std::move(candidate));
  }
  return success();
}

LogicalResult GroupSelector::score(double ratio) {
  // Of a component with a choice, only the groups that are chosen are worth the time; a search may choose any.
  ShrinkPlan plan(coupling);
  if (!target)
    chooseFactors(ratio, plan);
  SmallVector<unsigned> ids;
  SmallVector<Candidate *> scored;
  for (Candidate &candidate : candidates)
    if (target || isChosen(coupling.getGroups()[candidate.id], plan)) {
      ids.push_back(candidate.id);
      scored.push_back(&candidate);
    }
  FailureOr<std::vector<std::vector<double>>> scores = scoreGroups(coupling, ids, scoring, pool);
  if (failed(scores))
    return failure();
  for (auto [candidate, ofGroup] : llvm::zip_equal(scored, *scores))
    candidate->scores = std::move(ofGroup);
  return success();
}

void GroupSelector::chooseFactors(double ratio, ShrinkPlan &plan) const {
  // How far each choice misses the ratio in its worst group; none: no group.
  std::vector<std::array<std::optional<double>, 2>> misses(coupling.getNumComponents());
  for (const Candidate &candidate : candidates) {
    const DimGroup &group = coupling.getGroups()[candidate.id];
    double wanted = candidate.numUnits * (1 - candidate.ownRatio.value_or(ratio));
    int64_t kept = roundKept(wanted, candidate.numUnits, candidate.multiple, candidate.numUnits - candidate.maxPruned);
    double miss = std::abs(kept - wanted) / candidate.numUnits;
    std::optional<double> &worst = misses[group.component][group.choice == FactorChoice::Innermost];
    worst = std::max(worst.value_or(0), miss);
  }
  for (auto [component, miss] : llvm::enumerate(misses)) {
    auto [outer, inner] = miss;
    if (inner && (!outer || (*outer > kMaxHeadError && *inner < *outer)))
      plan.choices[component] = FactorChoice::Innermost;
  }
}

ShrinkPlan GroupSelector::select(double ratio) const {
  ShrinkPlan plan(coupling);
  chooseFactors(ratio, plan);
  SmallVector<RankedGroup> ranked;
  SmallVector<const DimGroup *> groups;
  for (const Candidate &candidate : candidates) {
    const DimGroup &group = coupling.getGroups()[candidate.id];
    if (!isChosen(group, plan))
      continue;
    groups.push_back(&group);
    ranked.push_back({candidate.scores, candidate.ownRatio.value_or(ratio), candidate.contest, candidate.multiple,
                      candidate.maxPruned});
  }
  for (auto [group, removed] : llvm::zip_equal(groups, rankUnits(ranked)))
    for (unsigned place : removed.set_bits())
      plan.removed.set(group->units[place]);
  return plan;
}

FailureOr<double> GroupSelector::searchTarget() {
  PlanCost cost(module, coupling);
  ModelCost dense = cost.count(ShrinkPlan(coupling));
  bool isLatency = target->quantity == RatioTarget::Quantity::Latency;
  double denseLatency = 0;
  if (isLatency) {
    FailureOr<double> latency = measure(ShrinkPlan(coupling));
    if (failed(latency))
      return failure();
    denseLatency = *latency;
  }
  // Compiling and timing takes seconds: whoever waits sees what happens.
  bool showsProgress = isLatency && llvm::sys::Process::StandardErrIsDisplayed();
  auto getShare = [&](double ratio) -> FailureOr<double> {
    ShrinkPlan plan = select(ratio);
    if (isLatency) {
      FailureOr<double> latency = measure(plan);
      if (failed(latency))
        return failure();
      if (showsProgress)
        llvm::errs() << "latency: ratio " << formatNumber(ratio) << " leaves " << formatNumber(*latency / denseLatency)
                     << " of " << formatNumber(denseLatency * 1e-6) << " ms\n";
      return *latency / denseLatency;
    }
    ModelCost left = cost.count(plan);
    bool isParams = target->quantity == RatioTarget::Quantity::Params;
    int64_t all = isParams ? dense.params : dense.macs;
    return all ? static_cast<double>(isParams ? left.params : left.macs) / all : 1.0;
  };
  FailureOr<RatioSearchResult> found = searchRatio(*target, getShare);
  if (failed(found))
    return failure();
  if (!found->isReachable)
    return fail() << "target: " << target->spell() << " cannot be reached: " << formatNumber(found->share)
                  << " is left with all units pruned that may be";
  bool isClose = std::abs(found->share - target->share) <= kTargetTolerance * target->share;
  auto opts = remark::RemarkOpts::name("Target").category("prune-select-groups");
  std::string text = llvm::formatv("target {0}: ratio {1} leaves {2}", target->spell(), formatNumber(found->ratio),
                                   formatNumber(found->share));
  if (isClose)
    remark::passed(module.getLoc(), opts) << remark::add("{0}", text);
  else
    remark::missed(module.getLoc(), opts) << remark::add("{0}, more than 2 % off", text);
  return found->ratio;
}

LogicalResult GroupSelector::checkNamed(const ShrinkPlan &plan) {
  for (const DimGroup &group : coupling.getGroups()) {
    if (!verdicts[group.id].isNamed || isChosen(group, plan))
      continue;
    for (const DimGroup &other : coupling.getGroups())
      if (verdicts[other.id].isNamed && other.component == group.component && isChosen(other, plan))
        return fail() << "groups: '" << group.name << "' and '" << other.name
                      << "' exclude each other: they are factors of one dimension";
  }
  return success();
}

void GroupSelector::report(SelectGroupsResult &result, double ratio) {
  for (const DimGroup &group : coupling.getGroups()) {
    if (!isChosen(group, result.plan) || group.members.empty())
      continue;
    const GroupMember &main = group.members.front();
    const GroupFilter::Verdict &verdict = verdicts[group.id];
    if (!verdict.whyNot.empty()) {
      // That inputs are read as they come is no news.
      if (group.isFrozen() && (!main.isOutput || isVector(main)))
        continue;
      ++result.declined;
      Location loc = group.frozenBy ? group.frozenBy->getLoc() : main.dim.value.getLoc();
      remark::missed(loc, remark::RemarkOpts::name("Declined").category("prune-select-groups"))
          << remark::add("'{0}' (dimension {1} of '{2}') stays whole because {3}", group.name, main.dim.dim, main.name,
                         verdict.whyNot);
      continue;
    }
    int64_t units = group.units.size();
    int64_t pruned = llvm::count_if(group.units, [&](int32_t unit) { return result.plan.removed.test(unit); });
    if (pruned == 0) {
      ++result.declined;
      double share = verdict.ratio.value_or(ratio);
      std::string why =
          options.scope == "local" || verdict.ratio
              ? llvm::formatv("a share of {0} of its {1} units rounds to none", formatNumber(share), units).str()
              : llvm::formatv("others have lower scores than its {0} units", units).str();
      remark::missed(main.dim.value.getLoc(), remark::RemarkOpts::name("Declined").category("prune-select-groups"))
          << remark::add("'{0}' (dimension {1} of '{2}') stays whole because {3}", group.name, main.dim.dim, main.name,
                         why);
      continue;
    }
    ++result.groups;
    result.units += pruned;
    remark::passed(main.dim.value.getLoc(), remark::RemarkOpts::name("Selected").category("prune-select-groups"))
        << remark::add("'{0}' keeps {1} of {2} units by {3}", group.name, units - pruned, units, options.criterion);
  }
  if (result.groups == 0)
    emitWarning(module.getLoc()) << "nothing is pruned: of " << coupling.getGroups().size()
                                 << " groups none loses units (remarks of category prune-select-groups say why)";
}

FailureOr<SelectGroupsResult> GroupSelector::run() {
  if (failed(readOptions()) || failed(collect()))
    return failure();
  double ratio = std::isnan(options.ratio) ? 0.5 : options.ratio;
  if (failed(score(ratio)))
    return failure();
  if (target) {
    FailureOr<double> found = searchTarget();
    if (failed(found))
      return failure();
    ratio = *found;
  }
  SelectGroupsResult result{select(ratio)};
  if (failed(checkNamed(result.plan)))
    return failure();
  report(result, ratio);
  return result;
}

FailureOr<SelectGroupsResult> mlir::prune::selectGroups(ModuleOp module, const DimCoupling &coupling,
                                                        const PruneSelectGroupsOptions &options,
                                                        MeasureLatencyFn measure) {
  return GroupSelector(module, coupling, options, measure).run();
}
