//===- TensorCorePacking.h - Weights as tensor cores read them ------*- C++ -*-===//
//
// Packs a masked N x K weight at compile time in the order in which `mma.sync`, `mma.sp` and their warp-group forms
// take their first operand, so that a kernel copies tiles as they are. No IR here. The layouts are those of the PTX ISA
// (matrix fragments for mma, sparse matrix storage, asynchronous warpgroup level matrix shared memory layout).
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_PRUNETOSPARSETENSOR_TENSORCOREPACKING_H
#define PRUNE_CONVERSION_PRUNETOSPARSETENSOR_TENSORCOREPACKING_H

#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include "llvm/Support/Error.h"

namespace mlir::prune {

/// Element types of the weight in memory. Of `I8` the matrix has whole numbers from -127 to 127.
enum class TensorCoreType { F16, BF16, TF32, I8 };

/// How a weight is divided into tiles of `rows` x `columns`, row blocks first; each tile is contiguous.
///
/// Tiles have 64 columns of f16 or bf16, 32 of tf32, 128 of i8.
/// - `warp` tiles have 16 rows, as fragments: for each step of 32 bytes (dense) or 64 bytes (2:4) of columns 32 lanes
/// of 16
///   bytes, then, with 2:4, 32 words of metadata for both steps, of i8 for each of them.
/// Of tf32 one of each two columns is kept. Metadata counts it as two of four halves, so that tiles lie as those of
/// f16.
/// - `warpGroup` tiles have 128 rows, as they lie in shared memory: rows of 128 bytes (dense) or of the 64 bytes
///   that are kept (2:4), 8 rows to an atom, pieces of 16 bytes swizzled within it; then, with 2:4, a word of metadata
///   for each of 256 threads.
struct TensorCoreLayout {
  static constexpr int64_t kRowBytes = 128; ///< of the columns of a tile

  bool isWarpGroup = false;
  bool isSparse = false;
  TensorCoreType type = TensorCoreType::F16;

  int64_t getRows() const { return isWarpGroup ? 128 : 16; }
  int64_t getElementBytes() const { return type == TensorCoreType::TF32 ? 4 : type == TensorCoreType::I8 ? 1 : 2; }
  int64_t getColumns() const { return kRowBytes / getElementBytes(); }
  /// Of a row of a tile, kept ones only.
  int64_t getRowBytes() const { return isSparse ? kRowBytes / 2 : kRowBytes; }
  /// Places in a column, of which two of four are kept.
  int64_t getPlaces() const { return type == TensorCoreType::TF32 ? 2 : 1; }
  int64_t getValueBytes() const { return getRows() * getRowBytes(); }
  int64_t getMetadataBytes() const { return isSparse ? getRows() * getColumns() * getPlaces() / 8 : 0; }
  int64_t getTileBytes() const { return getValueBytes() + getMetadataBytes(); }
  int64_t getNumRowTiles(int64_t numRows) const { return (numRows + getRows() - 1) / getRows(); }
  int64_t getNumColumnTiles(int64_t numColumns) const { return (numColumns + getColumns() - 1) / getColumns(); }
};

/// The bytes of all tiles; rows and columns beyond the matrix are zero. Of a 2:4 weight each group of four columns has
/// at most two kept weights, of tf32 each group of two at most one, else an error that names the group; where there are
/// fewer, zeros fill it up. i8 is dense only for warp groups.
llvm::Expected<std::vector<char>> packForTensorCores(const MaskedMatrix &matrix, const TensorCoreLayout &layout);

/// The row-major matrix back, as the instructions read it.
std::vector<float> unpackFromTensorCores(ArrayRef<char> bytes, const TensorCoreLayout &layout, int64_t numRows,
                                         int64_t numColumns);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PRUNETOSPARSETENSOR_TENSORCOREPACKING_H
