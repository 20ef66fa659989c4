//===- Scoring.h - Scores and what they are computed from -----------*- C++ -*-===//
//
// Plain types that patterns and criteria exchange. A *score* says how much a weight is worth: the larger, the longer it
// lives. See docs/Vocabulary.md.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_IR_SCORING_H
#define PRUNE_DIALECT_PRUNE_IR_SCORING_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

namespace mlir::prune {

/// How two scores compare.
enum class ScoreOrder : uint8_t {
  Magnitude, ///< by absolute value: -3 is worth more than 2
  Signed,    ///< as numbers: 2 is worth more than -3
};

/// How the scores of the elements of one unit become the score of the unit. All are means, so that a ragged unit at the
/// edge of a weight competes fairly with a whole one.
enum class ScoreReduction : uint8_t {
  Mean,           ///< sum / count (of absolute values under ScoreOrder::Magnitude)
  RootMeanSquare, ///< sqrt(sum of squares / count)
  Max,            ///< the largest (absolute) value
};

/// What a criterion wants to see: a bit set.
enum ScoreInputKind : uint32_t {
  NeedsWeight = 1u << 0,
  NeedsGradient = 1u << 1,
  NeedsColumnNorms = 1u << 2, ///< mean square of each column of the layer's input
  NeedsGram = 1u << 3,        ///< columns x columns products of the layer's input
  NeedsSquaredGradient = 1u << 4,
  NeedsFisherBlocks = 1u << 5, ///< products of gradients of single examples, in blocks of elements
};

/// What a criterion gets to see. Arrays that were not asked for may be empty; all are row-major and live until the
/// scores have been used.
struct ScoreInputs {
  /// Stable name of the weight; random criteria mix it into their seed so that equal shapes get different masks.
  StringRef name;
  ArrayRef<int64_t> shape;
  ArrayRef<float> weight;
  /// Of the loss by the weight: the mean over batches, and the mean of its squares.
  ArrayRef<float> gradient, squaredGradient;
  /// Of each column.
  ArrayRef<float> columnNorms;
  /// Of each column: the diagonal of the upper triangular U with UᵀU the inverse of the damped Gram matrix.
  ArrayRef<float> factorDiagonal;
  /// Of each element: λ = ([F^-1]_qq)^-1 w_q for its unit q, where F is the Fisher information in blocks, damped.
  ArrayRef<float> multipliers;

  /// The inputs that are present, as ScoreInputKind bits.
  uint32_t available() const {
    uint32_t kinds = 0;
    if (!weight.empty())
      kinds |= NeedsWeight;
    if (!gradient.empty())
      kinds |= NeedsGradient;
    if (!squaredGradient.empty())
      kinds |= NeedsSquaredGradient;
    if (!columnNorms.empty())
      kinds |= NeedsColumnNorms;
    if (!factorDiagonal.empty())
      kinds |= NeedsGram;
    if (!multipliers.empty())
      kinds |= NeedsFisherBlocks;
    return kinds;
  }
};

/// Maps a score to an integer that orders the same way; -0 and +0 map to one key. NaN has no place in the order and
/// must have been rejected before.
inline uint32_t getScoreKey(float score, ScoreOrder order) {
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof(bits));
  if (order == ScoreOrder::Magnitude)
    return bits << 1;
  if (bits == 0x80000000u)
    bits = 0;
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/// A weight seen as a matrix: dimension 0 is rows (outputs), the other dimensions flattened are columns (reduction).
struct MatrixView {
  int64_t rows = 1;
  int64_t columns = 1;

  explicit MatrixView(ArrayRef<int64_t> shape) {
    for (auto [dim, size] : llvm::enumerate(shape))
      (dim == 0 ? rows : columns) *= size;
  }
  int64_t size() const { return rows * columns; }
};

/// Units as boxes: the elements of a weight, row-major, seen as an array of three dimensions that is cut into boxes of
/// one size, smaller at the far edges. Units are numbered row-major in the grid of boxes.
struct UnitBoxes {
  std::array<int64_t, 3> sizes{1, 1, 1};
  std::array<int64_t, 3> box{1, 1, 1};
  /// At most `n` live of each `m` consecutive units along the last dimension of the grid; m = 0: any number.
  int64_t n = 0, m = 0;

  bool areElements() const { return box == std::array<int64_t, 3>{1, 1, 1}; }
  int64_t getNumUnits() const {
    int64_t count = 1;
    for (auto [size, extent] : llvm::zip_equal(sizes, box))
      count *= (size - 1) / extent + 1;
    return count;
  }
  /// The unit of an element, by its row-major index.
  int64_t getUnit(int64_t element) const {
    int64_t place[] = {element / sizes[2] / sizes[1], element / sizes[2] % sizes[1], element % sizes[2]}, unit = 0;
    for (auto [index, size, extent] : llvm::zip_equal(place, sizes, box))
      unit = unit * ((size - 1) / extent + 1) + index / extent;
    return unit;
  }
};

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_IR_SCORING_H
