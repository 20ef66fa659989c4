//===- GradientFile.h - Gradients for criteria ----------------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_GRADIENTFILE_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_GRADIENTFILE_H

#include "mlir/IR/BuiltinTypes.h"
#include "prune/Dialect/Prune/IR/Scoring.h"
#include "prune/Dialect/Prune/Transforms/Scoring/FisherBlocks.h"
#include "prune/Support/Parallel.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace mlir::prune {

/// What `GradientFile::provide` gives (ScoreInputKind).
inline constexpr uint32_t kNeedsGradients = NeedsGradient | NeedsSquaredGradient;

/// Gradients of the loss by weights, by the weights' names, their squares, as NAME:squared, and their products in
/// blocks, as NAME:fisher.
class GradientFile {
public:
  /// Reads a .npz, but for products. Fails if a tensor is not of floats.
  static llvm::Expected<GradientFile> read(StringRef path);

  /// Gives `inputs` the gradients that `needs` (ScoreInputKind) asks for, of the weight `name` of type `type`. Fails if
  /// one is missing, has another shape or holds NaN. They live as long as the file.
  llvm::Error provide(ScoreInputs &inputs, uint32_t needs, StringRef name, RankedTensorType type,
                      WorkerPool &pool) const;

  /// Reads the blocks of the Fisher information of the weight `name` of type `type`: those of all weights may be more
  /// than fits in memory. Fails if they are missing, have another shape or hold numbers that are no finite floats.
  llvm::Expected<FisherBlocks> getFisherBlocks(StringRef name, RankedTensorType type, WorkerPool &pool) const;

private:
  llvm::Expected<ArrayRef<float>> get(const llvm::Twine &name, RankedTensorType type, WorkerPool &pool) const;

  struct Entry {
    SmallVector<int64_t> shape;
    std::vector<float> values;
  };
  std::string path;
  llvm::StringMap<Entry> entries;
};

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_GRADIENTFILE_H
