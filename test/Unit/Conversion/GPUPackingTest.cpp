//===- GPUPackingTest.cpp - Storage for GPUs holds exactly the masked weight ----===//

#include "prune/Conversion/PruneToSparseTensor/GPUChoice.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>

using namespace mlir::prune;

namespace {

struct RandomMatrix {
  std::vector<float> weight;
  std::vector<uint8_t> mask;
  MaskedMatrix view;

  RandomMatrix(int64_t rows, int64_t columns, double density, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<float> uniform(0, 1);
    for (int64_t i = 0; i < rows * columns; ++i) {
      weight.push_back(uniform(generator));
      mask.push_back(uniform(generator) < density * 2.0 * (i / columns) / rows); // uneven rows, the first one empty
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

SparseTile makeTile(int64_t vectors, int64_t rows, int64_t chunk) {
  SparseTile tile;
  tile.vectors = vectors;
  tile.rows = rows;
  tile.chunk = chunk;
  return tile;
}

/// The matrix as the kernel reads it: a run for each group, warp, chunk and bundle of the warp. Padding must be zeros
/// of the column of zeros.
std::vector<float> unpackCSR(const PackedWeight &packed, const SparseTile &tile, const std::vector<float> &values) {
  std::vector<float> matrix(packed.numRows * packed.numColumns);
  std::map<uint16_t, int64_t> columnAt;
  for (int64_t column = 0; column < tile.chunk; ++column)
    columnAt[tile.getPlace(column)] = column;
  EXPECT_EQ(static_cast<int64_t>(columnAt.size()), tile.chunk);
  EXPECT_EQ(columnAt.count(tile.getZeroPlace()), 0u);
  int64_t run = 0, warps = tile.getNumWarps(), bundles = tile.getBundlesOfWarp(), side = tile.getRowsOfBundle();
  EXPECT_EQ(warps * bundles * side, tile.rows);
  for (int64_t first = 0; first < packed.numRows; first += tile.rows)
    for (int64_t warp = 0; warp < warps; ++warp)
      for (int64_t chunk = 0; chunk < packed.getNumChunks(); ++chunk)
        for (int64_t bundle = warp * bundles; bundle < (warp + 1) * bundles; ++bundle, ++run)
          for (int32_t p = packed.positions[run]; p < packed.positions[run + 1]; ++p) {
            int64_t row = first + packed.rowOrder[first + bundle * side + p / kCSRStep % side];
            if (packed.sources[p] < 0) {
              EXPECT_EQ(packed.coordinates[p], tile.getZeroPlace());
              continue;
            }
            int64_t column = chunk * tile.chunk + columnAt.at(packed.coordinates[p]);
            EXPECT_EQ(packed.sources[p], row * packed.numColumns + column);
            matrix[row * packed.numColumns + column] += values[p];
          }
  EXPECT_EQ(run + 1, static_cast<int64_t>(packed.positions.size()));
  // What is loaded ahead of the last step.
  EXPECT_EQ(static_cast<int64_t>(packed.sources.size()),
            packed.positions.back() + tile.getStepsAhead() * side * kCSRStep);
  return matrix;
}

TEST(GPUPacking, csr_holds_the_masked_weight_in_whole_steps_of_bundles) {
  for (int64_t rows : {1, 8, 33, 130})
    for (int64_t columns : {1, 70, 300})
      for (const SparseTile &tile :
           {makeTile(8, 32, 32), makeTile(4, 64, 128), makeTile(2, 96, 96), makeTile(8, 12, columns)})
        for (double density : {0.0, 0.1, 0.5}) {
          RandomMatrix matrix(rows, columns, density, rows + columns);
          PackedWeight packed = packCSR(matrix.view, tile);
          EXPECT_EQ(unpackCSR(packed, tile, packed.getValues(matrix.weight)), matrix.getMasked());
          EXPECT_EQ(packed.numNonzeros, std::count(matrix.mask.begin(), matrix.mask.end(), 1));
          for (int32_t position : packed.positions)
            EXPECT_EQ(position % (tile.getRowsOfBundle() * kCSRStep), 0);
        }
}

TEST(GPUPacking, csr_for_lanes_along_the_entries_holds_the_masked_weight) {
  RandomMatrix matrix(33, 70, 0.3, 2);
  PackedWeight packed = packCSR(matrix.view, makeTile(0, 1, 70));
  std::vector<float> unpacked(33 * 70), values = packed.getValues(matrix.weight);
  for (int64_t row = 0; row < 33; ++row)
    for (int32_t p = packed.positions[row]; p < packed.positions[row + 1]; ++p) {
      EXPECT_EQ(packed.positions[row] % kCSRStep, 0);
      unpacked[row * 70 + packed.coordinates[p]] += values[p];
    }
  EXPECT_EQ(unpacked, matrix.getMasked());
}

TEST(GPUPacking, rows_of_a_bundle_are_alike_and_warps_get_about_the_same_entries) {
  RandomMatrix matrix(256, 512, 0.3, 1);
  SparseTile tile = makeTile(8, 256, 256);
  PackedWeight packed = packCSR(matrix.view, tile);
  // Counts differ by a factor of 256 among the rows.
  EXPECT_LT(packed.positions.back(), 1.15 * packed.numNonzeros);
  int64_t least = 1 << 20, most = 0, runs = tile.getBundlesOfWarp() * packed.getNumChunks();
  for (int64_t warp = 0; warp < tile.getNumWarps(); ++warp) {
    int64_t entries = packed.positions[runs * (warp + 1)] - packed.positions[runs * warp];
    least = std::min(least, entries);
    most = std::max(most, entries);
  }
  EXPECT_LT(most, 1.1 * least);
}

TEST(GPUPacking, blocks_hold_the_masked_weight_and_zeros_beyond_the_edges) {
  RandomMatrix matrix(40, 70, 0.02, 3);
  for (auto [r, c] : {std::pair<int64_t, int64_t>(16, 16), {32, 8}, {4, 1}}) {
    PackedWeight packed = packBlockCSR(matrix.view, r, c);
    std::vector<float> values = packed.getValues(matrix.weight), unpacked(40 * 70);
    ASSERT_EQ(values.size(), packed.coordinates.size() * r * c);
    for (size_t blockRow = 0; blockRow + 1 < packed.positions.size(); ++blockRow)
      for (int32_t block = packed.positions[blockRow]; block < packed.positions[blockRow + 1]; ++block)
        for (int64_t i = 0; i < r * c; ++i) {
          int64_t row = blockRow * r + i / c, column = packed.coordinates[block] * c + i % c;
          if (row < 40 && column < 70)
            unpacked[row * 70 + column] = values[block * r * c + i];
          else
            EXPECT_EQ(values[block * r * c + i], 0);
        }
    EXPECT_EQ(unpacked, matrix.getMasked());
  }
}

/// The matrix as the kernels read it: a run for each slot and chunk.
std::vector<float> unpackFragments(const PackedWeight &packed, const std::vector<float> &values) {
  std::vector<float> matrix(packed.numRows * packed.numColumns);
  int64_t chunks = packed.getNumChunks(), row = 0;
  for (int64_t run = 0; run + 1 < static_cast<int64_t>(packed.positions.size()); ++run) {
    int64_t slot = run / chunks;
    if (packed.rowOrder.empty())
      row = slot;
    else if (packed.rowOrder[2 * slot + 1] != 0) // else it has blocks of the row before
      row = packed.rowOrder[2 * slot];
    for (int32_t block = packed.positions[run]; block < packed.positions[run + 1]; ++block)
      for (int64_t i = 0; i < 256; ++i) {
        // PTX ISA, mma.m16n8k16: lane, register and half of the first operand.
        int64_t lane = i / 8, word = i % 8 / 2;
        int64_t r = lane / 4 + word % 2 * 8, c = lane % 4 * 2 + word / 2 * 8 + i % 2;
        r = r % 8 / 2 * 4 + r % 2 + r / 8 * 2;
        if (packed.rows == 16)
          c = c % 8 / 2 * 4 + c % 2 + c / 8 * 2;
        int64_t column = run % chunks * packed.chunk + packed.coordinates[block] * 16 + c;
        if (row * 16 + r < packed.numRows && column < packed.numColumns)
          matrix[(row * 16 + r) * packed.numColumns + column] += values[block * 256 + i];
        else
          EXPECT_EQ(values[block * 256 + i], 0);
      }
  }
  return matrix;
}

TEST(GPUPacking, fragments_are_the_registers_of_the_matrix_instruction) {
  RandomMatrix matrix(40, 70, 0.02, 3);
  // Several groups, of which the last one is not whole, and chunks; one row of blocks, whose columns are in fours.
  for (const SparseTile &tile : {makeTile(2, 32, 64), makeTile(1, 16, 80)}) {
    PackedWeight packed = packBlockFragments(matrix.view, tile);
    EXPECT_EQ(unpackFragments(packed, packed.getValues(matrix.weight)), matrix.getMasked());
  }
}

TEST(GPUPacking, rows_without_blocks_lend_their_warps_to_those_with_the_most) {
  RandomMatrix matrix(112, 1024, 0, 3);
  for (int64_t i = 0; i < 1024; ++i)
    for (int64_t row : {16, 50, 60, 70, 90})
      matrix.mask[row * 1024 + i] = row == 16 || i < 100;
  PackedWeight packed = packBlockFragments(matrix.view, makeTile(2, 64, 256));
  EXPECT_EQ(unpackFragments(packed, packed.getValues(matrix.weight)), matrix.getMasked());
  // 64 and 7 blocks in rows of blocks 1 and 3 of the first group, 7 and 7 in 4 and 5 of the second, which has no row 7.
  EXPECT_EQ(packed.rowOrder, (std::vector<int32_t>{1, 3, 0, 0, 2, 0, 3, 1, 4, 2, 6, 0, 5, 2, 7, 0}));
  int64_t slot = 0;
  for (int32_t blocks : {22, 21, 21, 7, 4, 3, 4, 3}) {
    EXPECT_EQ(packed.positions[4 * slot + 4] - packed.positions[4 * slot], blocks) << slot;
    ++slot;
  }
  EXPECT_LE(packed.positions[1], 6); // of the 16 in a chunk
}

TEST(GPUPacking, columns_are_the_transposed_weight_and_zeros_beyond_its_rows) {
  RandomMatrix matrix(33, 20, 0.5, 4);
  std::vector<float> masked = matrix.getMasked();
  for (int64_t tileRows : {128, 256}) {
    PackedWeight packed = packColumns(matrix.view, makeTile(0, tileRows, 20));
    int64_t width = getNumColumnsRows(33, tileRows);
    EXPECT_EQ(width, tileRows == 128 ? 36 : 40);
    std::vector<float> values = packed.getValues(matrix.weight);
    ASSERT_EQ(values.size(), static_cast<size_t>(20 * width));
    for (int64_t column = 0; column < 20; ++column)
      for (int64_t row = 0; row < width; ++row)
        EXPECT_EQ(values[column * width + row], row < 33 ? masked[row * 20 + column] : 0);
  }
}

TEST(GPUPacking, overfull_groups_are_found) {
  std::vector<uint8_t> mask{1, 0, 1, 0, 0, 1, 1, 0, /*second row*/ 1, 1, 0, 0, 0, 1, 1, 1};
  std::vector<float> weight(16, 1);
  MaskedMatrix matrix{weight, mask, 2, 8};
  EXPECT_EQ(findOverfullGroup(matrix, 2, 4), (std::pair<int64_t, int64_t>(1, 4)));
  EXPECT_EQ(findOverfullGroup(matrix, 1, 2), (std::pair<int64_t, int64_t>(1, 0)));
  EXPECT_EQ(findOverfullGroup(matrix, 3, 4), std::nullopt);
}

GPUCostModel load(llvm::StringRef chip) {
  auto model = GPUCostModel::load(chip);
  EXPECT_TRUE(static_cast<bool>(model));
  return *model;
}

TEST(GPUChoice, sparser_csr_is_never_slower_and_wins_in_the_end) {
  for (llvm::StringRef chip : GPUCostModel::getChips()) {
    GPUCostModel model = load(chip);
    double before = 0;
    for (double density : {0.5, 0.2, 0.05, 0.01}) {
      RandomMatrix matrix(512, 512, density, 7);
      GPULayer layer;
      layer.matrix = matrix.view;
      layer.tokens = 512;
      GPUChoice choice = chooseGPUStorage(layer, GPUPrecision::F32, model, GPUKernelKind::CSR);
      EXPECT_EQ(choice.getBest().kind, GPUKernelKind::CSR);
      EXPECT_LE(choice.getBest().tile.getSharedBytes(), model.sharedBytes);
      if (before) {
        EXPECT_LE(choice.getBest().estimatedNs, before);
      }
      before = choice.getBest().estimatedNs;
    }
  }
}

TEST(GPUChoice, reasons_name_the_rule_and_both_values) {
  RandomMatrix matrix(64, 1024, 0.1, 5);
  for (int64_t row = 0; row < 64; ++row)
    for (int64_t column = 0; column < 1024; ++column)
      matrix.mask[row * 1024 + column] = column % 4 < 2;
  GPULayer layer;
  layer.matrix = matrix.view;
  layer.tokens = 128;
  layer.isTwoOfFour = true;
  GPUCostModel model = load("sm_80");
  auto refusal = [&](GPUPrecision precision) {
    for (const GPUCandidate &candidate : chooseGPUStorage(layer, precision, model, std::nullopt).candidates)
      if (candidate.kind == GPUKernelKind::TwoOfFour)
        return candidate.refusal;
    return std::string("not considered");
  };
  EXPECT_EQ(refusal(GPUPrecision::F16), "M = 128 < 1024");
  EXPECT_EQ(refusal(GPUPrecision::F32), "f32 has no tensor cores");
  EXPECT_EQ(refusal(GPUPrecision::TF32), "tensor cores skip one of two in tf32, and row 0 keeps columns 0 and 1");
  layer.tokens = 2048;
  EXPECT_EQ(refusal(GPUPrecision::BF16), "");
  layer.matrix.numColumns = 1022;
  EXPECT_EQ(refusal(GPUPrecision::F16), "K = 1022 is no multiple of 8");
}

TEST(GPUChoice, skipping_pays_below_the_break_even_and_never_takes_longer_for_more_zeros) {
  std::vector<float> weight(1024 * 2048, 1);
  for (llvm::StringRef chip : GPUCostModel::getChips())
    for (int64_t tokens : {1, 3, 16}) {
      GPUCostModel model = load(chip);
      GPULayer layer;
      layer.matrix = {weight, {}, 1024, 2048};
      layer.tokens = tokens;
      double before = 0, breakEven = 0;
      for (double density : {0.01, 0.1, 0.3, 0.6, 1.0}) {
        layer.activationDensity = density;
        GPUChoice choice = chooseGPUStorage(layer, GPUPrecision::F16, model, std::nullopt);
        ASSERT_TRUE(choice.activationBreakEven);
        breakEven = *choice.activationBreakEven;
        EXPECT_EQ(choice.getBest().kind == GPUKernelKind::Columns, density <= breakEven) << density;
        const GPUCandidate &columns =
            *llvm::find_if(choice.candidates, [](const GPUCandidate &c) { return c.kind == GPUKernelKind::Columns; });
        EXPECT_GE(columns.estimatedNs, before);
        EXPECT_LE(columns.tile.rows / kWarpThreads * tokens, kMostColumnsSums);
        before = columns.estimatedNs;
      }
      EXPECT_GT(breakEven, 0);
      layer.activationDensity = breakEven / 2;
      EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::F16, model, std::nullopt).getBest().kind, GPUKernelKind::Columns);
      EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::F16, model, GPUKernelKind::CSR).getBest().kind,
                GPUKernelKind::Matrix);
    }
}

