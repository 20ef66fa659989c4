//===- Patterns.h - What the patterns of the dialect share ----------*- C++ -*-===//
#ifndef PRUNE_LIB_DIALECT_PRUNE_IR_PATTERNS_H
#define PRUNE_LIB_DIALECT_PRUNE_IR_PATTERNS_H

#include "mlir/IR/Attributes.h"
#include "mlir/IR/Diagnostics.h"

namespace mlir::prune {

/// A pattern on the matrix view needs rows and columns.
LogicalResult verifyRankAtLeastTwo(function_ref<InFlightDiagnostic()> emitError, Attribute pattern,
                                   ArrayRef<int64_t> shape);

} // namespace mlir::prune

#endif // PRUNE_LIB_DIALECT_PRUNE_IR_PATTERNS_H
