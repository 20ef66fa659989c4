//===- Normalize.h - Imported modules in one form --------------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_NORMALIZE_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_NORMALIZE_H

#include "mlir/IR/BuiltinOps.h"

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace mlir::prune {

struct NormalizeOptions {
  /// Scale the weight of a convolution or linear layer by the inference batch norm (or other per-channel affine ops)
  /// that follows it. Changes roundings.
  bool foldBatchNorm = true;
  /// Add the bias after the product instead of starting the sum with it. Changes roundings.
  bool moveBias = true;
  /// Constants of more elements become named resources.
  int64_t inlineLimit = 1024;
  /// Iterations that evaluating one constant expression may take.
  int64_t evaluationLimit = 1 << 26;
};

struct NormalizeCounts {
  int64_t foldedConstants = 0;
  int64_t linearLayers = 0;
  int64_t pointwiseConvolutions = 0;
  int64_t recognizedOps = 0;
  int64_t foldedBatchNorms = 0;
  int64_t movedBiases = 0;
  int64_t deadResults = 0;
  int64_t namedWeights = 0;
};

/// Brings `module` (linalg on tensors) to the normal form that the pass prune-normalize describes.
LogicalResult normalizeModule(ModuleOp module, const NormalizeOptions &options, NormalizeCounts &counts);

/// Turns constants of more than `inlineLimit` elements into resources with stable, readable names. Returns how many.
int64_t nameWeights(ModuleOp module, int64_t inlineLimit = 1024);

/// True when `module` holds ops of the TOSA dialect, which must be converted first (`convertTosaToLinalg`).
bool hasTosaOps(ModuleOp module);

/// Adds the upstream conversions from TOSA to linalg to `pm`.
void addTosaToLinalg(OpPassManager &pm);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_NORMALIZE_H
