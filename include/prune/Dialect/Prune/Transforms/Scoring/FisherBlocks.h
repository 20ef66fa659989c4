//===- FisherBlocks.h - Second-order scores and updates -------------*- C++ -*-===//
//
// Optimal brain surgeon with blocks (oBERT, Kurtic et al. 2022). The Hessian of the loss by a weight is taken to be the
// empirical Fisher information F, the mean of g gᵀ over the gradients g of single examples, plus a damping on its
// diagonal; of it only blocks on the diagonal are looked at. Pruning the unit q alone costs 1/2 w_qᵀ λ_q with the
// multipliers λ_q = ([F^-1]_qq)^-1 w_q, and the weights of its block then have the least loss at w - F^-1[:,q] λ_q.
// All of it is f64 in an order that does not depend on the number of threads.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_FISHERBLOCKS_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_FISHERBLOCKS_H

#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/HostTensor.h"
#include "prune/Support/Parallel.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace mlir::prune {

/// The blocks of F for one weight, from the array of a file. It is [blocks, n, n] if n consecutive elements make a
/// block whatever the rows, and [rows / r, columns / c, r, c, r, c], rounded up, if r x c of the matrix view do.
class FisherBlocks {
public:
  /// Blocks in `values` of a weight of `shape`. Fails, with the shape that is wanted, if it is neither of the two, or
  /// if a number is not finite.
  static llvm::Expected<FisherBlocks> get(HostTensor values, ArrayRef<int64_t> shape, WorkerPool &pool);

  int64_t getNumBlocks() const;
  /// Elements of a block that is not at an edge.
  int64_t getBlockSize() const { return blockRows * blockColumns; }
  /// The block of an element of the weight.
  int64_t getBlock(int64_t element) const {
    return element / columns / blockRows * getNumBlockColumns() + element % columns / blockColumns;
  }
  /// The elements of a block, and the place of each in its matrix.
  struct Elements {
    SmallVector<int64_t> indices, places;
  };
  Elements getElements(int64_t block) const;
  /// The product of the gradients at two places of a block.
  double getProduct(int64_t block, int64_t place, int64_t other) const {
    return values.getElement((block * getBlockSize() + place) * getBlockSize() + other);
  }
  /// "50" or "4x12".
  std::string spell() const;

private:
  int64_t getNumBlockColumns() const { return (columns - 1) / blockColumns + 1; }

  HostTensor values;
  /// Of what is cut: the matrix view, or one row of all elements.
  int64_t rows = 1, columns = 1;
  int64_t blockRows = 1, blockColumns = 1;
};

/// One weight and what is known of it.
struct FisherProblem {
  FisherBlocks blocks;
  double damping = 0;
  ArrayRef<float> weight;
  /// The unit of each element; empty if each is one.
  std::vector<int32_t> unitOf;
};

/// Finds the units of `pattern` in a weight of `shape`. Fails if they are no boxes, or if one reaches across blocks.
llvm::Error findUnits(FisherProblem &problem, PatternAttrInterface pattern, ArrayRef<int64_t> shape);

/// λ of each element, as if its unit alone were pruned. Fails if a block is not positive definite.
llvm::Expected<std::vector<float>> computeMultipliers(const FisherProblem &problem, WorkerPool &pool);

/// The loss that comes with a mask, as F says: 1/2 dᵀ F d for the change d of the weight, without the damping.
struct FisherLoss {
  double byMask = 0, updated = 0;
};

/// The weight under `mask` (a byte, 0 or 1, for each element), with +0.0 where it prunes. What is kept makes up for
/// each unit that is pruned as if it were the only one; or, with `refits`, for all that is pruned in its block
/// together. The blocks must have been found positive definite.
FisherLoss updateByFisher(const FisherProblem &problem, ArrayRef<uint8_t> mask, bool refits,
                          MutableArrayRef<float> updated, WorkerPool &pool);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_SCORING_FISHERBLOCKS_H
