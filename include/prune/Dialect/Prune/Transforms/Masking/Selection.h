//===- Selection.h - Exact masks from scores ------------------------*- C++ -*-===//
//
// The one place where it is decided which weights live. The contract: larger scores live longer; -0 equals +0; NaN is
// rejected; of equal scores the unit with the lower index lives; exactly round-half-even(s * n) of n units are pruned.
// The result is byte-identical for any number of threads and on every machine.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_SELECTION_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_SELECTION_H

#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/Parallel.h"
#include <optional>

namespace mlir::prune {

/// One weight that takes part in a selection.
struct SelectionTensor {
  ArrayRef<int64_t> shape;
  /// Scores of its elements, without NaN.
  ArrayRef<float> scores;
  /// Units that stay whatever the target.
  int64_t minKeep = 1;
  /// Receives a byte, 0 or 1, for each element.
  MutableArrayRef<uint8_t> mask;
};

/// What to select by. With neither target the pattern alone decides.
struct SelectionOptions {
  PatternAttrInterface pattern;
  ScoreOrder order = ScoreOrder::Magnitude;
  ScoreReduction reduction = ScoreReduction::Mean;
  /// Share of the units of all tensors together that is pruned.
  std::optional<double> sparsity;
  /// Units of this score or less are pruned.
  std::optional<double> threshold;
  /// How scores of different tensors are made comparable, if units of several compete for `sparsity`.
  std::optional<Normalization> normalization;
  /// Units compete for `sparsity` with those of their own row of units only: each row keeps the same share of what the
  /// pattern leaves it, and each tensor the exact count.
  bool withinRows = false;
};

/// Decides the masks of `tensors`, whose units compete with each other in the order given. Needs no memory beyond the
/// masks for patterns with element units, except a list of the candidates near the cut (at most a sixteenth of the
/// elements); other patterns need the scores and states of their units.
void selectMasks(MutableArrayRef<SelectionTensor> tensors, const SelectionOptions &options, WorkerPool &pool);

/// Number of units of a weight.
int64_t countUnits(PatternAttrInterface pattern, ArrayRef<int64_t> shape);

/// Units to prune of `count` at `sparsity`: round-half-even(sparsity * count).
int64_t countPruned(double sparsity, int64_t count);

/// What falls to `part` of `whole` if `count` is spread evenly: round-half-even(count * part / whole).
int64_t getShare(int64_t count, int64_t part, int64_t whole);

/// Units that `mask` (bytes 0 or 1) prunes.
int64_t countPrunedUnits(PatternAttrInterface pattern, ArrayRef<int64_t> shape, ArrayRef<uint8_t> mask);

/// Index of the first NaN, or -1.
int64_t findNaN(ArrayRef<float> values, WorkerPool &pool);

/// "[3, 17]": a row-major index as the index of each dimension.
std::string formatIndex(ArrayRef<int64_t> shape, int64_t index);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_SELECTION_H
