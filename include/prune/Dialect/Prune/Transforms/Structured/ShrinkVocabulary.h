//===- ShrinkVocabulary.h - Rows of embedding tables ----------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SHRINKVOCABULARY_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SHRINKVOCABULARY_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// The pass prune-shrink-vocabulary. Returns the number of rows removed.
FailureOr<int64_t> shrinkVocabulary(ModuleOp module, const PruneShrinkVocabularyOptions &options);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_SHRINKVOCABULARY_H
