//===- ColumnUpdatesTest.cpp - Properties of masks with updates ---------------===//
//
// What test/python/test_calibrate.py does not see: factors, failing decompositions, best values for a mask. The masks
// and weights themselves are compared with NumPy there.
//
//===----------------------------------------------------------------------===//

#include "prune/Dialect/Prune/Transforms/Scoring/ColumnUpdates.h"
#include "mlir/IR/MLIRContext.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Numbers in [-1, 1): the same with every library.
std::vector<double> draw(size_t size, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<double> values(size);
  for (double &value : values)
    value = static_cast<int32_t>(engine()) * 0x1p-31;
  return values;
}

/// XᵀX of random rows; column `dead`, if any, is zero.
std::vector<double> drawGram(int64_t rows, int64_t columns, unsigned seed, int64_t dead = -1) {
  std::vector<double> x = draw(rows * columns, seed), gram(columns * columns, 0);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < columns; ++i)
      for (int64_t j = 0; j < columns; ++j)
        if (i != dead && j != dead)
          gram[i * columns + j] += x[row * columns + i] * x[row * columns + j];
  return gram;
}

class ColumnUpdatesTest : public ::testing::Test {
protected:
  ColumnUpdatesTest() { context.loadDialect<PruneDialect>(); }

  struct Result {
    std::vector<float> weight;
    std::vector<uint8_t> mask;
  };
  Result run(PatternAttrInterface pattern, int64_t rows, int64_t columns, ArrayRef<float> weight,
             ArrayRef<InverseFactor> factors, int64_t numPruned, bool refits = false, unsigned threads = 1,
             ColumnCounts counts = ColumnCounts::Even) {
    Result result{std::vector<float>(weight), std::vector<uint8_t>(weight.size())};
    WorkerPool pool(threads);
    UpdateProblem problem;
    problem.criterion = SparseGPTAttr::get(&context);
    problem.pattern = pattern;
    problem.rows = rows;
    problem.columns = columns;
    problem.factors = factors;
    problem.numPruned = numPruned;
    problem.counts = counts;
    problem.refits = refits;
    problem.weight = result.weight;
    problem.mask = result.mask;
    pruneWithUpdates(problem, pool);
    return result;
  }
  std::vector<float> drawWeight(size_t size, unsigned seed) {
    std::vector<double> values = draw(size, seed);
    return {values.begin(), values.end()};
  }

  MLIRContext context;
};

TEST_F(ColumnUpdatesTest, factorsTheInverse) {
  for (int64_t columns : {1, 2, 63, 64, 65, 200}) {
    int64_t rows = 2 * columns + 5;
    std::vector<double> gram = drawGram(rows, columns, columns);
    WorkerPool pool(2);
    std::optional<InverseFactor> factor = factorInverse(gram, rows, 0.01, pool);
    ASSERT_TRUE(factor);
    EXPECT_EQ(factor->damping, 0.01);
    EXPECT_EQ(factor->getNumColumns(), columns);
    double mean = 0;
    for (int64_t i = 0; i < columns; ++i)
      mean += 2.0 / rows * gram[i * columns + i] / columns;
    // UᵀU H is the identity, U upper triangular with a positive diagonal, H as stated.
    for (int64_t i = 0; i < columns; ++i) {
      EXPECT_GT(factor->diagonal[i], 0);
      EXPECT_EQ(factor->diagonal[i], factor->upper[i * columns + i]);
      std::vector<double> inverse(columns, 0);
      for (int64_t k = 0; k <= i; ++k)
        for (int64_t j = k; j < columns; ++j)
          inverse[j] += factor->upper[k * columns + i] * factor->upper[k * columns + j];
      for (int64_t j = 0; j < columns; ++j) {
        if (j < i) {
          EXPECT_EQ(factor->upper[i * columns + j], 0);
        }
        double h = 2.0 / rows * gram[i * columns + j] + (i == j ? 0.01 * mean : 0.0), product = 0;
        EXPECT_NEAR(factor->damped[i * columns + j], h, 1e-12 * std::abs(h));
        for (int64_t k = 0; k < columns; ++k)
          product += inverse[k] * factor->damped[k * columns + j];
        EXPECT_NEAR(product, i == j, 1e-8) << columns << " columns, at " << i << ", " << j;
      }
    }
  }
}

