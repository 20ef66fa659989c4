//===- SelectionTest.cpp - Exactness of mask selection ------------------------===//
//
// Properties over fixed seeds, against a slow sort: exact counts, ties, signed zeros, minima, global ranking, and the
// same bytes for any number of threads.
//
//===----------------------------------------------------------------------===//

#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"
#include <cmath>
#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::prune;

namespace {

class SelectionTest : public ::testing::Test {
protected:
  SelectionTest() { context.loadDialect<PruneDialect>(); }

  std::vector<uint8_t> select(ArrayRef<int64_t> shape, ArrayRef<float> scores, SelectionOptions options,
                              int64_t minKeep = 1, unsigned threads = 1) {
    std::vector<uint8_t> mask(scores.size(), 7);
    SelectionTensor tensor{shape, scores, minKeep, mask};
    WorkerPool pool(threads);
    selectMasks(MutableArrayRef(tensor), options, pool);
    return mask;
  }

  SelectionOptions unstructured(double sparsity) {
    SelectionOptions options;
    options.pattern = UnstructuredAttr::get(&context);
    options.sparsity = sparsity;
    return options;
  }

  SelectionOptions with(PatternAttrInterface pattern, std::optional<double> sparsity) {
    SelectionOptions options;
    options.pattern = pattern;
    options.sparsity = sparsity;
    return options;
  }

