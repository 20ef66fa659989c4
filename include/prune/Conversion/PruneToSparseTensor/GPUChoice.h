//===- GPUChoice.h - Which storage a layer gets on a GPU -------------*- C++ -*-===//
//
// Compares the kernels that a constant weight could run as by the cost model of the chip. No IR here.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_PRUNETOSPARSETENSOR_GPUCHOICE_H
#define PRUNE_CONVERSION_PRUNETOSPARSETENSOR_GPUCHOICE_H

#include "prune/Conversion/PruneToSparseTensor/GPUPacking.h"

namespace mlir::prune {

/// Largest blocks that have a kernel.
inline constexpr int64_t kMostBlockRows = 64, kMostBlockColumns = 32;
/// Columns of 2:4 storage come in multiples of this: 16 bytes of activations.
inline constexpr int64_t kTwoOfFourColumns = 8;

/// What is known of a layer before its storage is chosen.
struct GPULayer {
  MaskedMatrix matrix;
  int64_t tokens = 1;
  int64_t blockRows = 0, blockColumns = 0; ///< of the mask's pattern; 0: no blocks
  bool isTwoOfFour = false;                ///< the mask's pattern is 2:4
  /// The share of the activations that is not zero, where a kernel may skip what belongs to the others.
  std::optional<double> activationDensity;
};

/// A storage that a layer could get, and why not if it cannot.
struct GPUCandidate {
  GPUKernelKind kind = GPUKernelKind::Matrix;
  GPUPrecision precision = GPUPrecision::F32;
  SparseTile tile;
  double estimatedNs = 0;
  std::string refusal;    ///< empty: possible
  bool isNotable = false; ///< worth a reason if it is not possible: the mask suits it, or it was asked for

  bool isPossible() const { return refusal.empty(); }
  /// "csr in f32, groups of 128 rows x 64 tokens, chunk 128".
  std::string describe() const;
};

struct GPUChoice {
  std::vector<GPUCandidate> candidates; ///< possible ones first, the best of them first
  double density = 1;
  std::optional<double> activationDensity; ///< that of the layer
  /// Density of the activations at which skipping takes as long as the best kernel that does not skip.
  std::optional<double> activationBreakEven;
  std::string fallback; ///< why dense and 2:4 storage is not of the precision that was asked for; empty if it is

  const GPUCandidate &getBest() const { return candidates.front(); }
  /// One sentence: the winner, the runner-up, and why others were declined.
  std::string explain(bool wasForced) const;
};

/// Packs the blocks of a layer, for tensor cores if `tile` is for them.
PackedWeight packBlocks(const GPULayer &layer, const SparseTile &tile);

/// `only`: the one storage to consider beside the matrix, which is chosen if possible; none: the fastest.
GPUChoice chooseGPUStorage(const GPULayer &layer, GPUPrecision precision, const GPUCostModel &model,
                           std::optional<GPUKernelKind> only);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PRUNETOSPARSETENSOR_GPUCHOICE_H
