//===- BreakEven.h - Densities up to which skipping pays -----------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_BREAKEVEN_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_BREAKEVEN_H

#include "llvm/ADT/STLFunctionalExtras.h"

namespace mlir::prune {

/// The largest density for which `pays` holds, which it does for all below one that it holds for: more to multiply
/// never takes less, though tiles that change with the density make no line of it. 0 if for none.
inline double findBreakEvenDensity(llvm::function_ref<bool(double density)> pays) {
  constexpr int halvings = 30;
  double low = 0, high = 1;
  if (pays(high))
    return high;
  for (int i = 0; i < halvings; ++i)
    (pays((low + high) / 2) ? low : high) = (low + high) / 2;
  return low;
}

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_BREAKEVEN_H
