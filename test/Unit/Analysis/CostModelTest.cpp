//===- CostModelTest.cpp - Predicted times and where they come from -------------===//

#include "prune/Analysis/CostModel.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::prune;

namespace {

std::string takeMessage(llvm::Expected<CostModel> model) {
  return model ? std::string("no error") : llvm::toString(model.takeError());
}

std::string print(const CostModel &model) { return llvm::formatv("{0}", model.toJSON()).str(); }

CostModel makeModel() {
  CostModel model;
  model.cpu = "test";
  for (KernelKind kind : {KernelKind::Contract, KernelKind::Dense, KernelKind::ChunkedCSR, KernelKind::BlockRows}) {
    KernelCosts costs;
    costs.tile = {kind, kind == KernelKind::Dense ? 6 : 2, 8, 4};
    costs.ns.fill(1);
    model.kernels.push_back(costs);
  }
  return model;
}

TEST(CostModel, fit_recovers_the_constants_of_exact_times) {
  CostArray truth{2, 3, 0, 5, 0.5, 1, 0.25, 0.01, 100};
  std::mt19937 engine(1);
  std::uniform_real_distribution<double> uniform(0, 1000);
  std::vector<CostSample> samples(60);
  for (CostSample &sample : samples) {
    for (double &count : sample.counts)
      count = uniform(engine);
    sample.counts.back() = 1;
    sample.ns = multiply(sample.counts, truth);
  }
  CostArray fitted = fitCosts(samples);
  for (const CostSample &sample : samples)
    EXPECT_NEAR(multiply(sample.counts, fitted) / sample.ns, 1, 1e-3);
}

TEST(CostModel, fit_gives_no_negative_constant) {
  // Times fall while a count rises: the best constant would be negative.
  std::vector<CostSample> samples(10);
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i].counts[0] = static_cast<double>(i);
    samples[i].counts[1] = 1;
    samples[i].ns = 100 - static_cast<double>(i);
  }
  for (double cost : fitCosts(samples))
    EXPECT_GE(cost, 0);
}

TEST(CostModel, file_round_trip) {
  std::string text = print(makeModel());
  auto parsed = CostModel::parse(text, "f");
  ASSERT_TRUE(static_cast<bool>(parsed));
  EXPECT_EQ(print(*parsed), text);
}

TEST(CostModel, errors_name_file_rule_and_value) {
  auto broken = [&](llvm::StringRef from, llvm::StringRef to) {
    std::string text = print(makeModel());
    size_t at = text.find(from.str());
    EXPECT_NE(at, std::string::npos);
    return takeMessage(CostModel::parse(text.replace(at, from.size(), to.str()), "m.json"));
  };
  EXPECT_EQ(broken("\"version\":1", "\"version\":2"), "cost model 'm.json': expected 1 at $.version, got 2");
  EXPECT_EQ(broken("\"rest\":1", "\"rest\":-4"),
            "cost model 'm.json': expected a number of 0 or more at $.kernels[0].ns.rest, got -4");
  EXPECT_EQ(broken("\"kind\":\"contract\"", "\"kind\":\"csr\""),
            "cost model 'm.json': expected one of contract, convolution, depthwise, dense, chunked_csr, block_rows, "
            "window, columns, rows, all_columns "
            "at $.kernels[0].kind, got \"csr\"");
  EXPECT_EQ(broken("\"lanes\":8", "\"lanes\":0"),
            "cost model 'm.json': expected an integer of 1 or more at $.kernels[0].lanes, got 0");
  EXPECT_EQ(takeMessage(CostModel::parse("[]", "m.json")),
            "cost model 'm.json': expected an object at the top level, got []");
  EXPECT_EQ(takeMessage(CostModel::parse(std::string(100000, '['), "m.json")),
            "cost model 'm.json': expected brackets nested at most 16 deep, got more");
  EXPECT_NE(takeMessage(CostModel::parse("{", "m.json")).find("cost model 'm.json'"), std::string::npos);
  EXPECT_NE(takeMessage(CostModel::load("/nowhere.json")).find("the built-in ones are"), std::string::npos);
}

