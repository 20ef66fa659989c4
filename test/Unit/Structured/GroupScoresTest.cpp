//===- GroupScoresTest.cpp - Scores of units against plain double loops -------===//
//
// A coupling made by hand: units of one, two and 16 indices in first, middle and last dimensions of constants.
//
//===----------------------------------------------------------------------===//

#include "prune/Dialect/Prune/Transforms/Structured/GroupScores.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Groups and units as the test says.
class HandmadeCoupling : public DimCoupling {
public:
  std::vector<DimGroup> groups;
  std::vector<unsigned> groupOfUnit;
  std::vector<std::pair<DimRef, std::vector<int32_t>>> unitsOfDim;

  ArrayRef<DimGroup> getGroups() const override { return groups; }
  unsigned getNumUnits() const override { return groupOfUnit.size(); }
  unsigned getNumComponents() const override { return 1; }
  bool hasAlternatives(unsigned) const override { return false; }
  ArrayRef<int32_t> getUnits(DimRef dim, FactorChoice) const override {
    for (const auto &[known, units] : unitsOfDim)
      if (known == dim)
        return units;
    return {};
  }
  ArrayRef<unsigned> getGroupOfUnit() const override { return groupOfUnit; }
  unsigned getComponent(DimRef) const override { return 0; }
  ArrayRef<MeanSite> getMeanSites() const override { return {}; }
  bool isIdle(const DimGroup &, llvm::function_ref<bool(const GroupMember &)>) const override { return false; }
  void explain(const DimGroup &, raw_ostream &) const override {}
  llvm::json::Object toJSON(const DimGroup &) const override { return {}; }
  void printGraph(raw_ostream &) const override {}
};

struct Tensor {
  SmallVector<int64_t> shape;
  std::vector<float> values;
};

class GroupScoresTest : public ::testing::Test {
protected:
  GroupScoresTest() : builder(UnknownLoc::get(&context), &context) {
    context.loadDialect<arith::ArithDialect, PruneDialect>();
    module = ModuleOp::create(builder.getLoc());
    builder.setInsertionPointToStart(module->getBody());
  }

  /// A member of group `group` whose units have `block` consecutive indices, in a turned order (unit u starts at
  /// index (u + shift) * block).
  void addMember(unsigned group, ArrayRef<int64_t> shape, int64_t dim, int64_t block, int64_t shift, unsigned seed,
                 bool isOutput = true) {
    std::mt19937 engine(seed);
    Tensor tensor{SmallVector<int64_t>(shape), {}};
    int64_t size = 1;
    for (int64_t side : shape)
      size *= side;
    for (int64_t i = 0; i < size; ++i)
      tensor.values.push_back(static_cast<float>(static_cast<int32_t>(engine())) * 0x1p-31f);
    addMember(group, std::move(tensor), dim, block, shift, isOutput);
  }

  void addMember(unsigned group, Tensor tensor, int64_t dim, int64_t block, int64_t shift, bool isOutput = true) {
    while (coupling.groups.size() <= group) {
      DimGroup fresh;
      fresh.id = coupling.groups.size();
      fresh.name = "channels:" + std::to_string(fresh.id);
      coupling.groups.push_back(fresh);
    }
    DimGroup &owner = coupling.groups[group];
    int64_t numUnits = tensor.shape[dim] / block;
    for (int64_t i = owner.units.size(); i < numUnits; ++i) {
      owner.units.push_back(coupling.groupOfUnit.size());
      coupling.groupOfUnit.push_back(group);
    }
    auto type = RankedTensorType::get(tensor.shape, builder.getF32Type());
    Value value = arith::ConstantOp::create(builder, DenseElementsAttr::get(type, ArrayRef<float>(tensor.values)));
    std::vector<int32_t> units(tensor.shape[dim]);
    for (int64_t i = 0; i < tensor.shape[dim]; ++i)
      units[i] = owner.units[(i / block + numUnits - shift % numUnits) % numUnits];
    coupling.unitsOfDim.push_back({DimRef{value, dim}, units});
    owner.members.push_back({DimRef{value, dim}, "w" + std::to_string(tensors.size()), isOutput});
    tensors.push_back(std::move(tensor));
  }

  /// The slice of a unit in member `number` of group 0, element by element.
  std::vector<double> getSlice(size_t number, int32_t unit) {
    const GroupMember &member = coupling.groups[0].members[number];
    ArrayRef<int32_t> units = coupling.getUnits(member.dim, FactorChoice::Outermost);
    std::vector<double> slice;
    int64_t inner = 1, dim = member.dim.dim;
    for (int64_t side : ArrayRef<int64_t>(tensors[number].shape).drop_front(dim + 1))
      inner *= side;
    for (size_t i = 0; i < tensors[number].values.size(); ++i)
      if (units[i / inner % tensors[number].shape[dim]] == unit)
        slice.push_back(tensors[number].values[i]);
    return slice;
  }

  std::vector<double> score(StringRef criterion, unsigned threads = 1, GroupScoreOptions options = {}) {
    std::string error;
    std::optional<GroupCriterion> parsed = GroupCriterion::parse(criterion, &context, error);
    EXPECT_TRUE(parsed) << error;
    options.criterion = *parsed;
    WorkerPool pool(threads);
    auto scores = scoreGroups(coupling, {0}, options, pool);
    EXPECT_TRUE(succeeded(scores));
    return succeeded(scores) ? scores->front() : std::vector<double>();
  }

  void expectScores(ArrayRef<double> scores, llvm::function_ref<double(int32_t)> plain, bool normalize = true,
                    double tolerance = 1e-12) {
    ArrayRef<int32_t> units = coupling.groups[0].units;
    ASSERT_EQ(scores.size(), units.size());
    double mean = 0;
    for (int32_t unit : units)
      mean += plain(unit) / units.size();
    for (auto [unit, score] : llvm::zip_equal(units, scores))
      EXPECT_NEAR(score, plain(unit) / (normalize ? mean : 1), tolerance * (normalize ? 1 : mean)) << unit;
  }

