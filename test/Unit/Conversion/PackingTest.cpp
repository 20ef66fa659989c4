//===- PackingTest.cpp - Storage formats hold exactly the masked weight ---------===//

#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::prune;

namespace {

struct RandomMatrix {
  std::vector<float> weight;
  std::vector<uint8_t> mask;
  MaskedMatrix view;

  RandomMatrix(int64_t rows, int64_t columns, double density, int64_t block, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    weight.resize(rows * columns);
    mask.resize(rows * columns);
    for (int64_t row = 0; row < rows; row += block)
      for (int64_t column = 0; column < columns; ++column) {
        // Uneven rows, as real masks have: some rows stay empty.
        bool kept = std::abs(uniform(generator)) < density * 2.0 * row / rows;
        for (int64_t r = row; r < std::min(rows, row + block); ++r) {
          weight[r * columns + column] = uniform(generator);
          mask[r * columns + column] = kept;
        }
      }
    view = {weight, mask, rows, columns};
  }

  std::vector<float> getMasked() const {
    std::vector<float> result(weight);
    for (size_t i = 0; i < result.size(); ++i)
      if (!mask[i])
        result[i] = 0;
    return result;
  }
};

TEST(Packing, words_hold_the_kept_columns_of_a_row) {
  std::vector<int8_t> weight{1, -1, 2, -128, 127, 3, -2, 0, 5, 6};
  WordMatrix quads = packWords(weight, {}, 2, 4);
  EXPECT_EQ(quads.numColumns, 2);
  EXPECT_TRUE(quads.mask.empty());
  EXPECT_EQ(quads.words, (std::vector<int32_t>{int32_t(0x8002ff01), 0x7f, 0x0500fe03, 0x06}));
  // What is pruned is zero, and a word without kept columns is pruned.
  std::vector<uint8_t> mask{0, 1, 0, 0, 1, 0, 1, 0, 0, 0};
  WordMatrix pairs = packWords(weight, mask, 2, 2);
  EXPECT_EQ(pairs.mask, (std::vector<uint8_t>{1, 0, 1, 1, 0, 0}));
  EXPECT_EQ(pairs.words, (std::vector<int32_t>{int32_t(0xffff0000), 0, 0x7f, int32_t(0xfffe0000), 0, 0}));
}

TEST(Packing, chunked_csr_unpacks_to_the_masked_weight) {
  for (int64_t rows : {1, 2, 7, 64, 129})
    for (int64_t columns : {1, 5, 64, 200})
      for (int64_t chunk : {1, 32, 192})
        for (double density : {0.0, 0.1, 0.5, 1.0}) {
          RandomMatrix matrix(rows, columns, density, 1, rows * 1000 + columns);
          PackedWeight packed = packChunkedCSR(matrix.view, chunk);
          EXPECT_EQ(unpack(packed, packed.getValues(matrix.weight)), matrix.getMasked());
          EXPECT_EQ(packed.numNonzeros, std::count(matrix.mask.begin(), matrix.mask.end(), 1));
        }
}

TEST(Packing, entries_of_a_pair_alternate_and_shared_columns_come_first) {
  RandomMatrix matrix(96, 384, 0.2, 1, 1);
  PackedWeight packed = packChunkedCSR(matrix.view, 192);
  int64_t pairs = packed.getNumStorageRows(), sharedColumns = 0;
  ASSERT_EQ(packed.positions.size(), static_cast<size_t>(2 * pairs + 1));
  for (size_t pair = 0; pair < packed.sharedCounts.size(); ++pair) {
    int32_t begin = packed.positions[pair], end = packed.positions[pair + 1];
    EXPECT_EQ((end - begin) % 2, 0);
    EXPECT_EQ(packed.sharedCounts[pair] % 2, 0);
    for (int32_t p = begin; p < begin + 2 * packed.sharedCounts[pair]; p += 2)
      EXPECT_EQ(packed.coordinates[p], packed.coordinates[p + 1]);
    for (int32_t p = begin; p < end; ++p)
      if (packed.sources[p] >= 0) {
        EXPECT_EQ(packed.sources[p] / 384, packed.rowOrder[2 * pair + (p - begin) % 2]);
      }
    sharedColumns += packed.sharedCounts[pair];
  }
  EXPECT_GT(sharedColumns, 0);
}

TEST(Packing, block_rows_unpack_to_the_masked_weight) {
  for (int64_t block : {2, 4, 8}) {
    RandomMatrix matrix(64, 100, 0.2, block, block);
    PackedWeight packed = packBlockRows(matrix.view, block, 32);
    EXPECT_EQ(unpack(packed, packed.getValues(matrix.weight)), matrix.getMasked());
    EXPECT_EQ(packed.sources.size(), static_cast<size_t>(packed.numNonzeros));
  }
}

TEST(Packing, dense_pads_the_last_group) {
  RandomMatrix matrix(10, 7, 0.5, 1, 3);
  PackedWeight packed = packDense(matrix.view, 4);
  EXPECT_EQ(packed.sources.size(), 3u * 7 * 4);
  EXPECT_EQ(unpack(packed, packed.getValues(matrix.weight)), matrix.getMasked());
}

/// Entries that each share of a chunk stores.
std::vector<int64_t> countEntries(const PackedWeight &packed, const std::vector<int32_t> &bounds, int64_t shares,
                                  int64_t chunk) {
  const int32_t *ends = bounds.data() + chunk * (shares + 1);
  int64_t first = chunk * packed.getNumStorageRows();
  std::vector<int64_t> entries;
  for (int64_t share = 0; share < shares; ++share)
    entries.push_back(packed.positions[first + ends[share + 1]] - packed.positions[first + ends[share]]);
  return entries;
}

TEST(Packing, shares_have_about_the_same_nonzeros) {
  // All nonzeros in the first eighth of the rows; and none at all in the first chunk of columns.
  constexpr int64_t rows = 256, columns = 600, chunk = 192;
  std::vector<float> weight(rows * columns, 1.0f);
  std::vector<uint8_t> mask(rows * columns);
  std::mt19937 generator(3);
  for (int64_t row = 0; row < rows / 8; ++row)
    for (int64_t column = chunk; column < columns; ++column)
      mask[row * columns + column] = generator() % 2;
  MaskedMatrix matrix{weight, mask, rows, columns};
  for (int64_t shares : {1, 2, 3, 5})
    for (const PackedWeight &packed : {packChunkedCSR(matrix, chunk), packBlockRows(matrix, 4, chunk)}) {
      std::vector<int32_t> bounds = splitGroups(packed, shares);
      ASSERT_EQ(static_cast<int64_t>(bounds.size()), packed.getNumChunks() * (shares + 1));
      for (int64_t index = 0; index < packed.getNumChunks(); ++index) {
        int64_t most = 0, least = rows * columns, all = 0;
        for (int64_t entries : countEntries(packed, bounds, shares, index)) {
          EXPECT_GE(entries, 0);
          most = std::max(most, entries);
          least = std::min(least, entries);
          all += entries;
        }
        // A group of rows lies on one side of a boundary; groups without entries cost a little, too.
        EXPECT_LE(most, all / shares + all / 8 + 2 * chunk) << shares << " shares, chunk " << index;
        // Rows in equal parts would leave one share with everything.
        if (index == 1) {
          EXPECT_GT(least, all / shares / 3) << shares << " shares";
        }
      }
    }
}

TEST(Packing, boundaries_rise_from_the_first_to_the_last_group) {
  EXPECT_EQ(splitByCost({1, 1, 1, 1}, 2), (std::vector<int32_t>{0, 2, 4}));
  EXPECT_EQ(splitByCost({9, 1, 1, 1}, 2), (std::vector<int32_t>{0, 1, 4}));
  EXPECT_EQ(splitByCost({1, 1, 1, 9}, 2), (std::vector<int32_t>{0, 3, 4}));
  EXPECT_EQ(splitByCost({9}, 3), (std::vector<int32_t>{0, 0, 1, 1}));
  EXPECT_EQ(splitByCost({}, 2), (std::vector<int32_t>{0, 0, 0}));
  RandomMatrix matrix(50, 90, 0.3, 1, 5);
  // Whole groups of dense code; what is left of the rows belongs to the last share.
  EXPECT_EQ(splitGroups(packDense(matrix.view, 6), 2), (std::vector<int32_t>{0, 4, 8}));
}

} // namespace
