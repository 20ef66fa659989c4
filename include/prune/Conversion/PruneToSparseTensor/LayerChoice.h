//===- LayerChoice.h - Which code a layer gets ----------------------*- C++ -*-===//
//
// Compares the codes that a constant weight could run as (dense, sparse with several chunks and register tiles) by the
// cost model, and by measuring where asked. No IR here.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_PRUNETOSPARSETENSOR_LAYERCHOICE_H
#define PRUNE_CONVERSION_PRUNETOSPARSETENSOR_LAYERCHOICE_H

#include "prune/Analysis/CostModel.h"
#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include <functional>

namespace mlir::prune {

/// One code that a layer could run as.
struct LayerCandidate {
  KernelKind kind = KernelKind::Dense;
  int64_t rows = 1;    ///< of a group
  int64_t chunk = 0;   ///< columns of a chunk; 0: all
  int64_t vectors = 1; ///< most vectors of a register tile
  double estimatedNs = 0;
  std::optional<double> measuredNs;

  bool isSparse() const { return kind == KernelKind::ChunkedCSR || kind == KernelKind::BlockRows; }
  bool skipsActivations() const { return kind == KernelKind::Columns; }
  bool skipsResults() const { return kind == KernelKind::Rows; }
  /// "chunked_csr, chunk 192, 4 vectors".
  std::string describe() const;
};

/// What is known of a layer before its code is chosen.
struct LayerShape {
  MaskedMatrix matrix;   ///< of a grouped convolution with all channels as columns
  int64_t blockRows = 0; ///< rows of the mask's blocks; 0: no such blocks
  TokenShape tokens;     ///< `vectors` is the most that any candidate may have
  /// Columns of int8 that a column of `matrix` is a word of; 1: columns of f32.
  int64_t wordColumns = 1;
  /// The share of the activations that is not zero, where code may skip what belongs to the others.
  std::optional<double> activationDensity = std::nullopt;
  /// The share of the results that is needed, where a mask says of which.
  std::optional<double> resultDensity = std::nullopt;
  /// The transposed weight can be a constant, and activations have their columns side by side.
  bool allowsColumns = false;

  int64_t getNumTokens() const { return tokens.batches * tokens.lanes; }
};

/// Times candidates of one layer; nanoseconds of each, infinite for one that cannot run.
using LayerMeasurer = std::function<std::vector<double>(const LayerShape &, ArrayRef<LayerCandidate>)>;

struct ChoiceOptions {
  bool allowDense = true;
  bool allowContract = true; ///< also the loops of a convolution
  bool allowSparse = true;
  bool allowDynamic = true;  ///< code that skips zeros among the activations, or results, where the layer has any
  int64_t chunk = 0;         ///< the only chunk to consider; 0: several
  int64_t vectors = 0;       ///< the only tile to consider; 0: several
  int64_t denseRows = 0;     ///< the only rows of a dense tile to consider; 0: several
  int64_t contractLanes = 8; ///< layers with fewer tokens may stay linalg.contract
  int64_t threads = 1;       ///< that the code may use; no choice but `splitsRows` depends on it
  LayerMeasurer measure;     ///< null: estimates decide
  unsigned numMeasured = 4;  ///< candidates to measure
};

struct LayerChoice {
  std::vector<LayerCandidate> candidates; ///< the best first
  double density = 1;
  /// Density at which sparse code would be as fast as dense code, by the model; none without both.
  std::optional<double> breakEven;
  std::optional<double> activationDensity, resultDensity; ///< those of the shape
  /// The same for the density of the activations and of the results, against the best code that does not skip any.
  std::optional<double> activationBreakEven, resultBreakEven;
  /// The density of the activations above which `prune.sum_all_columns` takes less time than skipping.
  double mostSkipped = 1;
  /// Threads share the rows instead of the tiles of lanes, of which there are too few.
  bool splitsRows = false;
  PackedWeight packed; ///< of the best; empty for those that leave the weight as it is

  const LayerCandidate &getBest() const { return candidates.front(); }
  /// One sentence: the winner, why, and the runner-up.
  std::string explain() const;
};

/// Counts for the cost model.
WeightCounts countWeight(const PackedWeight &packed);
/// Counts of dense code, packed in groups of `rows` or left to linalg.contract.
WeightCounts countDense(KernelKind kind, int64_t numRows, int64_t numColumns, int64_t rows, int64_t chunk);

/// Counts of code that needs the share `density` of the columns or rows: `Columns`, `Rows` or `AllColumns`.
WeightCounts countByColumns(KernelKind kind, int64_t numRows, int64_t numColumns, double density);

/// The share of the weight that is kept.
double getDensity(const LayerShape &shape);

/// True if `threads` threads are done earlier with shares of the rows, in a parallel region for each chunk, than with
/// shares of the tiles of lanes.
bool isFasterByRows(const CostModel &model, const WeightCounts &weight, const TokenShape &tokens, int64_t threads);

LayerChoice chooseLayer(const LayerShape &shape, const CostModel &model, const ChoiceOptions &options);

PackedWeight packCandidate(const LayerShape &shape, const LayerCandidate &candidate);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PRUNETOSPARSETENSOR_LAYERCHOICE_H
