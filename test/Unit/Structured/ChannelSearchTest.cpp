//===- ChannelSearchTest.cpp - Orders of channels that suit n:m ----------------===//

#include "prune/Dialect/Prune/Transforms/Structured/ChannelSearch.h"
#include "gtest/gtest.h"
#include <cmath>
#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::prune;

namespace {

struct Problem {
  int64_t rows, columns, numChannels;
  std::vector<float> values;
  std::vector<int32_t> channels;

  /// `taps` columns for each channel, behind `fixed` columns that stay.
  Problem(int64_t rows, int64_t numChannels, int64_t taps, int64_t fixed, unsigned seed)
      : rows(rows), columns(fixed + numChannels * taps), numChannels(numChannels) {
    std::mt19937 engine(seed);
    for (int64_t i = 0; i < rows * columns; ++i)
      values.push_back(static_cast<float>(static_cast<int32_t>(engine())) * 0x1p-31f);
    for (int64_t column = 0; column < columns; ++column)
      channels.push_back(column < fixed ? -1 : static_cast<int32_t>((column - fixed) / taps));
  }

  MatrixView getView() const { return MatrixView({rows, columns}); }
  ChannelWeight get() const { return ChannelWeight(values, getView(), channels, numChannels); }

  /// What masks keep with channel channelAt[i] at the place of channel i, the slow way.
  double measure(ArrayRef<int32_t> channelAt, int64_t n, int64_t m) const {
    std::vector<std::vector<int64_t>> columnsOf(numChannels);
    for (int64_t column = 0; column < columns; ++column)
      if (channels[column] >= 0)
        columnsOf[channels[column]].push_back(column);
    std::vector<size_t> seen(numChannels, 0);
    std::vector<int64_t> order;
    for (int64_t column = 0; column < columns; ++column) {
      int32_t place = channels[column];
      order.push_back(place < 0 ? column : columnsOf[channelAt[place]][seen[place]++]);
    }
    double kept = 0;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t begin = 0; begin < columns; begin += m) {
        std::vector<double> group;
        for (int64_t column = begin; column < std::min(begin + m, columns); ++column)
          group.push_back(std::fabs(values[row * columns + order[column]]));
        llvm::sort(group, std::greater<double>());
        kept = std::accumulate(group.begin(), group.begin() + std::min<int64_t>(n, group.size()), kept);
      }
    return kept;
  }
};

std::vector<int32_t> getIdentity(int64_t size) {
  std::vector<int32_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

ChannelOrder search(ArrayRef<Problem> problems, ChannelPattern pattern, double effort = 1, unsigned threads = 1) {
  std::vector<ChannelWeight> weights;
  for (const Problem &problem : problems)
    weights.push_back(problem.get());
  WorkerPool pool(threads);
  return searchChannelOrder(weights, problems.front().numChannels, pattern, effort, pool);
}

double measure(ArrayRef<Problem> problems, ArrayRef<int32_t> channelAt, ChannelPattern pattern) {
  double kept = 0;
  for (const Problem &problem : problems)
    kept += problem.measure(channelAt, pattern.n, pattern.m);
  return kept;
}

TEST(ChannelSearch, findsTheBestOfTwoStripes) {
  for (unsigned seed = 0; seed < 5; ++seed) {
    // Two weights read the same channels.
    std::vector<Problem> problems = {Problem(5, 6, 1, 0, seed), Problem(3, 6, 1, 0, seed + 100)};
    for (ChannelPattern pattern : {ChannelPattern{1, 3}, ChannelPattern{2, 3}, ChannelPattern{2, 4}}) {
      ChannelOrder found = search(problems, pattern);
      double best = 0;
      std::vector<int32_t> order = getIdentity(6);
      do
        best = std::max(best, measure(problems, order, pattern));
      while (std::next_permutation(order.begin(), order.end()));
      EXPECT_NEAR(measure(problems, found.channelAt, pattern), best, 1e-5);
      EXPECT_EQ(found.whyNot, "");
    }
  }
}

TEST(ChannelSearch, gainsWhatItSays) {
  struct Case {
    std::vector<Problem> problems;
    ChannelPattern pattern;
  };
  std::vector<Case> cases = {
      {{Problem(9, 40, 1, 0, 1)}, {2, 4}},                          // many stripes
      {{Problem(9, 43, 1, 0, 2)}, {2, 4}},                          // a short one behind them
      {{Problem(7, 12, 9, 0, 3)}, {2, 4}},                          // groups reach from channel to channel
      {{Problem(7, 10, 1, 2, 4)}, {2, 4}},                          // a group of both kinds of columns
      {{Problem(7, 16, 1, 0, 5), Problem(4, 16, 3, 0, 6)}, {2, 4}}, // readers of two shapes
      {{Problem(7, 24, 1, 0, 7)}, {4, 8}},                          // exchanges of two
      {{Problem(40, 24, 1, 0, 8)}, {2, 5}},                         // more rows than lanes
  };
  for (auto [index, test] : llvm::enumerate(cases)) {
    std::vector<int32_t> identity = getIdentity(test.problems.front().numChannels);
    ChannelOrder found = search(test.problems, test.pattern);
    EXPECT_TRUE(std::is_permutation(identity.begin(), identity.end(), found.channelAt.begin(), found.channelAt.end()));
    double gain =
        measure(test.problems, found.channelAt, test.pattern) - measure(test.problems, identity, test.pattern);
    EXPECT_NEAR(found.gain, gain, 1e-4) << "case " << index;
    EXPECT_GT(gain, 0.1) << "case " << index;
    for (unsigned threads : {2, 3})
      EXPECT_EQ(search(test.problems, test.pattern, 1, threads).channelAt, found.channelAt) << "case " << index;
  }
}

TEST(ChannelSearch, stopsWithTheWork) {
  std::vector<Problem> problems = {Problem(16, 256, 1, 0, 1)};
  double little = search(problems, {2, 4}, 1e-5).gain, more = search(problems, {2, 4}, 1e-2).gain;
  EXPECT_GE(little, 0);
  EXPECT_GT(more, little);
}

TEST(ChannelSearch, saysWhyNothingIsGained) {
  EXPECT_EQ(search({Problem(4, 6, 4, 0, 1)}, {2, 4}).whyNot, "no group of 4 columns has columns of two of its units");
  // Groups of the second weight begin in the middle of those of the first.
  EXPECT_EQ(search({Problem(4, 66, 1, 0, 1), Problem(4, 66, 1, 1, 2)}, {2, 4}).whyNot,
            "groups of 4 columns tie 66 of its units to each other, more than 64");
}

} // namespace
