//===- BodyEmitter.h - Regions of linalg ops on scalars or vectors ------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_LINALGTOVECTOR_BODYEMITTER_H
#define PRUNE_LIB_CONVERSION_LINALGTOVECTOR_BODYEMITTER_H

#include "Nest.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace mlir::prune {

/// Repeats `value` in all lanes, if it is not a vector already.
Value broadcastTo(ImplicitLocOpBuilder &b, Value value, int64_t lanes);

/// Creates `op` again with other operands: on scalars if all are scalars, on vectors if one of them is a vector.
Value emitElementwise(ImplicitLocOpBuilder &b, Operation *op, ValueRange operands, int64_t lanes);

/// Emits the region of a nest for one vector of points.
struct BodyEmitter {
  Nest &nest;
  /// Lanes of the vectors; 1: scalars.
  int64_t lanes = 1;
  bool fuseMultiplyAdd = false;
  /// Value of a block argument at this point.
  llvm::function_ref<Value(BlockArgument)> argument;
  /// Value of linalg.index for a dimension of the operation: a scalar or a vector of index.
  llvm::function_ref<Value(int64_t)> index;
  /// True if linalg.index of this dimension counts up along the lanes.
  llvm::function_ref<bool(int64_t)> isLaneIndex;
  /// Values of the region that exist already.
  const DenseMap<Value, Value> *known = nullptr;

  SmallVector<Value> emit(ImplicitLocOpBuilder &b);

private:
  Value emitGather(ImplicitLocOpBuilder &b, Operation *load, ValueRange indices);
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_LINALGTOVECTOR_BODYEMITTER_H
