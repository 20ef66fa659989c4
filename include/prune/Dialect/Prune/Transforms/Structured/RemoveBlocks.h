//===- RemoveBlocks.h - Take out whole residual blocks --------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_REMOVEBLOCKS_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_REMOVEBLOCKS_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {

/// x + f(x), with weights in f.
struct ResidualBlock {
  /// What the names of its weights have in common; unique.
  std::string name;
  Operation *addition = nullptr;
  /// x.
  Value skip;
  /// Elements of the weights of f.
  int64_t params = 0;
  /// Root mean square of its matrices and filters: the smaller, the less it changes x.
  double score = 0;
};

/// All residual blocks, in the order of the module. Fails if a weight cannot be read.
FailureOr<SmallVector<ResidualBlock>> findResidualBlocks(ModuleOp module);

/// The pass prune-remove-blocks. Returns how many blocks went.
FailureOr<int64_t> removeBlocks(ModuleOp module, const PruneRemoveBlocksOptions &options);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_REMOVEBLOCKS_H