  MLIRContext context;
};

std::vector<float> draw(size_t size, unsigned seed, int levels = 0) {
  std::mt19937 engine(seed);
  std::vector<float> values(size);
  for (float &value : values) {
    // Not std::normal_distribution: its numbers differ between libraries.
    value = static_cast<float>(static_cast<int32_t>(engine())) * 0x1p-31f;
    if (levels)
      value = std::round(value * static_cast<float>(levels)) / static_cast<float>(levels);
  }
  return values;
}

/// The contract, word for word.
std::vector<uint8_t> selectBySorting(ArrayRef<float> scores, int64_t keep, ScoreOrder order) {
  std::vector<int64_t> index(scores.size());
  std::iota(index.begin(), index.end(), 0);
  std::stable_sort(index.begin(), index.end(), [&](int64_t a, int64_t b) {
    return order == ScoreOrder::Magnitude ? std::fabs(scores[a]) > std::fabs(scores[b]) : scores[a] > scores[b];
  });
  std::vector<uint8_t> mask(scores.size(), 0);
  for (int64_t i = 0; i < keep; ++i)
    mask[index[i]] = 1;
  return mask;
}

TEST_F(SelectionTest, countsRoundHalfToEven) {
  EXPECT_EQ(countPruned(0.5, 5), 2);
  EXPECT_EQ(countPruned(0.5, 7), 4);
  EXPECT_EQ(countPruned(0.25, 10), 2);
  EXPECT_EQ(countPruned(0.75, 10), 8);
  EXPECT_EQ(countPruned(0.9, 147456), 132710);
  EXPECT_EQ(countPruned(0, 3), 0);
  EXPECT_EQ(countPruned(1, 3), 3);
}

TEST_F(SelectionTest, agreesWithStableSort) {
  // Many ties (few levels), few ties, all equal; sizes around chunk and collection limits.
  for (int levels : {0, 1, 3, 100, 10000}) {
    for (size_t size : {1, 2, 17, 5000, 300000}) {
      std::vector<float> scores = draw(size, size + levels, levels);
      for (double sparsity : {0.0, 0.1, 0.5, 0.9, 0.999, 1.0}) {
        for (ScoreOrder order : {ScoreOrder::Magnitude, ScoreOrder::Signed}) {
          SelectionOptions options = unstructured(sparsity);
          options.order = order;
          int64_t shape[] = {static_cast<int64_t>(size)};
          int64_t minKeep = sparsity < 1;
          int64_t keep = std::max<int64_t>(minKeep, size - countPruned(sparsity, size));
          EXPECT_EQ(select(shape, scores, options, minKeep), selectBySorting(scores, keep, order))
              << levels << " levels, " << size << " weights, sparsity " << sparsity;
        }
      }
    }
  }
}

TEST_F(SelectionTest, isTheSameForAnyNumberOfThreads) {
  int64_t shape[] = {1024, 1000};
  for (int levels : {0, 2}) {
    std::vector<float> scores = draw(1024 * 1000, 5, levels);
    for (PatternAttrInterface pattern :
         {PatternAttrInterface(UnstructuredAttr::get(&context)), PatternAttrInterface(NOfMAttr::get(&context, 2, 4)),
          PatternAttrInterface(BlockAttr::get(&context, 4, 1)), PatternAttrInterface(BlockAttr::get(&context, 3, 7)),
          PatternAttrInterface(SliceAttr::get(&context, 1, 3)),
          PatternAttrInterface(TransposableAttr::get(&context, 2, 4)),
          PatternAttrInterface(VNMAttr::get(&context, 64, 2, 8))}) {
      std::vector<uint8_t> one = select(shape, scores, with(pattern, 0.8), 1, 1);
      for (unsigned threads : {2, 3, 8})
        EXPECT_EQ(select(shape, scores, with(pattern, 0.8), 1, threads), one) << threads << " threads";
    }
  }
}

TEST_F(SelectionTest, treatsZerosAlikeAndKeepsLowerIndex) {
  int64_t shape[] = {4};
  std::vector<uint8_t> expected = {1, 1, 0, 0};
  EXPECT_EQ(select(shape, {-0.0f, 0.0f, -0.0f, 0.0f}, unstructured(0.5)), expected);
  SelectionOptions options = unstructured(0.5);
  options.order = ScoreOrder::Signed;
  EXPECT_EQ(select(shape, {-0.0f, 0.0f, 0.0f, -0.0f}, options), expected);
}

TEST_F(SelectionTest, ranksInfinityFirst) {
  int64_t shape[] = {3};
  float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(select(shape, {1, -infinity, 2}, unstructured(0.6)), (std::vector<uint8_t>{0, 1, 0}));
}

TEST_F(SelectionTest, keepsTheMinimum) {
  int64_t shape[] = {4};
  EXPECT_EQ(select(shape, {1, 4, 3, 2}, unstructured(0.99), 1), (std::vector<uint8_t>{0, 1, 0, 0}));
  EXPECT_EQ(select(shape, {1, 4, 3, 2}, unstructured(0.99), 2), (std::vector<uint8_t>{0, 1, 1, 0}));
  EXPECT_EQ(select(shape, {1, 4, 3, 2}, unstructured(1), 0), (std::vector<uint8_t>{0, 0, 0, 0}));
}

TEST_F(SelectionTest, prunesUpToTheThreshold) {
  SelectionOptions options;
  options.pattern = UnstructuredAttr::get(&context);
  options.threshold = 2;
  int64_t shape[] = {5};
  EXPECT_EQ(select(shape, {1, -4, 2, -2, 2.5}, options), (std::vector<uint8_t>{0, 1, 0, 0, 1}));
  options.threshold = 10;
  EXPECT_EQ(select(shape, {1, -4, 2, -2, 2.5}, options), (std::vector<uint8_t>{0, 1, 0, 0, 0}));
}

TEST_F(SelectionTest, keepsTwoOfFourWithRaggedTail) {
  int64_t shape[] = {2, 6};
  std::vector<float> scores = {1, 2, 3, 4, 5, 6, 9, 9, 9, 9, 0, 0};
  SelectionOptions options;
  options.pattern = NOfMAttr::get(&context, 2, 4);
  // Ties keep the lower index; a tail of two is kept whole.
  EXPECT_EQ(select(shape, scores, options), (std::vector<uint8_t>{0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1}));
  // A target beyond the pattern prunes further: 9 of 12.
  options.sparsity = 0.75;
  EXPECT_EQ(select(shape, scores, options), (std::vector<uint8_t>{0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0}));
}

TEST_F(SelectionTest, agreesOnGroupsOfFourAndOthers) {
  // Groups of four have code of their own: n:4 on four columns equals n:5 there, whose group is a tail of four.
  std::vector<float> scores = draw(4000, 3, 4);
  int64_t shape[] = {1000, 4};
  for (int64_t n : {1, 2, 3}) {
    std::vector<uint8_t> mask = select(shape, scores, with(NOfMAttr::get(&context, n, 4), std::nullopt));
    for (int64_t row = 0; row < 1000; ++row) {
      std::vector<uint8_t> expected = selectBySorting(ArrayRef(scores).slice(row * 4, 4), n, ScoreOrder::Magnitude);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), mask.begin() + row * 4)) << "row " << row;
    }
  }
}