TEST_F(ColumnUpdatesTest, raisesTheDampingTenfold) {
  // Eigenvalues 2.005 and -0.005 after the factor 2 / N: 0.001 is not enough, 0.01 is.
  WorkerPool pool(1);
  std::optional<InverseFactor> factor = factorInverse({1, 1.005, 1.005, 1}, 2, 0.001, pool);
  ASSERT_TRUE(factor);
  EXPECT_DOUBLE_EQ(factor->damping, 0.01);
  // 0.05 is not enough, and the next is the largest.
  factor = factorInverse({1, 1.07, 1.07, 1}, 2, 0.05, pool);
  ASSERT_TRUE(factor);
  EXPECT_DOUBLE_EQ(factor->damping, kMaxDamping);
  EXPECT_FALSE(factorInverse({1, 2, 2, 1}, 2, 0.01, pool));
  EXPECT_FALSE(factorInverse({1, NAN, NAN, 1}, 2, 0.01, pool));
}

TEST_F(ColumnUpdatesTest, findsDeadColumns) {
  WorkerPool pool(1);
  std::optional<InverseFactor> factor = factorInverse(drawGram(40, 8, 1, /*dead=*/3), 40, 0.01, pool);
  ASSERT_TRUE(factor);
  EXPECT_EQ(factor->dead.count(), 1u);
  EXPECT_TRUE(factor->dead.test(3));
  std::vector<float> weight = drawWeight(5 * 8, 2);
  Result result = run(UnstructuredAttr::get(&context), 5, 8, weight, *factor, 5);
  for (int64_t row = 0; row < 5; ++row) {
    EXPECT_EQ(result.mask[row * 8 + 3], 0);
    EXPECT_EQ(result.weight[row * 8 + 3], 0);
  }
}

TEST_F(ColumnUpdatesTest, isTheSameForAnyNumberOfThreads) {
  int64_t rows = 150, columns = 300;
  std::vector<double> gram = drawGram(700, columns, 7);
  std::vector<float> weight = drawWeight(rows * columns, 8);
  std::vector<InverseFactor> factors;
  for (unsigned threads : {1, 2, 5}) {
    WorkerPool pool(threads);
    factors.push_back(*factorInverse(gram, 700, 0.01, pool));
    EXPECT_EQ(factors.back().upper, factors.front().upper);
    EXPECT_EQ(getSquaredNorm(weight, rows, columns, gram, pool), [&] {
      WorkerPool one(1);
      return getSquaredNorm(weight, rows, columns, gram, one);
    }());
  }
  for (PatternAttrInterface pattern :
       {PatternAttrInterface(UnstructuredAttr::get(&context)), PatternAttrInterface(NOfMAttr::get(&context, 2, 4)),
        PatternAttrInterface(BlockAttr::get(&context, 3, 1))})
    for (bool refits : {false, true}) {
      int64_t numPruned = countPruned(0.7, countUnits(pattern, {rows, columns}));
      Result one = run(pattern, rows, columns, weight, factors[0], numPruned, refits);
      for (unsigned threads : {2, 5}) {
        Result more = run(pattern, rows, columns, weight, factors[0], numPruned, refits, threads);
        EXPECT_EQ(one.mask, more.mask);
        EXPECT_EQ(one.weight, more.weight);
      }
    }
}

TEST_F(ColumnUpdatesTest, countsAreExact) {
  int64_t rows = 12, columns = 270;
  WorkerPool pool(1);
  InverseFactor factor = *factorInverse(drawGram(400, columns, 9), 400, 0.01, pool);
  std::vector<float> weight = drawWeight(rows * columns, 10);
  for (PatternAttrInterface pattern :
       {PatternAttrInterface(UnstructuredAttr::get(&context)), PatternAttrInterface(NOfMAttr::get(&context, 2, 4)),
        PatternAttrInterface(NOfMAttr::get(&context, 3, 7)), PatternAttrInterface(BlockAttr::get(&context, 4, 1)),
        PatternAttrInterface(BlockAttr::get(&context, 5, 3)),
        PatternAttrInterface(TransposableAttr::get(&context, 2, 4)),
        PatternAttrInterface(VNMAttr::get(&context, 5, 2, 8))}) {
    int64_t shape[] = {rows, columns}, numUnits = countUnits(pattern, shape), imposed = pattern.getNumImposed(shape);
    for (ColumnCounts counts : {ColumnCounts::Even, ColumnCounts::Ranked})
      for (int64_t numPruned : {imposed, imposed + 1, (imposed + numUnits) / 2, numUnits - 1, numUnits}) {
        Result result = run(pattern, rows, columns, weight, factor, numPruned, false, 1, counts);
        EXPECT_EQ(countPrunedUnits(pattern, shape, result.mask), numPruned);
        auto emit = [&] { return emitError(UnknownLoc::get(&context)); };
        EXPECT_TRUE(succeeded(pattern.verifyMask(emit, shape, result.mask)));
        for (auto [value, keeps] : llvm::zip_equal(result.weight, result.mask))
          EXPECT_TRUE(keeps || (value == 0 && !std::signbit(value)));
      }
  }
}

