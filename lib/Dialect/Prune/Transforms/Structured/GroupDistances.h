//===- GroupDistances.h - Distances between all pairs of rows -------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPDISTANCES_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPDISTANCES_H

#include "prune/Support/Parallel.h"
#include <vector>

namespace mlir::prune {

/// For each row of a matrix with `length` columns: the sum of its Euclidean distances to all other rows. O(rows²
/// length) time, in tiles that stay in cache; the same bits for any number of threads. Rows with infinite elements are
/// infinitely far away.
std::vector<double> sumDistances(ArrayRef<float> rows, int64_t length, WorkerPool &pool);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_GROUPDISTANCES_H
