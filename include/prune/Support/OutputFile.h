//===- OutputFile.h - Reports written whole or not at all -----------*- C++ -*-===//
#ifndef PRUNE_SUPPORT_OUTPUTFILE_H
#define PRUNE_SUPPORT_OUTPUTFILE_H

#include "mlir/IR/Location.h"

namespace mlir::prune {

/// Writes `file` through a temporary beside it, so that a reader never sees half of it. An error says that `what`
/// ("report") cannot be written, and why.
LogicalResult writeFile(Location loc, StringRef what, StringRef file, llvm::function_ref<void(raw_ostream &)> write);

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_OUTPUTFILE_H
