//===- LowerModule.h - The pipelines to code for tools --------------*- C++ -*-===//
#ifndef PRUNE_EXECUTIONENGINE_LOWERMODULE_H
#define PRUNE_EXECUTIONENGINE_LOWERMODULE_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace mlir::prune {

/// Runs the registered pipeline `name` (prune-to-cpu or prune-to-gpu) with `options` ("threads=2 cpu=znver3") on
/// `module`. The first error, with its place, is in the result.
llvm::Error lowerModule(ModuleOp module, llvm::StringRef name, llvm::StringRef options);

} // namespace mlir::prune

#endif // PRUNE_EXECUTIONENGINE_LOWERMODULE_H
