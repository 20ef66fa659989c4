//===- Dynamic.h - Masks on activations -----------------------------*- C++ -*-===//
//
// The functions behind the passes of Dynamic/Passes.td, where it is described what they do.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_DYNAMIC_DYNAMIC_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_DYNAMIC_DYNAMIC_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Pass/Pass.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"
#include <limits>

namespace mlir::prune {
#define GEN_PASS_DECL
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"

struct InsertGatesResult {
  int64_t gates = 0;
  int64_t skippedLayers = 0;
};
/// Inserts dynamic masks and gates before linear layers.
FailureOr<InsertGatesResult> insertGates(ModuleOp module, const PruneInsertGatesOptions &options);

struct CalibrateGatesResult {
  int64_t masks = 0;
  int64_t trials = 0;
};
/// Finds the thresholds of masks that have a sparsity only.
FailureOr<CalibrateGatesResult> calibrateGates(ModuleOp module, const PruneCalibrateGatesOptions &options);

/// Lets everything behind one activation run on fewer tokens.
LogicalResult dropTokens(ModuleOp module, const PruneDropTokensOptions &options);

/// Computes units, such as heads, that a gate would prune only where its mask keeps them; returns for how many gates.
int64_t skipUnits(Operation *root);

/// The scores of the units of `op`, as code before it. Dimensions are those of the input without those that units have
/// whole; units lie along `getUnitDim`.
Value emitUnitScores(DynamicMaskOp op);
int64_t getUnitDim(DynamicMaskOp op);

/// The mask of `op` as code before it. `threshold`, a number of the scores' type, is used instead of that of `op` if it
/// is not null.
Value emitDynamicMask(DynamicMaskOp op, Value threshold = Value());

/// A signed integer of the width of `score` (f32 or f64) in the order of scores: -0 as +0, all NaN as one above
/// infinity.
Value emitScoreKey(ImplicitLocOpBuilder &b, Value score);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_DYNAMIC_DYNAMIC_H
