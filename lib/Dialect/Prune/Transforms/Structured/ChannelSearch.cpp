//===- ChannelSearch.cpp - Orders of channels that suit n:m masks -------------===//

#include "prune/Dialect/Prune/Transforms/Structured/ChannelSearch.h"
#include "llvm/ADT/IntEqClasses.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

/// Rows that are added up side by side.
static constexpr int64_t kLanes = 16;
/// Elements that a group may be evaluated with: two or three seconds of one core.
static constexpr double kWork = 4e9;
/// Stripes of more places are not searched.
static constexpr int64_t kMaxPlaces = 64;
/// Divisions and places of two stripes up to which all divisions are tried.
static constexpr int64_t kMaxDivisions = 100, kMaxDivided = 12;
/// Share of the value of two stripes that is a gain, not rounding.
static constexpr double kLeastGain = 1e-6;
/// How often the search goes on after three channels have changed places.
static constexpr int kEscapes = 32;
/// Pairs of stripes that a thread evaluates at a time.
static constexpr int64_t kPairChunk = 16;

ChannelWeight::ChannelWeight(ArrayRef<float> values, MatrixView view, ArrayRef<int32_t> channels, int64_t numChannels)
    : numRows(llvm::alignTo(view.rows, kLanes)), magnitudes(numRows * view.columns),
      channelOfColumn(channels.begin(), channels.end()), columnsOfChannel(numChannels) {
  for (int64_t row = 0; row < view.rows; ++row)
    for (int64_t column = 0; column < view.columns; ++column)
      magnitudes[column * numRows + row] = std::fabs(values[row * view.columns + column]);
  for (auto [column, channel] : llvm::enumerate(channelOfColumn))
    if (channel >= 0)
      columnsOfChannel[channel].push_back(column);
}

/// The sum over all rows of the n largest of m columns. FixedM = 0: of any number.
template <int64_t FixedN, int64_t FixedM>
static double sumLargest(const float *const *columns, int64_t n, int64_t m, int64_t numRows) {
  if constexpr (FixedM > 0) {
    n = FixedN;
    m = FixedM;
  }
  // Sums in single precision stay short.
  constexpr int64_t kRun = 32 * kLanes;
  double total = 0;
  for (int64_t begin = 0; begin < numRows; begin += kRun) {
    float sums[kLanes] = {};
    for (int64_t row = begin, end = std::min(begin + kRun, numRows); row < end; row += kLanes) {
      float values[FixedM > 0 ? FixedM : ChannelPattern::kMaxSize][kLanes];
      for (int64_t i = 0; i < m; ++i)
        for (int64_t lane = 0; lane < kLanes; ++lane)
          values[i][lane] = columns[i][row + lane];
      // Each round brings the largest of the rest to the front.
      for (int64_t round = 0; round < n; ++round) {
        for (int64_t i = m - 1; i > round; --i)
          for (int64_t lane = 0; lane < kLanes; ++lane) {
            float a = values[i - 1][lane], b = values[i][lane];
            values[i - 1][lane] = std::max(a, b);
            values[i][lane] = std::min(a, b);
          }
        for (int64_t lane = 0; lane < kLanes; ++lane)
          sums[lane] += values[round][lane];
      }
    }
    for (float sum : sums)
      total += sum;
  }
  return total;
}

