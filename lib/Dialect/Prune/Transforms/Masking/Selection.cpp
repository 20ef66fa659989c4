//===- Selection.cpp - Exact masks from scores --------------------------------===//
//
// Ranking is a radix select: a histogram of the upper 12 bits of the score keys finds the bucket of the cut; the few
// candidates in it are collected and partitioned by (key, index). Where too many fall into one bucket (equal weights)
// the next bits are looked at first. Three passes over the scores in the usual case.
//
//===----------------------------------------------------------------------===//

#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Dialect/Prune/Transforms/Masking/LayerSplit.h"
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Elements a thread works on at a time: 1 MiB of scores, and the unit in which results are combined.
constexpr int64_t kChunk = 1 << 18;

/// What may still happen to a unit.
enum UnitState : uint8_t { Pruned = 0, Candidate = 1, Forced = 2 };

/// The units of one tensor while it is decided.
struct Item {
  ArrayRef<float> scores;
  MutableArrayRef<uint8_t> state;
  int64_t minKeep = 0;
  /// False: every unit is a candidate, and `state` need not be read (nor be initialised).
  bool hasState = false;
  /// Units of a row.
  int64_t columns = 0;
};

/// A stretch of one item.
struct Chunk {
  const Item *item;
  int64_t begin, end;
  /// Position of `begin` in the concatenation of all items.
  int64_t offset;
};

} // namespace

static SmallVector<Chunk> splitIntoChunks(ArrayRef<Item> items) {
  SmallVector<Chunk> chunks;
  int64_t offset = 0;
  for (const Item &item : items) {
    int64_t size = item.scores.size();
    for (int64_t begin = 0; begin < size; begin += kChunk)
      chunks.push_back({&item, begin, std::min(begin + kChunk, size), offset + begin});
    offset += size;
  }
  return chunks;
}

template <ScoreOrder Order, typename Body> void forEachCandidate(const Chunk &chunk, Body body) {
  const float *scores = chunk.item->scores.data();
  if (!chunk.item->hasState) {
    for (int64_t i = chunk.begin; i < chunk.end; ++i)
      body(i, getScoreKey(scores[i], Order));
    return;
  }
  const uint8_t *state = chunk.item->state.data();
  for (int64_t i = chunk.begin; i < chunk.end; ++i)
    if (state[i] == Candidate)
      body(i, getScoreKey(scores[i], Order));
}

namespace {

/// Where the kept end: keys above `key` live, and those equal to it up to position `last` of the concatenation.
struct Cut {
  uint64_t key = uint64_t(1) << 32;
  int64_t last = -1;
};

template <ScoreOrder Order> class Ranking {
public:
  Ranking(ArrayRef<Item> items, WorkerPool &pool) : pool(pool), chunks(splitIntoChunks(items)) {
    for (const Item &item : items)
      size += item.scores.size();
  }

  /// Finds the cut that keeps exactly `keep` candidates; 0 < keep <= number of candidates.
  Cut findCut(int64_t keep);

  /// Turns candidates into kept (1) and pruned (0), forced into kept.
  void write(Cut cut);

private:
  using Histogram = std::array<uint32_t, 4096>;

  /// Counts the candidates with key >> (shift + bits) == prefix by their next bits.
  std::vector<int64_t> count(unsigned shift, unsigned bits, uint64_t prefix);
  Cut cutAmong(unsigned shift, uint64_t prefix, int64_t keep);
  Cut cutTies(uint64_t key, int64_t keep);

  WorkerPool &pool;
  SmallVector<Chunk> chunks;
  int64_t size = 0;
};

} // namespace

template <ScoreOrder Order> std::vector<int64_t> Ranking<Order>::count(unsigned shift, unsigned bits, uint64_t prefix) {
  // One table for each stretch of chunks; sums do not depend on the split.
  int64_t numTasks = std::min<int64_t>(chunks.size(), 4 * pool.getNumThreads());
  std::vector<Histogram> tables(size_t(2) * numTasks);
  uint32_t mask = (1u << bits) - 1;
  pool.forEach(numTasks, [&](int64_t task) {
    // Two tables in turn: equal keys in a row would wait for each other's store.
    Histogram &even = tables[2 * task], &odd = tables[2 * task + 1];
    even.fill(0);
    odd.fill(0);
    for (int64_t c = task * chunks.size() / numTasks, e = (task + 1) * chunks.size() / numTasks; c < e; ++c)
      forEachCandidate<Order>(chunks[c], [&](int64_t i, uint32_t key) {
        if (static_cast<uint64_t>(key) >> (shift + bits) == prefix)
          ++(i & 1 ? odd : even)[(key >> shift) & mask];
      });
  });
  std::vector<int64_t> total(size_t(1) << bits, 0);
  for (const Histogram &table : tables)
    for (size_t i = 0; i < total.size(); ++i)
      total[i] += table[i];
  return total;
}

