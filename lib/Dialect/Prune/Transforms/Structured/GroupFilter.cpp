//===- GroupFilter.cpp - Which groups options ask for -------------------------===//

#include "GroupFilter.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Support/RegexOption.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

static constexpr GroupKind kAllKinds[] = {GroupKind::Channels, GroupKind::Neurons, GroupKind::Heads,
                                          GroupKind::HeadWidth, GroupKind::Width};

/// True if `regex` is found in the name of the group or of a member.
static bool fits(const llvm::Regex &regex, const DimGroup &group) {
  return regex.match(group.name) ||
         llvm::any_of(group.members, [&](const GroupMember &member) { return regex.match(member.name); });
}

std::string mlir::prune::describeFrozen(const DimGroup &group) {
  std::string text = "it " + group.frozen;
  if (group.frozenBy)
    text += (" ('" + group.frozenBy->getName().getStringRef() + "')").str();
  return text;
}

FailureOr<GroupFilter> GroupFilter::create(const PruneSelectGroupsOptions &options, EmitErrorFn emitError) {
  GroupFilter filter;
  filter.includeText = options.include;
  filter.excludeText = options.exclude;
  if (failed(readRegex("include", options.include, filter.include, emitError)) ||
      failed(readRegex("exclude", options.exclude, filter.exclude, emitError)))
    return failure();
  for (StringRef text : options.ratios) {
    auto [expression, number] = text.rsplit('=');
    RatioRule rule{expression.str(), nullptr, 0};
    if (expression.empty() || number.getAsDouble(rule.ratio))
      return emitError() << "ratios: expected REGEX=RATIO, got '" << text << "'";
    if (!(rule.ratio >= 0 && rule.ratio < 1))
      return emitError() << "ratios: expected a ratio in [0, 1), got " << formatNumber(rule.ratio) << " for '"
                         << expression << "'";
    if (failed(readRegex("ratios", expression, rule.regex, emitError)))
      return failure();
    filter.rules.push_back(std::move(rule));
  }
  for (StringRef text : options.kinds) {
    auto *kind = llvm::find_if(kAllKinds, [&](GroupKind kind) { return toString(kind) == text; });
    if (kind == std::end(kAllKinds))
      return emitError() << "kinds: expected channels, neurons, heads, head-width or width, got '" << text << "'";
    filter.kinds.push_back(*kind);
  }
  if (options.statistics != "keep" && options.statistics != "survivors")
    return emitError() << "statistics: expected keep or survivors, got '" << options.statistics << "'";
  filter.mayChangeStatistics = options.statistics == "survivors";
  filter.names.assign(options.groups.begin(), options.groups.end());
  return filter;
}

GroupFilter::Verdict GroupFilter::judge(const DimGroup &group) const {
  Verdict verdict;
  verdict.isNamed = llvm::is_contained(names, group.name);
  auto decline = [&](const Twine &why) {
    verdict.whyNot = why.str();
    return verdict;
  };
  if (group.isFrozen())
    return decline(describeFrozen(group));
  if (!names.empty() && !verdict.isNamed)
    return decline("groups does not name it");
  if (!kinds.empty() && !llvm::is_contained(kinds, group.kind))
    return decline("kinds leaves out " + toString(group.kind));
  if (include && !fits(*include, group))
    return decline("include does not match it");
  if (exclude && fits(*exclude, group))
    return decline("exclude matches it");
  for (const RatioRule &rule : rules)
    if (fits(*rule.regex, group)) {
      verdict.ratio = rule.ratio;
      break;
    }
  if (verdict.ratio && *verdict.ratio == 0)
    return decline("ratios says so");
  if (group.changesStatistics && !mayChangeStatistics)
    return decline("normalisations take statistics over it (statistics=survivors prunes it nevertheless)");
  if (group.units.size() < 2)
    return decline("it has one unit only");
  return verdict;
}

LogicalResult GroupFilter::check(ArrayRef<DimGroup> groups, EmitErrorFn emitError) const {
  for (StringRef name : names) {
    auto *group = llvm::find_if(groups, [&](const DimGroup &group) { return group.name == name; });
    if (group == groups.end())
      return emitError() << "groups: '" << name << "' is none of " << groups.size()
                         << " groups (prune-explain-groups prints them)";
    if (std::string whyNot = judge(*group).whyNot; !whyNot.empty())
      return emitError() << "groups: '" << name << "' cannot be pruned: " << whyNot;
  }
  auto checkRegex = [&](StringRef option, StringRef text, const llvm::Regex *regex, bool mustFree) -> LogicalResult {
    const DimGroup *frozen = nullptr;
    bool found = false;
    for (const DimGroup &group : groups) {
      if (!regex || !fits(*regex, group))
        continue;
      found |= !mustFree || !group.isFrozen();
      if (group.isFrozen() && !frozen)
        frozen = &group;
    }
    if (!regex || found)
      return success();
    if (frozen)
      return emitError() << option << ": '" << text << "' matches no group that can be pruned: '" << frozen->name
                         << "' stays whole because " << describeFrozen(*frozen);
    return emitError() << option << ": '" << text << "' matches none of " << groups.size()
                       << " groups and none of their members";
  };
  if (failed(checkRegex("include", includeText, include.get(), /*mustFree=*/true)) ||
      failed(checkRegex("exclude", excludeText, exclude.get(), /*mustFree=*/false)))
    return failure();
  for (const RatioRule &rule : rules)
    if (failed(checkRegex("ratios", rule.text, rule.regex.get(), /*mustFree=*/rule.ratio > 0)))
      return failure();
  return success();
}