namespace {

/// A column of a group: the `index`-th of the channel at a place of the stripe, or (place < 0) column `index`, which
/// stays.
struct GroupColumn {
  int32_t place;
  int64_t index;
};

struct ColumnGroup {
  const ChannelWeight *weight;
  SmallVector<GroupColumn, 4> columns;
};

/// Places whose columns share groups.
struct Stripe {
  SmallVector<int32_t> places;
  std::vector<ColumnGroup> groups;
  /// The value depends on which of its places a channel takes.
  bool hasOrder = false;
  bool hasFixed = false;
  /// Elements looked at to evaluate it.
  double work = 0;
};

/// The channels of two stripes (or one) in other places: which of them comes to each place.
using Move = SmallVector<int16_t, 8>;

/// Two stripes (or one with itself), and what can be gained there.
struct StripePair {
  int32_t a, b;
  double gain = 0;
  const Move *move = nullptr;
};

/// A stream of numbers that is the same everywhere (SplitMix64).
class Draw {
public:
  int64_t below(int64_t bound) {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<int64_t>((z ^ (z >> 31)) % static_cast<uint64_t>(bound));
  }

private:
  uint64_t state = 0;
};

class ChannelSearch {
public:
  ChannelSearch(ArrayRef<ChannelWeight> weights, int64_t numChannels, ChannelPattern pattern, WorkerPool &pool)
      : weights(weights), pattern(pattern), pool(pool) {
    channelAt.resize(numChannels);
    std::iota(channelAt.begin(), channelAt.end(), 0);
  }

  ChannelOrder run(double effort);

private:
  std::string makeStripes();
  void addGroups(const ChannelWeight &weight);
  static void findOrder(Stripe &stripe);
  void makeMoves();
  double evaluate(const Stripe &stripe, ArrayRef<int32_t> channels) const;
  void evaluate(StripePair &pair) const;
  void refresh(int32_t stripe) { values[stripe] = evaluate(stripes[stripe], getChannels(stripes[stripe])); }
  SmallVector<int32_t> getChannels(const Stripe &stripe) const;
  double getTotal(ArrayRef<int32_t> members) const;
  void apply(const StripePair &pair);
  void climb(MutableArrayRef<StripePair> pairs);
  void search(ArrayRef<int32_t> members, double limit);
  double countWork(const StripePair &pair) const;
  const std::vector<Move> &getMoves(int32_t a, int32_t b) const;