/// Collects the candidates with this prefix and finds the cut among them.
template <ScoreOrder Order> Cut Ranking<Order>::cutAmong(unsigned shift, uint64_t prefix, int64_t keep) {
  using Entry = std::pair<uint32_t, int64_t>;
  std::vector<std::vector<Entry>> found(chunks.size());
  pool.forEach(chunks.size(), [&](int64_t c) {
    forEachCandidate<Order>(chunks[c], [&](int64_t i, uint32_t key) {
      if (static_cast<uint64_t>(key) >> shift == prefix)
        found[c].push_back({key, chunks[c].offset + i - chunks[c].begin});
    });
  });
  std::vector<Entry> all;
  for (std::vector<Entry> &part : found) {
    all.insert(all.end(), part.begin(), part.end());
    part = {};
  }
  auto better = [](const Entry &a, const Entry &b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  std::nth_element(all.begin(), all.begin() + (keep - 1), all.end(), better);
  return {all[keep - 1].first, all[keep - 1].second};
}

/// Finds the position of the `keep`-th candidate whose key is `key`.
template <ScoreOrder Order> Cut Ranking<Order>::cutTies(uint64_t key, int64_t keep) {
  std::vector<int64_t> ties(chunks.size(), 0);
  pool.forEach(chunks.size(), [&](int64_t c) {
    forEachCandidate<Order>(chunks[c], [&](int64_t, uint32_t other) { ties[c] += other == key; });
  });
  size_t c = 0;
  for (; keep > ties[c]; ++c)
    keep -= ties[c];
  Cut cut{key, -1};
  forEachCandidate<Order>(chunks[c], [&](int64_t i, uint32_t other) {
    if (other == key && keep-- == 1)
      cut.last = chunks[c].offset + i - chunks[c].begin;
  });
  return cut;
}

template <ScoreOrder Order> Cut Ranking<Order>::findCut(int64_t keep) {
  uint64_t prefix = 0;
  // 12 + 12 + 8 bits of the key, largest first.
  for (auto [shift, bits] : {std::pair(20u, 12u), std::pair(8u, 12u), std::pair(0u, 8u)}) {
    std::vector<int64_t> counts = count(shift, bits, prefix);
    int64_t bucket = counts.size() - 1;
    for (; counts[bucket] < keep; --bucket)
      keep -= counts[bucket];
    prefix = prefix << bits | static_cast<uint64_t>(bucket);
    if (counts[bucket] <= std::max<int64_t>(4096, size / 16))
      return cutAmong(shift, prefix, keep);
  }
  return cutTies(prefix, keep);
}

template <ScoreOrder Order> void Ranking<Order>::write(Cut cut) {
  pool.forEach(chunks.size(), [&](int64_t c) {
    const Chunk &chunk = chunks[c];
    const float *scores = chunk.item->scores.data();
    uint8_t *state = const_cast<uint8_t *>(chunk.item->state.data());
    // Up to here ties live, from here on they do not.
    int64_t split = std::clamp(chunk.begin + cut.last + 1 - chunk.offset, chunk.begin, chunk.end);
    auto writeRange = [&](int64_t begin, int64_t end, uint64_t least) {
      if (least >= uint64_t(1) << 32) {
        for (int64_t i = begin; i < end; ++i)
          state[i] = chunk.item->hasState && state[i] == Forced;
        return;
      }
      uint32_t bound = static_cast<uint32_t>(least);
      if (!chunk.item->hasState) {
        for (int64_t i = begin; i < end; ++i)
          state[i] = getScoreKey(scores[i], Order) >= bound;
        return;
      }
      for (int64_t i = begin; i < end; ++i)
        state[i] = state[i] == Forced || (state[i] == Candidate && getScoreKey(scores[i], Order) >= bound);
    };
    writeRange(chunk.begin, split, cut.key);
    writeRange(split, chunk.end, cut.key + 1);
  });
}

/// Keeps the `keep` best candidates of all items together (and all forced units), prunes the rest.
template <ScoreOrder Order> void keepBest(ArrayRef<Item> items, int64_t keep, WorkerPool &pool) {
  Ranking<Order> ranking(items, pool);
  ranking.write(keep > 0 ? ranking.findCut(keep) : Cut());
}

static int64_t countState(const Item &item, uint8_t wanted, WorkerPool &pool) {
  std::atomic<int64_t> total{0};
  pool.forEachChunk(item.state.size(), kChunk, [&](int64_t begin, int64_t end) {
    total += std::count(item.state.begin() + begin, item.state.begin() + end, wanted);
  });
  return total;
}

/// Ranks all items together under the budget `keep` and the items' own minima. Raising an item to its minimum takes
/// from the others, which may then need raising too; each round raises at least one more item.
template <ScoreOrder Order> void rankTogether(MutableArrayRef<Item> items, int64_t keep, WorkerPool &pool) {
  if (items.size() == 1 && items[0].minKeep <= keep)
    return keepBest<Order>(items, keep, pool);

  // The states before ranking: what is a candidate. Kept apart because ranking overwrites them.
  std::vector<std::vector<uint8_t>> before(items.size());
  for (auto [item, saved] : llvm::zip_equal(items, before)) {
    if (item.hasState)
      saved.assign(item.state.begin(), item.state.end());
    else
      saved.assign(item.state.size(), Candidate);
  }
  int64_t budget = keep;
  while (true) {
    keepBest<Order>(items, std::max<int64_t>(budget, 0), pool);
    bool raised = false;
    for (auto [item, saved] : llvm::zip_equal(items, before)) {
      int64_t possible = saved.size() - llvm::count(saved, Pruned);
      int64_t least = std::min(item.minKeep, possible);
      if (countState(item, 1, pool) >= least)
        continue;
      // Its best units are forced; they count against the budget.
      llvm::copy(saved, item.state.begin());
      Item alone = item;
      alone.hasState = true;
      keepBest<Order>(ArrayRef(alone), least, pool);
      for (auto [now, then] : llvm::zip_equal(item.state, saved))
        if (now)
          then = Forced;
      budget -= least;
      raised = true;
    }
    if (!raised)
      return;
    for (auto [item, saved] : llvm::zip_equal(items, before)) {
      llvm::copy(saved, item.state.begin());
      item.hasState = true;
    }
  }
}

/// Ranks all items together by normalised scores. They order the units of an item as the scores do, so that all there
/// is to find out is how many each item keeps.
template <ScoreOrder Order>
void rankNormalized(MutableArrayRef<Item> items, int64_t keep, Normalization normalization, WorkerPool &pool) {
  std::vector<SplitRanking> rankings(items.size());
  pool.forEach(items.size(), [&](int64_t index) {
    const Item &item = items[index];
    SplitRanking &ranking = rankings[index];
    auto worth = [](float score) { return Order == ScoreOrder::Magnitude ? std::fabs(score) : std::max(score, 0.0f); };
    std::vector<float> rest;
    for (auto [i, score] : llvm::enumerate(item.scores))
      (!item.hasState || item.state[i] == Candidate ? ranking.candidates : rest).push_back(worth(score));
    ranking.minKeep = item.minKeep;
    normalizeScores(ranking, rest, normalization);
  });
  SmallVector<int64_t> kept = splitByRank(rankings, keep);
  for (auto [item, count] : llvm::zip_equal(items, kept))
    keepBest<Order>(ArrayRef(item), count, pool);
}

/// Keeps `keep` candidates of the item, from each row its share.
template <ScoreOrder Order> void rankWithinRows(const Item &item, int64_t keep, WorkerPool &pool) {
  int64_t columns = item.columns, numRows = item.scores.size() / columns;
  std::vector<int64_t> candidates(numRows);
  pool.forEach(numRows, [&](int64_t row) {
    candidates[row] = item.hasState ? llvm::count(item.state.slice(row * columns, columns), Candidate) : columns;
  });
  int64_t all = std::accumulate(candidates.begin(), candidates.end(), int64_t(0)), seen = 0;
  std::vector<int64_t> shares(numRows);
  for (int64_t row = 0, given = 0; row < numRows; ++row) {
    seen += candidates[row];
    shares[row] = getShare(keep, seen, all) - given;
    given += shares[row];
  }
  pool.forEach(numRows, [&](int64_t row) {
    Item part = item;
    part.scores = item.scores.slice(row * columns, columns);
    part.state = item.state.slice(row * columns, columns);
    WorkerPool alone(1);
    keepBest<Order>(ArrayRef(part), shares[row], alone);
  });
}

/// Prunes candidates whose score is `threshold` or less, but leaves each item its minimum.
template <ScoreOrder Order> void applyThreshold(MutableArrayRef<Item> items, double threshold, WorkerPool &pool) {
  for (Item &item : items) {
    std::atomic<int64_t> kept{0};
    auto lives = [&](int64_t i) {
      double score = Order == ScoreOrder::Magnitude ? std::fabs(item.scores[i]) : item.scores[i];
      return score > threshold && (!item.hasState || item.state[i] == Candidate);
    };
    pool.forEachChunk(item.scores.size(), kChunk, [&](int64_t begin, int64_t end) {
      int64_t count = 0;
      for (int64_t i = begin; i < end; ++i)
        count += lives(i);
      kept += count;
    });
    int64_t possible = item.hasState ? countState(item, Candidate, pool) : static_cast<int64_t>(item.scores.size());
    int64_t least = std::min(item.minKeep, possible);
    if (kept < least) {
      keepBest<Order>(ArrayRef(item), least, pool);
      continue;
    }
    pool.forEachChunk(item.scores.size(), kChunk, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        item.state[i] = lives(i);
    });
  }
}

