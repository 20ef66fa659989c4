//===- Emit.h - Short ways to write structured ops ------------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_EMIT_H
#define PRUNE_TRANSFORMS_FINETUNE_EMIT_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::prune {

/// What one iteration computes from the elements of inputs (and, when reducing, of the accumulators behind them).
using EmitBody = function_ref<SmallVector<Value>(ImplicitLocOpBuilder &, ValueRange)>;

/// Elementwise: inputs have the shape of the results or rank 0.
SmallVector<Value> emitMap(ImplicitLocOpBuilder &b, ValueRange inputs, ArrayRef<RankedTensorType> results,
                           EmitBody body);

/// `values`, all of one type, with +0.0 where `mask` prunes.
SmallVector<Value> emitSelected(ImplicitLocOpBuilder &b, Value mask, ValueRange values);

/// One result that starts from `init` and is indexed by `resultMap`; loops that it does not have are reductions.
Value emitReduction(ImplicitLocOpBuilder &b, ValueRange inputs, ArrayRef<AffineMap> inputMaps, RankedTensorType result,
                    AffineMap resultMap, TypedAttr init, EmitBody body);

/// The sum of `body` over all elements of inputs of one shape, as a tensor of rank 0.
Value emitSum(ImplicitLocOpBuilder &b, ValueRange inputs, Type elementType, EmitBody body);

/// A scalar constant of float type.
Value emitFloat(ImplicitLocOpBuilder &b, double value, Type type);

/// The one element of a tensor of rank 0, and such a tensor of a scalar.
Value emitExtract(ImplicitLocOpBuilder &b, Value tensor);
Value emitScalarTensor(ImplicitLocOpBuilder &b, Value scalar);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_EMIT_H