TEST(CostModel, words_cost_multiples_of_columns) {
  CostModel model = makeModel();
  model.word = {2, 3, "test"};
  for (const KernelCosts &kernel : model.forWords().kernels)
    EXPECT_EQ(kernel.ns, (CostArray{2, 2, 2, 1, 1, 3, 1, 1, 1}));
  auto parsed = CostModel::parse(print(model), "f");
  ASSERT_TRUE(static_cast<bool>(parsed));
  EXPECT_EQ(parsed->word.step, 2);
  EXPECT_EQ(parsed->word.column, 3);
  EXPECT_EQ(parsed->word.source, "test");
  // A file from before has none: vpdpbusd is as fast as a multiply-add.
  llvm::json::Value old = model.toJSON();
  old.getAsObject()->erase("word");
  parsed = CostModel::parse(llvm::formatv("{0}", old).str(), "f");
  ASSERT_TRUE(static_cast<bool>(parsed));
  EXPECT_EQ(parsed->word.step, 1);
  (*old.getAsObject())["word"] = 1;
  EXPECT_EQ(takeMessage(CostModel::parse(llvm::formatv("{0}", old).str(), "f")),
            "cost model 'f': expected an object at $.word, got 1");
}

TEST(CostModel, measured_words_have_constants_of_their_own) {
  CostModel model = makeModel();
  model.word = {2, 3, "test", {{{KernelKind::Dense, 6, 8, 1}, CostArray{5, 5, 5, 5, 5, 5, 5, 5, 5}}}};
  auto parsed = CostModel::parse(print(model), "f");
  ASSERT_TRUE(static_cast<bool>(parsed));
  EXPECT_EQ(print(*parsed), print(model));
  // Those of the kind that was measured are replaced, others multiplied.
  CostModel words = parsed->forWords();
  EXPECT_EQ(words.getCosts({KernelKind::Dense, 6, 8, 1}), (CostArray{5, 5, 5, 5, 5, 5, 5, 5, 5}));
  EXPECT_EQ(llvm::count_if(words.kernels, [](const KernelCosts &k) { return k.tile.kind == KernelKind::Dense; }), 1);
  EXPECT_EQ(at(*words.getCosts({KernelKind::ChunkedCSR, 2, 8, 4}), Cost::Rest), 2);
  // Words are copied even where the tile is the whole row of lanes.
  WeightCounts weight;
  weight.numRows = weight.numColumns = weight.chunk = 12;
  auto countCopied = [&](const CostModel &counting) {
    return at(counting.countWork(weight, {1, 8, 8, 16, 1}).front().counts, Cost::Column);
  };
  EXPECT_EQ(countCopied(*parsed), 0);
  EXPECT_EQ(countCopied(words), 12);
  llvm::json::Value broken = model.toJSON();
  (*broken.getAsObject()->getObject("word"))["kernels"] = 1;
  EXPECT_EQ(takeMessage(CostModel::parse(llvm::formatv("{0}", broken).str(), "f")),
            "cost model 'f': expected an array at $.word.kernels, got 1");
}

TEST(CostModel, built_in_models_cover_every_register_width) {
  for (auto [bits, lanes] : {std::pair<int64_t, int64_t>{128, 4}, {256, 8}, {512, 16}}) {
    llvm::StringRef name = CostModel::findBuiltIn("no such cpu", {bits, 16, true});
    auto model = CostModel::load(name);
    ASSERT_TRUE(static_cast<bool>(model)) << name.str();
    EXPECT_EQ(model->lanes, lanes);
    for (int64_t tokens : {1, 3, 8, 17, 64, 1000}) {
      WeightCounts weight;
      weight.kind = KernelKind::ChunkedCSR;
      weight.numRows = weight.numColumns = weight.chunk = 384;
      weight.rows = 2;
      weight.rest = 5000;
      weight.groups = 192;
      weight.bytes = 60000;
      double time = model->estimate(weight, {1, tokens, lanes, 16, 4});
      EXPECT_GT(time, 1000) << tokens;
      EXPECT_LT(time, 1e7) << tokens;
      weight.rest *= 2;
      EXPECT_GT(model->estimate(weight, {1, tokens, lanes, 16, 4}), time) << tokens;
    }
  }
  // A machine that hides the wide registers of its processor gets the model of what is left.
  EXPECT_EQ(CostModel::findBuiltIn("znver4", {256, 16, true}), "x86-64-v3");
  EXPECT_EQ(CostModel::findBuiltIn("znver4", {512, 32, true}), "znver4");
}

