//===- TensorCorePackingTest.cpp - Weights as tensor cores read them ------------===//

#include "prune/Conversion/PruneToSparseTensor/TensorCorePacking.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::prune;

namespace {

/// A weight of small whole numbers, which f16 and bf16 hold, and at most `kept` of each `group` columns.
struct RandomWeight {
  std::vector<float> values;
  std::vector<uint8_t> mask;
  int64_t rows, columns;

  RandomWeight(int64_t rows, int64_t columns, int kept, int group, unsigned seed) : rows(rows), columns(columns) {
    std::mt19937 random(seed);
    for (int64_t i = 0; i < rows * columns; ++i)
      values.push_back(float(random() % 255) - 127);
    mask.assign(rows * columns, kept >= group);
    for (int64_t row = 0; kept < group && row < rows; ++row)
      for (int64_t column = 0; column < columns; column += group)
        for (int i = 0; i < kept; ++i)
          if (int64_t at = column + random() % group; at < columns)
            mask[row * columns + at] = 1;
  }
  MaskedMatrix get() const { return {values, mask, rows, columns}; }
  std::vector<float> getMasked() const {
    std::vector<float> result;
    for (size_t i = 0; i < values.size(); ++i)
      result.push_back(mask[i] ? values[i] : 0);
    return result;
  }
};

TEST(TensorCorePacking, EveryLayoutKeepsEveryWeight) {
  for (bool isWarpGroup : {false, true})
    for (bool isSparse : {false, true})
      for (TensorCoreType type : {TensorCoreType::F16, TensorCoreType::BF16, TensorCoreType::TF32, TensorCoreType::I8})
        for (auto [rows, columns] : {std::pair<int64_t, int64_t>{16, 64}, {1, 1}, {130, 70}, {37, 191}, {256, 128}}) {
          TensorCoreLayout layout{isWarpGroup, isSparse, type};
          if (isSparse && isWarpGroup && type == TensorCoreType::I8)
            continue;
          int group = type == TensorCoreType::TF32 ? 2 : 4;
          RandomWeight weight(rows, columns, isSparse ? group / 2 : group, group, rows * 31 + columns);
          auto packed = packForTensorCores(weight.get(), layout);
          ASSERT_TRUE(bool(packed)) << llvm::toString(packed.takeError());
          EXPECT_EQ(int64_t(packed->size()),
                    layout.getNumRowTiles(rows) * layout.getNumColumnTiles(columns) * layout.getTileBytes());
          EXPECT_EQ(unpackFromTensorCores(*packed, layout, rows, columns), weight.getMasked());
        }
}

TEST(TensorCorePacking, MetadataRisesAndFillsUp) {
  // Which two columns each of the masks of four columns names: rising, and the kept ones among them.
  for (unsigned kept = 0; kept < 16; ++kept) {
    if (llvm::popcount(kept) > 2)
      continue;
    std::vector<float> values{1, 2, 3, 4};
    std::vector<uint8_t> mask;
    for (int i = 0; i < 4; ++i)
      mask.push_back(kept >> i & 1);
    TensorCoreLayout layout{/*isWarpGroup=*/false, /*isSparse=*/true, TensorCoreType::F16};
    auto packed = packForTensorCores({values, mask, 1, 4}, layout);
    ASSERT_TRUE(bool(packed)) << llvm::toString(packed.takeError());
    unsigned metadata = uint8_t((*packed)[layout.getValueBytes()]) & 15, low = metadata & 3, high = metadata >> 2;
    EXPECT_LT(low, high) << "mask " << kept;
    for (unsigned i = 0; i < 4; ++i)
      EXPECT_TRUE(!mask[i] || i == low || i == high) << "mask " << kept;
  }
}

TEST(TensorCorePacking, MetadataOfI8HasAWordForEachRowAnd32Columns) {
  // Row 8, columns 33 and 34: lane 3 of the first four has row 8, columns 32 to 63. 64 columns later it is the next
  // 32 words.
  for (int64_t step : {0, 1}) {
    std::vector<float> values(16 * 128, 1);
    std::vector<uint8_t> mask(16 * 128, 0);
    mask[8 * 128 + 64 * step + 33] = mask[8 * 128 + 64 * step + 34] = 1;
    TensorCoreLayout layout{/*isWarpGroup=*/false, /*isSparse=*/true, TensorCoreType::I8};
    auto packed = packForTensorCores({values, mask, 16, 128}, layout);
    ASSERT_TRUE(bool(packed)) << llvm::toString(packed.takeError());
    EXPECT_EQ((*packed)[layout.getValueBytes() + step * 128 + 3 * 4] & 15, 1 | 2 << 2);
    // Stored columns 16 and 17 of the step: register 3 (row 8, the other 16 bytes) of lane 0.
    EXPECT_EQ((*packed)[step * 512 + 3 * 4], 1);
    EXPECT_EQ((*packed)[step * 512 + 3 * 4 + 1], 1);
  }
}

TEST(TensorCorePacking, MetadataOfTF32NamesBothHalvesOfTheOneOfTwo) {
  // 0b0100 for the first of two, also of none; 0b1110 for the second. No other values are defined.
  for (auto [mask, expected] : {std::pair<std::vector<uint8_t>, int>{{1, 0}, 0x4}, {{0, 1}, 0xE}, {{0, 0}, 0x4}}) {
    TensorCoreLayout layout{/*isWarpGroup=*/false, /*isSparse=*/true, TensorCoreType::TF32};
    auto packed = packForTensorCores({{1, 1}, mask, 1, 2}, layout);
    ASSERT_TRUE(bool(packed)) << llvm::toString(packed.takeError());
    EXPECT_EQ((*packed)[layout.getValueBytes()] & 15, expected);
    EXPECT_EQ((*packed)[layout.getValueBytes()] >> 4 & 15, 0x4);
  }
}

TEST(TensorCorePacking, TileOfWarpGroupsIsSwizzled) {
  // Row 1, columns 0 to 7 of a dense tile: piece 0 of line 1 lies where piece 1 would. Row 2 of a 2:4 tile is line 1
  // too.
  std::vector<float> values(128 * 64, 0);
  values[1 * 64] = 1;
  TensorCoreLayout dense{/*isWarpGroup=*/true, /*isSparse=*/false, TensorCoreType::F16};
  auto packed = packForTensorCores({values, {}, 128, 64}, dense);
  ASSERT_TRUE(bool(packed)) << llvm::toString(packed.takeError());
  EXPECT_EQ((*packed)[128 + 16 + 1], 0x3C);
  std::vector<float> sparseValues(128 * 64, 0);
  std::vector<uint8_t> mask(128 * 64, 0);
  sparseValues[2 * 64] = 1;
  mask[2 * 64] = 1;
  TensorCoreLayout sparse{/*isWarpGroup=*/true, /*isSparse=*/true, TensorCoreType::F16};
  packed = packForTensorCores({sparseValues, mask, 128, 64}, sparse);
  ASSERT_TRUE(bool(packed)) << llvm::toString(packed.takeError());
  EXPECT_EQ((*packed)[128 + 16 + 1], 0x3C);
}

TEST(TensorCorePacking, RefusesTypesWithoutTwoOfFour) {
  std::vector<float> values(8, 1);
  std::vector<uint8_t> mask{1, 1, 0, 0, 1, 1, 0, 0};
  auto refusal = [&](const TensorCoreLayout &layout) {
    return llvm::toString(packForTensorCores({values, mask, 1, 8}, layout).takeError());
  };
  EXPECT_EQ(refusal({false, true, TensorCoreType::TF32}),
            "expected at most 1 of 2 columns kept, got 2 in row 0, columns 0 to 1");
  EXPECT_EQ(refusal({true, true, TensorCoreType::I8}), "expected f16, bf16 or tf32 for 2:4 by warp groups, got i8");
}

TEST(TensorCorePacking, RefusesThreeOfFour) {
  std::vector<float> values(8, 1);
  std::vector<uint8_t> mask{1, 1, 0, 0, 1, 1, 1, 0};
  auto packed = packForTensorCores({values, mask, 1, 8}, {false, true, TensorCoreType::F16});
  ASSERT_FALSE(bool(packed));
  EXPECT_EQ(llvm::toString(packed.takeError()), "expected at most 2 of 4 columns kept, got 3 in row 0, columns 4 to 7");
}

} // namespace
