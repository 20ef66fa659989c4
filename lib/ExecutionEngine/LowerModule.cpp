//===- LowerModule.cpp - The pipelines to code for tools ----------------------===//

#include "prune/ExecutionEngine/LowerModule.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

using namespace mlir;

llvm::Error mlir::prune::lowerModule(ModuleOp module, llvm::StringRef name, llvm::StringRef options) {
  const PassPipelineInfo *pipeline = PassPipelineInfo::lookup(name);
  if (!pipeline)
    return llvm::createStringError("this build has no pipeline " + name);
  std::string message;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diag) {
    if (message.empty() && diag.getSeverity() == DiagnosticSeverity::Error) {
      llvm::raw_string_ostream os(message);
      if (!isa<UnknownLoc>(diag.getLocation()))
        os << diag.getLocation() << ": ";
      os << diag;
    }
    return success();
  });
  PassManager passes(module.getContext());
  auto onError = [&](const Twine &text) {
    message = text.str();
    return failure();
  };
  if (failed(pipeline->addToPipeline(passes, options, onError)) || failed(passes.run(module)))
    return llvm::createStringError(message.empty() ? name + " failed" : message);
  return llvm::Error::success();
}
