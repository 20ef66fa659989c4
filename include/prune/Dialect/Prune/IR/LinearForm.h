//===- LinearForm.h - Affine expressions as sums of terms -----------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_IR_LINEARFORM_H
#define PRUNE_DIALECT_PRUNE_IR_LINEARFORM_H

#include "mlir/IR/AffineExpr.h"
#include <optional>

namespace mlir::prune {

/// The coefficient of each loop in one result of an indexing map, and its constant.
struct LinearForm {
  SmallVector<std::pair<unsigned, int64_t>> terms;
  int64_t constant = 0;
};

/// `expr` as a sum of loops, each times a positive number, and a number; nothing if it is not one.
std::optional<LinearForm> getLinearForm(AffineExpr expr);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_IR_LINEARFORM_H
