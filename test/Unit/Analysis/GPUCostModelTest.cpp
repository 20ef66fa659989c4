//===- GPUCostModelTest.cpp - The cost model and what was measured --------------===//

#include "prune/Analysis/GPUCostModel.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "gtest/gtest.h"
#include <array>
#include <map>
#include <string>

using namespace mlir::prune;

namespace {

/// A row of docs/measured/gpu-h200.json.
struct Measured {
  std::string kind; ///< "2:4", "dense-f16"
  int64_t rows, columns, tokens;
  double density, us;

  std::string describe() const {
    return kind + " of " + std::to_string(rows) + " x " + std::to_string(columns) + ", " + std::to_string(tokens) +
           " tokens";
  }
};

std::vector<Measured> readMeasured() {
  auto buffer = llvm::MemoryBuffer::getFile(PRUNE_SOURCE_DIR "/docs/measured/gpu-h200.json");
  EXPECT_TRUE(static_cast<bool>(buffer));
  llvm::json::Value value = llvm::cantFail(llvm::json::parse((*buffer)->getBuffer()));
  std::vector<Measured> rows;
  for (const llvm::json::Value &entry : *value.getAsObject()->getArray("rows")) {
    const llvm::json::Object &row = *entry.getAsObject();
    rows.push_back({row.getString("kind")->str(), *row.getInteger("n"), *row.getInteger("k"), *row.getInteger("m"),
                    *row.getNumber("density"), 1e3 * *row.getObject("ms")->getNumber("prune")});
  }
  return rows;
}

/// What the model says of a row: with the launch that rounds activations, which the measured time is without.
double estimate(const GPUCostModel &model, const Measured &row) {
  GPULayerCounts counts;
  counts.precision = llvm::StringRef(row.kind).ends_with("i8")     ? GPUPrecision::I8
                     : llvm::StringRef(row.kind).ends_with("tf32") ? GPUPrecision::TF32
                                                                   : GPUPrecision::F16;
  counts.tokens = row.tokens;
  counts.rows = row.rows;
  counts.columns = row.columns;
  auto bytes = static_cast<double>(getElementBytes(counts.precision));
  counts.entries = row.density * static_cast<double>(row.rows * row.columns);
  if (llvm::StringRef(row.kind).starts_with("2:4") || llvm::StringRef(row.kind).starts_with("1:2")) {
    counts.kind = GPUKernelKind::TwoOfFour;
    bytes += 0.25;
  } else if (row.kind == "b16x16-90") {
    counts.kind = GPUKernelKind::BlockCSR;
    counts.tile = model.chooseFragmentTile(row.tokens, row.rows, row.columns, row.density);
  }
  counts.bytes = bytes * counts.entries;
  return model.estimate(counts) / 1e3;
}

TEST(GPUCostModel, storage_in_16_and_8_bits_is_the_one_that_was_faster) {
  GPUCostModel model = llvm::cantFail(GPUCostModel::load("sm_90"));
  std::map<std::array<int64_t, 3>, std::map<std::string, Measured>> layers;
  for (const Measured &row : readMeasured())
    layers[{row.rows, row.columns, row.tokens}].insert({row.kind, row});
  int64_t numCompared = 0;
  for (const auto &[shape, kinds] : layers)
    for (auto [sparse, dense] : {std::pair("2:4", "dense-f16"), {"b16x16-90", "dense-f16"}, {"2:4-i8", "dense-i8"}}) {
      auto first = kinds.find(sparse), second = kinds.find(dense);
      if (first == kinds.end() || second == kinds.end())
        continue;
      ++numCompared;
      EXPECT_EQ(estimate(model, first->second) < estimate(model, second->second), first->second.us < second->second.us)
          << first->second.describe();
    }
  EXPECT_EQ(numCompared, 30);
}

TEST(GPUCostModel, warp_groups_with_many_tokens_take_what_was_measured) {
  GPUCostModel model = llvm::cantFail(GPUCostModel::load("sm_90"));
  int64_t numCompared = 0;
  for (const Measured &row : readMeasured())
    if ((row.kind == "2:4" || row.kind == "dense-f16") && row.tokens >= 2048) {
      ++numCompared;
      double roundingNs = model.launchNs + 6.0 * static_cast<double>(row.tokens * row.columns) / model.memoryGBps;
      EXPECT_NEAR((estimate(model, row) - roundingNs / 1e3) / row.us, 1, 0.1) << row.describe();
    }
  EXPECT_EQ(numCompared, 10);
}

TEST(GPUCostModel, two_of_four_wants_enough_tokens_and_columns_to_halve) {
  GPUCostModel model = llvm::cantFail(GPUCostModel::load("sm_90"));
  auto isFaster = [&](int64_t rows, int64_t columns, int64_t tokens) {
    return estimate(model, {"2:4", rows, columns, tokens, 0.5, 0}) <
           estimate(model, {"dense-f16", rows, columns, tokens, 1, 0});
  };
  for (int64_t tokens : {48, 64})
    EXPECT_FALSE(isFaster(4096, 4096, tokens)); // by 25 %
  EXPECT_TRUE(isFaster(4096, 4096, 128));
  // Weights that the second-level cache cannot hold come from memory, half of them.
  EXPECT_TRUE(isFaster(11008, 4096, 48));
  EXPECT_TRUE(isFaster(4096, 4096, 1));
}

} // namespace
