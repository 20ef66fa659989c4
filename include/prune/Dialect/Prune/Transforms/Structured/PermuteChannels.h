//===- PermuteChannels.h - Channels in an order that suits n:m ------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_PERMUTECHANNELS_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_PERMUTECHANNELS_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

struct PermuteChannelsResult {
  int64_t groups = 0;
  int64_t declined = 0;
  int64_t weights = 0;
};
/// The pass prune-permute-channels.
FailureOr<PermuteChannelsResult> permuteChannels(ModuleOp module, const PrunePermuteChannelsOptions &options);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_PERMUTECHANNELS_H
