//===- StageRunner.h - Stages as code, run on all examples ----------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_CALIBRATION_STAGERUNNER_H
#define PRUNE_TRANSFORMS_CALIBRATION_STAGERUNNER_H

#include "Examples.h"
#include "Stages.h"
#include "prune/Dialect/Prune/Transforms/Structured/ModelExecution.h"
#include "prune/Support/Parallel.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::prune {

/// What was observed of the input of one or several weights.
struct InputStatistic {
  Statistic kind = Statistic::Norms;
  int64_t numGroups = 1, numColumns = 0;
  int64_t numRows = 0;
  /// [groups, columns], or [groups, columns, columns] for Gram.
  std::vector<double> sums;
};

class StageRunner {
public:
  /// Rows of activations that are zero in `padding` (null: none) do not count.
  StageRunner(const Examples &examples, BlockArgument padding, WorkerPool &pool)
      : examples(examples), padding(padding), pool(pool) {}

  /// Checks what `stage` reads and keeps.
  LogicalResult prepare(const Stage &stage);

  /// Runs `stage` on all examples, after those before it. A mask that is not decided prunes nothing until `setMasked`
  /// says more. Errors in the code itself are at `loc`.
  FailureOr<InputStatistic> run(const Stage &stage, Statistic kind, Location loc);

  /// Sets what later stages read where `apply` stands.
  void setMasked(ApplyOp apply, ArrayRef<float> values);

  /// Frees what none of the `later` stages reads.
  void release(ArrayRef<Stage> later);

  /// Parts that were compiled: stages that differ in weights only share one.
  int64_t getNumCompiled() const { return codes.size(); }

private:
  FailureOr<const ModelCode *> compile(const Stage &stage, Statistic kind, Location loc);
  /// Lays a mask that is decided already on the weight that `apply` stands for.
  void load(ApplyOp apply);
  const void *getData(Value value, int64_t batch) const;

  const Examples &examples;
  BlockArgument padding;
  WorkerPool &pool;
  /// By the text of the function.
  llvm::StringMap<std::unique_ptr<ModelCode>> codes;
  /// Results of stages that are still needed, for each batch.
  llvm::DenseMap<Value, std::vector<HostTensor>> kept;
  /// Weights with their masks, as long as stages need them.
  llvm::DenseMap<Value, HostTensor> masked;
};

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_CALIBRATION_STAGERUNNER_H
