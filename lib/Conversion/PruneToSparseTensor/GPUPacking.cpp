//===- GPUPacking.cpp - Constant weights in the storage order of GPUs ----------===//

#include "prune/Conversion/PruneToSparseTensor/GPUPacking.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

PackedWeight mlir::prune::startPacking(const MaskedMatrix &matrix, StorageFormat format, int64_t rows, int64_t chunk) {
  PackedWeight packed;
  packed.format = format;
  packed.numRows = matrix.numRows;
  packed.numColumns = matrix.numColumns;
  packed.rows = rows;
  packed.chunk = chunk;
  return packed;
}

/// The places in the row-major matrix of a block's elements, -1 for those that are pruned or beyond the edges; empty if
/// none is kept. Counts those that are.
static std::vector<int32_t> gatherBlock(const MaskedMatrix &matrix, int64_t firstRow, int64_t firstColumn, int64_t rows,
                                        int64_t columns, int64_t &numKept) {
  int64_t kept = 0;
  std::vector<int32_t> sources(rows * columns, -1);
  for (int64_t row = firstRow; row < std::min(firstRow + rows, matrix.numRows); ++row)
    for (int64_t column = firstColumn; column < std::min(firstColumn + columns, matrix.numColumns); ++column)
      if (matrix.isKept(row, column)) {
        ++kept;
        sources[(row - firstRow) * columns + column - firstColumn] = row * matrix.numColumns + column;
      }
  numKept += kept;
  return kept ? sources : std::vector<int32_t>();
}

PackedWeight mlir::prune::packBlockCSR(const MaskedMatrix &matrix, int64_t rows, int64_t columns) {
  PackedWeight packed = startPacking(matrix, StorageFormat::BlockCSR, rows, columns);
  packed.positions.push_back(0);
  for (int64_t firstRow = 0; firstRow < matrix.numRows; firstRow += rows) {
    for (int64_t firstColumn = 0; firstColumn < matrix.numColumns; firstColumn += columns) {
      std::vector<int32_t> sources = gatherBlock(matrix, firstRow, firstColumn, rows, columns, packed.numNonzeros);
      if (sources.empty())
        continue;
      packed.coordinates.push_back(firstColumn / columns);
      llvm::append_range(packed.sources, sources);
    }
    packed.positions.push_back(packed.coordinates.size());
  }
  return packed;
}

int64_t mlir::prune::getFragmentPlace(FragmentOrder order, int64_t row, int64_t column) {
  // A lane has two of each four rows and of a column's neighbours in each of its four registers: a number for the lane
  // and one for the register along both sides.
  bool isOfRows = order == FragmentOrder::Rows;
  int64_t rowOfLane = row / 4 * 2 + row % 2, columnOfLane = isOfRows ? column / 4 : column % 8 / 2;
  int64_t word = row / 2 % 2 + (isOfRows ? column / 2 % 2 : column / 8) * 2;
  return (rowOfLane * 4 + columnOfLane) * 8 + word * 2 + column % 2;
}

namespace {
/// What a warp has: every `numParts`-th block of a row of blocks from `part` on, and a row whose results it stores.
struct FragmentSlot {
  int64_t row, storedRow;
  int64_t part, numParts;
};
} // namespace

