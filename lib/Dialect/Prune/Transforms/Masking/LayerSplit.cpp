//===- LayerSplit.cpp - How weights share one sparsity ------------------------===//

#include "prune/Dialect/Prune/Transforms/Masking/LayerSplit.h"
#include "llvm/ADT/bit.h"
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

using namespace mlir;
using namespace mlir::prune;

std::optional<SmallVector<double>> mlir::prune::splitByERK(ArrayRef<SplitLayer> layers, double sparsity) {
  struct Entry {
    double size = 1, raw = 0, limit = 1;
    bool full = false;
  };
  SmallVector<Entry> entries;
  double wanted = 0;
  for (const SplitLayer &layer : layers) {
    Entry &entry = entries.emplace_back();
    double sum = 0;
    for (int64_t dim : layer.shape) {
      entry.size *= static_cast<double>(dim);
      sum += static_cast<double>(dim);
    }
    // An empty weight keeps all of nothing.
    entry.full = entry.size == 0;
    entry.raw = entry.full ? 0 : sum / entry.size;
    if (layer.numImposed)
      entry.limit = 1 - static_cast<double>(layer.numImposed) / static_cast<double>(layer.numUnits);
    wanted += (1 - sparsity) * entry.size;
  }
  double scale = 0;
  while (true) {
    double left = wanted, rest = 0;
    for (const Entry &entry : entries) {
      if (entry.full)
        left -= entry.limit * entry.size;
      else
        rest += entry.raw * entry.size;
    }
    if (rest == 0) {
      // All are as dense as they may be; a remainder beyond rounding finds no place.
      if (left > 1e-9 * wanted)
        return std::nullopt;
      break;
    }
    scale = std::max(left, 0.0) / rest;
    double excess = 0;
    for (const Entry &entry : entries)
      if (!entry.full)
        excess = std::max(excess, scale * entry.raw / entry.limit);
    if (!(excess > 1))
      break;
    for (Entry &entry : entries)
      if (!entry.full && scale * entry.raw / entry.limit == excess)
        entry.full = true;
  }
  SmallVector<double> sparsities;
  for (const Entry &entry : entries)
    sparsities.push_back(std::clamp(1 - (entry.full ? entry.limit : scale * entry.raw), 0.0, 1.0));
  return sparsities;
}

void mlir::prune::normalizeScores(SplitRanking &ranking, ArrayRef<float> rest, Normalization normalization) {
  auto finite = [](float score) { return std::min(score, std::numeric_limits<float>::max()); };
  auto square = [&](float score) { return static_cast<double>(finite(score)) * static_cast<double>(finite(score)); };
  std::vector<float> &scores = ranking.candidates;
  std::vector<float> others(rest);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  std::sort(others.begin(), others.end(), std::greater<>());
  ranking.normalized.resize(scores.size());

  // The sum over all scores down to the one at hand, largest first; equal ones count together.
  double sum = 0;
  size_t other = 0, done = 0;
  for (size_t i = 0; i < scores.size(); i = done) {
    for (; other < others.size() && others[other] > scores[i]; ++other)
      sum += square(others[other]);
    for (; done < scores.size() && scores[done] == scores[i]; ++done)
      sum += square(scores[done]);
    for (; other < others.size() && others[other] == scores[i]; ++other)
      sum += square(others[other]);
    if (normalization == Normalization::LAMP)
      std::fill(ranking.normalized.begin() + i, ranking.normalized.begin() + done,
                sum > 0 ? square(scores[i]) / sum : 0.0);
  }
  if (normalization == Normalization::LAMP)
    return;
  for (; other < others.size(); ++other)
    sum += square(others[other]);
  double norm = std::sqrt(sum);
  for (auto [score, normalized] : llvm::zip_equal(scores, ranking.normalized))
    normalized = norm > 0 ? static_cast<double>(finite(score)) / norm : 0.0;
}

SmallVector<int64_t> mlir::prune::splitByRank(ArrayRef<SplitRanking> rankings, int64_t keep) {
  // The bits of doubles that are not negative order as the numbers do.
  auto count = [&](const SplitRanking &ranking, uint64_t bound) {
    auto reaches = [&](double value) { return llvm::bit_cast<uint64_t>(value) >= bound; };
    int64_t best = llvm::partition_point(ranking.normalized, reaches) - ranking.normalized.begin();
    return std::max(best, std::min<int64_t>(ranking.minKeep, ranking.normalized.size()));
  };
  auto countAll = [&](uint64_t bound) {
    int64_t total = 0;
    for (const SplitRanking &ranking : rankings)
      total += count(ranking, bound);
    return total;
  };
  // The largest bound that `keep` units reach lies in [low, high).
  uint64_t low = 0, high = llvm::bit_cast<uint64_t>(std::numeric_limits<double>::infinity());
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    (countAll(middle) >= keep ? low : high) = middle;
  }
  SmallVector<int64_t> kept;
  int64_t left = keep;
  for (const SplitRanking &ranking : rankings)
    left -= kept.emplace_back(count(ranking, low + 1));
  for (auto [ranking, number] : llvm::zip_equal(rankings, kept)) {
    int64_t ties = std::clamp<int64_t>(left, 0, count(ranking, low) - number);
    number += ties;
    left -= ties;
  }
  return kept;
}
