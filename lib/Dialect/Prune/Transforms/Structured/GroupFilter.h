//===- GroupFilter.h - Which groups options ask for -----------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPFILTER_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPFILTER_H

#include "prune/Analysis/DimCoupling.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "llvm/Support/Regex.h"
#include <optional>

namespace mlir::prune {

/// The options of prune-select-groups that choose groups, read once.
class GroupFilter {
public:
  /// What options say about a group.
  struct Verdict {
    /// A clause that says why the group stays whole; empty if it is to be pruned.
    std::string whyNot;
    /// A ratio of its own.
    std::optional<double> ratio;
    /// The user named it in full.
    bool isNamed = false;
  };

  using EmitErrorFn = llvm::function_ref<InFlightDiagnostic()>;
  /// Fails on options out of range.
  static FailureOr<GroupFilter> create(const PruneSelectGroupsOptions &options, EmitErrorFn emitError);

  Verdict judge(const DimGroup &group) const;

  /// Fails on names and expressions that fit none of `groups`, or only groups that can lose no unit.
  LogicalResult check(ArrayRef<DimGroup> groups, EmitErrorFn emitError) const;

private:
  struct RatioRule {
    std::string text;
    std::shared_ptr<llvm::Regex> regex;
    double ratio;
  };

  std::string includeText, excludeText;
  std::shared_ptr<llvm::Regex> include, exclude;
  std::vector<RatioRule> rules;
  SmallVector<std::string> names;
  SmallVector<GroupKind> kinds;
  bool mayChangeStatistics = false;
};

/// Why no unit of `group` may be removed, as a sentence without a subject: "it is returned ('func.return')".
std::string describeFrozen(const DimGroup &group);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPFILTER_H
