//===- Examples.h - Examples of a function's inputs in batches ------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_CALIBRATION_EXAMPLES_H
#define PRUNE_TRANSFORMS_CALIBRATION_EXAMPLES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "prune/Support/HostTensor.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace mlir::prune {

/// The name of an argument: its `prune.name`, or `in` and its number.
std::string getInputName(func::FuncOp function, unsigned index);

/// The argument of `function` called `name`, whose zeros mark padding; null if `name` is empty.
FailureOr<BlockArgument> findPadding(func::FuncOp function, StringRef name,
                                     function_ref<InFlightDiagnostic()> emitError);

/// An array [examples, ...] for each argument of a function, whose first dimension is the batch.
class Examples {
public:
  /// Reads and checks `path`. An error is one line with file, array, rule and both values.
  static llvm::Expected<Examples> read(StringRef path, func::FuncOp function);

  int64_t getNumExamples() const { return numExamples; }
  int64_t getBatchSize() const { return batchSize; }
  int64_t getNumBatches() const { return (numExamples + batchSize - 1) / batchSize; }

  /// What argument `index` is in batch `batch`. What is missing in the last batch is taken from the first examples.
  const char *getBatch(unsigned index, int64_t batch) const;

  /// Elements of argument `index` that are not zero, over all batches.
  int64_t countNonzeros(unsigned index) const;

private:
  struct Input {
    HostTensor array;
    int64_t bytesOfBatch = 0;
    AlignedBuffer last;
  };
  std::vector<Input> inputs;
  int64_t batchSize = 1, numExamples = 0;
};

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_CALIBRATION_EXAMPLES_H
