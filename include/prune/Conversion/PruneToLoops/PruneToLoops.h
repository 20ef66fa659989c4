//===- PruneToLoops.h - Loops of masks decided at run time ----------*- C++ -*-===//
#ifndef PRUNE_CONVERSION_PRUNETOLOOPS_PRUNETOLOOPS_H
#define PRUNE_CONVERSION_PRUNETOLOOPS_PRUNETOLOOPS_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/IR/Prune.h"

namespace mlir {
class RewriterBase;
namespace prune {

/// The functions that decide masks (MaskLibrary.mlir), of which a module gets those it calls.
class MaskLibrary {
public:
  /// Parses the library. Fails, with a message, if `module` has symbols of the library's names.
  static FailureOr<MaskLibrary> load(ModuleOp module);

  /// Clones the function `name`, and what it calls, into the module unless it is there.
  void require(StringRef name);

private:
  MaskLibrary(ModuleOp module, OwningOpRef<ModuleOp> library)
      : target(module), library(std::move(library)), source(*this->library) {}

  SymbolTable target;
  OwningOpRef<ModuleOp> library;
  SymbolTable source;
};

/// Replaces an op on buffers of identity layout by allocations of scratch and calls of the library.
LogicalResult lowerSelectMasks(RewriterBase &rewriter, SelectMasksOp op, MaskLibrary &library);
LogicalResult lowerRegrowMask(RewriterBase &rewriter, RegrowMaskOp op, MaskLibrary &library);

} // namespace prune
} // namespace mlir

#endif // PRUNE_CONVERSION_PRUNETOLOOPS_PRUNETOLOOPS_H