template <ScoreOrder Order>
static void selectUnits(MutableArrayRef<Item> items, const SelectionOptions &options, WorkerPool &pool) {
  if (options.threshold)
    return applyThreshold<Order>(items, *options.threshold, pool);
  if (!options.sparsity)
    return; // the pattern has decided
  if (options.withinRows) {
    for (const Item &item : items) {
      int64_t numUnits = item.scores.size();
      int64_t numCandidates = item.hasState ? countState(item, Candidate, pool) : numUnits;
      int64_t keep = std::max(numUnits - countPruned(*options.sparsity, numUnits), item.minKeep);
      rankWithinRows<Order>(item, std::min(keep, numCandidates), pool);
    }
    return;
  }
  int64_t numUnits = 0, numCandidates = 0;
  for (const Item &item : items) {
    numUnits += item.scores.size();
    numCandidates += item.hasState ? countState(item, Candidate, pool) : static_cast<int64_t>(item.scores.size());
  }
  int64_t keep = std::min(numUnits - countPruned(*options.sparsity, numUnits), numCandidates);
  if (options.normalization && items.size() > 1)
    return rankNormalized<Order>(items, keep, *options.normalization, pool);
  if (items.size() == 1)
    keep = std::max(keep, std::min(items[0].minKeep, numCandidates));
  rankTogether<Order>(items, keep, pool);
}

