//===- ColumnUpdates.h - Masks with updates of what is kept ---------*- C++ -*-===//
//
// SparseGPT (Frantar and Alistarh 2023): columns of a weight are decided from left to right, and the error that each
// leaves is made up for by those behind it, as well as the products of the layer's inputs (the Gram matrix) let them.
// All of it is f64 in an order that does not depend on the number of threads.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_COLUMNUPDATES_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_COLUMNUPDATES_H

#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/Parallel.h"
#include "llvm/ADT/BitVector.h"
#include <optional>
#include <vector>

namespace mlir::prune {

/// Largest damping that a matrix which is not positive definite is tried with.
inline constexpr double kMaxDamping = 0.1;

/// U, upper triangular with UᵀU = H^-1, of the inputs of one layer, where H is 2/N times their Gram matrix, with 1 on
/// the diagonal where that is 0 (a dead column), plus damping · mean(diagonal) on the diagonal.
struct InverseFactor {
  /// Row-major, columns x columns.
  std::vector<double> upper;
  /// Of `upper`.
  std::vector<double> diagonal;
  /// H.
  std::vector<double> damped;
  llvm::BitVector dead;
  /// The damping with which the Cholesky decomposition came out.
  double damping = 0;

  int64_t getNumColumns() const { return diagonal.size(); }
};

/// Factors the Gram matrix (row-major) of `numRows` rows. While H is not positive definite the damping is raised
/// tenfold; nothing comes back if it is not at kMaxDamping either.
std::optional<InverseFactor> factorInverse(ArrayRef<double> gram, double numRows, double damping, WorkerPool &pool);

/// How many units each stretch of columns prunes.
enum class ColumnCounts {
  Even,   ///< its share of the weight's count
  Ranked, ///< as many as are among the lowest scores of the whole weight, before any update
};

/// One weight [outputs, reduction] and what is to be done to it.
struct UpdateProblem {
  CriterionAttrInterface criterion;
  PatternAttrInterface pattern;
  StringRef name;
  int64_t rows = 0, columns = 0;
  /// Of consecutive rows: as many rows each, as there are rows by factors.
  ArrayRef<InverseFactor> factors;
  /// Units to prune, at least as many as the pattern imposes.
  int64_t numPruned = 0;
  ColumnCounts counts = ColumnCounts::Even;
  /// Give the elements that are kept their best values for the mask in the end, also those before what was pruned.
  bool refits = false;
  /// In: the weight. Out: its new values, +0.0 where it is pruned.
  MutableArrayRef<float> weight;
  /// Out: a byte, 0 or 1, for each element.
  MutableArrayRef<uint8_t> mask;
};

/// Decides the mask and updates the weight. Columns are decided 128 at a time (or somewhat more, if the pattern's units
/// would be cut); those of patterns with groups one group at a time.
void pruneWithUpdates(const UpdateProblem &problem, WorkerPool &pool);

/// The squared norm of X wᵀ for `weight` [rows, columns], from the Gram matrices XᵀX of as many groups of rows.
double getSquaredNorm(ArrayRef<float> weight, int64_t rows, int64_t columns, ArrayRef<double> grams, WorkerPool &pool);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_COLUMNUPDATES_H
