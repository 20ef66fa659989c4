//===- InitAll.h - Registration of everything in prune --------------*- C++ -*-===//
#ifndef PRUNE_INITALL_H
#define PRUNE_INITALL_H

#include "mlir/IR/DialectRegistry.h"

namespace mlir {
namespace prune {

/// Adds the prune dialect and its external models to `registry`.
void registerAllDialects(DialectRegistry &registry);

/// Registers every pass and pipeline of prune, for command lines and textual pipelines.
void registerAllPasses();

} // namespace prune
} // namespace mlir

#endif // PRUNE_INITALL_H
