//===- LaneLayout.h - Activations with tokens in the lanes ----------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LANELAYOUT_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LANELAYOUT_H

#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::prune {

/// How activations [.., m, k] or [b, k, ..] lie for the kernels of packed layers: [.., k, lanes], lanes innermost, in
/// panels of one register tile where that divides m.
class LaneLayout {
public:
  /// `columnDim` is the position of k in `type`. Lanes before k share panels with other sequences where they are few.
  LaneLayout(RankedTensorType type, int64_t columnDim, int64_t panel);

  /// All lanes of a sequence, and those that lie together.
  int64_t getNumLanes() const { return numLanes; }
  int64_t getPanelLanes() const { return isPaneled ? panel : numLanes; }
  /// Trailing dimensions that are lanes.
  int64_t getLaneDims() const { return laneDims; }

  /// `x` in the layout; it may differ from the type above in the size of k and in the type of its elements.
  Value enter(ImplicitLocOpBuilder &b, Value x) const;
  /// `y`, which has `numColumns` columns, in the order that `enter` takes.
  Value leave(ImplicitLocOpBuilder &b, Value y, int64_t numColumns) const;

private:
  SmallVector<int64_t> getFlatShape(int64_t numColumns) const;
  SmallVector<int64_t> getPaneledShape(int64_t numColumns) const;

  SmallVector<int64_t> shape; ///< outside; that of k is ignored
  int64_t columnDim, laneDims, numLanes, panel;
  bool lanesBeforeColumns;
  bool isFlat;    ///< sequences too short for a panel lie side by side in it
  bool isPaneled; ///< the lanes are split into panels
  int64_t units;  ///< leading dimensions of size 1 that are folded away
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_LANELAYOUT_H