TEST(CostModel, counts_tiles_as_the_kernels_run_them) {
  CostModel model = makeModel();
  WeightCounts weight;
  weight.kind = KernelKind::Dense;
  weight.numRows = 12;
  weight.numColumns = weight.chunk = 100;
  weight.rows = 6;
  weight.rest = 200;
  weight.groups = 2;
  auto at = [](const TileWork &work, Cost cost) { return work.counts[static_cast<size_t>(cost)]; };
  // Six rows leave room for two vectors of eight lanes: two tiles of 16 tokens, and one vector for the last three.
  std::vector<TileWork> work = model.countWork(weight, {3, 35, 8, 16, 4});
  ASSERT_EQ(work.size(), 2u);
  EXPECT_EQ(work[0].tile.vectors, 2);
  EXPECT_EQ(at(work[0], Cost::Rest), 3 * 2 * 200);
  EXPECT_EQ(at(work[0], Cost::Call), 1);
  EXPECT_EQ(work[1].tile.vectors, 1);
  EXPECT_EQ(at(work[1], Cost::Rest), 3 * 200);
  EXPECT_EQ(at(work[1], Cost::Column), 3 * 100);
  EXPECT_EQ(at(work[1], Cost::Call), 0);
  // One row of lanes is read where it lies.
  EXPECT_EQ(at(model.countWork(weight, {1, 16, 8, 16, 4}).front(), Cost::Column), 0);
}

TEST(CostModel, counts_what_tokens_read_again) {
  CostModel model = makeModel();
  model.lanes = 8;
  model.firstLevelBytes = 24 << 10;
  WeightCounts weight;
  weight.kind = KernelKind::Columns;
  weight.numRows = 1536;
  weight.numColumns = 384;
  weight.rest = 1536 * 384 / 2; // half of the activations
  weight.bytes = 4 * weight.rest;
  auto countMisses = [&](int64_t tokens) {
    return at(model.countWork(weight, {1, tokens, 8, 16, 1}).front().counts, Cost::Miss);
  };
  EXPECT_EQ(countMisses(1), 0);
  // Two tokens need three quarters of the weight, and read it once as a whole; of the ten rows of 6 KiB that a turn
  // touches, the cache holds four.
  EXPECT_DOUBLE_EQ(countMisses(2), (2 * weight.rest - 0.75 * 1536 * 384) / 8 * (1 - 24.0 / 60));
  weight.numRows = 256; // ten of 1 KiB: all of them
  weight.rest = 256 * 384 / 2;
  weight.bytes = 4 * weight.rest;
  EXPECT_EQ(countMisses(2), 0);
}

TEST(CostModel, narrows_registers_to_few_tokens) {
  EXPECT_EQ(getTileLanes(1, 16), 1);
  EXPECT_EQ(getTileLanes(2, 16), 4);
  EXPECT_EQ(getTileLanes(5, 16), 8);
  EXPECT_EQ(getTileLanes(9, 16), 16);
  EXPECT_EQ(getTileLanes(9, 8), 8);
  EXPECT_EQ(getTileVectors(4, 6, 16), 2);
  EXPECT_EQ(getTileVectors(4, 20, 16), 1);
}

