//===- LayerChoiceTest.cpp - Dense or sparse, and which tile --------------------===//

#include "prune/Conversion/PruneToSparseTensor/LayerChoice.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace mlir::prune;

namespace {

struct TestLayer {
  std::vector<float> weight;
  std::vector<uint8_t> mask;
  LayerShape shape;
  CostModel model;

  TestLayer(int64_t rows, int64_t columns, double density, TokenShape tokens, int64_t blockRows = 0)
      : weight(rows * columns, 1.0f), mask(rows * columns) {
    std::mt19937 engine(7);
    std::bernoulli_distribution kept(density);
    int64_t step = std::max<int64_t>(1, blockRows);
    for (int64_t row = 0; row < rows; row += step)
      for (int64_t column = 0; column < columns; ++column) {
        bool keep = kept(engine);
        for (int64_t r = row; r < row + step; ++r)
          mask[r * columns + column] = keep;
      }
    shape.matrix = {weight, mask, rows, columns};
    shape.tokens = tokens;
    shape.blockRows = blockRows;
    model = llvm::cantFail(CostModel::load("x86-64-v3"));
  }
  LayerChoice choose(const ChoiceOptions &options = {}) const { return chooseLayer(shape, model, options); }
};

constexpr TokenShape panels{4, 32, 8, 16, 4};

TEST(LayerChoice, sparse_below_and_dense_above_the_break_even) {
  LayerChoice sparse = TestLayer(384, 384, 0.1, panels).choose();
  EXPECT_EQ(sparse.getBest().kind, KernelKind::ChunkedCSR);
  ASSERT_TRUE(sparse.breakEven.has_value());
  EXPECT_GT(*sparse.breakEven, 0.1);
  LayerChoice dense = TestLayer(384, 384, 0.95, panels).choose();
  EXPECT_EQ(dense.getBest().kind, KernelKind::Dense);
  ASSERT_TRUE(dense.breakEven.has_value());
  EXPECT_LT(*dense.breakEven, 0.95);
  EXPECT_NE(dense.explain().find("dense because density 0.95 is above break-even"), std::string::npos);
}

TEST(LayerChoice, never_estimates_the_choice_above_dense) {
  for (double density : {0.02, 0.2, 0.4, 0.6, 0.8})
    for (int64_t tokens : {1, 2, 5, 8, 17, 32}) {
      LayerChoice choice = TestLayer(96, 200, density, {1, tokens, 8, 16, 4}).choose();
      for (const LayerCandidate &candidate : choice.candidates)
        EXPECT_LE(choice.getBest().estimatedNs, candidate.estimatedNs);
      bool hasDense = llvm::any_of(choice.candidates, [](const LayerCandidate &c) { return !c.isSparse(); });
      EXPECT_TRUE(hasDense);
    }
}

TEST(LayerChoice, blocks_keep_their_rows) {
  LayerChoice choice = TestLayer(384, 384, 0.2, panels, 4).choose();
  EXPECT_EQ(choice.getBest().kind, KernelKind::BlockRows);
  EXPECT_EQ(choice.getBest().rows, 4);
  EXPECT_EQ(choice.packed.rows, 4);
}

TEST(LayerChoice, obeys_what_is_asked_for) {
  ChoiceOptions options;
  options.chunk = 100;
  options.vectors = 2;
  options.allowDense = false;
  LayerChoice choice = TestLayer(64, 384, 0.9, panels).choose(options);
  ASSERT_EQ(choice.candidates.size(), 1u);
  EXPECT_EQ(choice.getBest().chunk, 100);
  EXPECT_EQ(choice.getBest().vectors, 2);
  EXPECT_EQ(choice.packed.chunk, 100);
}

TEST(LayerChoice, measured_times_decide_when_there_are_any) {
  TestLayer layer(384, 384, 0.1, panels);
  ChoiceOptions options;
  options.measure = [](const LayerShape &, llvm::ArrayRef<LayerCandidate> candidates) {
    std::vector<double> times;
    for (const LayerCandidate &candidate : candidates)
      times.push_back(candidate.isSparse() ? std::numeric_limits<double>::infinity() : 5000);
    return times;
  };
  LayerChoice choice = layer.choose(options);
  EXPECT_EQ(choice.getBest().kind, KernelKind::Dense);
  EXPECT_EQ(choice.getBest().measuredNs, 5000);
  EXPECT_NE(choice.explain().find("5.0 us measured"), std::string::npos);
}

TEST(LayerChoice, same_choice_every_time) {
  TestLayer layer(200, 333, 0.3, {2, 20, 8, 16, 4});
  LayerChoice first = layer.choose(), second = layer.choose();
  ASSERT_EQ(first.candidates.size(), second.candidates.size());
  for (size_t i = 0; i < first.candidates.size(); ++i)
    EXPECT_EQ(first.candidates[i].describe(), second.candidates[i].describe());
}

TEST(LayerChoice, counts_every_entry_of_the_storage) {
  TestLayer layer(129, 300, 0.3, panels);
  for (int64_t chunk : {64, 300}) {
    PackedWeight packed = packChunkedCSR(layer.shape.matrix, chunk);
    WeightCounts counts = countWeight(packed);
    // A shared column stands for two entries, every other step for one entry of each row of the pair.
    EXPECT_EQ(2 * (counts.shared + counts.rest + counts.single), static_cast<double>(packed.sources.size()));
  }
  WeightCounts dense = countWeight(packDense(layer.shape.matrix, 6));
  EXPECT_EQ(dense.groups, 22);
  EXPECT_EQ(dense.rest + dense.single, 22 * 300);
}

/// A convolution of images of `size` x `size` with kernels of 3 x 3, padded by one.
TokenShape makeImages(int64_t size, int64_t stride = 1, int64_t groups = 1) {
  ConvolutionShape convolution;
  convolution.kernel = {3, 3};
  convolution.strides = {stride, stride};
  convolution.low = convolution.high = {1, 1};
  convolution.input = {size, size};
  int64_t result = (size - 1) / stride + 1;
  convolution.result = {result, result};
  convolution.groups = groups;
  return {1, result * result, 8, 16, 4, convolution};
}

TEST(LayerChoice, convolutions_are_sparse_below_and_dense_above_the_break_even) {
  for (int64_t stride : {1, 2}) {
    LayerChoice sparse = TestLayer(128, 9 * 64, 0.1, makeImages(28, stride)).choose();
    EXPECT_EQ(sparse.getBest().kind, KernelKind::ChunkedCSR);
    ASSERT_TRUE(sparse.breakEven.has_value());
    EXPECT_GT(*sparse.breakEven, 0.1);
    LayerChoice dense = TestLayer(128, 9 * 64, 0.95, makeImages(28, stride)).choose();
    EXPECT_FALSE(dense.getBest().isSparse());
    for (const LayerChoice *choice : {&sparse, &dense})
      for (const LayerCandidate &candidate : choice->candidates) {
        EXPECT_TRUE(std::isfinite(candidate.estimatedNs));
        EXPECT_LE(choice->getBest().estimatedNs, candidate.estimatedNs);
        // Whole channels.
        EXPECT_EQ(candidate.chunk % 9, 0);
      }
  }
}

TEST(LayerChoice, groups_count_the_entries_and_the_dense_work_of_their_own_channels) {
  constexpr int64_t groups = 4, rows = 64, columns = 9 * 64;
  TestLayer layer(rows, columns, 0.4, makeImages(28, 1, groups));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      if (row / (rows / groups) != column / (columns / groups))
        layer.mask[row * columns + column] = 0;
  LayerChoice choice = layer.choose();
  EXPECT_NEAR(choice.density, 0.4, 0.02);
  double whole = 0, own = 0;
  for (const LayerCandidate &candidate : choice.candidates) {
    EXPECT_NE(candidate.kind, KernelKind::Dense);
    if (candidate.kind == KernelKind::Convolution)
      own = candidate.estimatedNs;
  }
  for (const LayerCandidate &candidate : TestLayer(rows, columns, 0.4, makeImages(28)).choose().candidates)
    if (candidate.kind == KernelKind::Convolution)
      whole = candidate.estimatedNs;
  EXPECT_LT(own, 0.6 * whole);
}

TEST(LayerChoice, threads_share_rows_where_tiles_are_few_and_the_layer_is_not_small) {
  auto choose = [](int64_t rows, const TokenShape &tokens, int64_t threads) {
    ChoiceOptions options;
    options.threads = threads;
    return TestLayer(rows, 768, 0.1, tokens).choose(options);
  };
  TokenShape oneTile{1, 8, 8, 16, 4};
  EXPECT_TRUE(choose(1024, oneTile, 2).splitsRows);
  EXPECT_FALSE(choose(1024, oneTile, 1).splitsRows);
  EXPECT_FALSE(choose(32, oneTile, 2).splitsRows);            // done before threads have started
  EXPECT_FALSE(choose(1024, panels, 2).splitsRows);           // four panels for two threads
  EXPECT_TRUE(choose(1024, {3, 32, 8, 16, 4}, 2).splitsRows); // three
  // Nothing else depends on the number of threads, so that sums are the same.
  LayerChoice one = choose(1024, oneTile, 1), two = choose(1024, oneTile, 2);
  EXPECT_EQ(one.getBest().describe(), two.getBest().describe());
  EXPECT_EQ(one.packed.coordinates, two.packed.coordinates);
  EXPECT_NE(two.explain().find("threads share its rows"), std::string::npos);
}

} // namespace
