//===- Packing.cpp - Constant weights in storage order -------------------------===//

#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/bit.h"
#include <algorithm>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// The kept columns of one matrix row inside one chunk, relative to the chunk.
struct ChunkRow {
  int32_t row;
  std::vector<uint16_t> columns;
  std::vector<uint64_t> bits; ///< the same columns as a bit set
};

/// Two rows that run side by side; the first `shared` columns of both are the same.
struct RowPair {
  ChunkRow first, second;
  size_t shared;

  size_t getLength() const { return std::max(first.columns.size(), second.columns.size()); }
};

} // namespace

int64_t PackedWeight::getNumStorageRows() const {
  switch (format) {
  case StorageFormat::Dense:
    return (numRows + rows - 1) / rows;
  case StorageFormat::ChunkedCSR:
    return (numRows + 1) / 2;
  case StorageFormat::BlockRows:
    return numRows / rows;
  default:
    llvm_unreachable("no format of processors");
  }
}

int64_t PackedWeight::getNumBytes() const {
  return positions.size() * sizeof(int32_t) + coordinates.size() * sizeof(uint16_t) + sources.size() * sizeof(float) +
         rowOrder.size() * sizeof(int32_t) + sharedCounts.size() * sizeof(uint16_t);
}

template <typename T> static std::vector<T> takeSources(ArrayRef<int32_t> sources, ArrayRef<T> from) {
  std::vector<T> values;
  values.reserve(sources.size());
  for (int32_t source : sources)
    values.push_back(source < 0 ? T(0) : from[source]);
  return values;
}

std::vector<float> PackedWeight::getValues(ArrayRef<float> weight) const { return takeSources(sources, weight); }

std::vector<int32_t> PackedWeight::getWords(ArrayRef<int32_t> words) const { return takeSources(sources, words); }

WordMatrix mlir::prune::packWords(ArrayRef<int8_t> weight, ArrayRef<uint8_t> mask, int64_t numRows,
                                  int64_t wordColumns) {
  int64_t columns = numRows ? weight.size() / numRows : 0, bits = 32 / wordColumns;
  WordMatrix result;
  result.numRows = numRows;
  result.numColumns = (columns + wordColumns - 1) / wordColumns;
  result.words.resize(numRows * result.numColumns);
  if (!mask.empty())
    result.mask.resize(result.words.size());
  for (int64_t i = 0, size = weight.size(); i < size; ++i) {
    if (!mask.empty() && !mask[i])
      continue;
    int64_t column = i % columns, place = i / columns * result.numColumns + column / wordColumns;
    uint32_t part = static_cast<uint32_t>(weight[i]) & (~0u >> (32 - bits));
    result.words[place] |= part << (column % wordColumns * bits);
    if (!mask.empty())
      result.mask[place] = 1;
  }
  return result;
}

/// Where an element is in the row-major matrix, -1 if it is pruned.
static int32_t getSource(const MaskedMatrix &matrix, int64_t row, int64_t column) {
  return matrix.isKept(row, column) ? row * matrix.numColumns + column : -1;
}

static ChunkRow makeChunkRow(const MaskedMatrix &matrix, int64_t row, int64_t begin, int64_t end) {
  ChunkRow result{static_cast<int32_t>(row), {}, std::vector<uint64_t>((end - begin + 63) / 64)};
  for (int64_t column = begin; column < end; ++column) {
    if (!matrix.isKept(row, column))
      continue;
    int64_t local = column - begin;
    result.columns.push_back(local);
    result.bits[local / 64] |= uint64_t(1) << (local % 64);
  }
  return result;
}

static int countCommon(const ChunkRow &a, const ChunkRow &b) {
  int common = 0;
  for (auto [x, y] : llvm::zip(a.bits, b.bits))
    common += llvm::popcount(x & y);
  return common;
}

/// Moves the columns that both rows have to the front, rounded down to a multiple of the kernel's step of two.
static RowPair makePair(ChunkRow first, ChunkRow second) {
  RowPair pair{std::move(first), std::move(second), 0};
  auto isCommon = [&](uint16_t column) {
    return (pair.first.bits[column / 64] & pair.second.bits[column / 64]) >> (column % 64) & 1;
  };
  size_t common = llvm::count_if(pair.first.columns, isCommon);
  pair.shared = common / 2 * 2;
  auto reorder = [&](std::vector<uint16_t> &columns) {
    std::vector<uint16_t> front, back;
    for (uint16_t column : columns) {
      bool isShared = isCommon(column) && front.size() < pair.shared;
      (isShared ? front : back).push_back(column);
    }
    columns = std::move(front);
    columns.insert(columns.end(), back.begin(), back.end());
  };
  reorder(pair.first.columns);
  reorder(pair.second.columns);
  return pair;
}

