//===- Compare.h - Difference of two tensors ------------------------*- C++ -*-===//
#ifndef PRUNE_SUPPORT_COMPARE_H
#define PRUNE_SUPPORT_COMPARE_H

#include "prune/Support/HostTensor.h"
#include "llvm/Support/Error.h"

namespace mlir::prune {

/// How far `actual` is from `expected`. An element is within tolerance if |a - e| <= atol + rtol * |e|, as in NumPy's
/// allclose; NaN only equals NaN, infinity only itself.
struct Difference {
  double maxAbs = 0, maxRel = 0;
  /// Row-major position of the largest difference.
  int64_t worst = 0;
  int64_t numElements = 0, numBeyond = 0;
};

/// Refuses different shapes, and integers against floating point.
llvm::Expected<Difference> compareTensors(const HostTensor &actual, const HostTensor &expected, double rtol,
                                          double atol);

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_COMPARE_H
