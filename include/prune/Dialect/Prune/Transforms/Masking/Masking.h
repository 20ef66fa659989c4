//===- Masking.h - Masks of a module: create, evaluate, verify, fold -*- C++ -*-===//
//
// The functions behind the passes prune-create-masks, prune-evaluate-masks, prune-verify-masks and prune-fold-masks;
// what they do is described in Passes.td.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_MASKING_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_MASKING_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::prune {

struct CreateMasksResult {
  int64_t masks = 0;
  int64_t skippedLayers = 0;
};
/// Inserts prune.mask and prune.apply on the weights of prunable layers.
FailureOr<CreateMasksResult> createMasks(ModuleOp module, const PruneCreateMasksOptions &options);

/// Name of the weight under a mask, or empty.
StringRef getWeightName(MaskOp mask);

/// The masks inside of `root` that are decided together, in the order of the module; a mask without a group is alone.
SmallVector<SmallVector<MaskOp>> collectMaskGroups(Operation *root);

/// Checks that masks of one group agree in what decides them; the error names two that do not.
LogicalResult checkMaskGroup(ArrayRef<MaskOp> masks);

struct EvaluateMasksResult {
  int64_t masks = 0;
  int64_t weights = 0;
  int64_t pruned = 0;
  int64_t undecided = 0;
  int64_t updated = 0;
};
/// Replaces prune.mask of constant weights by constants and records them.
FailureOr<EvaluateMasksResult> evaluateMasks(ModuleOp module, const PruneEvaluateMasksOptions &options);

/// The elements of the constant weight under `mask`. Reports NaN.
FailureOr<WeightData> readWeight(MaskOp mask, WorkerPool &pool);

/// Checks that nothing but `mask` and its applications uses the weight, which the criterion may then change.
LogicalResult checkSoleMask(MaskOp mask, ModuleOp module);

/// How the pattern and the target of `mask`, and the criterion's scores, are to be selected by.
SelectionOptions getSelectionOptions(MaskOp mask);

/// Puts what was decided into the module.
class MaskWriter {
public:
  explicit MaskWriter(ModuleOp module);

  /// Replaces `mask` by a constant of these bytes (0 or 1), and records it for each weight it is applied to. Fails if
  /// it keeps nothing where that is not allowed.
  LogicalResult replace(MaskOp mask, ArrayRef<uint8_t> bytes);

private:
  ModuleOp module;
  /// Of weights whose records have not been renewed.
  llvm::StringMap<SmallVector<RecordOp>> oldRecords;
};

/// Writes the prune.record of the decided `mask` (bytes 0 or 1) of `weight`.
void recordMask(ModuleOp module, Location loc, StringRef weight, PatternAttrInterface pattern, ArrayRef<int64_t> shape,
                ArrayRef<uint8_t> mask);

struct VerifyMasksResult {
  int64_t records = 0;
};
/// Compares every prune.record with what is left in the module. Reports all differences, then fails.
FailureOr<VerifyMasksResult> verifyMasks(ModuleOp module);

struct FoldMasksResult {
  int64_t folded = 0;
  int64_t selects = 0;
};
/// Writes the zeros of constant masks into the weights.
FailureOr<FoldMasksResult> foldMasks(ModuleOp module);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_MASKING_H