TEST_F(SelectionTest, scoresRaggedBlocksByTheirMean) {
  // 4x1 blocks on 6 rows: the lower block of each column has two rows and competes by its mean.
  int64_t shape[] = {6, 2};
  std::vector<float> scores = {1, 4, 1, 4, 1, 4, 1, 4, 3, 2, 3, 2};
  EXPECT_EQ(select(shape, scores, with(BlockAttr::get(&context, 4, 1), 0.5)),
            (std::vector<uint8_t>{0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0}));
}

TEST_F(SelectionTest, reducesByNorm) {
  // Blocks: mean 2.5 / 2, root mean square 2.55 / 2.83, maximum 3 / 4.
  int64_t shape[] = {2, 2};
  std::vector<float> scores = {2, 4, 3, 0};
  SelectionOptions options = with(BlockAttr::get(&context, 2, 1), 0.5);
  EXPECT_EQ(select(shape, scores, options), (std::vector<uint8_t>{1, 0, 1, 0}));
  options.reduction = ScoreReduction::RootMeanSquare;
  EXPECT_EQ(select(shape, scores, options), (std::vector<uint8_t>{0, 1, 0, 1}));
  options.reduction = ScoreReduction::Max;
  EXPECT_EQ(select(shape, scores, options), (std::vector<uint8_t>{0, 1, 0, 1}));
}

TEST_F(SelectionTest, prunesSlicesOfAnyDimension) {
  int64_t shape[] = {2, 3, 2};
  std::vector<float> scores = {1, 1, 5, 5, 2, 2, 1, 1, 5, 5, 2, 2};
  EXPECT_EQ(select(shape, scores, with(SliceAttr::get(&context, 1, 1), 0.67)),
            (std::vector<uint8_t>{0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0}));
  // Groups of two along dimension 1: {0, 1} with mean 3, {2} with mean 2.
  EXPECT_EQ(select(shape, scores, with(SliceAttr::get(&context, 1, 2), 0.5)),
            (std::vector<uint8_t>{1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0}));
}

TEST_F(SelectionTest, everyMaskObeysItsPatternAndCount) {
  int64_t shapes[][3] = {{6, 10, 1}, {7, 3, 5}, {16, 16, 1}, {1, 9, 2}};
  auto fail = [&] {
    ADD_FAILURE();
    return emitError(UnknownLoc::get(&context));
  };
  for (ArrayRef<int64_t> shape : shapes) {
    std::vector<float> scores = draw(shape[0] * shape[1] * shape[2], shape[0], 20);
    for (int64_t size : {1, 2, 3, 4, 8}) {
      for (PatternAttrInterface pattern : {PatternAttrInterface(NOfMAttr::get(&context, (size + 1) / 2, size)),
                                           PatternAttrInterface(BlockAttr::get(&context, size, 1)),
                                           PatternAttrInterface(BlockAttr::get(&context, 1, size)),
                                           PatternAttrInterface(BlockAttr::get(&context, size, 3)),
                                           PatternAttrInterface(SliceAttr::get(&context, 0, size)),
                                           PatternAttrInterface(SliceAttr::get(&context, 2, size)),
                                           PatternAttrInterface(TransposableAttr::get(&context, (size + 1) / 2, size)),
                                           PatternAttrInterface(VNMAttr::get(&context, size, 2, size + 3))}) {
        std::vector<uint8_t> mask = select(shape, scores, with(pattern, 0.7));
        EXPECT_TRUE(succeeded(pattern.verifyMask(fail, shape, mask)));
        if (pattern.hasElementUnits()) {
          int64_t pruned = std::max(countPruned(0.7, scores.size()), pattern.getNumImposed(shape));
          EXPECT_EQ(llvm::count(mask, 0), pruned);
        }
      }
    }
  }
}