  ArrayRef<ChannelWeight> weights;
  ChannelPattern pattern;
  WorkerPool &pool;
  std::vector<int32_t> channelAt;
  std::vector<Stripe> stripes;
  std::vector<int32_t> stripeOfPlace, placeInStripe;
  /// By the sizes of two stripes (0 for the second: one alone), and whether all divisions are to be tried and those
  /// count twice that only exchange the two.
  using MoveKey = std::tuple<int64_t, int64_t, bool, bool>;
  MoveKey getMoveKey(int32_t a, int32_t b) const;
  std::map<MoveKey, std::vector<Move>> moves;
  /// What masks keep of each stripe as it is.
  std::vector<double> values;
  std::vector<char> isDirty;
  double work = 0, workLimit = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// Stripes
//===----------------------------------------------------------------------===//

void ChannelSearch::addGroups(const ChannelWeight &weight) {
  int64_t numColumns = weight.channelOfColumn.size();
  std::vector<int64_t> seen(channelAt.size(), 0);
  for (int64_t begin = 0; begin < numColumns; begin += pattern.m) {
    ColumnGroup group{&weight, {}};
    int32_t stripe = -1;
    bool hasFixed = false;
    for (int64_t column = begin, end = std::min(begin + pattern.m, numColumns); column < end; ++column) {
      int32_t place = weight.channelOfColumn[column];
      if (place < 0) {
        group.columns.push_back({-1, column});
        hasFixed = true;
        continue;
      }
      stripe = stripeOfPlace[place];
      group.columns.push_back({placeInStripe[place], seen[place]++});
    }
    if (stripe < 0)
      continue;
    stripes[stripe].hasFixed |= hasFixed;
    stripes[stripe].work += static_cast<double>(weight.numRows) * group.columns.size();
    stripes[stripe].groups.push_back(std::move(group));
  }
}

/// The order of channels within a stripe does not matter if all of its groups have the same columns of each.
void ChannelSearch::findOrder(Stripe &stripe) {
  for (const ColumnGroup &group : stripe.groups) {
    std::vector<SmallVector<int64_t>> columns(stripe.places.size());
    for (const GroupColumn &column : group.columns)
      if (column.place >= 0)
        columns[column.place].push_back(column.index);
    stripe.hasOrder |= !llvm::all_equal(columns);
  }
}

std::string ChannelSearch::makeStripes() {
  int64_t numChannels = channelAt.size();
  llvm::IntEqClasses classes(numChannels);
  for (const ChannelWeight &weight : weights) {
    int64_t numColumns = weight.channelOfColumn.size();
    for (int64_t begin = 0; begin < numColumns; begin += pattern.m) {
      int32_t first = -1;
      for (int64_t column = begin, end = std::min(begin + pattern.m, numColumns); column < end; ++column)
        if (int32_t place = weight.channelOfColumn[column]; place >= 0) {
          if (first >= 0)
            classes.join(first, place);
          first = place;
        }
    }
  }
  classes.compress();
  stripes.resize(classes.getNumClasses());
  for (int64_t place = 0; place < numChannels; ++place) {
    Stripe &stripe = stripes[classes[place]];
    stripeOfPlace.push_back(classes[place]);
    placeInStripe.push_back(stripe.places.size());
    stripe.places.push_back(place);
  }
  for (const ChannelWeight &weight : weights)
    addGroups(weight);
  bool canGain = false;
  for (Stripe &stripe : stripes) {
    if (static_cast<int64_t>(stripe.places.size()) > kMaxPlaces)
      return llvm::formatv("groups of {0} columns tie {1} of its units to each other, more than {2}", pattern.m,
                           stripe.places.size(), kMaxPlaces)
          .str();
    findOrder(stripe);
    canGain |= stripe.places.size() > 1 || stripe.hasFixed;
  }
  return canGain ? "" : llvm::formatv("no group of {0} columns has columns of two of its units", pattern.m).str();
}

//===----------------------------------------------------------------------===//
// Moves
//===----------------------------------------------------------------------===//

ChannelSearch::MoveKey ChannelSearch::getMoveKey(int32_t a, int32_t b) const {
  const Stripe &first = stripes[a], &second = stripes[b];
  int64_t sizeA = first.places.size(), sizeB = a == b ? 0 : second.places.size();
  bool divides = a != b && !first.hasOrder && !second.hasOrder && sizeA + sizeB <= kMaxDivided;
  int64_t divisions = 1;
  for (int64_t i = 1; i <= sizeB && divides; ++i)
    divisions = divisions * (sizeA + i) / i;
  divides &= divisions <= kMaxDivisions;
  return {sizeA, sizeB, divides, sizeA == sizeB && !first.hasFixed && !second.hasFixed};
}

static std::vector<Move> makeMovesOf(int64_t sizeA, int64_t sizeB, bool divides, bool areAlike) {
  int64_t size = sizeA + sizeB;
  std::vector<Move> moves;
  if (!divides) {
    // Exchanges of two: between the stripes, or within one.
    for (int64_t i = 0; i < sizeA; ++i)
      for (int64_t j = sizeB ? sizeA : i + 1; j < size; ++j) {
        Move move(size);
        std::iota(move.begin(), move.end(), 0);
        std::swap(move[i], move[j]);
        moves.push_back(std::move(move));
      }
    return moves;
  }
  // Which channels come to the first stripe, as bits; the identity left out. Of two stripes that are alike the
  // first keeps its first channel.
  for (uint32_t chosen = 0; chosen < 1u << size; ++chosen) {
    if (llvm::popcount(chosen) != sizeA || chosen == (1u << sizeA) - 1 || (areAlike && !(chosen & 1)))
      continue;
    Move move;
    for (bool first : {true, false})
      for (int64_t i = 0; i < size; ++i)
        if (((chosen >> i) & 1) == first)
          move.push_back(i);
    moves.push_back(std::move(move));
  }
  return moves;
}

void ChannelSearch::makeMoves() {
  // One stripe for each kind.
  std::map<std::tuple<size_t, bool, bool>, SmallVector<int32_t, 2>> kinds;
  for (auto [index, stripe] : llvm::enumerate(stripes)) {
    SmallVector<int32_t, 2> &examples = kinds[{stripe.places.size(), stripe.hasOrder, stripe.hasFixed}];
    if (examples.size() < 2)
      examples.push_back(index);
  }
  SmallVector<int32_t> examples;
  for (const auto &[kind, indices] : kinds)
    examples.append(indices.begin(), indices.end());
  for (int32_t a : examples)
    for (int32_t b : examples) {
      MoveKey key = getMoveKey(a, b);
      if (!moves.count(key))
        moves[key] = std::apply(makeMovesOf, key);
    }
}

const std::vector<Move> &ChannelSearch::getMoves(int32_t a, int32_t b) const {
  return moves.find(getMoveKey(a, b))->second;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

double ChannelSearch::evaluate(const Stripe &stripe, ArrayRef<int32_t> channels) const {
  double total = 0;
  const float *columns[ChannelPattern::kMaxSize];
  for (const ColumnGroup &group : stripe.groups) {
    const ChannelWeight &weight = *group.weight;
    int64_t size = group.columns.size();
    for (auto [i, column] : llvm::enumerate(group.columns))
      columns[i] = weight.getColumn(column.place < 0 ? column.index
                                                     : weight.columnsOfChannel[channels[column.place]][column.index]);
    int64_t n = std::min(pattern.n, size);
    total += n == 2 && size == 4 ? sumLargest<2, 4>(columns, n, size, weight.numRows)
                                 : sumLargest<0, 0>(columns, n, size, weight.numRows);
  }
  return total;
}

SmallVector<int32_t> ChannelSearch::getChannels(const Stripe &stripe) const {
  SmallVector<int32_t> channels;
  for (int32_t place : stripe.places)
    channels.push_back(channelAt[place]);
  return channels;
}

void ChannelSearch::evaluate(StripePair &pair) const {
  const Stripe &a = stripes[pair.a], &b = stripes[pair.b];
  bool isOne = pair.a == pair.b;
  SmallVector<int32_t> channels = getChannels(a), moved;
  if (!isOne)
    channels.append(getChannels(b));
  double before = isOne ? values[pair.a] : values[pair.a] + values[pair.b], best = before * (1 + kLeastGain);
  pair.gain = 0;
  for (const Move &move : getMoves(pair.a, pair.b)) {
    moved.clear();
    for (int16_t from : move)
      moved.push_back(channels[from]);
    ArrayRef<int32_t> all = moved;
    double value = evaluate(a, all.take_front(a.places.size()));
    if (!isOne)
      value += evaluate(b, all.drop_front(a.places.size()));
    if (value <= best)
      continue;
    best = value;
    pair.gain = value - before;
    pair.move = &move;
  }
}

double ChannelSearch::countWork(const StripePair &pair) const {
  return getMoves(pair.a, pair.b).size() * (stripes[pair.a].work + stripes[pair.b].work);
}

//===----------------------------------------------------------------------===//
// Search
//===----------------------------------------------------------------------===//

void ChannelSearch::apply(const StripePair &pair) {
  SmallVector<int32_t> places = stripes[pair.a].places;
  if (pair.a != pair.b)
    places.append(stripes[pair.b].places);
  SmallVector<int32_t> channels;
  for (int16_t from : *pair.move)
    channels.push_back(channelAt[places[from]]);
  for (auto [place, channel] : llvm::zip_equal(places, channels))
    channelAt[place] = channel;
  for (int32_t stripe : {pair.a, pair.b}) {
    refresh(stripe);
    isDirty[stripe] = true;
  }
}

double ChannelSearch::getTotal(ArrayRef<int32_t> members) const {
  double total = 0;
  for (int32_t member : members)
    total += values[member];
  return total;
}

/// Rearranges pairs until nothing gains or the work is done.
void ChannelSearch::climb(MutableArrayRef<StripePair> pairs) {
  while (work < workLimit) {
    SmallVector<StripePair *> stale;
    for (StripePair &pair : pairs)
      if (isDirty[pair.a] || isDirty[pair.b]) {
        stale.push_back(&pair);
        work += countWork(pair);
      }
    pool.forEachChunk(stale.size(), kPairChunk, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        evaluate(*stale[i]);
    });
    std::fill(isDirty.begin(), isDirty.end(), false);
    SmallVector<StripePair *> gains;
    for (StripePair &pair : pairs)
      if (pair.gain > 0)
        gains.push_back(&pair);
    if (gains.empty())
      return;
    llvm::stable_sort(gains, [](StripePair *x, StripePair *y) { return x->gain > y->gain; });
    // Those that share a stripe with a larger gain wait for their turn.
    for (StripePair *pair : gains)
      if (!isDirty[pair->a] && !isDirty[pair->b])
        apply(*pair);
  }
}

void ChannelSearch::search(ArrayRef<int32_t> members, double limit) {
  std::vector<StripePair> pairs;
  for (auto [i, a] : llvm::enumerate(members)) {
    if (stripes[a].hasOrder)
      pairs.push_back({a, a});
    for (int32_t b : members.drop_front(i + 1))
      pairs.push_back({a, b});
    isDirty[a] = true;
  }
  work = 0;
  workLimit = limit;
  climb(pairs);
  Draw draw;
  for (int escape = 0; escape < kEscapes && work < workLimit; ++escape) {
    double before = getTotal(members);
    std::vector<int32_t> bestOrder = channelAt;
    std::vector<double> bestValues = values;
    std::vector<StripePair> bestPairs = pairs;
    int32_t last = -1;
    for (int i = 0; i < 3; ++i) {
      int32_t stripe = members[draw.below(members.size())];
      int32_t place = stripes[stripe].places[draw.below(stripes[stripe].places.size())];
      if (last >= 0)
        std::swap(channelAt[place], channelAt[last]);
      last = place;
      isDirty[stripe] = true;
    }
    for (int32_t member : members)
      if (isDirty[member])
        refresh(member);
    climb(pairs);
    if (getTotal(members) > before * (1 + kLeastGain * 1e-3))
      continue;
    channelAt = std::move(bestOrder);
    values = std::move(bestValues);
    pairs = std::move(bestPairs);
    std::fill(isDirty.begin(), isDirty.end(), false);
  }
}

ChannelOrder ChannelSearch::run(double effort) {
  ChannelOrder result;
  result.whyNot = makeStripes();
  if (!result.whyNot.empty()) {
    result.channelAt = channelAt;
    return result;
  }
  makeMoves();
  values.assign(stripes.size(), 0);
  isDirty.assign(stripes.size(), false);
  auto members = llvm::to_vector(llvm::seq<int32_t>(0, stripes.size()));
  for (int32_t member : members)
    refresh(member);
  double before = getTotal(members), limit = kWork * effort;
  // All pairs of a run of stripes may take a quarter of its share of the work; longer runs are cut.
  int64_t numStripes = members.size(), run = numStripes;
  double perPair = std::max(1.0, countWork({members.front(), members[numStripes > 1]}));
  run = std::clamp<int64_t>(static_cast<int64_t>(limit / 2 / (perPair * numStripes)), std::min<int64_t>(2, run), run);
  int64_t numRuns = llvm::divideCeil(numStripes, run);
  for (int64_t i = 0; i < numRuns; ++i) {
    int64_t begin = i * numStripes / numRuns, end = (i + 1) * numStripes / numRuns;
    search(ArrayRef(members).slice(begin, end - begin), limit / numRuns);
  }
  result.channelAt = channelAt;
  result.gain = getTotal(members) - before;
  return result;
}

ChannelOrder mlir::prune::searchChannelOrder(ArrayRef<ChannelWeight> weights, int64_t numChannels,
                                             ChannelPattern pattern, double effort, WorkerPool &pool) {
  return ChannelSearch(weights, numChannels, pattern, pool).run(effort);
}
