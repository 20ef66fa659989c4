//===- BufferizableOpInterfaceImpl.h - Packed layers on memrefs -----*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_IR_BUFFERIZABLEOPINTERFACEIMPL_H
#define PRUNE_DIALECT_PRUNE_IR_BUFFERIZABLEOPINTERFACEIMPL_H

namespace mlir {
class DialectRegistry;
namespace prune {

/// Lets one-shot-bufferize handle `prune.linear`.
void registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry);

} // namespace prune
} // namespace mlir

#endif // PRUNE_DIALECT_PRUNE_IR_BUFFERIZABLEOPINTERFACEIMPL_H