TEST_F(SelectionTest, ranksTensorsTogether) {
  std::vector<float> first = {1, 2, 8, 9}, second = {3, 4, 5, 6};
  std::vector<uint8_t> firstMask(4), secondMask(4);
  int64_t shape[] = {2, 2};
  SelectionTensor tensors[] = {{shape, first, 1, firstMask}, {shape, second, 1, secondMask}};
  WorkerPool pool(1);
  selectMasks(tensors, unstructured(0.5), pool);
  EXPECT_EQ(firstMask, (std::vector<uint8_t>{0, 0, 1, 1}));
  EXPECT_EQ(secondMask, (std::vector<uint8_t>{0, 0, 1, 1}));
  selectMasks(tensors, unstructured(0.25), pool);
  EXPECT_EQ(firstMask, (std::vector<uint8_t>{0, 0, 1, 1}));
  EXPECT_EQ(secondMask, (std::vector<uint8_t>{1, 1, 1, 1}));
}

TEST_F(SelectionTest, keepsTheMinimumOfEachTensorAndTheCommonCount) {
  std::vector<float> small = {0.1f, 0.2f, 0.3f}, large = {1, 2, 3}, mid = {0.5f, 0.6f, 0.7f};
  std::vector<uint8_t> smallMask(3), largeMask(3), midMask(3);
  int64_t shape[] = {3};
  SelectionTensor tensors[] = {{shape, small, 1, smallMask}, {shape, large, 1, largeMask}, {shape, mid, 1, midMask}};
  for (unsigned threads : {1, 4}) {
    WorkerPool pool(threads);
    // Three of nine live: without minima all of `large`. One goes to each of the others instead.
    selectMasks(tensors, unstructured(2.0 / 3), pool);
    EXPECT_EQ(smallMask, (std::vector<uint8_t>{0, 0, 1}));
    EXPECT_EQ(largeMask, (std::vector<uint8_t>{0, 0, 1}));
    EXPECT_EQ(midMask, (std::vector<uint8_t>{0, 0, 1}));
  }
}

