//===- DimCouplingModels.h - Coupling rules by dialect --------------*- C++ -*-===//
#ifndef PRUNE_INTERFACES_IMPL_DIMCOUPLINGMODELS_H
#define PRUNE_INTERFACES_IMPL_DIMCOUPLINGMODELS_H

#include "RegionEvaluator.h"
#include "mlir/IR/DialectRegistry.h"

namespace mlir::prune {

void registerLinalgDimCoupling(DialectRegistry &registry);
void registerTensorDimCoupling(DialectRegistry &registry);

/// The number that a scalar constant or every element of a splat constant is; unknown for all else.
KnownScalar getUniformElement(Value value);

} // namespace mlir::prune

#endif // PRUNE_INTERFACES_IMPL_DIMCOUPLINGMODELS_H
