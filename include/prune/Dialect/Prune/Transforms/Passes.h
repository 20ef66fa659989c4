//===- Passes.h - Passes of prune/Dialect/Prune/Transforms --------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_PASSES_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"
#include <limits>

namespace mlir::prune {
#define GEN_PASS_DECL
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_PASSES_H