TEST(GPUChoice, weights_beyond_the_type_stay_in_f32) {
  std::vector<float> weight{1, 70000, 2, 3};
  GPULayer layer;
  layer.matrix = {weight, {}, 2, 2};
  GPUCostModel model = load("sm_90");
  EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::F16, model, std::nullopt).getBest().precision, GPUPrecision::F32);
  EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::BF16, model, std::nullopt).getBest().precision, GPUPrecision::BF16);
  EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::F16, model, std::nullopt).fallback,
            "f16 declined: weight [0, 1] is 70000.00");
  EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::I8, model, std::nullopt).getBest().precision, GPUPrecision::I8);
  weight[1] = 3.395e38f; // the next bf16 is infinite
  EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::BF16, model, std::nullopt).getBest().precision, GPUPrecision::F32);
}

TEST(GPUChoice, weights_that_i8_cannot_hold_stay_in_f32) {
  std::vector<float> weight{1, 2, INFINITY, 3};
  std::vector<uint8_t> mask{1, 1, 0, 1};
  GPULayer layer;
  GPUCostModel model = load("sm_80");
  layer.matrix = {weight, {}, 2, 2};
  GPUChoice choice = chooseGPUStorage(layer, GPUPrecision::I8, model, std::nullopt);
  EXPECT_EQ(choice.getBest().precision, GPUPrecision::F32);
  EXPECT_TRUE(llvm::StringRef(choice.explain(false)).ends_with("; i8 declined: weight [1, 0] is INF"))
      << choice.explain(false);
  layer.matrix.mask = mask; // which prunes it
  EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::I8, model, GPUKernelKind::TwoOfFour).fallback, "");
  weight.assign(133145, 1);
  layer.matrix = {weight, {}, 1, 133145};
  EXPECT_EQ(chooseGPUStorage(layer, GPUPrecision::I8, model, std::nullopt).fallback,
            "i8 declined: K = 133145 > 133144 may overflow sums in i32");
}

