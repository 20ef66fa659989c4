//===- GPUPacking.h - Constant weights in the storage order of GPUs -*- C++ -*-===//
//
// Packs a masked N x K weight at compile time into the formats of `prune.linear` that kernels for GPUs read. No IR
// here.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_PRUNETOSPARSETENSOR_GPUPACKING_H
#define PRUNE_CONVERSION_PRUNETOSPARSETENSOR_GPUPACKING_H

#include "prune/Analysis/GPUCostModel.h"
#include "prune/Conversion/PruneToSparseTensor/Packing.h"

namespace mlir::prune {

/// An empty weight in groups of `rows` rows and chunks of `chunk` columns.
PackedWeight startPacking(const MaskedMatrix &matrix, StorageFormat format, int64_t rows, int64_t chunk);

/// Packs for `StorageFormat::CSR`: groups of `tile.rows` consecutive rows, in each of which the warps of a block of
/// threads get bundles of rows with about the same number of entries; runs of a bundle in a chunk are padded by zeros to
/// whole steps of its longest row. `rowOrder` has the row of each slot, relative to its group.
PackedWeight packCSR(const MaskedMatrix &matrix, const SparseTile &tile);

/// Packs for `StorageFormat::BlockCSR`: all values of each block of `rows` x `columns` that keeps any, row-major, zeros
/// beyond the edges of the matrix. `coordinates` are numbers of blocks.
PackedWeight packBlockCSR(const MaskedMatrix &matrix, int64_t rows, int64_t columns);

/// Which lane has which column of a block: two neighbours and those eight further, as loads of matrices from shared
/// memory give them (Tiles), or four neighbours, which it loads at once (Rows).
enum class FragmentOrder { Tiles, Rows };
/// The order of the fragments in groups of `rows` rows: those of one row of blocks are of the kernel for few tokens.
inline FragmentOrder getFragmentOrder(int64_t rows) {
  return rows == kFragmentSide ? FragmentOrder::Rows : FragmentOrder::Tiles;
}
/// The place of an element of a block of 16 x 16 in its fragment, 8 values for each of 32 lanes.
int64_t getFragmentPlace(FragmentOrder order, int64_t row, int64_t column);

/// The same for tensor cores: blocks of 16 x 16 as fragments, for each 16 rows, up to whole groups of `tile.rows`, and
/// each chunk of columns. `coordinates` are numbers of blocks in the chunk.
PackedWeight packBlockFragments(const MaskedMatrix &matrix, const SparseTile &tile);

/// Packs for `StorageFormat::Matrix`: row-major as it is, zeros where the mask prunes.
PackedWeight packMatrix(const MaskedMatrix &matrix);

/// Packs for `StorageFormat::Columns`: the transposed matrix, zeros where the mask prunes and beyond its rows.
PackedWeight packColumns(const MaskedMatrix &matrix, const SparseTile &tile);
/// Rows of that storage, with those of zeros: whole vectors of a lane.
int64_t getNumColumnsRows(int64_t numRows, int64_t tileRows);

/// What the kernel of a packed weight does for `tokens` tokens. Of `CSR` the tile must be set too.
GPULayerCounts countGPUWork(const PackedWeight &packed, int64_t tokens, GPUPrecision precision);

/// Weights as whole numbers from -127 to 127, of which 127 stands for the largest magnitude of their row.
struct QuantizedMatrix {
  std::vector<float> values;  ///< row-major, zeros where the mask prunes
  std::vector<float> largest; ///< magnitude of each row
};
inline constexpr int64_t kMostI8 = 127;

/// Rounds to the nearest, halves to even. The weights must be finite.
QuantizedMatrix quantizeRows(const MaskedMatrix &matrix);

/// The first group of `group` consecutive columns of a row that keeps more than `most`, as row and first column.
std::optional<std::pair<int64_t, int64_t>> findOverfullGroup(const MaskedMatrix &matrix, int64_t most, int64_t group);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PRUNETOSPARSETENSOR_GPUPACKING_H
