//===- GroupScores.cpp - What the units of a group are worth ------------------===//

#include "prune/Dialect/Prune/Transforms/Structured/GroupScores.h"
#include "GroupDistances.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

//===----------------------------------------------------------------------===//
// Criteria and gradients
//===----------------------------------------------------------------------===//

std::optional<GroupCriterion> GroupCriterion::parse(StringRef text, MLIRContext *context, std::string &error) {
  error.clear();
  if (text == "fpgm")
    return GroupCriterion{Kind::Distance, {}};
  if (text == "bn-scale")
    return GroupCriterion{Kind::Scale, {}};
  if (text == "l1" || text == "l2" || text == "linf")
    return GroupCriterion{Kind::Elements, MagnitudeAttr::get(context, *symbolizeNorm(text))};
  if (CriterionAttrInterface criterion = parseCriterion(text, context, error)) {
    if (criterion.getRequiredInputs() & ~(NeedsWeight | kNeedsGradients)) {
      error = ("criterion '" + text + "': needs activations or Fisher blocks, which groups are not scored by").str();
      return std::nullopt;
    }
    return GroupCriterion{isa<RandomAttr>(criterion) ? Kind::Random : Kind::Elements, criterion};
  }
  if (!text.starts_with("#"))
    error = ("criterion '" + text +
             "': expected l1, l2, linf, fpgm, taylor, fisher, bn-scale, random, random:SEED or an " + "attribute")
                .str();
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Members
//===----------------------------------------------------------------------===//

bool mlir::prune::isVector(const GroupMember &member) {
  return member.dim.getType().getNumElements() == member.dim.getSize();
}

/// True if elementwise ops multiply with `value`, directly or once it is broadcast or reshaped.
static bool isMultiplied(Value value) {
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (isa<arith::MulFOp>(user))
      return true;
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp, ApplyOp>(user)) {
      if (use.getOperandNumber() == 0 && isMultiplied(user->getResult(0)))
        return true;
      continue;
    }
    auto op = dyn_cast<linalg::LinalgOp>(user);
    if (!op || op.getNumReductionLoops() || op->getNumResults() != 1)
      continue;
    bool moves = isa<linalg::YieldOp>(op.getBlock()->front());
    if (moves ? isMultiplied(op->getResult(0))
              : llvm::any_of(op.getMatchingBlockArgument(&use).getUsers(),
                             [](Operation *inner) { return isa<arith::MulFOp>(inner); }))
      return true;
  }
  return false;
}

/// The members by which `criterion` judges a group; none if there are no such.
static SmallVector<const GroupMember *> getJudges(const DimGroup &group, const GroupCriterion &criterion) {
  SmallVector<const GroupMember *> judges;
  auto collect = [&](auto fits) {
    for (const GroupMember &member : group.members)
      if (fits(member))
        judges.push_back(&member);
    return !judges.empty();
  };
  if (criterion.kind == GroupCriterion::Kind::Scale) {
    collect([](const GroupMember &member) { return isVector(member) && isMultiplied(member.dim.value); });
    return judges;
  }
  if (criterion.kind == GroupCriterion::Kind::Distance &&
      collect([](const GroupMember &member) { return member.isOutput && !isVector(member); }))
    return judges;
  if (!collect([](const GroupMember &member) { return !isVector(member); }))
    collect([](const GroupMember &) { return true; });
  return judges;
}

bool mlir::prune::canScore(const DimGroup &group, const GroupCriterion &criterion) {
  return !getJudges(group, criterion).empty();
}

//===----------------------------------------------------------------------===//
// Sums over slices
//===----------------------------------------------------------------------===//

namespace {
/// One dimension of a tensor: all before it, itself, all behind it.
struct SliceView {
  int64_t outer = 1, dim = 1, inner = 1;

