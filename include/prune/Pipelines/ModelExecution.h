//===- ModelExecution.h - Whole models run from inside passes -------*- C++ -*-===//
#ifndef PRUNE_PIPELINES_MODELEXECUTION_H
#define PRUNE_PIPELINES_MODELEXECUTION_H

#include "mlir/IR/DialectRegistry.h"

namespace mlir::prune {

/// Lets prune-shrink compare the shrunk model with the masked one (`check-equivalence=true`) and prune-select-groups
/// measure (`target=latency:SHARE`).
void registerModelExecution(DialectRegistry &registry);

} // namespace mlir::prune

#endif // PRUNE_PIPELINES_MODELEXECUTION_H
