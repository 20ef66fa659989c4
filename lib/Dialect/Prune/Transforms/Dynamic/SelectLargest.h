//===- SelectLargest.h - The largest of many numbers, as code --------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_DYNAMIC_SELECTLARGEST_H
#define PRUNE_TRANSFORMS_DYNAMIC_SELECTLARGEST_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::prune {

/// A mask of the `keep` largest in each row of `scores`, a tensor of f32: NaN is larger than all numbers, and of equal
/// scores the lower index is kept.
Value emitLargest(ImplicitLocOpBuilder &b, Value scores, int64_t keep);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_DYNAMIC_SELECTLARGEST_H