  SliceView(ArrayRef<int64_t> shape, int64_t at) : dim(shape[at]) {
    for (int64_t size : shape.take_front(at))
      outer *= size;
    for (int64_t size : shape.drop_front(at + 1))
      inner *= size;
  }
};

template <ScoreReduction Reduction, bool Magnitude> struct Accumulate {
  static double take(double sum, float value) {
    double term = Magnitude ? std::abs(value) : value;
    if (Reduction == ScoreReduction::RootMeanSquare)
      term *= term;
    return merge(sum, term);
  }
  static double merge(double sum, double term) {
    return Reduction == ScoreReduction::Max ? std::max(sum, term) : sum + term;
  }
};

/// Elements of which one piece of work adds up the slices.
constexpr int64_t kChunkElements = 1 << 17;
/// Sums that run side by side, so that one addition need not wait for the other.
constexpr int64_t kLanes = 8;

/// Writes the sum over the slice of each index in [begin, end).
template <typename Acc>
void sumSlices(const float *values, const SliceView &view, int64_t begin, int64_t end, double start, double *sums) {
  std::fill(sums, sums + (end - begin), start);
  for (int64_t outer = 0; outer < view.outer; ++outer) {
    const float *row = values + (outer * view.dim + begin) * view.inner;
    if (view.inner == 1) {
      for (int64_t i = 0; i < end - begin; ++i)
        sums[i] = Acc::take(sums[i], row[i]);
      continue;
    }
    for (int64_t i = 0; i < end - begin; ++i, row += view.inner) {
      double lanes[kLanes];
      std::fill(lanes, lanes + kLanes, start);
      int64_t k = 0;
      for (; k + kLanes <= view.inner; k += kLanes)
        for (int64_t lane = 0; lane < kLanes; ++lane)
          lanes[lane] = Acc::take(lanes[lane], row[k + lane]);
      for (; k < view.inner; ++k)
        lanes[0] = Acc::take(lanes[0], row[k]);
      for (double lane : lanes)
        sums[i] = Acc::merge(sums[i], lane);
    }
  }
}

using SumFn = void (*)(const float *, const SliceView &, int64_t, int64_t, double, double *);

template <ScoreReduction Reduction> SumFn chooseSum(ScoreOrder order) {
  return order == ScoreOrder::Magnitude ? &sumSlices<Accumulate<Reduction, true>>
                                        : &sumSlices<Accumulate<Reduction, false>>;
}

//===----------------------------------------------------------------------===//
// Scorer
//===----------------------------------------------------------------------===//

class GroupScorer {
public:
  GroupScorer(const DimCoupling &coupling, ArrayRef<unsigned> groups, const GroupScoreOptions &options,
              WorkerPool &pool)
      : coupling(coupling), groups(groups), options(options), pool(pool) {}

  FailureOr<std::vector<std::vector<double>>> run();

private:
  /// One dimension of a constant that judges units.
  struct Slice {
    const GroupMember *member;
    FactorChoice choice;
    /// Positions in `groups`.
    SmallVector<unsigned> judged;
  };
  /// What one judge says about the units of a group.
  using Opinion = std::vector<double>;

  LogicalResult collect();
  LogicalResult scoreConstant(Value constant, ArrayRef<Slice *> slices);
  void scoreSlice(const Slice &slice, ArrayRef<int64_t> shape, ArrayRef<float> values);
  void scoreDistances(const Slice &slice, ArrayRef<int64_t> shape, ArrayRef<float> values);
  std::vector<double> aggregate(std::vector<Opinion> &opinions, size_t numUnits);
  const DimGroup &getGroup(unsigned position) const { return coupling.getGroups()[groups[position]]; }

  const DimCoupling &coupling;
  ArrayRef<unsigned> groups;
  const GroupScoreOptions &options;
  WorkerPool &pool;
  ScoreReduction reduction = ScoreReduction::Mean;
  ScoreOrder order = ScoreOrder::Magnitude;

  /// By constant, in the order of the groups.
  llvm::MapVector<Value, std::vector<Slice>> slices;
  /// For each group, in the order of its judges' constants.
  std::vector<std::vector<Opinion>> opinions;
  /// Scratch: the sum of each unit along one dimension.
  std::vector<double> unitSums;
};
} // namespace

LogicalResult GroupScorer::collect() {
  for (auto [position, id] : llvm::enumerate(groups)) {
    const DimGroup &group = coupling.getGroups()[id];
    SmallVector<const GroupMember *> judges = getJudges(group, options.criterion);
    if (judges.empty()) {
      Location loc = group.members.empty() ? UnknownLoc::get(options.criterion.elements.getContext())
                                           : group.members.front().dim.value.getLoc();
      return emitError(loc) << "criterion bn-scale: no vector of different values scales group '" << group.name
                            << "' (prune-normalize folds batch norms into weights unless fold-batch-norm=false)";
    }
    for (const GroupMember *member : judges) {
      std::vector<Slice> &ofConstant = slices[member->dim.value];
      auto known = llvm::find_if(ofConstant, [&](const Slice &slice) {
        return slice.member->dim.dim == member->dim.dim && slice.choice == group.choice;
      });
      if (known == ofConstant.end())
        known = ofConstant.insert(known, Slice{member, group.choice, {}});
      known->judged.push_back(position);
    }
  }
  return success();
}

