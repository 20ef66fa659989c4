//===- Packing.h - Constant weights in storage order ----------------*- C++ -*-===//
//
// Packs a masked N x K weight at compile time into the formats of `prune.linear`, and back. No IR here.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_PRUNETOSPARSETENSOR_PACKING_H
#define PRUNE_CONVERSION_PRUNETOSPARSETENSOR_PACKING_H

#include "prune/Dialect/Prune/IR/Prune.h"

namespace mlir::prune {

/// A masked matrix, row-major. `mask` has one byte per weight (nonzero = kept) or is empty (all kept). `weight` is
/// empty where only the mask is known at compile time.
struct MaskedMatrix {
  ArrayRef<float> weight;
  ArrayRef<uint8_t> mask;
  int64_t numRows = 0;
  int64_t numColumns = 0;

  bool isKept(int64_t row, int64_t column) const { return mask.empty() || mask[row * numColumns + column]; }
  float at(int64_t row, int64_t column) const { return isKept(row, column) ? weight[row * numColumns + column] : 0.0f; }
};

/// A weight in storage order. See `prune.linear` for what each array means in each format.
struct PackedWeight {
  StorageFormat format = StorageFormat::Dense;
  int64_t numRows = 0;
  int64_t numColumns = 0;
  int64_t rows = 1;  ///< rows that share a coordinate (block_rows, dense) or run side by side (chunked_csr)
  int64_t chunk = 0; ///< columns of a chunk; the last chunk may have fewer
  std::vector<int32_t> positions;
  std::vector<uint16_t> coordinates; ///< column relative to its chunk
  std::vector<int32_t> sources;      ///< of each value its place in the row-major matrix, -1 for a zero
  std::vector<int32_t> rowOrder;
  std::vector<uint16_t> sharedCounts;
  int64_t numNonzeros = 0; ///< kept weights; `sources` may hold padding beside them

  int64_t getNumChunks() const { return (numColumns + chunk - 1) / chunk; }
  /// Storage rows of a chunk: pairs or blocks of matrix rows.
  int64_t getNumStorageRows() const;
  /// Bytes of all arrays together, with values of f32 or words.
  int64_t getNumBytes() const;
  /// What `sources` takes from a row-major matrix.
  std::vector<float> getValues(ArrayRef<float> weight) const;
  /// The same for words.
  std::vector<int32_t> getWords(ArrayRef<int32_t> words) const;
};

/// An int8 weight as words: 32 bits for `wordColumns` (2 or 4) consecutive columns of a row, the first one lowest.
struct WordMatrix {
  std::vector<int32_t> words; ///< row-major
  std::vector<uint8_t> mask;  ///< words of which a column is kept; empty if all are
  int64_t numRows = 0;
  int64_t numColumns = 0; ///< words of a row

  /// The matrix of words that formats are packed from.
  MaskedMatrix getMatrix() const { return {{}, mask, numRows, numColumns}; }
};

/// `weight` has `numRows` rows, `mask` a byte for each of its elements or none. Columns that are pruned or missing in
/// the last word of a row are zero.
WordMatrix packWords(ArrayRef<int8_t> weight, ArrayRef<uint8_t> mask, int64_t numRows, int64_t wordColumns);

/// Packs for `StorageFormat::ChunkedCSR`: in each chunk rows are sorted by falling count and paired with a similar row;
/// the columns both rows have come first. Entries of a pair alternate between its rows: one stream of coordinates and one
/// of values. The rest of the shorter row is padded by zeros to the length of the longer one. An odd number of rows
/// pairs the last row with an empty copy of itself.
PackedWeight packChunkedCSR(const MaskedMatrix &matrix, int64_t chunk);

/// Packs for `StorageFormat::BlockRows` with blocks of `rows` x 1. `rows` must divide the number of rows.
PackedWeight packBlockRows(const MaskedMatrix &matrix, int64_t rows, int64_t chunk);

/// Packs for `StorageFormat::Dense` in groups of `rows` rows, the last group padded by zeros.
PackedWeight packDense(const MaskedMatrix &matrix, int64_t rows);

/// Boundaries that divide `costs` into `shares` runs of about the same sum, from 0 to the number of costs: each is
/// where the sum before it is nearest to its part of the whole.
std::vector<int32_t> splitByCost(ArrayRef<int64_t> costs, int64_t shares);

/// The same for the groups of rows of each chunk, by the entries that they store: [chunks][shares + 1].
std::vector<int32_t> splitGroups(const PackedWeight &packed, int64_t shares);

/// The row-major matrix back from the values that were packed.
std::vector<float> unpack(const PackedWeight &packed, ArrayRef<float> values);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PRUNETOSPARSETENSOR_PACKING_H
