//===- Recompute.h - Values computed twice instead of kept ----------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_RECOMPUTE_H
#define PRUNE_TRANSFORMS_FINETUNE_RECOMPUTE_H

#include "mlir/IR/Operation.h"
#include "mlir/Support/LLVM.h"

namespace mlir::prune {

/// Lets the ops behind `forward`, up to `end` (all of one block), compute elementwise values of `forward` anew, from
/// values that are kept in any case, where they first read them. Returns how many values are no longer kept.
int64_t recomputeElementwise(ArrayRef<Operation *> forward, Operation *end);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_RECOMPUTE_H
