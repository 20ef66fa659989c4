//===- GradientModels.h - Gradient rules by dialect -----------------*- C++ -*-===//
#ifndef PRUNE_INTERFACES_IMPL_GRADIENTMODELS_H
#define PRUNE_INTERFACES_IMPL_GRADIENTMODELS_H

#include "mlir/IR/DialectRegistry.h"

namespace mlir::prune {

void registerScalarGradients(DialectRegistry &registry);
void registerLinalgGradients(DialectRegistry &registry);
void registerTensorGradients(DialectRegistry &registry);
void registerControlFlowGradients(DialectRegistry &registry);

} // namespace mlir::prune

#endif // PRUNE_INTERFACES_IMPL_GRADIENTMODELS_H