/// The value of a constant that no slice may have: with it sums start.
static double getStart(ScoreReduction reduction, ScoreOrder order) {
  bool isSignedMax = reduction == ScoreReduction::Max && order == ScoreOrder::Signed;
  return isSignedMax ? -std::numeric_limits<double>::infinity() : 0.0;
}

void GroupScorer::scoreSlice(const Slice &slice, ArrayRef<int64_t> shape, ArrayRef<float> values) {
  SliceView view(shape, slice.member->dim.dim);
  std::vector<double> sums(view.dim);
  SumFn sum = reduction == ScoreReduction::Mean  ? chooseSum<ScoreReduction::Mean>(order)
              : reduction == ScoreReduction::Max ? chooseSum<ScoreReduction::Max>(order)
                                                 : chooseSum<ScoreReduction::RootMeanSquare>(order);
  double start = getStart(reduction, order);
  // Rows of 16 floats at least: a cache line of each.
  int64_t chunk = std::max<int64_t>(16, kChunkElements / std::max<int64_t>(1, view.outer * view.inner));
  pool.forEachChunk(view.dim, chunk, [&](int64_t begin, int64_t end) {
    sum(values.data(), view, begin, end, start, sums.data() + begin);
  });

  ArrayRef<int32_t> units = coupling.getUnits(slice.member->dim, slice.choice);
  for (int32_t unit : units)
    if (unit >= 0)
      unitSums[unit] = start;
  for (auto [unit, value] : llvm::zip_equal(units, sums))
    if (unit >= 0)
      unitSums[unit] = reduction == ScoreReduction::Max ? std::max(unitSums[unit], value) : unitSums[unit] + value;
  for (unsigned position : slice.judged) {
    Opinion opinion;
    for (int32_t unit : getGroup(position).units)
      opinion.push_back(reduction == ScoreReduction::RootMeanSquare ? std::sqrt(unitSums[unit]) : unitSums[unit]);
    opinions[position].push_back(std::move(opinion));
  }
}

void GroupScorer::scoreDistances(const Slice &slice, ArrayRef<int64_t> shape, ArrayRef<float> values) {
  SliceView view(shape, slice.member->dim.dim);
  ArrayRef<int32_t> units = coupling.getUnits(slice.member->dim, slice.choice);
  std::vector<int32_t> places(coupling.getNumUnits(), -1);
  for (unsigned position : slice.judged) {
    ArrayRef<int32_t> ofGroup = getGroup(position).units;
    for (auto [place, unit] : llvm::enumerate(ofGroup))
      places[unit] = place;
    std::vector<SmallVector<int64_t, 1>> indices(ofGroup.size());
    for (auto [index, unit] : llvm::enumerate(units))
      if (unit >= 0 && places[unit] >= 0)
        indices[places[unit]].push_back(index);
    int64_t length = 0;
    for (ArrayRef<int64_t> own : indices)
      length = std::max<int64_t>(length, own.size() * view.outer * view.inner);
    // Units side by side, as rows.
    std::vector<float> rows(indices.size() * length);
    for (auto [place, own] : llvm::enumerate(indices)) {
      float *row = rows.data() + place * length;
      for (int64_t outer = 0; outer < view.outer; ++outer)
        for (int64_t index : own)
          row = std::copy_n(values.data() + (outer * view.dim + index) * view.inner, view.inner, row);
    }
    opinions[position].push_back(sumDistances(rows, length, pool));
    for (int32_t unit : ofGroup)
      places[unit] = -1;
  }
}

