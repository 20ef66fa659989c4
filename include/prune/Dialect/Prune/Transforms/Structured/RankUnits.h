//===- RankUnits.h - Which units go, from their scores --------------*- C++ -*-===//
//
// The arithmetic of selection, without IR. Larger scores live longer; of equal scores the lower index lives, then the
// earlier group.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_RANKUNITS_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_RANKUNITS_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/BitVector.h"
#include <cstdint>
#include <vector>

namespace mlir::prune {

/// A group that loses units.
struct RankedGroup {
  ArrayRef<double> scores;
  /// Share of units to prune. The same for all groups of a contest.
  double ratio = 0;
  /// Groups of one number compete for one budget.
  unsigned contest = 0;
  /// The number of units left is a multiple of this (unless all are left), and no less.
  int64_t multiple = 1;
  /// No more units than this go.
  int64_t maxPruned = 0;
};

/// The number of `units` left when `wanted` should be: the nearest multiple (the larger of two), at least one multiple
/// and `minKept`, at most `units`.
int64_t roundKept(double wanted, int64_t units, int64_t multiple, int64_t minKept);

/// The units of each group that go. A contest of several groups prunes round-half-even(ratio * units) of its units
/// before each group is rounded.
std::vector<llvm::BitVector> rankUnits(ArrayRef<RankedGroup> groups);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_RANKUNITS_H
