//===- DimCoupling.h - Which indices of which dimensions live together -*- C++ -*-===//
//
// The analysis behind structured pruning. Dimensions whose indices are the same by all ties form an *axis*. Indices of
// all axes that live or die together form a *unit*: a channel with the filter that makes it and the weights that read
// it. Units that touch the same axes equally often form a *group*: what is ranked and pruned together. Everything comes
// from DimCouplingOpInterface; nothing here knows an op by name but constants, functions and calls.
//
// A reshape cuts a dimension into factors (384 = 12 heads x 32). Indices of only one factor can be removed at a time;
// where several could, both choices are kept as alternatives of that *component* (axes connected by ties).
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_ANALYSIS_DIMCOUPLING_H
#define PRUNE_ANALYSIS_DIMCOUPLING_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Interfaces/DimCoupling.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/Support/JSON.h"
#include <memory>
#include <string>
#include <vector>

namespace mlir::prune {

/// Which factor of a reshaped dimension loses indices, where several could: heads or the width of each head.
enum class FactorChoice { Outermost, Innermost };

/// What the units of a group are.
enum class GroupKind {
  /// Outputs of a convolution.
  Channels,
  /// Outputs of linear layers.
  Neurons,
  /// Whole attention heads: a batch dimension of a product of two activations.
  Heads,
  /// The same indices inside every head.
  HeadWidth,
  /// A dimension that normalisations take statistics over.
  Width,
};
StringRef toString(GroupKind kind);

/// Indices of one dimension of a constant that belong to a group.
struct GroupMember {
  /// Dimension of the result of an arith.constant (of floats, more than one value).
  DimRef dim;
  /// Name of the constant, as in reports (docs/Vocabulary.md: weight).
  std::string name;
  /// True if removed indices are outputs of the layer (filters, rows), false if they are what it reads. A dimension of
  /// a bias, a norm or a table counts as output.
  bool isOutput = true;
};

/// Units that are ranked and removed together.
struct DimGroup {
  /// Position in DimCoupling::getGroups, the same for the same module.
  unsigned id = 0;
  /// "channels:layer1.0.conv1.weight": kind and first member; unique. What options and reports call it.
  std::string name;
  GroupKind kind = GroupKind::Channels;
  unsigned component = 0;
  FactorChoice choice = FactorChoice::Outermost;
  /// Units, in the order of the first member's indices. Numbers below DimCoupling::getNumUnits.
  SmallVector<int32_t> units;
  /// Constants that lose indices, in the order of the module.
  SmallVector<GroupMember> members;
  /// Empty: units can be removed. Otherwise a clause that says why not; `frozenBy` is the op that demands it.
  std::string frozen;
  Operation *frozenBy = nullptr;
  /// Removing units changes the statistics of normalisations, which are then taken over the survivors.
  bool changesStatistics = false;

  bool isFrozen() const { return !frozen.empty(); }
  /// Units of a group are numbered one after the other.
  bool hasUnit(int32_t unit) const { return !units.empty() && unit >= units.front() && unit <= units.back(); }
};

/// A reduction that a division by the number of its terms follows.
struct MeanSite {
  /// The op that adds up.
  Operation *reduction = nullptr;
  /// The reduced dimension that may shrink.
  DimRef dim;
  /// Its operand, for masks on the terms.
  OpOperand *operand = nullptr;
  /// Terms of one sum before shrinking.
  int64_t terms = 0;
  /// True if terms at removed indices would change the sum (variance), false if they are neutral (mean of squares).
  bool needsMask = false;

  /// A scalar or splat constant that holds `terms - less`, or its reciprocal.
  struct Divisor {
    OpOperand *use = nullptr;
    bool reciprocal = false;
    int64_t less = 0;
  };
  SmallVector<Divisor> divisors;

  /// Terms of one sum by the types as they are now; 0 if that is not known.
  int64_t countTerms() const;
};

class DimCoupling {
public:
  /// Analyses all functions below `module`. Near linear in its ops and the sizes of its dimensions. With `reorders`, for
  /// units that change places instead of going: reductions then freeze nothing.
  static std::unique_ptr<DimCoupling> create(ModuleOp module, bool reorders = false);
  virtual ~DimCoupling();

  /// All groups of both alternatives, frozen ones included.
  virtual ArrayRef<DimGroup> getGroups() const = 0;
  virtual unsigned getNumUnits() const = 0;
  virtual unsigned getNumComponents() const = 0;
  /// True if the component has groups for both choices; otherwise its groups have the choice Outermost.
  virtual bool hasAlternatives(unsigned component) const = 0;

  /// The unit of each index of a dimension if its component is pruned by `choice`; -1: never removed. Empty for
  /// dimensions that are not analysed (size 1, dynamic) .
  virtual ArrayRef<int32_t> getUnits(DimRef dim, FactorChoice choice) const = 0;
  /// The group of each unit.
  virtual ArrayRef<unsigned> getGroupOfUnit() const = 0;
  virtual unsigned getComponent(DimRef dim) const = 0;

  virtual ArrayRef<MeanSite> getMeanSites() const = 0;

  /// True if units of a group add nothing to any sum of the model when exactly those weights hold zeros along them that
  /// `isZero` says. Removing them then changes nothing.
  virtual bool isIdle(const DimGroup &group, llvm::function_ref<bool(const GroupMember &)> isZero) const = 0;

  /// How the members of a group hang together: op, location and tie of each step, from the first member on.
  virtual void explain(const DimGroup &group, raw_ostream &os) const = 0;
  virtual llvm::json::Object toJSON(const DimGroup &group) const = 0;
  /// All groups as one Graphviz graph.
  virtual void printGraph(raw_ostream &os) const = 0;
};

/// Units to remove and, for components with alternatives, by which factor.
struct ShrinkPlan {
  /// For each component.
  SmallVector<FactorChoice> choices;
  /// For each unit.
  llvm::BitVector removed;

  explicit ShrinkPlan(const DimCoupling &coupling)
      : choices(coupling.getNumComponents(), FactorChoice::Outermost), removed(coupling.getNumUnits()) {}

  /// Number of surviving indices of a dimension.
  int64_t countKept(const DimCoupling &coupling, DimRef dim) const;
  /// The surviving indices, ascending; nothing if all survive.
  std::optional<SmallVector<int64_t>> getKept(const DimCoupling &coupling, DimRef dim) const;
};

} // namespace mlir::prune

#endif // PRUNE_ANALYSIS_DIMCOUPLING_H
