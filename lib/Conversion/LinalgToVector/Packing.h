//===- Packing.h - Contractions over packed panels ----------------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_LINALGTOVECTOR_PACKING_H
#define PRUNE_LIB_CONVERSION_LINALGTOVECTOR_PACKING_H

#include "Nest.h"
#include "prune/Conversion/LinalgToVector/LinalgToVector.h"

namespace mlir::prune {

/// Emits `nest` as loops over panels if it is a contraction that gains from it, and says whether it did. A panel of the
/// operand in the lanes is copied into a contiguous buffer that stays in the first-level cache while all rows pass: no
/// strides, windows or set conflicts are left in the inner loops.
FailureOr<bool> emitPacked(RewriterBase &rewriter, ImplicitLocOpBuilder &b, Nest &nest,
                           const LinalgToVectorOptions &options, LinalgToVectorResult &result);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_LINALGTOVECTOR_PACKING_H
