//===- Evaluate.h - Structured ops on constants, at compile time ----*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_NORMALIZE_EVALUATE_H
#define PRUNE_TRANSFORMS_NORMALIZE_EVALUATE_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/AsmState.h"

namespace mlir::prune {

/// The constant behind `value`: an arith.constant, or a linalg.fill of a constant scalar. Null otherwise.
ElementsAttr getConstantElements(Value value);

/// The value of a structured op with one result whose inputs (and tables that its body reads) are all constants, in the
/// element type's own arithmetic and the op's own order of loops. Transcendental functions are those of the C library,
/// in the precision of the type. Fails when an input is not constant, an op of the body is not known, or the work
/// exceeds `maxPoints` iterations. Writes the bytes of the result.
LogicalResult evaluate(linalg::LinalgOp op, int64_t maxPoints, SmallVectorImpl<char> &result);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_NORMALIZE_EVALUATE_H
