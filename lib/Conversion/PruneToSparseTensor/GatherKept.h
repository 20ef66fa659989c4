//===- GatherKept.h - Storage filled from kept elements ---------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_GATHERKEPT_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_GATHERKEPT_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::prune {

/// A tensor of `shape` whose element i is `values[places[i]]`, or 0 where `places[i]` is -1; `values` has rank 1. The
/// constant of places is a resource called `name` unless it is small.
Value gatherKept(ImplicitLocOpBuilder &b, Value values, ArrayRef<int32_t> places, ArrayRef<int64_t> shape,
                 const Twine &name);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_GATHERKEPT_H