TEST(GPUPacking, rows_are_quantized_by_their_largest_kept_weight) {
  std::vector<float> weight{1, -2, 0.5, 100, 0, 0, 0, 0, 3, 3, 3, 3};
  std::vector<uint8_t> mask{1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0};
  QuantizedMatrix quantized = quantizeRows({weight, mask, 3, 4});
  EXPECT_EQ(quantized.values, (std::vector<float>{64, -127, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0})); // 63.5 to the even one
  EXPECT_EQ(quantized.largest, (std::vector<float>{2, 0, 0}));
}

TEST(GPUCostModel, columns_are_split_where_processors_idle_and_there_is_enough_to_read) {
  GPUCostModel model = load("sm_90"); // 132 processors
  EXPECT_EQ(model.chooseColumnSplits(32, 1, 64, 36000, 64 * 4096), 4);
  EXPECT_EQ(model.chooseColumnSplits(32, 2, 64, 36000, 16 * 4096), 8); // two blocks on a processor
  EXPECT_EQ(model.chooseColumnSplits(132, 1, 64, 36000, 128 * 16384), 1);
  EXPECT_EQ(model.chooseColumnSplits(67, 1, 64, 36000, 64 * 8192), 1); // two parts would take two turns
  EXPECT_EQ(model.chooseColumnSplits(8, 1, 4, 2400, 64 * 1024), 1);    // the second kernel costs more
  EXPECT_EQ(model.chooseColumnSplits(1, 1, 3, 2400000, 64), 1);        // parts of one tile
}

