//===- RankUnitsTest.cpp - Counts, rounding, limits and ties of selection -----===//

#include "prune/Dialect/Prune/Transforms/Structured/RankUnits.h"
#include "prune/Dialect/Prune/Transforms/Structured/RatioSearch.h"
#include "gtest/gtest.h"
#include <cmath>
#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::prune;

namespace {

std::vector<int> listRemoved(const llvm::BitVector &removed) {
  return std::vector<int>(removed.set_bits_begin(), removed.set_bits_end());
}

TEST(RankUnits, rounds_to_the_nearest_multiple_and_keeps_one) {
  EXPECT_EQ(roundKept(44.8, 64, 8, 0), 48);
  EXPECT_EQ(roundKept(43.9, 64, 8, 0), 40);
  EXPECT_EQ(roundKept(44, 64, 8, 0), 48) << "the larger of two";
  EXPECT_EQ(roundKept(0, 64, 8, 0), 8) << "never below the multiple";
  EXPECT_EQ(roundKept(0, 64, 1, 0), 1) << "never nothing";
  EXPECT_EQ(roundKept(28, 30, 8, 0), 30) << "never more than there are";
  EXPECT_EQ(roundKept(3, 6, 8, 0), 6) << "smaller than the multiple: whole";
  EXPECT_EQ(roundKept(16, 64, 8, 33), 40) << "a limit rounds up";
}

TEST(RankUnits, lowest_scores_go_and_of_equals_the_last) {
  double scores[] = {3, 1, 2, 1, 5, 1, 0, 4};
  auto removed = rankUnits({RankedGroup{scores, 0.5, 0, 1, 8}});
  EXPECT_EQ(listRemoved(removed[0]), (std::vector<int>{1, 3, 5, 6}));
  removed = rankUnits({RankedGroup{scores, 0.375, 0, 1, 8}});
  EXPECT_EQ(listRemoved(removed[0]), (std::vector<int>{3, 5, 6})) << "index 1 of the three equal ones stays";
}

TEST(RankUnits, count_is_round_half_even_of_the_ratio) {
  std::vector<double> scores(5);
  EXPECT_EQ(rankUnits({RankedGroup{scores, 0.5, 0, 1, 5}})[0].count(), 2u);
  scores.resize(7);
  EXPECT_EQ(rankUnits({RankedGroup{scores, 0.5, 0, 1, 7}})[0].count(), 4u);
  EXPECT_EQ(rankUnits({RankedGroup{scores, 0.999, 0, 1, 7}})[0].count(), 6u) << "one stays";
  EXPECT_EQ(rankUnits({RankedGroup{scores, 0.999, 0, 1, 3}})[0].count(), 3u) << "a limit holds";
  EXPECT_EQ(rankUnits({RankedGroup{scores, 0.0, 0, 1, 7}})[0].count(), 0u);
}

TEST(RankUnits, groups_of_one_contest_share_a_budget) {
  double weak[] = {1, 2, 3, 4}, strong[] = {5, 6, 7, 2.5};
  // Half of eight: 1, 2, 2.5, 3.
  auto removed = rankUnits({RankedGroup{weak, 0.5, 7, 1, 4}, RankedGroup{strong, 0.5, 7, 1, 4}});
  EXPECT_EQ(listRemoved(removed[0]), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(listRemoved(removed[1]), (std::vector<int>{3}));
  // The first group may lose two only: the second gives one more.
  removed = rankUnits({RankedGroup{weak, 0.5, 7, 1, 2}, RankedGroup{strong, 0.5, 7, 1, 4}});
  EXPECT_EQ(listRemoved(removed[0]), (std::vector<int>{0, 1}));
  EXPECT_EQ(listRemoved(removed[1]), (std::vector<int>{0, 3}));
  // Alone each loses two.
  removed = rankUnits({RankedGroup{weak, 0.5, 0, 1, 4}, RankedGroup{strong, 0.5, 1, 1, 4}});
  EXPECT_EQ(listRemoved(removed[0]), (std::vector<int>{0, 1}));
  EXPECT_EQ(listRemoved(removed[1]), (std::vector<int>{0, 3}));
}

TEST(RankUnits, contests_meet_their_budget_exactly) {
  std::mt19937 engine(3);
  std::vector<std::vector<double>> scores;
  for (int size : {64, 17, 128, 5, 33}) {
    scores.emplace_back(size);
    for (double &score : scores.back())
      score = engine() % 50;
  }
  int64_t all = std::accumulate(scores.begin(), scores.end(), int64_t(0),
                                [](int64_t sum, const std::vector<double> &group) { return sum + group.size(); });
  for (double ratio : {0.1, 0.3, 0.5, 0.75}) {
    std::vector<RankedGroup> groups;
    for (const std::vector<double> &group : scores)
      groups.push_back({group, ratio, 0, 1, static_cast<int64_t>(group.size())});
    int64_t pruned = 0;
    double highestPruned = 0, lowestKept = 100;
    for (auto [group, removed] : llvm::zip_equal(scores, rankUnits(groups))) {
      pruned += removed.count();
      EXPECT_LT(removed.count(), group.size());
      for (size_t i = 0; i < group.size(); ++i) {
        // The last unit of a group may be worth less than what others lose.
        if (removed.test(i))
          highestPruned = std::max(highestPruned, group[i]);
        else if (removed.count() + 1 < group.size())
          lowestKept = std::min(lowestKept, group[i]);
      }
    }
    EXPECT_EQ(pruned, std::lrint(ratio * all));
    EXPECT_LE(highestPruned, lowestKept);
  }
}

TEST(RatioSearch, finds_the_nearest_step_and_says_what_cannot_be) {
  std::string error;
  std::optional<RatioTarget> target = RatioTarget::parse("params:0.5", error);
  ASSERT_TRUE(target);
  // Steps of a twelfth, as of heads.
  auto steps = [](double ratio) -> FailureOr<double> { return 1 - 0.9 * std::floor(ratio * 12) / 12; };
  FailureOr<RatioSearchResult> found = searchRatio(*target, steps);
  ASSERT_TRUE(succeeded(found));
  EXPECT_TRUE(found->isReachable);
  EXPECT_NEAR(found->share, 0.475, 1e-12);
  found = searchRatio(*target, [](double ratio) -> FailureOr<double> { return (1 - ratio) * (1 - ratio); });
  EXPECT_NEAR(found->ratio, 1 - std::sqrt(0.5), 1e-3);
  found = searchRatio(*target, [](double ratio) -> FailureOr<double> { return 1 - 0.3 * ratio; });
  EXPECT_FALSE(found->isReachable);
  EXPECT_NEAR(found->share, 0.7, 1e-5);
  target->share = 1;
  EXPECT_EQ(searchRatio(*target, steps)->ratio, 0);
}

TEST(RatioSearch, few_measurements_suffice_for_latency) {
  std::string error;
  std::optional<RatioTarget> target = RatioTarget::parse("latency:0.6", error);
  ASSERT_TRUE(target);
  int calls = 0;
  FailureOr<RatioSearchResult> found = searchRatio(*target, [&](double ratio) -> FailureOr<double> {
    ++calls;
    return 0.1 + 0.9 * std::pow(1 - ratio, 1.7);
  });
  EXPECT_NEAR(found->share, 0.6, 0.012);
  EXPECT_LE(calls, 9);
}

} // namespace
