//===- GPUCostModelWarpGroups.cpp - Layers by the warp groups of sm_90 -----------===//
//
// Cycles of the kernel in lib/Conversion/PruneToGPU/WarpGroupKernel.cpp, measured on an H200: the times of layers whose
// columns are not split are met within a tenth, but for tf32 with few columns (14 % less).
//
//===----------------------------------------------------------------------===//

#include "prune/Analysis/GPUCostModel.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir::prune;

/// The way out of a tile, and what blocks that share tokens wait for each other in the beginning.
static constexpr double kTileCycles = 2600, kClusterCycles = 3000;
/// A step of fewer cycles counts as so many where tiles are compared. Measured steps are shorter, those of 128 tokens
/// of 2:4 390 to 400 cycles; but which of the smaller tiles is faster was only measured for few layers.
static constexpr double kLeastStepCycles = 500;

int64_t WarpGroupTile::countBlocks(int64_t rows, int64_t numTokens) const {
  return static_cast<int64_t>(llvm::divideCeil(rows, kWarpGroupRows * cluster) * llvm::divideCeil(numTokens, tokens)) *
         cluster;
}

bool GPUCostModel::suitsWarpGroups(const GPULayerCounts &counts) const {
  constexpr int64_t leastTokens = 48, rowUnit = 16;
  bool isHalved = counts.kind == GPUKernelKind::TwoOfFour;
  if ((counts.kind != GPUKernelKind::Matrix && !isHalved) || counts.precision == GPUPrecision::F32 ||
      (isHalved && counts.precision == GPUPrecision::I8)) // which has no kernel
    return false;
  return chip == "sm_90" && counts.tokens >= leastTokens && counts.rows >= kWarpGroupRows &&
         counts.columns * getElementBytes(counts.precision) % rowUnit == 0;
}

double GPUCostModel::getWarpGroupStepCycles(int64_t tokens, bool isHalved) {
  // A processor takes in 64 bytes a cycle, which bounds 2:4 with its half of the products for the same tokens. Its
  // weights are half of the bytes and two bits for each that is kept.
  constexpr double bytesPerCycle = 64;
  constexpr int64_t denseBytes = kWarpGroupRows * kWarpGroupRowBytes, halvedBytes = denseBytes / 2 + denseBytes / 16;
  auto products = static_cast<double>(2 * tokens * (isHalved ? 1 : 2));
  int64_t bytes = (isHalved ? halvedBytes : denseBytes) + tokens * kWarpGroupRowBytes;
  return std::max(products, static_cast<double>(bytes) / bytesPerCycle);
}

/// Blocks on their own read more from the second-level cache, which tells where there are many columns.
static double getSharing(const WarpGroupTile &tile, int64_t columns) {
  constexpr int64_t mostColumns = 4096;
  constexpr double alone = 0.2;
  return tile.cluster == 2 ? 1 : 1 + alone * static_cast<double>(std::min(columns, mostColumns)) / mostColumns;
}

/// Those of a step where shapes are compared.
static double getChoiceCycles(int64_t tokens, bool isHalved) {
  return std::max(GPUCostModel::getWarpGroupStepCycles(tokens, isHalved), kLeastStepCycles);
}

double GPUCostModel::getWarpGroupNs(int64_t columnTiles, int64_t tokens, bool isHalved) const {
  return static_cast<double>(columnTiles) * (getChoiceCycles(tokens, isHalved) / clockGHz);
}

WarpGroupTile GPUCostModel::chooseWarpGroupTile(int64_t tokens, int64_t rows, int64_t columns, int64_t elementBytes,
                                                bool isHalved) const {
  auto columnTiles = static_cast<double>(llvm::divideCeil(columns * elementBytes, kWarpGroupRowBytes));
  WarpGroupTile best;
  for (int64_t tileTokens : {256, 192, 128, 64})
    for (int64_t cluster : {1, 2}) {
      WarpGroupTile tile{tileTokens, cluster};
      auto turns = static_cast<double>(
          llvm::divideCeil(tile.countBlocks(rows, tokens) / cluster, std::max<int64_t>(1, processors / cluster)));
      double steps = columnTiles * getChoiceCycles(tileTokens, isHalved) * getSharing(tile, columns);
      tile.cycles = turns * (steps + kTileCycles) + (cluster == 2 ? kClusterCycles : 0);
      if (best.cycles == 0 || tile.cycles < best.cycles)
        best = tile;
    }
  return best;
}

double GPUCostModel::estimateWarpGroups(const GPULayerCounts &counts) const {
  bool isHalved = counts.kind == GPUKernelKind::TwoOfFour;
  int64_t elementBytes = getElementBytes(counts.precision);
  auto tokens = static_cast<double>(counts.tokens);
  WarpGroupTile tile = chooseWarpGroupTile(counts.tokens, counts.rows, counts.columns, elementBytes, isHalved);
  auto columnTiles = static_cast<int64_t>(llvm::divideCeil(counts.columns * elementBytes, kWarpGroupRowBytes));
  double step = getWarpGroupStepCycles(tile.tokens, isHalved);
  int64_t blocks = tile.countBlocks(counts.rows, counts.tokens), results = counts.tokens * counts.rows;
  int64_t splits = chooseColumnSplits(blocks, /*together=*/1, columnTiles,
                                      getWarpGroupNs(columnTiles, tile.tokens, isHalved), results);
  auto turns = static_cast<double>(
      llvm::divideCeil(blocks * splits / tile.cluster, std::max<int64_t>(1, processors / tile.cluster)));
  double steps = static_cast<double>(llvm::divideCeil(columnTiles, splits)) * step * getSharing(tile, counts.columns);
  double ns = (turns * (steps + kTileCycles) + (tile.cluster == 2 ? kClusterCycles : 0)) / clockGHz;
  // Smaller weights stay in the second-level cache, and come as fast as a processor takes them in.
  constexpr double cacheBytes = 50e6;
  if (counts.bytes > cacheBytes)
    ns = std::max(ns,
                  (counts.bytes + tokens * (static_cast<double>(elementBytes) * counts.columns + 4.0 * counts.rows)) /
                      memoryGBps);
  return launchNs + ns + (splits == 1 ? 0 : getPartsNs(splits, results));
}
