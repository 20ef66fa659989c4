//===- ScoreRunner.h - Scores of dynamic masks on examples -----------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_DYNAMIC_SCORERUNNER_H
#define PRUNE_TRANSFORMS_DYNAMIC_SCORERUNNER_H

#include "../Calibration/Examples.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include "prune/Dialect/Prune/Transforms/Structured/ModelExecution.h"
#include "prune/Support/Parallel.h"

namespace mlir::prune {

/// A threshold, and what it prunes of all scores.
struct FoundThreshold {
  double value = 0;
  int64_t numPruned = 0, numScores = 0;
};

/// Runs a function without some of its dynamic masks, or with thresholds that are inputs.
class ScoreRunner {
public:
  /// Rows that are zero in `padding` (null: none) do not count.
  ScoreRunner(func::FuncOp function, ArrayRef<DynamicMaskOp> masks, const Examples &examples, BlockArgument padding,
              WorkerPool &pool)
      : function(function), masks(masks), examples(examples), padding(padding), pool(pool) {}

  /// Compiles what `findThresholds` runs.
  LogicalResult prepareScores();
  /// Compiles what `findError` runs, on the first `numBatches` batches, and keeps the results without masks.
  LogicalResult prepareErrors(int64_t numBatches);

  /// For each mask and each of its sparsities, which are `sparsities`, the score that prunes so many.
  FailureOr<std::vector<std::vector<FoundThreshold>>> findThresholds(ArrayRef<std::vector<double>> sparsities);

  /// The squared difference of the results with these thresholds to those without masks, as a share of their squares.
  /// Results [..., columns] leave out the rows of padding.
  double findError(ArrayRef<float> thresholds);

  /// A threshold of `mask` that prunes nothing.
  static float getNoThreshold(DynamicMaskOp mask);

private:
  using Outputs = std::vector<HostTensor>;

  /// A module of its own with the function, and the clones of the masks in it.
  OwningOpRef<ModuleOp> cloneFunction(func::FuncOp &clone, SmallVectorImpl<DynamicMaskOp> &clonedMasks);
  LogicalResult compile(ModuleOp part, func::FuncOp clone, std::unique_ptr<ModelCode> &code,
                        std::vector<RankedTensorType> &types);
  /// Runs `code` on the first `numBatches` batches and gives `consume` the outputs of one after the other.
  void run(const ModelCode &code, ArrayRef<RankedTensorType> types, int64_t numBatches, const void *extraInput,
           function_ref<void(int64_t batch, Outputs &)> consume);
  /// Marks those of `numRows` rows that do not count.
  std::vector<char> findPaddingRows(int64_t numRows, int64_t batch);
  /// The sum of get(i)^2 over the elements of a result that count.
  double sumSquares(const HostTensor &tensor, int64_t batch, function_ref<double(int64_t i)> get);
  /// Calls `consume` for each score of mask `index` that counts; false if one is not finite.
  bool visitScores(unsigned index, const HostTensor &scores, int64_t batch, function_ref<void(uint32_t key)> consume);

  func::FuncOp function;
  ArrayRef<DynamicMaskOp> masks;
  const Examples &examples;
  BlockArgument padding;
  WorkerPool &pool;
  std::unique_ptr<ModelCode> scoreCode, errorCode;
  std::vector<RankedTensorType> scoreTypes, resultTypes;
  std::vector<Outputs> expected; ///< of each batch
  double expectedSquares = 0;
};

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_DYNAMIC_SCORERUNNER_H
