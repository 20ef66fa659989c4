//===- Patterns.h - The steps of normalisation ----------------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_NORMALIZE_PATTERNS_H
#define PRUNE_TRANSFORMS_NORMALIZE_PATTERNS_H

#include "ConstantStore.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Dialect/Prune/Transforms/Normalize.h"

namespace mlir::prune {

/// What all patterns share.
struct NormalizeState {
  ConstantStore &store;
  const NormalizeOptions &options;
  NormalizeCounts &counts;
};

/// Constants through transpositions, reshapes, broadcasts, slices, joins and arithmetic (FoldConstants.cpp).
void populateFoldConstantPatterns(RewritePatternSet &patterns, NormalizeState &state);

/// Products with a constant weight to linalg.contract over [out, in] (Contractions.cpp).
void populateContractionPatterns(RewritePatternSet &patterns, NormalizeState &state);

/// Convolutions: recognised generics, 1x1 to contractions, filters with the output first, groups (Convolutions.cpp).
void populateConvolutionPatterns(RewritePatternSet &patterns, NormalizeState &state);

/// Biases behind products, batch norms into weights (FoldAffine.cpp).
void populateFoldAffinePatterns(RewritePatternSet &patterns, NormalizeState &state);

/// Dead results, scalar operands, broadcasts and unit dimensions in indexing maps (Simplify.cpp).
void populateSimplifyPatterns(RewritePatternSet &patterns, NormalizeState &state);

/// A move of elements written as a structured op: linalg.transpose, linalg.broadcast, or a generic that only yields its
/// input, also behind a tensor.collapse_shape that joins dimensions of the broadcast. Gives the map from result
/// dimensions to source positions (dimensions and zeros).
struct MoveOp {
  Value source;
  AffineMap map;
};
std::optional<MoveOp> matchMove(Value value);

/// A constant with `value`, next to `source` so that it keeps its place among the constants.
Value createConstantLike(PatternRewriter &rewriter, Value source, ElementsAttr value);

/// tensor.empty filled with zeros.
Value createZeros(PatternRewriter &rewriter, Location loc, RankedTensorType type);

/// True when every element of `value` is (positive) zero: a fill or a splat.
bool isZero(Value value);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_NORMALIZE_PATTERNS_H