TEST_F(ColumnUpdatesTest, groupsHaveFactorsOfTheirOwn) {
  // Two groups with half of the rows each: the values are those of two weights with the same masks.
  int64_t rows = 8, columns = 20, half = rows * columns / 2;
  WorkerPool pool(1);
  std::vector<InverseFactor> factors = {*factorInverse(drawGram(50, columns, 11), 50, 0.01, pool),
                                        *factorInverse(drawGram(50, columns, 12), 50, 0.01, pool)};
  std::vector<float> weight = drawWeight(rows * columns, 13);
  // 2:4 decides each row alone.
  PatternAttrInterface pattern = NOfMAttr::get(&context, 2, 4);
  Result together = run(pattern, rows, columns, weight, factors, half);
  for (int64_t group : {0, 1}) {
    Result alone =
        run(pattern, rows / 2, columns, ArrayRef(weight).slice(group * half, half), factors[group], half / 2);
    EXPECT_EQ(ArrayRef(together.mask).slice(group * half, half), ArrayRef(alone.mask));
    EXPECT_EQ(ArrayRef(together.weight).slice(group * half, half), ArrayRef(alone.weight));
  }
}

TEST_F(ColumnUpdatesTest, refitsToTheBestValues) {
  int64_t rows = 6, columns = 40;
  WorkerPool pool(1);
  InverseFactor factor = *factorInverse(drawGram(100, columns, 14), 100, 0.01, pool);
  std::vector<float> weight = drawWeight(rows * columns, 15);
  for (PatternAttrInterface pattern :
       {PatternAttrInterface(UnstructuredAttr::get(&context)), PatternAttrInterface(BlockAttr::get(&context, 3, 1))}) {
    int64_t numPruned = countUnits(pattern, {rows, columns}) / 2;
    Result swept = run(pattern, rows, columns, weight, factor, numPruned);
    Result fitted = run(pattern, rows, columns, weight, factor, numPruned, /*refits=*/true);
    EXPECT_EQ(swept.mask, fitted.mask);
    auto lose = [&](const Result &result, int64_t row) {
      double loss = 0;
      for (int64_t i = 0; i < columns; ++i)
        for (int64_t j = 0; j < columns; ++j)
          loss += (result.weight[row * columns + i] - double(weight[row * columns + i])) *
                  factor.damped[i * columns + j] *
                  (result.weight[row * columns + j] - double(weight[row * columns + j]));
      return loss;
    };
    for (int64_t row = 0; row < rows; ++row) {
      EXPECT_LT(lose(fitted, row), lose(swept, row));
      // At the minimum the slope along everything that is kept is zero.
      for (int64_t i = 0; i < columns; ++i) {
        double slope = 0;
        for (int64_t j = 0; j < columns; ++j)
          slope +=
              factor.damped[i * columns + j] * (fitted.weight[row * columns + j] - double(weight[row * columns + j]));
        if (fitted.mask[row * columns + i]) {
          EXPECT_NEAR(slope, 0, 1e-6);
        }
      }
    }
  }
}

TEST_F(ColumnUpdatesTest, measuresByTheGramMatrix) {
  // X = [[1, 2], [3, 4]], w = [[1, -1], [2, 0]]: X wᵀ = [[-1, 2], [-1, 6]].
  WorkerPool pool(1);
  EXPECT_DOUBLE_EQ(getSquaredNorm({1, -1, 2, 0}, 2, 2, {10, 14, 14, 20}, pool), 42);
  // A group for each row: the second sees X = [[0, 1], [1, 0]].
  EXPECT_DOUBLE_EQ(getSquaredNorm({1, -1, 2, 0}, 2, 2, {10, 14, 14, 20, 1, 0, 0, 1}, pool), 6);
}

} // namespace
