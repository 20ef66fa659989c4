//===- Passes.h - Passes of prune/Conversion --------------*- C++ -*-===//
#ifndef PRUNE_CONVERSION_PASSES_H
#define PRUNE_CONVERSION_PASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/Pass.h"

namespace mlir::prune {
/// Unit attribute of a kernel's function that is called from a parallel loop: it stays on one thread.
inline constexpr llvm::StringLiteral kSerialAttrName = "prune.serial";

#define GEN_PASS_DECL
#include "prune/Conversion/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PASSES_H
