//===- TensorCorePacking.cpp - Weights as tensor cores read them ----------------===//

#include "prune/Conversion/PruneToSparseTensor/TensorCorePacking.h"
#include "llvm/Support/Endian.h"
#include <Eigen/Core>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

/// The bits of `value`, rounded to the nearest of its type, as many as it has in memory.
static uint32_t encode(float value, TensorCoreType type) {
  if (type == TensorCoreType::F16)
    return Eigen::numext::bit_cast<uint16_t>(Eigen::half(value));
  if (type == TensorCoreType::BF16)
    return Eigen::numext::bit_cast<uint16_t>(Eigen::bfloat16(value));
  if (type == TensorCoreType::I8)
    return static_cast<uint8_t>(static_cast<int8_t>(value));
  constexpr uint32_t kDropped = (1u << 13) - 1; // of a mantissa of 23 bits 10 stay
  auto bits = Eigen::numext::bit_cast<uint32_t>(value);
  return std::isfinite(value) ? (bits + kDropped / 2 + (bits >> 13 & 1)) & ~kDropped : bits;
}

static float decode(uint32_t bits, TensorCoreType type) {
  if (type == TensorCoreType::F16)
    return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(static_cast<uint16_t>(bits)));
  if (type == TensorCoreType::BF16)
    return static_cast<float>(Eigen::numext::bit_cast<Eigen::bfloat16>(static_cast<uint16_t>(bits)));
  if (type == TensorCoreType::I8)
    return static_cast<int8_t>(bits);
  return Eigen::numext::bit_cast<float>(bits);
}

namespace {
/// Places inside of a tile, in bytes. `column` counts what is stored: the kept half of the columns with 2:4.
struct TilePlaces {
  TensorCoreLayout layout;

  int64_t getValue(int64_t row, int64_t column) const {
    int64_t byte = column * layout.getElementBytes();
    if (layout.isWarpGroup) {
      // The 16-byte piece is XORed by the 128-byte line of the atom that the row is in.
      int64_t offset = row * layout.getRowBytes() + byte, mask = layout.getRowBytes() / 16 - 1;
      return offset ^ ((offset / 128 & mask) * 16);
    }
    // Fragments of 16 rows and 32 bytes: four lanes for each of 8 rows, with four registers of 4 bytes: of the first 16
    // bytes rows `row` and `row` + 8, then those of the other 16 bytes.
    int64_t step = byte / 32, lane = row % 8 * 4 + byte % 16 / 4, slot = row / 8 + byte % 32 / 16 * 2;
    return step * 512 + lane * 16 + slot * 4 + byte % 4;
  }

  /// Of the 16 bits for places 16 `piece` .. 16 `piece` + 15 of a row. Four lanes of eight have rows r (low half) and
  /// r + 8 (high half) of 16 rows, lanes 0 and 1 for the first 32 places, 2 and 3 for the second. Of i8 a word has 32
  /// columns of one row: lanes 0 and 2 have row r, 1 and 3 row r + 8; a word more for each further 64 columns.
  int64_t getMetadata(int64_t row, int64_t piece) const {
    if (layout.type == TensorCoreType::I8) {
      int64_t lane = row % 8 * 4 + piece % 4 / 2 * 2 + row / 8;
      return layout.getValueBytes() + piece / 4 * 128 + lane * 4 + piece % 2 * 2;
    }
    int64_t lane = row % 8 * 4 + piece, warp = row / 16;
    return layout.getValueBytes() + (warp * 32 + lane) * 4 + row / 8 % 2 * 2;
  }
};
} // namespace

