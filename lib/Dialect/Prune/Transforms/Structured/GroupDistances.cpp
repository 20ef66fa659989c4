//===- GroupDistances.cpp - Distances between all pairs of rows ---------------===//
//
// Differences are squared and added in single precision, in 16 sums side by side (which compiles to vectors) over at
// most 4096 elements, and from there in double: close to full single precision at any length. The shorter way over
// |a|² + |b|² - 2 a b would cancel for rows that are near each other, which are those that FPGM looks for.
//
//===----------------------------------------------------------------------===//

#include "GroupDistances.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::prune;

static constexpr int64_t kLanes = 16;
static constexpr int64_t kSingle = 4096;
/// Rows of a tile: two tiles of rows of a few hundred floats fit the second-level cache.
static constexpr int64_t kTile = 32;

static double getDistance(const float *a, const float *b, int64_t length) {
  double sum = 0;
  for (int64_t begin = 0; begin < length; begin += kSingle) {
    int64_t end = std::min(begin + kSingle, length), i = begin;
    float lanes[kLanes] = {};
    for (; i + kLanes <= end; i += kLanes)
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        float difference = a[i + lane] - b[i + lane];
        lanes[lane] += difference * difference;
      }
    for (int64_t lane = 0; i < end; ++i, ++lane) {
      float difference = a[i] - b[i];
      lanes[lane] += difference * difference;
    }
    for (float lane : lanes)
      sum += lane;
  }
  // Infinity minus infinity.
  return std::isnan(sum) ? std::numeric_limits<double>::infinity() : std::sqrt(sum);
}

std::vector<double> mlir::prune::sumDistances(ArrayRef<float> rows, int64_t length, WorkerPool &pool) {
  int64_t count = length ? static_cast<int64_t>(rows.size()) / length : 0;
  int64_t numTiles = (count + kTile - 1) / kTile;
  // Each pair of tiles writes its sums to a place of its own; they are added in the order of the tiles.
  std::vector<double> partial(count * numTiles, 0.0);
  auto runPair = [&](int64_t first, int64_t second) {
    int64_t rowEnd = std::min(count, (first + 1) * kTile), columnEnd = std::min(count, (second + 1) * kTile);
    for (int64_t row = first * kTile; row < rowEnd; ++row)
      for (int64_t column = std::max(second * kTile, row + 1); column < columnEnd; ++column) {
        double distance = getDistance(rows.data() + row * length, rows.data() + column * length, length);
        partial[row * numTiles + second] += distance;
        partial[column * numTiles + first] += distance;
      }
  };
  pool.forEach(numTiles * (numTiles + 1) / 2, [&](int64_t index) {
    // Pairs in the order (0, 0), (0, 1), (1, 1), (0, 2) ...
    int64_t second = static_cast<int64_t>((std::sqrt(8.0 * index + 1) - 1) / 2);
    while (second * (second + 1) / 2 > index)
      --second;
    while ((second + 1) * (second + 2) / 2 <= index)
      ++second;
    runPair(index - second * (second + 1) / 2, second);
  });
  std::vector<double> sums(count, 0.0);
  for (int64_t row = 0; row < count; ++row)
    for (int64_t tile = 0; tile < numTiles; ++tile)
      sums[row] += partial[row * numTiles + tile];
  return sums;
}
