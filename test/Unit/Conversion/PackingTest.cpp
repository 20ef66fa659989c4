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

} // namespace
