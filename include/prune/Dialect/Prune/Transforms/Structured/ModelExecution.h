//===- ModelExecution.h - Running models from inside a pass ------*- C++ -*-===//
//
// Transforms do not know how to run code. Whoever does attaches this interface to the prune dialect.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_MODELEXECUTION_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_MODELEXECUTION_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectInterface.h"
#include "prune/Analysis/DimCoupling.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>

namespace mlir::prune {

/// What two modules return for the same random inputs.
struct OutputDifference {
  /// Largest difference of an element, as a share of the largest absolute value of its output.
  double relative = 0;
  /// The same between results of the first module for two different inputs: how much outputs depend on inputs at all.
  double spread = 0;
};

/// A function of static tensors as code in this process.
class ModelCode {
public:
  virtual ~ModelCode() = default;

  /// Calls the code; the pointers are those of arguments and results, in their order. Callers at the same time must be
  /// different workers, counted from 0.
  virtual void run(ArrayRef<const void *> inputs, ArrayRef<void *> outputs, unsigned worker) const = 0;
};

class ModelExecutionInterface : public DialectInterface::Base<ModelExecutionInterface> {
public:
  ModelExecutionInterface(Dialect *dialect) : Base(dialect) {}

  /// Compiles both modules, given as bytecode, for this machine and calls their public function on the same inputs.
  virtual llvm::Expected<OutputDifference> compare(StringRef expected, StringRef actual) const = 0;

  /// Nanoseconds of one call (the fastest of fifty, one thread) of a module, given as bytecode, with the units of `plan` removed.
  virtual llvm::Expected<double> measure(StringRef module, const ShrinkPlan &plan) const = 0;

  /// Compiles the function `main` of a module, given as bytecode, for calls of so many workers.
  virtual llvm::Expected<std::unique_ptr<ModelCode>> compile(StringRef module, unsigned workers) const = 0;
};

/// A module as bytecode: a copy that no later change of resources reaches.
std::string writeModule(ModuleOp module);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_MODELEXECUTION_H
