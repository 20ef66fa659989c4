//===- GroupScores.h - What the units of a group are worth ----------*- C++ -*-===//
//
// A unit of a group (a channel, a neuron, a head) owns slices of several constants, the members. Each member gives each
// unit a number, and the unit's score is the mean of them, divided by the mean over the units of the group, so that
// units of different groups compare. Sums run in double precision and in one order: the same scores for any number of
// threads.
//
// Two kinds of member have no say as long as another one has: those with one element for each index (biases, scales of
// norms), and those that give all units the same number (a causal mask under every head).
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPSCORES_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPSCORES_H

#include "prune/Dialect/Prune/Transforms/Scoring/GradientFile.h"
#include "prune/Analysis/DimCoupling.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/Npy.h"
#include "prune/Support/Parallel.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::prune {

/// What a unit's slice of one member is worth.
struct GroupCriterion {
  enum class Kind {
    /// From the scores of its elements: their sum, the root of the sum of their squares or the largest, as the
    /// criterion reduces.
    Elements,
    /// FPGM: the sum of the Euclidean distances between the unit's slice and those of all other units. Of members that
    /// are outputs.
    Distance,
    /// The sum of |gamma| over its elements of vectors that scale (batch norms).
    Scale,
    /// A number drawn by lot for the unit, whatever the members.
    Random,
  };
  Kind kind = Kind::Elements;
  /// For Elements and Random.
  CriterionAttrInterface elements;

  /// `l1`, `l2`, `linf`, `fpgm`, `bn-scale` or what prune-create-masks takes. None with a message in `error` on
  /// anything else.
  static std::optional<GroupCriterion> parse(StringRef text, MLIRContext *context, std::string &error);
  bool needsGradients() const { return elements && (elements.getRequiredInputs() & kNeedsGradients); }
};

/// How the numbers of the members become the score of a unit.
enum class ScoreAggregation { Mean, Sum, Max };

struct GroupScoreOptions {
  GroupCriterion criterion;
  ScoreAggregation aggregation = ScoreAggregation::Mean;
  /// Divide by the mean over the units of the group.
  bool normalize = true;
  /// Needed if the criterion needs gradients.
  const GradientFile *gradients = nullptr;
};

/// True if a member of `group` can say what its units are worth: always, but for `bn-scale` without a scale.
bool canScore(const DimGroup &group, const GroupCriterion &criterion);

/// Scores the units of `groups` (indices of DimCoupling::getGroups): one list for each, in the order of its units.
/// Infinite scores stay so and do not count in means. Fails, with a message that names weight and index, on NaN, on
/// data that is not there, and (naming the group) where no member fits the criterion.
FailureOr<std::vector<std::vector<double>>> scoreGroups(const DimCoupling &coupling, ArrayRef<unsigned> groups,
                                                        const GroupScoreOptions &options, WorkerPool &pool);

/// True if every index of the member's dimension has one element only: a bias, the scale of a norm.
bool isVector(const GroupMember &member);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPSCORES_H