TEST(CostModel, scales_the_nearest_tile) {
  CostModel model = makeModel();
  auto costs = model.getCosts({KernelKind::BlockRows, 4, 8, 4});
  ASSERT_TRUE(costs.has_value());
  EXPECT_EQ((*costs)[static_cast<size_t>(Cost::Rest)], 2);
  EXPECT_EQ((*costs)[static_cast<size_t>(Cost::Group)], 1);
}

TEST(CostModel, counts_the_copy_of_a_window_as_it_runs) {
  ConvolutionShape convolution;
  convolution.kernel = {3, 3};
  convolution.input = convolution.result = {7, 7};
  // Tiles of 32 and 17 pixels, in runs of one row and at most eight pixels: rows of seven, of which the fifth is cut
  // after four pixels.
  EXPECT_EQ(countRuns(convolution, 32, 8), 8);
  EXPECT_EQ(countRuns(convolution, 64, 8), 7);
  EXPECT_EQ(countRuns(convolution, 64, 4), 14);
  convolution.strides = {2, 2};
  WeightCounts weight;
  weight.kind = KernelKind::ChunkedCSR;
  weight.numRows = 16;
  weight.numColumns = 90;
  weight.chunk = 45;
  weight.rows = 2;
  std::vector<TileWork> work = makeModel().countWork(weight, {2, 49, 8, 16, 4, convolution});
  ASSERT_EQ(work.back().tile.kind, KernelKind::Window);
  EXPECT_EQ(at(work.back().counts, Cost::Column), 2 * 8 * 90);
  EXPECT_EQ(at(work.back().counts, Cost::Rest), 2 * 8 * 90);         // a second load for stride 2
  EXPECT_EQ(at(work.back().counts, Cost::Group), 2 * 8 * 9 * 2 * 2); // masks of each element, chunk and load
  // Columns are not counted twice.
  EXPECT_EQ(at(work.front().counts, Cost::Column), 0);
}

TEST(CostModel, convolutions_have_costs_in_every_model) {
  CostModel old = makeModel(); // of a calibration that knew no convolutions
  for (llvm::StringRef name : {"x86-64", "x86-64-v3", "znver4", ""}) {
    CostModel model = name.empty() ? old : llvm::cantFail(CostModel::load(name));
    for (auto [size, stride, groups] :
         {std::array<int64_t, 3>{7, 1, 1}, {56, 1, 1}, {56, 2, 1}, {28, 1, 32}, {1, 1, 1}}) {
      ConvolutionShape convolution;
      convolution.kernel = {3, 3};
      convolution.strides = {stride, stride};
      convolution.low = convolution.high = {1, 1};
      convolution.input = {size, size};
      convolution.result = {(size - 1) / stride + 1, (size - 1) / stride + 1};
      convolution.groups = groups;
      int64_t pixels = convolution.result[0] * convolution.result[1];
      TokenShape tokens{1, pixels, model.lanes, 16, 4, convolution};
      for (KernelKind kind : {KernelKind::Convolution, KernelKind::Depthwise, KernelKind::ChunkedCSR}) {
        WeightCounts weight;
        weight.kind = kind;
        weight.numRows = 64;
        weight.numColumns = weight.chunk = 9 * 64;
        weight.rows = 2;
        weight.rest = 64 * 9 * 64 / groups;
        weight.groups = 32;
        weight.bytes = 4 * weight.rest;
        double time = model.estimate(weight, tokens);
        EXPECT_GT(time, 0) << name.str() << " " << size;
        tokens.batches = 3;
        EXPECT_NEAR(model.estimate(weight, tokens), 3 * time, 0.3 * time + 1000);
        tokens.batches = 1;
      }
    }
  }
}

TEST(CostModel, fit_leaves_out_what_is_known) {
  std::vector<CostSample> samples(8);
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i].counts[0] = static_cast<double>(i + 1);
    samples[i].knownNs = 50.0 * static_cast<double>(i % 3);
    samples[i].ns = 3 * samples[i].counts[0] + samples[i].knownNs;
  }
  EXPECT_NEAR(fitCosts(samples)[0], 3, 1e-6);
}

} // namespace
