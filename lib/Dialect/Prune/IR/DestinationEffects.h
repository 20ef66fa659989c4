//===- DestinationEffects.h - What ops in destination style touch ---*- C++ -*-===//
#ifndef PRUNE_LIB_DIALECT_PRUNE_IR_DESTINATIONEFFECTS_H
#define PRUNE_LIB_DIALECT_PRUNE_IR_DESTINATIONEFFECTS_H

#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::prune {

/// Buffers: destinations are written, everything else is read.
void getDestinationEffects(DestinationStyleOpInterface op,
                           SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects);

} // namespace mlir::prune

#endif // PRUNE_LIB_DIALECT_PRUNE_IR_DESTINATIONEFFECTS_H