/// Greedy matching: each row, longest first, takes the partner with the most common columns per column of padding.
/// The search stops where the padding alone exceeds what sharing could win, and after a bounded number of candidates.
static std::vector<RowPair> pairRows(std::vector<ChunkRow> rows) {
  constexpr size_t maxCandidates = 1024;
  llvm::stable_sort(rows, [](const ChunkRow &a, const ChunkRow &b) { return a.columns.size() > b.columns.size(); });
  std::vector<char> used(rows.size());
  std::vector<RowPair> pairs;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (used[i])
      continue;
    used[i] = 1;
    int64_t length = rows[i].columns.size(), bestScore = std::numeric_limits<int64_t>::min();
    size_t best = i, candidates = 0;
    for (size_t j = i + 1; j < rows.size() && candidates < maxCandidates; ++j) {
      if (used[j])
        continue;
      ++candidates;
      int64_t padding = length - static_cast<int64_t>(rows[j].columns.size());
      if (best != i && length - padding < bestScore + padding)
        break; // even a subset of row i could not score better from here on
      int64_t score = countCommon(rows[i], rows[j]) - padding;
      if (score > bestScore) {
        bestScore = score;
        best = j;
      }
    }
    if (best == i) { // the odd row out
      ChunkRow empty{rows[i].row, {}, std::vector<uint64_t>(rows[i].bits.size())};
      pairs.push_back(makePair(std::move(rows[i]), std::move(empty)));
      continue;
    }
    used[best] = 1;
    pairs.push_back(makePair(std::move(rows[i]), std::move(rows[best])));
  }
  // Equal trip counts side by side keep the branch predictor right.
  llvm::stable_sort(pairs, [](const RowPair &a, const RowPair &b) {
    size_t restA = a.getLength() - a.shared, restB = b.getLength() - b.shared;
    return a.shared != b.shared ? a.shared > b.shared : restA > restB;
  });
  return pairs;
}

PackedWeight mlir::prune::packChunkedCSR(const MaskedMatrix &matrix, int64_t chunk) {
  PackedWeight packed;
  packed.format = StorageFormat::ChunkedCSR;
  packed.numRows = matrix.numRows;
  packed.numColumns = matrix.numColumns;
  packed.rows = 2;
  packed.chunk = chunk;
  packed.positions.push_back(0);
  for (int64_t begin = 0; begin < matrix.numColumns; begin += chunk) {
    int64_t end = std::min(begin + chunk, matrix.numColumns);
    std::vector<ChunkRow> rows;
    for (int64_t row = 0; row < matrix.numRows; ++row) {
      rows.push_back(makeChunkRow(matrix, row, begin, end));
      packed.numNonzeros += rows.back().columns.size();
    }
    for (const RowPair &pair : pairRows(std::move(rows))) {
      packed.sharedCounts.push_back(pair.shared);
      packed.rowOrder.insert(packed.rowOrder.end(), {pair.first.row, pair.second.row});
      for (size_t i = 0; i < pair.getLength(); ++i)
        for (const ChunkRow *row : {&pair.first, &pair.second}) {
          bool isPadding = i >= row->columns.size();
          uint16_t column = !isPadding ? row->columns[i] : row->columns.empty() ? 0 : row->columns.back();
          packed.coordinates.push_back(column);
          packed.sources.push_back(isPadding ? -1 : getSource(matrix, row->row, begin + column));
        }
      packed.positions.push_back(packed.sources.size());
    }
  }
  return packed;
}

PackedWeight mlir::prune::packBlockRows(const MaskedMatrix &matrix, int64_t rows, int64_t chunk) {
  assert(matrix.numRows % rows == 0 && "blocks must tile the rows");
  PackedWeight packed;
  packed.format = StorageFormat::BlockRows;
  packed.numRows = matrix.numRows;
  packed.numColumns = matrix.numColumns;
  packed.rows = rows;
  packed.chunk = chunk;
  packed.positions.push_back(0);
  for (int64_t begin = 0; begin < matrix.numColumns; begin += chunk) {
    int64_t end = std::min(begin + chunk, matrix.numColumns);
    std::vector<std::pair<int32_t, std::vector<uint16_t>>> blocks;
    for (int64_t row = 0; row < matrix.numRows; row += rows) {
      std::vector<uint16_t> columns;
      for (int64_t column = begin; column < end; ++column) {
        int64_t kept = 0;
        for (int64_t r = 0; r < rows; ++r)
          kept += matrix.isKept(row + r, column);
        packed.numNonzeros += kept;
        if (kept)
          columns.push_back(column - begin);
      }
      blocks.emplace_back(row, std::move(columns));
    }
    llvm::stable_sort(blocks, [](const auto &a, const auto &b) { return a.second.size() > b.second.size(); });
    for (const auto &[row, columns] : blocks) {
      packed.rowOrder.push_back(row);
      for (uint16_t column : columns) {
        packed.coordinates.push_back(column);
        for (int64_t r = 0; r < rows; ++r)
          packed.sources.push_back(getSource(matrix, row + r, begin + column));
      }
      packed.positions.push_back(packed.coordinates.size());
    }
  }
  return packed;
}

