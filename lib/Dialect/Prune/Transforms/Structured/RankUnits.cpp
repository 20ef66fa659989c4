//===- RankUnits.cpp - Which units go, from their scores ----------------------===//

#include "prune/Dialect/Prune/Transforms/Structured/RankUnits.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "llvm/ADT/MapVector.h"
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

int64_t mlir::prune::roundKept(double wanted, int64_t units, int64_t multiple, int64_t minKept) {
  minKept = std::min(units, std::max({minKept, multiple, int64_t(1)}));
  int64_t kept = static_cast<int64_t>(std::floor(wanted / multiple + 0.5)) * multiple;
  if (kept < minKept)
    kept = (minKept + multiple - 1) / multiple * multiple;
  return std::min(kept, units);
}

/// The units of a group in the order in which they go.
static std::vector<int64_t> orderUnits(ArrayRef<double> scores) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.rbegin(), order.rend(), int64_t(0));
  llvm::stable_sort(order, [&](int64_t a, int64_t b) { return scores[a] < scores[b]; });
  return order;
}

/// How many units of each group of a contest go before rounding.
static std::vector<int64_t> shareBudget(ArrayRef<const RankedGroup *> groups) {
  struct Unit {
    double score;
    int64_t index;
    size_t group;
  };
  std::vector<Unit> units;
  std::vector<int64_t> room;
  for (auto [number, group] : llvm::enumerate(groups)) {
    for (auto [index, score] : llvm::enumerate(group->scores))
      units.push_back({score, static_cast<int64_t>(index), number});
    int64_t size = group->scores.size();
    room.push_back(std::min(group->maxPruned, size - std::min(size, std::max<int64_t>(group->multiple, 1))));
  }
  int64_t budget = countPruned(groups.front()->ratio, units.size());
  llvm::sort(units, [](const Unit &a, const Unit &b) {
    return std::tuple(a.score, -a.index, -static_cast<int64_t>(a.group)) <
           std::tuple(b.score, -b.index, -static_cast<int64_t>(b.group));
  });
  // A group that has lost all it may passes its turn to the next unit.
  std::vector<int64_t> pruned(groups.size(), 0);
  for (const Unit &unit : units) {
    if (budget == 0)
      break;
    if (pruned[unit.group] == room[unit.group])
      continue;
    ++pruned[unit.group];
    --budget;
  }
  return pruned;
}

std::vector<llvm::BitVector> mlir::prune::rankUnits(ArrayRef<RankedGroup> groups) {
  llvm::MapVector<unsigned, SmallVector<size_t>> contests;
  for (auto [number, group] : llvm::enumerate(groups))
    contests[group.contest].push_back(number);
  std::vector<double> wanted(groups.size());
  for (const auto &[contest, numbers] : contests) {
    if (numbers.size() == 1) {
      const RankedGroup &group = groups[numbers.front()];
      int64_t size = group.scores.size();
      // Whole units are counted as masks count; a multiple is found from the exact share.
      wanted[numbers.front()] =
          group.multiple > 1 ? size * (1 - group.ratio) : static_cast<double>(size - countPruned(group.ratio, size));
      continue;
    }
    SmallVector<const RankedGroup *> members;
    for (size_t number : numbers)
      members.push_back(&groups[number]);
    for (auto [number, pruned] : llvm::zip_equal(numbers, shareBudget(members)))
      wanted[number] = static_cast<double>(groups[number].scores.size()) - pruned;
  }
  std::vector<llvm::BitVector> removed;
  for (auto [group, kept] : llvm::zip_equal(groups, wanted)) {
    int64_t size = group.scores.size();
    int64_t count = size - roundKept(kept, size, group.multiple, size - group.maxPruned);
    removed.emplace_back(size);
    std::vector<int64_t> order = orderUnits(group.scores);
    for (int64_t unit : ArrayRef(order).take_front(count))
      removed.back().set(unit);
  }
  return removed;
}
