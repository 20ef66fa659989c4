//===- MaskLibrary.cpp - Functions written as MLIR, on demand -----------------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "prune/Conversion/PruneToLoops/PruneToLoops.h"

using namespace mlir;
using namespace mlir::prune;

static constexpr llvm::StringLiteral kLibrary =
#include "MaskLibrary.inc"
    ;

FailureOr<MaskLibrary> MaskLibrary::load(ModuleOp module) {
  OwningOpRef<ModuleOp> library = parseSourceString<ModuleOp>(kLibrary, module.getContext(), "MaskLibrary.mlir");
  if (!library)
    return failure();
  for (auto function : library->getOps<func::FuncOp>())
    if (Operation *other = module.lookupSymbol(function.getName()))
      return other->emitError() << "expected no symbol '" << function.getName()
                                << "' in the module: a function that decides masks is called so";
  return MaskLibrary(module, std::move(library));
}

void MaskLibrary::require(StringRef name) {
  if (target.lookup(name))
    return;
  Operation *copy = source.lookup(name)->clone();
  // Each loop is compiled once, however many weights there are.
  if (!copy->hasAttr("passthrough"))
    copy->setAttr("passthrough", Builder(copy->getContext()).getStrArrayAttr({"noinline"}));
  target.insert(copy);
  copy->walk([&](func::CallOp call) { require(call.getCallee()); });
}