  MLIRContext context;
  ImplicitLocOpBuilder builder;
  OwningOpRef<ModuleOp> module;
  HandmadeCoupling coupling;
  std::vector<Tensor> tensors;
};

double sum(ArrayRef<double> slice, llvm::function_ref<double(double)> term) {
  double result = 0;
  for (double value : slice)
    result += term(value);
  return result;
}

TEST_F(GroupScoresTest, magnitudes_are_those_of_plain_loops) {
  addMember(0, {24, 37, 3, 3}, 0, 2, 5, 1);
  addMember(0, {11, 12, 19}, 1, 1, 0, 2);
  addMember(0, {5, 192}, 1, 16, 3, 3, /*isOutput=*/false);
  addMember(0, {12}, 0, 1, 0, 4); // a bias, without a say
  auto mean = [&](int32_t unit, auto judge) {
    return (judge(getSlice(0, unit)) + judge(getSlice(1, unit)) + judge(getSlice(2, unit))) / 3;
  };
  auto abs = [](double value) { return std::abs(value); };
  auto square = [](double value) { return value * value; };
  expectScores(score("l1"),
               [&](int32_t unit) { return mean(unit, [&](ArrayRef<double> slice) { return sum(slice, abs); }); });
  expectScores(score("l2"), [&](int32_t unit) {
    return mean(unit, [&](ArrayRef<double> slice) { return std::sqrt(sum(slice, square)); });
  });
  expectScores(score("linf"), [&](int32_t unit) {
    return mean(unit, [&](ArrayRef<double> slice) {
      double largest = 0;
      for (double value : slice)
        largest = std::max(largest, std::abs(value));
      return largest;
    });
  });
  GroupScoreOptions options;
  options.normalize = false;
  options.aggregation = ScoreAggregation::Max;
  expectScores(
      score("l1", 1, options),
      [&](int32_t unit) {
        return std::max({sum(getSlice(0, unit), abs), sum(getSlice(1, unit), abs), sum(getSlice(2, unit), abs)});
      },
      /*normalize=*/false);
  EXPECT_EQ(score("magnitude:l2"), score("l2"));
}

TEST_F(GroupScoresTest, distances_are_those_of_plain_loops) {
  addMember(0, {70, 37, 3, 3}, 0, 1, 0, 1);
  addMember(0, {6, 140}, 1, 2, 1, 2);
  addMember(0, {5, 70}, 1, 1, 0, 3, /*isOutput=*/false); // readers have no say
  expectScores(
      score("fpgm"),
      [&](int32_t unit) {
        double total = 0;
        for (size_t member : {0, 1})
          for (int32_t other : coupling.groups[0].units) {
            std::vector<double> a = getSlice(member, unit), b = getSlice(member, other);
            double squares = 0;
            for (size_t i = 0; i < a.size(); ++i)
              squares += (a[i] - b[i]) * (a[i] - b[i]);
            total += std::sqrt(squares);
          }
        return total;
      },
      /*normalize=*/true, 1e-6);
}

TEST_F(GroupScoresTest, any_number_of_threads_gives_the_same_bits) {
  addMember(0, {96, 64, 3, 3}, 0, 1, 0, 1);
  addMember(0, {700, 96}, 1, 1, 0, 2);
  for (StringRef criterion : {"l1", "l2", "linf", "fpgm", "random:5"}) {
    std::vector<double> once = score(criterion, 1);
    EXPECT_EQ(once, score(criterion, 3)) << criterion.str();
    EXPECT_EQ(once, score(criterion, 7)) << criterion.str();
  }
  EXPECT_NE(score("random:5"), score("random:6"));
}

TEST_F(GroupScoresTest, who_says_the_same_of_all_has_no_say) {
  addMember(0, {4, 2}, 0, 1, 0, 1);
  std::vector<double> alone = score("l2");
  // A causal mask under each unit.
  float low = -std::numeric_limits<float>::max();
  addMember(0, Tensor{{4, 2}, {0, low, 0, low, 0, low, 0, low}}, 0, 1, 0);
  EXPECT_EQ(score("l2"), alone);
}

TEST_F(GroupScoresTest, infinite_slices_are_worth_most_and_leave_the_mean_alone) {
  float infinity = std::numeric_limits<float>::infinity();
  addMember(0, Tensor{{3, 2}, {1, 1, infinity, 0, 3, 3}}, 0, 1, 0);
  std::vector<double> scores = score("l1");
  EXPECT_DOUBLE_EQ(scores[0], 0.5);
  EXPECT_EQ(scores[1], infinity);
  EXPECT_DOUBLE_EQ(scores[2], 1.5);
}

TEST_F(GroupScoresTest, biases_judge_where_nothing_else_is) {
  addMember(0, Tensor{{3}, {1, -2, 3}}, 0, 1, 0);
  std::vector<double> scores = score("l1");
  EXPECT_EQ(scores, (std::vector<double>{0.5, 1, 1.5}));
}

TEST_F(GroupScoresTest, nan_is_named_by_weight_and_index) {
  addMember(0, Tensor{{2, 3}, {1, 2, 3, 4, 5, std::nanf("")}}, 0, 1, 0);
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
  GroupScoreOptions options;
  options.criterion.elements = MagnitudeAttr::get(&context, Norm::l1);
  WorkerPool pool(1);
  EXPECT_TRUE(failed(scoreGroups(coupling, {0}, options, pool)));
  EXPECT_EQ(message, "weight 'w0' holds NaN at index [1, 2]");
}

} // namespace
