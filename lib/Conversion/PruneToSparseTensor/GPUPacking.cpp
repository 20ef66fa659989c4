//===- GPUPacking.cpp - Constant weights in the storage order of GPUs ----------===//

#include "prune/Conversion/PruneToSparseTensor/GPUPacking.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

static PackedWeight startPacking(const MaskedMatrix &matrix, StorageFormat format, int64_t rows, int64_t chunk) {
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

PackedWeight mlir::prune::packBlockFragments(const MaskedMatrix &matrix, const SparseTile &tile) {
  constexpr int64_t side = kFragmentSide;
  PackedWeight packed = startPacking(matrix, StorageFormat::BlockCSR, tile.rows, tile.chunk);
  packed.positions.push_back(0);
  auto appendRun = [&](int64_t firstRow, int64_t chunk) {
    int64_t end = std::min(chunk + tile.chunk, matrix.numColumns);
    for (int64_t column = chunk; firstRow < matrix.numRows && column < end; column += side) {
      std::vector<int32_t> sources = gatherBlock(matrix, firstRow, column, side, side, packed.numNonzeros);
      if (sources.empty())
        continue;
      packed.coordinates.push_back((column - chunk) / side);
      // Lane 4 (row % 8) + (column % 8) / 2 has two values in each of four slots, row / 8 + 2 (column / 8).
      std::vector<int32_t> fragment(side * side);
      for (int64_t r = 0; r < side; ++r)
        for (int64_t c = 0; c < side; ++c)
          fragment[(r % 8 * 4 + c % 8 / 2) * 8 + (r / 8 + c / 8 * 2) * 2 + c % 2] = sources[r * side + c];
      llvm::append_range(packed.sources, fragment);
    }
    packed.positions.push_back(packed.coordinates.size());
  };
  for (int64_t first = 0; first < matrix.numRows; first += tile.rows)
    for (int64_t chunk = 0; chunk < matrix.numColumns; chunk += tile.chunk)
      for (int64_t row = first; row < first + tile.rows; row += side)
        appendRun(row, chunk);
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
