//===- WindowCopy.h - Activations of a convolution's window ------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOVECTOR_WINDOWCOPY_H
#define PRUNE_LIB_CONVERSION_PRUNETOVECTOR_WINDOWCOPY_H

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/IR/Prune.h"

namespace mlir::prune {

/// Copies what a window reads for some pixels of the result into rows of a small buffer, one row for each column of the
/// weight, one lane for each pixel.
struct WindowCopy {
  WindowAttr window;
  VectorType vectorType;
  Value input;             ///< memref [batch, channel, pixels]
  int64_t height = 0;      ///< of the activations
  int64_t width = 0;       ///< of the activations
  int64_t resultWidth = 0; ///< pixels of a row of the result
  Value scratch;           ///< memref [columns, lanes]; rows have room for one vector beyond the lanes of a tile

  /// Emits the copy of `channels` channels from `firstChannel` on, for `lanes` pixels of the result from `lane` on.
  void emit(ImplicitLocOpBuilder &b, Value batch, Value lane, Value lanes, Value firstChannel, Value channels) const;
};

/// Masks of `parts` vectors in a row: the elements whose position is in [begin, end).
SmallVector<Value> makeRangeMasks(ImplicitLocOpBuilder &b, int64_t lanes, int64_t parts, Value begin, Value end);

/// Every n-th element of n vectors in a row, as one vector; `masks` has one mask for each of them.
Value loadStrided(ImplicitLocOpBuilder &b, VectorType type, Value memref, ArrayRef<Value> indices,
                  ArrayRef<Value> masks);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOVECTOR_WINDOWCOPY_H
