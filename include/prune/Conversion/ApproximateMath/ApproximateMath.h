//===- ApproximateMath.h - Polynomials for math functions -----------*- C++ -*-===//
#ifndef PRUNE_CONVERSION_APPROXIMATEMATH_APPROXIMATEMATH_H
#define PRUNE_CONVERSION_APPROXIMATEMATH_APPROXIMATEMATH_H

#include "mlir/IR/PatternMatch.h"

namespace mlir::prune {

/// Adds patterns that replace f32 (and f16, bf16) functions of the math dialect by polynomials, on scalars and vectors.
/// `fuseMultiplyAdd` evaluates them with fused multiply-add.
void populateApproximateMathPatterns(RewritePatternSet &patterns, bool fuseMultiplyAdd);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_APPROXIMATEMATH_APPROXIMATEMATH_H
