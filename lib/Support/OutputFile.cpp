//===- OutputFile.cpp - Reports written whole or not at all -------------------===//

#include "prune/Support/OutputFile.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

LogicalResult mlir::prune::writeFile(Location loc, StringRef what, StringRef file,
                                     llvm::function_ref<void(raw_ostream &)> write) {
  llvm::Error error = llvm::writeToOutput(file, [&](raw_ostream &os) {
    write(os);
    return llvm::Error::success();
  });
  if (!error)
    return success();
  return emitError(loc) << "cannot write " << what << " '" << file << "': " << llvm::toString(std::move(error));
}
