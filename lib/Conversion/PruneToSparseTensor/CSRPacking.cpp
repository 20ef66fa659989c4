//===- CSRPacking.cpp - CSR in the storage order of GPUs -------------------------===//
//
// Lanes of a warp have several rows side by side, which go through their entries in step: each chunk of columns is as
// long for all of them as for the row with the most. So rows with similar counts in every chunk are put together.
//
//===----------------------------------------------------------------------===//

#include "prune/Conversion/PruneToSparseTensor/GPUPacking.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Kept columns of the rows of one group, and how many each has in each chunk.
struct Group {
  Group(const MaskedMatrix &matrix, int64_t firstRow, const SparseTile &tile)
      : numChunks(llvm::divideCeil(matrix.numColumns, tile.chunk)), columns(tile.rows), counts(tile.rows * numChunks) {
    for (int64_t row = 0; row < tile.rows && firstRow + row < matrix.numRows; ++row)
      for (int64_t column = 0; column < matrix.numColumns; ++column)
        if (matrix.isKept(firstRow + row, column)) {
          columns[row].push_back(static_cast<int32_t>(column));
          ++counts[row * numChunks + column / tile.chunk];
        }
  }
  ArrayRef<int32_t> getCounts(int64_t row) const { return ArrayRef(counts).slice(row * numChunks, numChunks); }

  int64_t numChunks;
  std::vector<std::vector<int32_t>> columns;
  std::vector<int32_t> counts;
};

/// Rows that the lanes of a warp have side by side, and the entries of each in each chunk.
struct Bundle {
  SmallVector<int32_t> rows;
  SmallVector<int32_t> counts;
};

} // namespace

/// Divides the rows of a group into bundles of `size`: the longest row that is left, and those that lengthen it least
/// and fill it best.
static std::vector<Bundle> makeBundles(const Group &group, int64_t size) {
  std::vector<int32_t> left(group.columns.size());
  std::iota(left.begin(), left.end(), 0);
  llvm::stable_sort(left, [&](int32_t a, int32_t b) { return group.columns[a].size() > group.columns[b].size(); });
  std::vector<Bundle> bundles;
  while (!left.empty()) {
    Bundle bundle;
    bundle.counts.assign(group.numChunks, 0);
    auto take = [&](std::vector<int32_t>::iterator row) {
      for (auto [most, count] : llvm::zip(bundle.counts, group.getCounts(*row)))
        most = std::max(most, count);
      bundle.rows.push_back(*row);
      left.erase(row);
    };
    auto getCost = [&](int32_t row) {
      constexpr int64_t costOfLonger = 4; // for all rows of the bundle
      int64_t cost = 0;
      for (auto [most, count] : llvm::zip(bundle.counts, group.getCounts(row)))
        cost += count > most ? costOfLonger * (count - most) : most - count;
      return cost;
    };
    take(left.begin());
    while (static_cast<int64_t>(bundle.rows.size()) < size) {
      auto best = left.begin();
      int64_t bestCost = getCost(*best);
      for (auto row = best + 1; row != left.end() && bestCost > 0; ++row)
        if (int64_t cost = getCost(*row); cost < bestCost) {
          best = row;
          bestCost = cost;
        }
      take(best);
    }
    bundles.push_back(std::move(bundle));
  }
  return bundles;
}

/// Deals bundles to the warps by their length, longest first, back and forth; in the order of warps.
static std::vector<Bundle> dealBundles(std::vector<Bundle> bundles, int64_t warps) {
  auto getLength = [](const Bundle &bundle) { return std::accumulate(bundle.counts.begin(), bundle.counts.end(), 0); };
  llvm::stable_sort(bundles, [&](const Bundle &a, const Bundle &b) { return getLength(a) > getLength(b); });
  std::vector<Bundle> dealt(bundles.size());
  auto ofWarp = static_cast<int64_t>(bundles.size()) / warps;
  for (auto [i, bundle] : llvm::enumerate(bundles)) {
    int64_t turn = static_cast<int64_t>(i) / warps, place = static_cast<int64_t>(i) % warps;
    dealt[(turn % 2 ? warps - 1 - place : place) * ofWarp + turn] = std::move(bundle);
  }
  return dealt;
}

static PackedWeight startCSR(const MaskedMatrix &matrix, const SparseTile &tile) {
  PackedWeight packed = startPacking(matrix, StorageFormat::CSR, tile.rows, tile.chunk);
  packed.positions.push_back(0);
  return packed;
}

/// Row by row, runs padded to whole steps.
static PackedWeight packByEntry(const MaskedMatrix &matrix, const SparseTile &tile) {
  PackedWeight packed = startCSR(matrix, tile);
  for (int64_t row = 0; row < matrix.numRows; ++row) {
    for (int64_t column = 0; column < matrix.numColumns; ++column) {
      if (!matrix.isKept(row, column))
        continue;
      packed.coordinates.push_back(column);
      packed.sources.push_back(row * matrix.numColumns + column);
      ++packed.numNonzeros;
    }
    while (packed.sources.size() % kCSRStep) {
      packed.coordinates.push_back(packed.coordinates.back());
      packed.sources.push_back(-1);
    }
    packed.positions.push_back(packed.sources.size());
    packed.rowOrder.push_back(0);
  }
  return packed;
}

PackedWeight mlir::prune::packCSR(const MaskedMatrix &matrix, const SparseTile &tile) {
  if (tile.isByEntry())
    return packByEntry(matrix, tile);
  PackedWeight packed = startCSR(matrix, tile);
  auto append = [&](uint16_t place, int32_t source) {
    packed.coordinates.push_back(place);
    packed.sources.push_back(source);
  };
  uint16_t zeroPlace = tile.getZeroPlace();
  for (int64_t first = 0; first < matrix.numRows; first += tile.rows) {
    Group group(matrix, first, tile);
    int64_t warps = tile.getNumWarps();
    std::vector<Bundle> bundles = dealBundles(makeBundles(group, tile.getRowsOfBundle()), warps);
    auto ofWarp = static_cast<int64_t>(bundles.size()) / warps;
    std::vector<size_t> next(tile.rows); // entry of each row
    for (int64_t warp = 0; warp < warps; ++warp)
      for (int64_t chunk = 0; chunk < group.numChunks; ++chunk)
        for (const Bundle &bundle : ArrayRef(bundles).slice(warp * ofWarp, ofWarp)) {
          for (int64_t step = 0; step < bundle.counts[chunk]; step += kCSRStep)
            for (int32_t row : bundle.rows)
              for (int64_t entry = step; entry < step + kCSRStep; ++entry) {
                if (entry >= group.getCounts(row)[chunk]) {
                  append(zeroPlace, -1);
                  continue;
                }
                int32_t column = group.columns[row][next[row]++];
                append(tile.getPlace(column - chunk * tile.chunk), (first + row) * matrix.numColumns + column);
                ++packed.numNonzeros;
              }
          packed.positions.push_back(packed.sources.size());
        }
    for (const Bundle &bundle : bundles)
      llvm::append_range(packed.rowOrder, bundle.rows);
  }
  // Warps load some steps ahead, also those after the last one.
  for (int64_t i = 0; i < tile.getStepsAhead() * tile.getRowsOfBundle() * kCSRStep; ++i)
    append(zeroPlace, -1);
  return packed;
}