/// A group of rows of blocks from `first` on in as many slots. Rows without blocks, or beyond the last one, lend theirs
/// to those with the most, right behind their own.
static std::vector<FragmentSlot> dealGroup(ArrayRef<int64_t> blocks, int64_t first, int64_t numSlots) {
  std::vector<int64_t> count(numSlots), parts(numSlots, 1), lent;
  for (int64_t i = 0; i < numSlots; ++i) {
    count[i] = first + i < static_cast<int64_t>(blocks.size()) ? blocks[first + i] : 0;
    if (count[i] == 0)
      lent.push_back(i);
  }
  auto share = [&](int64_t i) { return llvm::divideCeil(count[i], parts[i]); };
  for (size_t taken = 0; taken < lent.size(); ++taken) {
    int64_t fullest = 0;
    for (int64_t i = 1; i < numSlots; ++i)
      if (share(i) > share(fullest))
        fullest = i;
    if (share(fullest) <= 1)
      break;
    ++parts[fullest];
  }
  std::vector<FragmentSlot> slots;
  auto next = lent.begin();
  for (int64_t i = 0; i < numSlots; ++i)
    for (int64_t part = 0; count[i] != 0 && part < parts[i]; ++part)
      slots.push_back({first + i, first + (part == 0 ? i : *next++), part, parts[i]});
  for (; next != lent.end(); ++next)
    slots.push_back({first + *next, first + *next, 0, 1});
  return slots;
}

PackedWeight mlir::prune::packBlockFragments(const MaskedMatrix &matrix, const SparseTile &tile) {
  constexpr int64_t side = kFragmentSide;
  PackedWeight packed = startPacking(matrix, StorageFormat::BlockCSR, tile.rows, tile.chunk);
  FragmentOrder order = getFragmentOrder(tile.rows);
  int64_t rowsOfBlocks = llvm::divideCeil(matrix.numRows, side),
          blockColumns = llvm::divideCeil(matrix.numColumns, side);
  // The blocks of each row: their columns and sources.
  std::vector<std::vector<std::pair<int64_t, std::vector<int32_t>>>> rows(rowsOfBlocks);
  for (int64_t row = 0; row < rowsOfBlocks; ++row)
    for (int64_t column = 0; column < blockColumns; ++column) {
      std::vector<int32_t> sources = gatherBlock(matrix, row * side, column * side, side, side, packed.numNonzeros);
      if (!sources.empty())
        rows[row].push_back({column, std::move(sources)});
    }
  std::vector<int64_t> counts;
  for (const auto &row : rows)
    counts.push_back(row.size());
  std::vector<FragmentSlot> slots;
  for (int64_t row = 0, ofGroup = tile.rows / side; row < rowsOfBlocks; row += ofGroup)
    if (order == FragmentOrder::Rows)
      slots.push_back({row, row, 0, 1});
    else
      llvm::append_range(slots, dealGroup(counts, row, ofGroup));
  packed.positions.push_back(0);
  for (const FragmentSlot &slot : slots) {
    for (int64_t chunk = 0, next = 0; chunk < packed.getNumChunks(); ++chunk) {
      int64_t firstColumn = chunk * tile.chunk / side, endColumn = (chunk + 1) * tile.chunk / side;
      int64_t numBlocks = slot.row < rowsOfBlocks ? rows[slot.row].size() : 0;
      for (; next < numBlocks && rows[slot.row][next].first < endColumn; ++next) {
        if (next % slot.numParts != slot.part)
          continue;
        const auto &[column, sources] = rows[slot.row][next];
        packed.coordinates.push_back(column - firstColumn);
        std::vector<int32_t> fragment(side * side);
        for (int64_t r = 0; r < side; ++r)
          for (int64_t c = 0; c < side; ++c)
            fragment[getFragmentPlace(order, r, c)] = sources[r * side + c];
        llvm::append_range(packed.sources, fragment);
      }
      packed.positions.push_back(packed.coordinates.size());
    }
    if (order == FragmentOrder::Tiles) {
      packed.rowOrder.push_back(slot.storedRow);
      packed.rowOrder.push_back(slot.part == 0 ? slot.numParts : 0);
    }
  }
  return packed;
}

PackedWeight mlir::prune::packMatrix(const MaskedMatrix &matrix) {
  PackedWeight packed = startPacking(matrix, StorageFormat::Matrix, /*rows=*/1, matrix.numColumns);
  packed.sources.resize(matrix.numRows * matrix.numColumns);
  for (size_t i = 0; i < packed.sources.size(); ++i) {
    bool isKept = matrix.mask.empty() || matrix.mask[i];
    packed.sources[i] = isKept ? static_cast<int32_t>(i) : -1;
    packed.numNonzeros += isKept;
  }
  return packed;
}