TEST_F(SelectionTest, ranksTiesAcrossTensorsInTheirOrder) {
  std::vector<float> ones(6, 1);
  std::vector<uint8_t> firstMask(6), secondMask(6);
  int64_t shape[] = {6};
  SelectionTensor tensors[] = {{shape, ones, 1, firstMask}, {shape, ones, 1, secondMask}};
  WorkerPool pool(2);
  selectMasks(tensors, unstructured(1.0 / 3), pool);
  EXPECT_EQ(firstMask, (std::vector<uint8_t>{1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(secondMask, (std::vector<uint8_t>{1, 1, 0, 0, 0, 0}));
}

TEST_F(SelectionTest, ranksWithinRows) {
  // Two of five stay in a row on average: 2 and 2, then 1 or 2 more where the count asks for it.
  float scores[] = {5, 1, 2, 3, 4, 10, 60, 50, 30, 20, 7, 7, 7, 7, 7};
  SelectionOptions options = unstructured(0.6);
  options.withinRows = true;
  std::vector<uint8_t> even = {1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0};
  EXPECT_EQ(select({3, 5}, scores, options), even);
  // 8 of 15 are pruned, 7 kept: 2, then 3, then 2.
  options.sparsity = 8.0 / 15;
  std::vector<uint8_t> uneven = {1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0};
  EXPECT_EQ(select({3, 5}, scores, options), uneven);
  // Rows of units for blocks; what the pattern leaves for n:m.
  options = with(BlockAttr::get(&context, 2, 1), 0.5);
  options.withinRows = true;
  float blocks[] = {9, 1, 2, 8, 9, 1, 2, 8, 0, 5, 6, 0, 0, 5, 6, 0};
  std::vector<uint8_t> ofBlocks = {1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0};
  EXPECT_EQ(select({4, 4}, blocks, options), ofBlocks);
  options = with(NOfMAttr::get(&context, 2, 4), 0.75);
  options.withinRows = true;
  std::vector<uint8_t> ofGroups = {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0};
  EXPECT_EQ(select({4, 4}, blocks, options), ofGroups);
  // Slices have no rows: they compete with all others.
  options = with(SliceAttr::get(&context, 0, 1), 0.5);
  options.withinRows = true;
  float slices[] = {1, 1, 4, 4, 2, 2, 3, 3};
  std::vector<uint8_t> ofSlices = {0, 0, 1, 1, 0, 0, 1, 1};
  EXPECT_EQ(select({4, 2}, slices, options), ofSlices);
  for (unsigned threads : {2, 3})
    EXPECT_EQ(select({3, 5}, scores, unstructured(0.6), 1, threads), select({3, 5}, scores, unstructured(0.6)));
}

TEST_F(SelectionTest, countsPrunedUnits) {
  EXPECT_EQ(countPrunedUnits(UnstructuredAttr::get(&context), {2, 2}, {1, 0, 0, 1}), 2);
  // Blocks of 4 and of 2 rows.
  EXPECT_EQ(countPrunedUnits(BlockAttr::get(&context, 4, 1), {6, 2}, {1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0}), 3);
}

TEST_F(SelectionTest, findsTheFirstNaN) {
  std::vector<float> values = draw(700000, 1);
  WorkerPool pool(4);
  EXPECT_EQ(findNaN(values, pool), -1);
  values[650000] = values[300001] = std::nanf("");
  values[20] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(findNaN(values, pool), 300001);
  EXPECT_EQ(formatIndex({700, 10, 100}, 300001), "[300, 0, 1]");
}

//===----------------------------------------------------------------------===//
// A pattern and a criterion from outside
//===----------------------------------------------------------------------===//

/// Keeps or prunes whole diagonals (row + column) % 2 of a matrix: two units.
struct CheckerPattern : public PatternAttrInterface::ExternalModel<CheckerPattern, UnitAttr> {
  LogicalResult verifyShape(Attribute, function_ref<InFlightDiagnostic()>, ArrayRef<int64_t>) const {
    return success();
  }
  SmallVector<int64_t> getUnitGrid(Attribute, ArrayRef<int64_t>) const { return {2}; }
  void reduceScores(Attribute, ArrayRef<int64_t> shape, ArrayRef<float> scores, ScoreOrder, ScoreReduction,
                    int64_t begin, int64_t end, float *out) const {
    for (int64_t unit = begin; unit < end; ++unit) {
      float sum = 0;
      for (size_t i = 0; i < scores.size(); ++i)
        if (static_cast<int64_t>(i / shape[1] + i % shape[1]) % 2 == unit)
          sum += std::fabs(scores[i]);
      out[unit - begin] = sum;
    }
  }
  void expandUnits(Attribute, ArrayRef<int64_t> shape, ArrayRef<uint8_t> units, int64_t begin, int64_t end,
                   uint8_t *mask) const {
    for (int64_t i = begin; i < end; ++i)
      mask[i - begin] = units[(i / shape[1] + i % shape[1]) % 2];
  }
  LogicalResult verifyMask(Attribute, function_ref<InFlightDiagnostic()>, ArrayRef<int64_t>, ArrayRef<uint8_t>) const {
    return success();
  }
  StringRef getStorageFormat(Attribute) const { return "checker"; }
  void printShort(Attribute, raw_ostream &os) const { os << "checker"; }
};

TEST_F(SelectionTest, takesPatternsFromOutside) {
  UnitAttr::attachInterface<CheckerPattern>(context);
  auto pattern = cast<PatternAttrInterface>(Attribute(UnitAttr::get(&context)));
  int64_t shape[] = {2, 3};
  EXPECT_EQ(select(shape, {1, 2, 1, 2, 1, 2}, with(pattern, 0.5)), (std::vector<uint8_t>{0, 1, 0, 1, 0, 1}));
}

} // namespace