int64_t mlir::prune::countUnits(PatternAttrInterface pattern, ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : pattern.getUnitGrid(shape))
    count *= size;
  return count;
}

/// Independent of the rounding mode of the caller's thread.
static int64_t roundHalfToEven(double exact) {
  double below = std::floor(exact);
  double rest = exact - below;
  bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2.0) != 0.0);
  return static_cast<int64_t>(below) + up;
}

int64_t mlir::prune::countPruned(double sparsity, int64_t count) {
  return roundHalfToEven(sparsity * static_cast<double>(count));
}

int64_t mlir::prune::getShare(int64_t count, int64_t part, int64_t whole) {
  return whole ? roundHalfToEven(static_cast<double>(count) * part / whole) : 0;
}

int64_t mlir::prune::countPrunedUnits(PatternAttrInterface pattern, ArrayRef<int64_t> shape, ArrayRef<uint8_t> mask) {
  if (pattern.hasElementUnits())
    return llvm::count(mask, 0);
  std::vector<float> elements(mask.begin(), mask.end()), units(countUnits(pattern, shape));
  pattern.reduceScores(shape, elements, ScoreOrder::Magnitude, ScoreReduction::Max, 0, units.size(), units.data());
  return llvm::count(units, 0.0f);
}

void mlir::prune::selectMasks(MutableArrayRef<SelectionTensor> tensors, const SelectionOptions &options,
                              WorkerPool &pool) {
  PatternAttrInterface pattern = options.pattern;
  bool elementUnits = pattern.hasElementUnits();
  std::vector<std::vector<float>> unitScores(tensors.size());
  std::vector<std::vector<uint8_t>> unitStates(tensors.size());
  SmallVector<Item> items(tensors.size());
  for (auto [index, tensor] : llvm::enumerate(tensors)) {
    Item &item = items[index];
    item.minKeep = tensor.minKeep;
    // Units without rows are one row.
    SmallVector<int64_t> grid = pattern.getUnitGrid(tensor.shape);
    item.columns = grid.size() > 1 ? MatrixView(grid).columns : grid.front();
    int64_t numElements = tensor.scores.size();
    int64_t numUnits = elementUnits ? numElements : countUnits(pattern, tensor.shape);
    if (elementUnits) {
      item.scores = tensor.scores;
      item.state = tensor.mask;
    } else {
      unitScores[index].resize(numUnits);
      unitStates[index].resize(numUnits);
      int64_t perChunk = std::max<int64_t>(1, static_cast<int64_t>(double(kChunk) * numUnits / numElements));
      pool.forEachChunk(numUnits, perChunk, [&, index = index, &tensor = tensor](int64_t begin, int64_t end) {
        pattern.reduceScores(tensor.shape, tensor.scores, options.order, options.reduction, begin, end,
                             unitScores[index].data() + begin);
      });
      item.scores = unitScores[index];
      item.state = unitStates[index];
    }
    int64_t numGroups = pattern.getNumGroups(tensor.shape);
    if (numGroups > 0 || (!options.sparsity && !options.threshold)) {
      item.hasState = true;
      pool.forEachChunk(numUnits, kChunk, [&](int64_t begin, int64_t end) {
        std::fill(&item.state[begin], &item.state[0] + end, Candidate);
      });
      int64_t perChunk = std::max<int64_t>(1, static_cast<int64_t>(double(kChunk) * numGroups / numUnits));
      pool.forEachChunk(numGroups, perChunk, [&, &tensor = tensor](int64_t begin, int64_t end) {
        pattern.constrainGroups(tensor.shape, item.scores, options.order, begin, end, item.state.data());
      });
    }
  }
  if (options.order == ScoreOrder::Magnitude)
    selectUnits<ScoreOrder::Magnitude>(items, options, pool);
  else
    selectUnits<ScoreOrder::Signed>(items, options, pool);
  if (elementUnits)
    return;
  for (auto [index, tensor] : llvm::enumerate(tensors))
    pool.forEachChunk(tensor.mask.size(), kChunk, [&, index = index, &tensor = tensor](int64_t begin, int64_t end) {
      pattern.expandUnits(tensor.shape, unitStates[index], begin, end, tensor.mask.data() + begin);
    });
}

int64_t mlir::prune::findNaN(ArrayRef<float> values, WorkerPool &pool) {
  std::atomic<int64_t> first{std::numeric_limits<int64_t>::max()};
  pool.forEachChunk(values.size(), kChunk, [&](int64_t begin, int64_t end) {
    // All bits first (this vectorises), the place only if there is one.
    uint32_t found = 0;
    for (int64_t i = begin; i < end; ++i)
      found |= getScoreKey(values[i], ScoreOrder::Magnitude) > 0xff000000u;
    if (!found)
      return;
    int64_t place = std::find_if(values.begin() + begin, values.begin() + end, [](float v) { return std::isnan(v); }) -
                    values.begin();
    int64_t known = first;
    while (place < known && !first.compare_exchange_weak(known, place)) {
    }
  });
  return first == std::numeric_limits<int64_t>::max() ? -1 : first.load();
}

std::string mlir::prune::formatIndex(ArrayRef<int64_t> shape, int64_t index) {
  SmallVector<int64_t> position(shape.size());
  for (size_t dim = shape.size(); dim-- > 0; index /= shape[dim])
    position[dim] = index % shape[dim];
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "[";
  llvm::interleaveComma(position, os);
  os << "]";
  return text;
}
