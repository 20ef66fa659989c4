//===- LayerWeight.h - The constant weight of a layer and its storage ----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LAYERWEIGHT_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LAYERWEIGHT_H

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include "prune/Conversion/PruneToSparseTensor/PruneToSparseTensor.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"

namespace mlir::prune {

/// A constant weight with its mask, as a matrix: dimension 0 by all others.
struct LayerWeight {
  WeightData data;
  std::optional<MaskData> mask;
  MaskedMatrix matrix; ///< views of the two above
  std::string name;

  /// Reads `weight`, or what `apply` masks if it is not null; errors name `op`.
  static FailureOr<LayerWeight> read(Operation *op, Value weight, ApplyOp apply);
};

bool isZeroFill(Value value);

/// The storage for the masked filter of a convolution. Dense storage, without content, where dense code would be faster;
/// `reason` then says why.
PackedWeight choosePacking(const MaskedMatrix &matrix, ApplyOp apply, const PackOptions &options, std::string &reason);

/// The storage operands of `prune.linear`, as constants.
SmallVector<Value> makeStorage(ImplicitLocOpBuilder &b, const PackedWeight &packed, StringRef name);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LAYERWEIGHT_H