PackedWeight mlir::prune::packDense(const MaskedMatrix &matrix, int64_t rows) {
  PackedWeight packed;
  packed.format = StorageFormat::Dense;
  packed.numRows = matrix.numRows;
  packed.numColumns = matrix.numColumns;
  packed.rows = rows;
  packed.chunk = matrix.numColumns;
  int64_t groups = packed.getNumStorageRows();
  packed.sources.assign(groups * matrix.numColumns * rows, -1);
  for (int64_t row = 0; row < matrix.numRows; ++row)
    for (int64_t column = 0; column < matrix.numColumns; ++column) {
      packed.sources[((row / rows) * matrix.numColumns + column) * rows + row % rows] = getSource(matrix, row, column);
      packed.numNonzeros += matrix.isKept(row, column);
    }
  return packed;
}

std::vector<int32_t> mlir::prune::splitByCost(ArrayRef<int64_t> costs, int64_t shares) {
  int64_t whole = std::accumulate(costs.begin(), costs.end(), int64_t(0)), before = 0;
  std::vector<int32_t> bounds{0};
  int32_t next = 0;
  for (int64_t share = 1; share < shares; ++share) {
    // Half of the next cost decides on which side of it the boundary lies.
    while (next < static_cast<int32_t>(costs.size()) && (2 * before + costs[next]) * shares <= 2 * whole * share)
      before += costs[next++];
    bounds.push_back(next);
  }
  bounds.push_back(static_cast<int32_t>(costs.size()));
  return bounds;
}

std::vector<int32_t> mlir::prune::splitGroups(const PackedWeight &packed, int64_t shares) {
  constexpr int64_t groupCost = 4; // of starting sums, adding and storing them, in entries
  int64_t groups = packed.getNumStorageRows();
  if (packed.format == StorageFormat::Dense)
    groups = packed.numRows / packed.rows; // whole ones
  int64_t valuesOfEntry = packed.format == StorageFormat::BlockRows ? packed.rows : 1;
  std::vector<int32_t> bounds;
  for (int64_t chunk = 0; chunk < packed.getNumChunks(); ++chunk) {
    std::vector<int64_t> costs(groups, 1);
    for (int64_t group = 0; group < groups && packed.format != StorageFormat::Dense; ++group) {
      int64_t storageRow = chunk * groups + group;
      costs[group] = (packed.positions[storageRow + 1] - packed.positions[storageRow]) * valuesOfEntry + groupCost;
    }
    llvm::append_range(bounds, splitByCost(costs, shares));
  }
  return bounds;
}

std::vector<float> mlir::prune::unpack(const PackedWeight &packed, ArrayRef<float> values) {
  std::vector<float> matrix(packed.numRows * packed.numColumns);
  int64_t storageRows = packed.getNumStorageRows();
  if (packed.format == StorageFormat::Dense) {
    for (int64_t row = 0; row < packed.numRows; ++row)
      for (int64_t column = 0; column < packed.numColumns; ++column)
        matrix[row * packed.numColumns + column] =
            values[((row / packed.rows) * packed.numColumns + column) * packed.rows + row % packed.rows];
    return matrix;
  }
  for (int64_t i = 0; i < packed.getNumChunks() * storageRows; ++i) {
    float *begin = matrix.data() + i / storageRows * packed.chunk;
    for (int32_t p = packed.positions[i]; p < packed.positions[i + 1]; ++p) {
      if (packed.format == StorageFormat::ChunkedCSR) {
        int64_t row = packed.rowOrder[2 * i + (p - packed.positions[i]) % 2];
        begin[row * packed.numColumns + packed.coordinates[p]] += values[p];
        continue;
      }
      for (int64_t r = 0; r < packed.rows; ++r)
        begin[(packed.rowOrder[i] + r) * packed.numColumns + packed.coordinates[p]] += values[p * packed.rows + r];
    }
  }
  return matrix;
}
