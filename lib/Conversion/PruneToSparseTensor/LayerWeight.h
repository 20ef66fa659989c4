//===- LayerWeight.h - The constant weight of a layer and its storage ----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LAYERWEIGHT_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LAYERWEIGHT_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include "prune/Conversion/PruneToSparseTensor/PruneToSparseTensor.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"

namespace mlir::prune {

/// A weight that is known, at least its mask, as a matrix: dimension 0 by all others.
struct LayerWeight {
  std::optional<WeightData> data; ///< none: the values come at run time
  std::optional<MaskData> mask;
  std::vector<uint8_t> ownMask; ///< where it is not that of `mask` as it stands
  std::vector<float> ownWeight; ///< where it is not that of `data`
  /// An int8 weight read as words; `matrix` is then that of its words.
  std::optional<WordMatrix> words;
  int64_t wordColumns = 1;
  MaskedMatrix matrix;   ///< views of those above
  int64_t blockRows = 0; ///< rows of the blocks that a kernel can take; 0: the mask has no such blocks
  std::string name;
  std::string pattern; ///< of the mask, as options spell it; empty where it is not known

  /// For values that come at run time, the kept elements, and for each element of `matrix` its place in them or -1.
  Value values;
  std::vector<int32_t> ranks;

  bool isMasked() const { return mask.has_value(); }

  /// True if the mask of `weight` and, unless the values come at run time, its elements are constants.
  static bool isKnown(Value weight);
  /// Reads a weight that is known; errors name `op`. `isTransposed`: `matrix` is the transpose of the weight, which
  /// then has rank 2 and values that come at run time. `wordColumns`: an int8 weight, read as words of so many columns.
  static FailureOr<LayerWeight> read(Operation *op, Value weight, bool isTransposed = false, int64_t wordColumns = 0);

  /// Makes the masked filter of a grouped convolution that of one over all channels: rows keep nothing of the channels
  /// of other groups.
  void expandGroups(int64_t groups);

  /// Makes the filter of a convolution one matrix [filters, channels] for each element of the kernel, the last one
  /// first, below each other.
  void splitTaps(int64_t numTaps);
};

bool isZeroFill(Value value);

/// A contraction with a known weight, and how its activations lie.
struct LayerMatch {
  Value activations;
  Value weight;
  /// Position of k in the activations and of n in the result.
  int64_t columnDim = 0;
  /// The weight is w(k, n).
  bool isTransposed = false;
};

/// Matches x(.., m, k) w(n, k) -> y(.., m, n) and x(b, k, ..) w(n, k) -> y(b, n, ..), both dims in one order; a weight
/// whose values come at run time may be any operand of the product, and w(k, n). `decline` hears why another product
/// with a known weight does not match.
FailureOr<LayerMatch> matchLayer(linalg::LinalgOp op, function_ref<void(const Twine &)> decline);

/// A product of a tensor and a weight whose values come at run time, as differentiation makes it.
bool isProductByCompressed(Operation *op);

/// True for a product of an unsigned and a signed i8 matrix with sums of i32, as `prune-quantize` makes it.
bool isQuantizedProduct(Operation *op);

/// Chooses the code of a layer. For a masked one a remark at `op` says which and why; the report gets both.
LayerChoice chooseCode(Operation *op, const LayerWeight &weight, const LayerShape &shape, const PackOptions &options);

/// The same for a quantized layer of the int8 constant `constant`, which `weight` is in f32: as words, which are then
/// in `words`, or in f32.
FailureOr<LayerChoice> chooseQuantizedCode(Operation *op, Value constant, const LayerWeight &weight,
                                           const LayerShape &shape, const PackOptions &options,
                                           std::optional<LayerWeight> &words);

/// Reports what has no other code than `candidate`.
void reportOnlyCode(Operation *op, const LayerWeight &weight, const LayerShape &shape, const LayerCandidate &candidate,
                    const PackOptions &options);

/// The boundaries of the groups of rows that each thread computes, as `prune.linear` takes them; null if threads share
/// the tiles of lanes.
Value makeShares(ImplicitLocOpBuilder &b, const LayerChoice &choice, const PackOptions &options, StringRef name);

/// The storage operands of `prune.linear`: constants, but for values that come at run time.
SmallVector<Value> makeStorage(ImplicitLocOpBuilder &b, const PackedWeight &packed, const LayerWeight &weight);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LAYERWEIGHT_H