TEST(GPUCostModel, tiles_of_fragments_are_those_that_were_fastest) {
  GPUCostModel model = load("sm_90");
  auto choose = [&](int64_t rows, int64_t columns, int64_t tokens) {
    SparseTile tile = model.chooseFragmentTile(tokens, rows, columns, 0.1);
    return std::array<int64_t, 3>{tile.rows, tile.vectors * kFragmentTokens, tile.chunk};
  };
  using Tile = std::array<int64_t, 3>;
  EXPECT_EQ(choose(4096, 4096, 2048), (Tile{256, 128, 256}));
  EXPECT_EQ(choose(3072, 768, 2048), (Tile{384, 64, 256}));
  EXPECT_EQ(choose(768, 3072, 2048), (Tile{256, 48, 256}));
  EXPECT_EQ(choose(4096, 4096, 512), (Tile{256, 64, 256}));
  EXPECT_EQ(choose(4096, 4096, 128), (Tile{16, 32, 4096}));
  EXPECT_EQ(choose(768, 3072, 128), (Tile{16, 16, 3072}));
  EXPECT_EQ(choose(4096, 4096, 1), (Tile{16, 8, 4096}));
  for (llvm::StringRef chip : GPUCostModel::getChips())
    for (int64_t tokens : {1, 3000}) {
      model = load(chip);
      SparseTile tile = model.chooseFragmentTile(tokens, 5000, 500, 0.1);
      EXPECT_EQ(tile.rows == kFragmentSide, tokens == 1);
      if (tile.rows != kFragmentSide) {
        EXPECT_LE(2 * tile.vectors * kFragmentTokens * tile.chunk, model.sharedBytes);
      }
    }
}

