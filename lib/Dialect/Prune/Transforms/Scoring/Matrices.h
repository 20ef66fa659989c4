//===- Matrices.h - Dense linear algebra in f64 ---------------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_SCORING_MATRICES_H
#define PRUNE_TRANSFORMS_SCORING_MATRICES_H

// Threads are ours.
#define EIGEN_DONT_PARALLELIZE
#define EIGEN_MPL2_ONLY
#include <Eigen/Cholesky>

namespace mlir::prune {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Sums are split by the sizes of caches, which must not differ between machines.
inline void fixCacheSizes() { Eigen::setCpuCacheSizes(32 << 10, 512 << 10, 4 << 20); }

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_SCORING_MATRICES_H