int64_t mlir::prune::getNumColumnsRows(int64_t numRows, int64_t tileRows) {
  return llvm::alignTo(numRows, tileRows / kWarpThreads);
}

PackedWeight mlir::prune::packColumns(const MaskedMatrix &matrix, const SparseTile &tile) {
  PackedWeight packed = startPacking(matrix, StorageFormat::Columns, tile.rows, tile.chunk);
  int64_t width = getNumColumnsRows(matrix.numRows, tile.rows);
  packed.sources.assign(width * matrix.numColumns, -1);
  for (int64_t row = 0; row < matrix.numRows; ++row)
    for (int64_t column = 0; column < matrix.numColumns; ++column)
      if (matrix.isKept(row, column)) {
        packed.sources[column * width + row] = static_cast<int32_t>(row * matrix.numColumns + column);
        ++packed.numNonzeros;
      }
  return packed;
}

GPULayerCounts mlir::prune::countGPUWork(const PackedWeight &packed, int64_t tokens, GPUPrecision precision) {
  GPULayerCounts counts;
  counts.precision = precision;
  counts.tokens = tokens;
  counts.rows = packed.numRows;
  counts.columns = packed.numColumns;
  counts.entries = static_cast<double>(packed.sources.size());
  counts.bytes = static_cast<double>(getElementBytes(precision)) * counts.entries + 4.0 * packed.positions.size() +
                 2.0 * packed.coordinates.size() + 4.0 * packed.rowOrder.size();
  switch (packed.format) {
  case StorageFormat::Matrix:
    counts.kind = GPUKernelKind::Matrix;
    return counts;
  case StorageFormat::BlockCSR:
    counts.kind = GPUKernelKind::BlockCSR;
    return counts;
  case StorageFormat::CSR: {
    counts.kind = GPUKernelKind::CSR;
    auto groups = static_cast<int64_t>(llvm::divideCeil(packed.numRows, packed.rows));
    int64_t runs = (static_cast<int64_t>(packed.positions.size()) - 1) / groups, most = 0;
    for (size_t first = 0; first + 1 < packed.positions.size(); first += runs)
      most = std::max<int64_t>(most, packed.positions[first + runs] - packed.positions[first]);
    if (counts.entries > 0)
      counts.imbalance = static_cast<double>(most * groups) / counts.entries;
    return counts;
  }
  default:
    llvm_unreachable("no format of a kernel for GPUs");
  }
}

QuantizedMatrix mlir::prune::quantizeRows(const MaskedMatrix &matrix) {
  QuantizedMatrix result;
  result.values.reserve(matrix.numRows * matrix.numColumns);
  for (int64_t row = 0; row < matrix.numRows; ++row) {
    double largest = 0;
    for (int64_t column = 0; column < matrix.numColumns; ++column)
      largest = std::max<double>(largest, std::abs(matrix.at(row, column)));
    for (int64_t column = 0; column < matrix.numColumns; ++column) {
      double value = largest == 0 ? 0 : matrix.at(row, column) * (kMostI8 / largest);
      result.values.push_back(static_cast<float>(std::nearbyint(value)));
    }
    result.largest.push_back(static_cast<float>(largest));
  }
  return result;
}

std::optional<std::pair<int64_t, int64_t>> mlir::prune::findOverfullGroup(const MaskedMatrix &matrix, int64_t most,
                                                                          int64_t group) {
  for (int64_t row = 0; row < matrix.numRows; ++row)
    for (int64_t first = 0; first < matrix.numColumns; first += group) {
      int64_t kept = 0;
      for (int64_t column = first; column < std::min(first + group, matrix.numColumns); ++column)
        kept += matrix.isKept(row, column);
      if (kept > most)
        return std::pair(row, first);
    }
  return std::nullopt;
}