llvm::Expected<std::vector<char>> mlir::prune::packForTensorCores(const MaskedMatrix &matrix,
                                                                  const TensorCoreLayout &layout) {
  int64_t rowTiles = layout.getNumRowTiles(matrix.numRows), columnTiles = layout.getNumColumnTiles(matrix.numColumns);
  int64_t groupColumns = 4 / layout.getPlaces(), most = 2 / layout.getPlaces();
  if (layout.isSparse)
    for (int64_t row = 0; row < matrix.numRows; ++row)
      for (int64_t column = 0; column < matrix.numColumns; column += groupColumns) {
        int64_t count = 0;
        for (int64_t i = column; i < std::min(column + groupColumns, matrix.numColumns); ++i)
          count += matrix.isKept(row, i);
        if (count > most)
          return llvm::createStringError("expected at most " + llvm::Twine(most) + " of " + llvm::Twine(groupColumns) +
                                         " columns kept, got " + llvm::Twine(count) + " in row " + llvm::Twine(row) +
                                         ", columns " + llvm::Twine(column) + " to " +
                                         llvm::Twine(column + groupColumns - 1));
      }
  std::vector<char> bytes(rowTiles * columnTiles * layout.getTileBytes(), 0);
  TilePlaces places{layout};
  if (layout.isSparse && layout.isWarpGroup && layout.type == TensorCoreType::I8)
    return llvm::createStringError("expected f16, bf16 or tf32 for 2:4 by warp groups, got i8");
  int64_t numPieces = layout.getColumns() * layout.getPlaces() / 16; // with 16 bits of metadata each
  auto write = [](char *at, uint16_t value) { llvm::support::endian::write16le(at, value); };
  auto writeValue = [&](char *at, float value) {
    uint32_t bits = encode(value, layout.type);
    for (int64_t i = 0; i < layout.getElementBytes(); ++i, bits >>= 8) // the low byte first
      at[i] = static_cast<char>(bits & 255);
  };
  auto packRow = [&](int64_t row) {
    int64_t inTile = row % layout.getRows();
    for (int64_t tile = 0; tile < columnTiles; ++tile) {
      char *base = bytes.data() + (row / layout.getRows() * columnTiles + tile) * layout.getTileBytes();
      int64_t first = tile * layout.getColumns();
      auto at = [&](int64_t column) { return column < matrix.numColumns ? matrix.at(row, column) : 0.0f; };
      auto isKept = [&](int64_t column) { return column < matrix.numColumns && matrix.isKept(row, column); };
      if (!layout.isSparse) {
        for (int64_t i = 0; i < layout.getColumns(); ++i)
          writeValue(base + places.getValue(inTile, i), at(first + i));
        continue;
      }
      for (int64_t piece = 0; piece < numPieces; ++piece) {
        unsigned metadata = 0;
        for (int64_t group = 0; group < 4; ++group) {
          int64_t column = first + (piece * 4 + group) * groupColumns, low = 0, high = 1;
          if (layout.type == TensorCoreType::TF32) { // both halves of the one that is kept
            int64_t kept = isKept(column + 1);
            metadata |= (kept ? 0xEu : 0x4u) << (group * 4);
            writeValue(base + places.getValue(inTile, piece * 4 + group),
                       isKept(column + kept) ? at(column + kept) : 0);
            continue;
          }
          SmallVector<int64_t, 4> kept;
          for (int64_t i = 0; i < 4; ++i)
            if (isKept(column + i))
              kept.push_back(i);
          // Two places in rising order; a zero takes a place that is left.
          if (kept.size() == 2)
            low = kept[0], high = kept[1];
          else if (kept.size() == 1)
            low = std::min<int64_t>(kept[0], 2), high = std::max<int64_t>(kept[0], low + 1);
          metadata |= static_cast<unsigned>(low | high << 2) << (group * 4);
          int64_t stored = piece * 8 + group * 2;
          writeValue(base + places.getValue(inTile, stored), isKept(column + low) ? at(column + low) : 0);
          writeValue(base + places.getValue(inTile, stored + 1), isKept(column + high) ? at(column + high) : 0);
        }
        write(base + places.getMetadata(inTile, piece), static_cast<uint16_t>(metadata));
      }
    }
  };
  int64_t padded = rowTiles * layout.getRows();
  for (int64_t row = 0; row < matrix.numRows; ++row)
    packRow(row);
  // Rows beyond the matrix: legal metadata for zeros.
  if (layout.isSparse)
    for (int64_t row = matrix.numRows; row < padded; ++row)
      for (int64_t tile = 0; tile < columnTiles; ++tile)
        for (int64_t piece = 0; piece < numPieces; ++piece)
          write(bytes.data() + (row / layout.getRows() * columnTiles + tile) * layout.getTileBytes() +
                    places.getMetadata(row % layout.getRows(), piece),
                0x4444);
  return bytes;
}

std::vector<float> mlir::prune::unpackFromTensorCores(ArrayRef<char> bytes, const TensorCoreLayout &layout,
                                                      int64_t numRows, int64_t numColumns) {
  std::vector<float> matrix(numRows * numColumns, 0);
  TilePlaces places{layout};
  int64_t columnTiles = layout.getNumColumnTiles(numColumns);
  for (int64_t row = 0; row < numRows; ++row)
    for (int64_t tile = 0; tile < columnTiles; ++tile) {
      int64_t inTile = row % layout.getRows(), first = tile * layout.getColumns();
      const char *base = bytes.data() + (row / layout.getRows() * columnTiles + tile) * layout.getTileBytes();
      auto store = [&](int64_t column, int64_t stored) {
        const char *at = base + places.getValue(inTile, stored);
        uint32_t bits = 0;
        for (int64_t i = layout.getElementBytes(); i-- > 0;)
          bits = bits << 8 | static_cast<uint8_t>(at[i]);
        float value = decode(bits, layout.type);
        if (first + column < numColumns && value != 0)
          matrix[row * numColumns + first + column] = value;
      };
      for (int64_t i = 0; !layout.isSparse && i < layout.getColumns(); ++i)
        store(i, i);
      for (int64_t stored = 0; layout.isSparse && stored < layout.getColumns() / 2; ++stored) {
        int64_t number = stored * layout.getPlaces(); // of the first place that is kept
        unsigned metadata = llvm::support::endian::read16le(base + places.getMetadata(inTile, number / 8));
        int64_t place = metadata >> (number % 8 * 2) & 3;
        store((number / 2 * 4 + place) / layout.getPlaces(), stored);
      }
    }
  return matrix;
}
