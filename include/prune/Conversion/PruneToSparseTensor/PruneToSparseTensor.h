//===- PruneToSparseTensor.h - Masked weights into sparse storage ---*- C++ -*-===//
#ifndef PRUNE_CONVERSION_PRUNETOSPARSETENSOR_PRUNETOSPARSETENSOR_H
#define PRUNE_CONVERSION_PRUNETOSPARSETENSOR_PRUNETOSPARSETENSOR_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Conversion/PruneToSparseTensor/LayerChoice.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"
#include <string>

namespace mlir {
class RewriterBase;
namespace prune {

/// How `packLayer` chooses storage and layout.
struct PackOptions {
  std::string kernel = "auto"; ///< auto, sparse, sparsifier or dense
  int64_t panel = 32;          ///< tokens of a panel: lanes times vectors of the register tile
  int64_t lanes = 8;           ///< elements of a vector register
  int64_t registers = 16;      ///< vector registers
  int64_t chunk = 0;           ///< columns whose activations stay in the first-level cache; 0: as the cost model says
  int64_t vectors = 0;         ///< vectors of a register tile; 0: as the cost model says
  int64_t denseRows = 0;       ///< rows of a dense register tile; 0: as the cost model says
  bool hasVNNI = false;        ///< the target has vpdpbusd
  int64_t wordColumns = 0;     ///< columns of an int8 weight that share a word; 0: as the target and the model say
  int64_t minLanes = 1;        ///< layers with fewer tokens or pixels are declined
  int64_t contractLanes = 8;   ///< dense layers with fewer may be left to linalg.contract
  int64_t threads = 1;         ///< that the code may use
  bool byColumn = false;       ///< CSC instead of the format that suits the pattern, for the sparsifier
  CostModel model;             ///< of the processor
  LayerMeasurer measure;       ///< times the best candidates; null: the model decides
  llvm::json::Array *report = nullptr; ///< gets an object for each layer, if not null
};

/// Replaces a contraction with a constant weight, or one of known mask (`prune.decompress`), by `prune.linear` on
/// packed storage. Failure without a diagnostic means that the op does not have the form; a remark says why.
LogicalResult packLayer(RewriterBase &rewriter, linalg::LinalgOp op, const PackOptions &options);

/// The same for a convolution, grouped or not; zero padding before it moves into the window.
LogicalResult packConvolution(RewriterBase &rewriter, linalg::LinalgOp op, const PackOptions &options);

/// Replaces a depthwise convolution by `prune.depthwise`; zero padding before it moves into the window.
LogicalResult packDepthwise(RewriterBase &rewriter, linalg::DepthwiseConv2DNchwChwOp op, const PackOptions &options);

/// Replaces the product that ends in a `prune.compress` by `prune.weight_gradient`, where that is faster.
LogicalResult packWeightGradient(RewriterBase &rewriter, CompressOp op, const PackOptions &options);

/// Columns, values and counts of the nonzero elements of a matrix.
ListNonzerosOp listNonzeros(ImplicitLocOpBuilder &b, Value matrix);

} // namespace prune
} // namespace mlir

#endif // PRUNE_CONVERSION_PRUNETOSPARSETENSOR_PRUNETOSPARSETENSOR_H