LogicalResult GroupScorer::scoreConstant(Value value, ArrayRef<Slice *> ofConstant) {
  StringRef name = ofConstant.front()->member->name;
  auto emit = [&] { return emitError(value.getLoc()) << "weight '" << name << "': "; };
  auto reject = [&](const Twine &what, ArrayRef<int64_t> shape, int64_t place) {
    return emitError(value.getLoc()) << what << " '" << name << "' holds NaN at index " << formatIndex(shape, place);
  };
  FailureOr<WeightData> weight = WeightData::read(getConstantAttr(value), emit);
  if (failed(weight))
    return failure();
  ArrayRef<int64_t> shape = weight->shape();
  ArrayRef<float> values = weight->values();
  if (int64_t place = findNaN(values, pool); place >= 0)
    return reject("weight", shape, place);

  const GroupCriterion &criterion = options.criterion;
  if (criterion.kind == GroupCriterion::Kind::Distance) {
    for (const Slice *slice : ofConstant)
      scoreDistances(*slice, shape, values);
    return success();
  }
  std::vector<float> scores;
  if (criterion.kind == GroupCriterion::Kind::Elements && !criterion.elements.isWeightItself()) {
    ScoreInputs inputs;
    inputs.name = name;
    inputs.shape = shape;
    inputs.weight = values;
    if (criterion.needsGradients())
      if (llvm::Error error = options.gradients->provide(inputs, criterion.elements.getRequiredInputs(), name,
                                                         cast<RankedTensorType>(value.getType()), pool))
        return emitError(value.getLoc()) << "gradients: " << llvm::toString(std::move(error));
    scores.resize(values.size());
    pool.forEachChunk(values.size(), kChunkElements, [&](int64_t begin, int64_t end) {
      criterion.elements.scoreElements(inputs, begin, end, scores.data() + begin);
    });
    if (int64_t place = findNaN(scores, pool); place >= 0)
      return emitError(value.getLoc()) << "criterion " << spell(criterion.elements) << " scores weight '" << name
                                       << "' NaN at index " << formatIndex(shape, place);
    values = scores;
  }
  for (const Slice *slice : ofConstant)
    scoreSlice(*slice, shape, values);
  return success();
}

std::vector<double> GroupScorer::aggregate(std::vector<Opinion> &all, size_t numUnits) {
  llvm::erase_if(all, [](const Opinion &opinion) { return opinion.empty(); });
  // Who says the same of all has no say, unless all do.
  auto isIndifferent = [](const Opinion &opinion) { return llvm::all_equal(opinion); };
  if (!llvm::all_of(all, isIndifferent))
    llvm::erase_if(all, isIndifferent);
  std::vector<double> scores(numUnits, 0.0);
  for (const Opinion &opinion : all)
    for (auto [score, value] : llvm::zip_equal(scores, opinion))
      score = options.aggregation == ScoreAggregation::Max && &opinion != &all.front() ? std::max(score, value)
                                                                                       : score + value;
  if (options.aggregation == ScoreAggregation::Mean && !all.empty())
    for (double &score : scores)
      score /= all.size();
  if (!options.normalize)
    return scores;
  double sum = 0;
  int64_t count = 0;
  for (double score : scores)
    if (std::isfinite(score)) {
      sum += std::abs(score);
      ++count;
    }
  if (sum > 0)
    for (double &score : scores)
      score /= sum / count;
  return scores;
}

FailureOr<std::vector<std::vector<double>>> GroupScorer::run() {
  std::vector<std::vector<double>> result;
  const GroupCriterion &criterion = options.criterion;
  if (criterion.kind == GroupCriterion::Kind::Random) {
    for (unsigned id : groups) {
      const DimGroup &group = coupling.getGroups()[id];
      int64_t numUnits = group.units.size();
      std::vector<float> drawn(numUnits);
      ScoreInputs inputs;
      inputs.name = group.name;
      inputs.shape = numUnits;
      criterion.elements.scoreElements(inputs, 0, numUnits, drawn.data());
      result.emplace_back(drawn.begin(), drawn.end());
    }
    return result;
  }
  if (criterion.elements) {
    reduction = criterion.elements.getReduction();
    order = criterion.elements.getScoreOrder();
  }
  if (failed(collect()))
    return failure();
  opinions.resize(groups.size());
  unitSums.resize(coupling.getNumUnits());
  for (auto &[constant, ofConstant] : slices) {
    SmallVector<Slice *> pointers;
    for (Slice &slice : ofConstant)
      pointers.push_back(&slice);
    if (failed(scoreConstant(constant, pointers)))
      return failure();
  }
  for (size_t position = 0; position < groups.size(); ++position)
    result.push_back(aggregate(opinions[position], getGroup(position).units.size()));
  return result;
}

FailureOr<std::vector<std::vector<double>>> mlir::prune::scoreGroups(const DimCoupling &coupling,
                                                                     ArrayRef<unsigned> groups,
                                                                     const GroupScoreOptions &options,
                                                                     WorkerPool &pool) {
  return GroupScorer(coupling, groups, options, pool).run();
}