TEST(GPUCostModel, files_are_checked) {
  auto error = [](llvm::StringRef text) { return llvm::toString(GPUCostModel::parse(text, "f.json").takeError()); };
  EXPECT_EQ(error("[]"), "cost model 'f.json': expected an object at the top level, got []");
  EXPECT_EQ(error(R"({"version": 2})"), "cost model 'f.json': expected 1 at $.version, got 2");
  std::string good = R"({"version": 1, "chip": "sm_80", "machine": "m", "processors": 1, "shared_bytes": 1024,
    "clock_ghz": 1, "memory_gbps": 1, "tile_bytes_per_cycle": 1, "csr_efficiency": 1, "launch_ns": 0, "kernels": [)";
  EXPECT_EQ(error(good + "]}"),
            "cost model 'f.json': expected a kernel of kind matrix and precision f32 at $.kernels, got nothing");
  EXPECT_EQ(error(good + R"({"kind": "dense"}]})"), "cost model 'f.json': expected one of matrix, csr, block_csr, "
                                                    "two_of_four, columns at $.kernels[0].kind, got \"dense\"");
  EXPECT_EQ(
      llvm::toString(GPUCostModel::load("/nowhere").takeError()),
      "cost model '/nowhere': No such file or directory, and the built-in ones are sm_80, sm_86, sm_89, sm_90, opencl");
}

} // namespace
