//===- LowerModule.h - prune-to-cpu for tools -----------------------*- C++ -*-===//
#ifndef PRUNE_EXECUTIONENGINE_LOWERMODULE_H
#define PRUNE_EXECUTIONENGINE_LOWERMODULE_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace mlir::prune {

/// Runs the registered pipeline `prune-to-cpu` with `options` ("threads=2 cpu=znver3") on `module`. The first error,
/// with its place, is in the result.
llvm::Error lowerModule(ModuleOp module, llvm::StringRef options);

} // namespace mlir::prune

#endif // PRUNE_EXECUTIONENGINE_LOWERMODULE_H
