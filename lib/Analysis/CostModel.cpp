//===- CostModel.cpp - What a packed layer will take ---------------------------===//

#include "prune/Analysis/CostModel.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"
#include <algorithm>
#include <cmath>

using namespace mlir::prune;
using llvm::StringRef;

static constexpr StringRef kKindNames[] = {"contract",   "convolution", "depthwise", "dense", "chunked_csr",
                                           "block_rows", "window",      "columns",   "rows",  "all_columns"};

StringRef mlir::prune::stringifyKernelKind(KernelKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

int64_t mlir::prune::getTileLanes(int64_t numLanes, int64_t registerLanes) {
  // Vectors of two are slower than half of four.
  int64_t least = numLanes == 1 ? 1 : std::max<int64_t>(numLanes, 4);
  while (registerLanes / 2 >= least)
    registerLanes /= 2;
  return registerLanes;
}

int64_t mlir::prune::getTileVectors(int64_t vectors, int64_t rows, int64_t registers) {
  while (vectors > 1 && vectors * rows > registers * 3 / 4)
    vectors /= 2;
  return vectors;
}

double mlir::prune::multiply(const CostArray &counts, const CostArray &ns) {
  double sum = 0;
  for (size_t i = 0; i < kNumCosts; ++i)
    sum += counts[i] * ns[i];
  return sum;
}

//===----------------------------------------------------------------------===//
// Counting and estimating
//===----------------------------------------------------------------------===//

std::vector<TileWork> CostModel::countWork(const WeightCounts &weight, const TokenShape &tokens) const {
  if (weight.kind == KernelKind::Convolution)
    return {countConvolution(weight, tokens)};
  if (weight.kind == KernelKind::Depthwise)
    return {countDepthwise(weight, tokens)};
  if (weight.kind == KernelKind::Columns || weight.kind == KernelKind::Rows || weight.kind == KernelKind::AllColumns)
    return {countByColumns(weight, tokens)};
  if (weight.kind == KernelKind::Contract) {
    TileWork work{{KernelKind::Contract, 1, lanes, 1}};
    double tokensInAll = static_cast<double>(tokens.batches * tokens.lanes);
    at(work.counts, Cost::Rest) = weight.rest * tokensInAll / lanes;
    at(work.counts, Cost::Group) = static_cast<double>(weight.numRows) * tokensInAll;
    at(work.counts, Cost::Byte) = weight.bytes * getMissShare(weight.bytes, secondLevelBytes);
    at(work.counts, Cost::Call) = 1;
    return {work};
  }
  int64_t tileLanes = getTileLanes(tokens.lanes, tokens.registerLanes);
  int64_t vectors = getTileVectors(tokens.vectors, weight.rows, tokens.registers);
  int64_t full = tokens.lanes / (tileLanes * vectors), left = tokens.lanes % (tileLanes * vectors);
  std::vector<TileWork> result;
  auto addTiles = [&](int64_t tiles, int64_t tileVectors) {
    if (tiles == 0)
      return;
    TileWork work{{weight.kind, weight.rows, tileLanes, tileVectors}, {}, tiles * tokens.batches};
    double count = static_cast<double>(tiles * tokens.batches), rowBytes = 4.0 * tileLanes * tileVectors;
    double loads = weight.kind == KernelKind::ChunkedCSR ? weight.shared + 2 * (weight.rest + weight.single)
                                                         : weight.rest + weight.single;
    int64_t chunks = weight.getNumChunks();
    at(work.counts, Cost::Shared) = count * weight.shared;
    at(work.counts, Cost::Rest) = count * weight.rest;
    at(work.counts, Cost::Single) = count * weight.single;
    at(work.counts, Cost::Group) = count * weight.groups;
    at(work.counts, Cost::Partial) = count * weight.groups * (chunks - 1) / chunks;
    bool inPlace = tokens.convolution || (!isOfWords && tokens.lanes == tileLanes * tileVectors);
    at(work.counts, Cost::Column) = inPlace ? 0 : count * weight.numColumns;
    at(work.counts, Cost::Miss) =
        count * loads * getMissShare(rowBytes * std::min(weight.chunk, weight.numColumns), firstLevelBytes);
    // Every tile streams the whole weight past its activations and sums.
    double workingSet = weight.bytes + rowBytes * (weight.numRows + weight.numColumns);
    at(work.counts, Cost::Byte) = count * weight.bytes * getMissShare(workingSet, secondLevelBytes);
    result.push_back(work);
  };
  addTiles(full, vectors);
  addTiles(left ? 1 : 0, (left + tileLanes - 1) / tileLanes);
  if (!result.empty())
    at(result.front().counts, Cost::Call) = 1;
  if (tokens.convolution)
    result.push_back(countWindow(weight, tokens, tileLanes, vectors));
  return result;
}

/// Every token lists its elements and multiplies with what the nonzero ones need; what several need leaves memory once.
TileWork CostModel::countByColumns(const WeightCounts &weight, const TokenShape &tokens) const {
  int64_t numTokens = tokens.batches * tokens.lanes;
  bool isAll = weight.kind == KernelKind::AllColumns, isStreaming = !isAll || numTokens <= kMostStreamingTokens;
  TileWork work{{weight.kind, isStreaming ? 1 : kMostStreamingTokens + 1, lanes, 1}};
  double tokensInAll = static_cast<double>(numTokens), size = 4.0 * weight.numRows * weight.numColumns;
  double needed = size > 0 ? size * (1 - std::pow(1 - weight.bytes / size, tokensInAll)) : 0;
  int64_t listed = weight.kind == KernelKind::Rows ? weight.numRows : weight.numColumns;
  at(work.counts, Cost::Rest) = weight.rest * tokensInAll / lanes;
  if (!isAll && numTokens > 1) {
    // What one token reads again of what another read comes from a cache that holds all of a turn, and of the tokens.
    constexpr int64_t entriesPerTurn = 8;
    int64_t length = weight.kind == KernelKind::Rows ? weight.numColumns : weight.numRows;
    double turn = 4.0 * length * static_cast<double>(entriesPerTurn + numTokens);
    at(work.counts, Cost::Miss) =
        (weight.rest * tokensInAll - needed / 4) / lanes * getMissShare(turn, firstLevelBytes);
  }
  at(work.counts, Cost::Column) = isAll ? 0 : static_cast<double>(listed) * tokensInAll;
  at(work.counts, Cost::Byte) = needed * getMissShare(needed, secondLevelBytes);
  at(work.counts, Cost::Call) = 1;
  return work;
}

std::optional<CostArray> CostModel::getCosts(const KernelTile &tile) const {
  std::optional<CostArray> measured = findMeasured(tile);
  return measured ? measured : deriveCosts(tile);
}

std::optional<CostArray> CostModel::findMeasured(const KernelTile &tile) const {
  const KernelCosts *best = nullptr;
  double bestDistance = 0;
  auto distance = [](int64_t a, int64_t b) { return std::abs(std::log2(double(a) / b)); };
  for (const KernelCosts &known : kernels) {
    if (known.tile.kind != tile.kind)
      continue;
    double away = 4 * distance(known.tile.lanes, tile.lanes) + distance(known.tile.rows, tile.rows) +
                  distance(known.tile.vectors, tile.vectors);
    if (!best || away < bestDistance) {
      best = &known;
      bestDistance = away;
    }
  }
  if (!best)
    return std::nullopt;
  CostArray ns = best->ns;
  double vectors = double(tile.vectors) / best->tile.vectors, registers = vectors * tile.rows / best->tile.rows;
  for (Cost cost : {Cost::Shared, Cost::Rest, Cost::Single, Cost::Partial})
    ns[static_cast<size_t>(cost)] *= registers;
  for (Cost cost : {Cost::Column, Cost::Miss})
    ns[static_cast<size_t>(cost)] *= vectors;
  return ns;
}

CostModel CostModel::forWords() const {
  CostModel words = *this;
  words.isOfWords = true;
  for (const KernelCosts &measured : word.kernels)
    llvm::erase_if(words.kernels, [&](const KernelCosts &kernel) { return kernel.tile.kind == measured.tile.kind; });
  for (KernelCosts &kernel : words.kernels) {
    for (Cost cost : {Cost::Shared, Cost::Rest, Cost::Single})
      at(kernel.ns, cost) *= word.step;
    at(kernel.ns, Cost::Column) *= word.column;
  }
  llvm::append_range(words.kernels, word.kernels);
  return words;
}

double CostModel::estimate(const WeightCounts &weight, const TokenShape &tokens) const {
  double sum = 0;
  for (const TileWork &work : countWork(weight, tokens)) {
    std::optional<CostArray> ns = getCosts(work.tile);
    if (!ns)
      return std::numeric_limits<double>::infinity();
    sum += multiply(work.counts, *ns);
  }
  return sum;
}

//===----------------------------------------------------------------------===//
// Fitting
//===----------------------------------------------------------------------===//

CostArray mlir::prune::fitCosts(llvm::ArrayRef<CostSample> samples) {
  // Normal equations of counts / ns = 1 - known / ns, solved by coordinate descent, which keeps every constant at zero
  // or above.
  std::array<CostArray, kNumCosts> gram{};
  CostArray target{}, costs{};
  for (const CostSample &sample : samples)
    for (size_t i = 0; i < kNumCosts; ++i) {
      double x = sample.counts[i] / sample.ns;
      target[i] += x * (1 - sample.knownNs / sample.ns);
      for (size_t j = 0; j < kNumCosts; ++j)
        gram[i][j] += x * sample.counts[j] / sample.ns;
    }
  for (int round = 0; round < 200000; ++round) {
    double change = 0;
    for (size_t i = 0; i < kNumCosts; ++i) {
      if (gram[i][i] == 0)
        continue;
      double gradient = target[i];
      for (size_t j = 0; j < kNumCosts; ++j)
        gradient -= gram[i][j] * costs[j];
      double next = std::max(0.0, costs[i] + gradient / gram[i][i]);
      change = std::max(change, std::abs(next - costs[i]) * std::sqrt(gram[i][i]));
      costs[i] = next;
    }
    if (change < 1e-9)
      break;
  }
  return costs;
}
