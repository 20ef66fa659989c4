//===- prune-opt.cpp - Runs passes on a module --------------------------------===//
//
// The driver of the pruning compiler: every upstream dialect and pass, and ours.
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "prune/InitAll.h"
#include "prune/Support/InputFile.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/ToolOutputFile.h"

int main(int argc, char **argv) {
  mlir::prune::exitOnFatalErrors("prune-opt");
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::prune::registerAllDialects(registry);
  mlir::registerAllPasses();
  mlir::prune::registerAllPasses();
  auto [inputPath, outputPath] =
      mlir::registerAndParseCLIOptions(argc, argv, "prune-opt: the pruning compiler's pass driver\n", registry);
  auto config = mlir::MlirOptMainConfig::createFromCLOptions();
  if (config.shouldListPasses() || config.shouldShowDialects())
    return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, inputPath, outputPath, registry));

  // Not upstream's reading: it puts small files where bytecode with aligned weights cannot be read, and hands text that
  // is nested without end to a parser that recurses.
  auto fail = [](const std::string &message) {
    llvm::errs() << "prune-opt: error: " << message << "\n";
    return EXIT_FAILURE;
  };
  if (inputPath == "-" && llvm::sys::Process::StandardInIsUserInput())
    llvm::errs() << "prune-opt: note: reading the module from the terminal\n";
  auto input = mlir::prune::openModuleFile(inputPath);
  if (!input)
    return fail(llvm::toString(input.takeError()));
  if (llvm::Error error = mlir::prune::checkModuleBytes((*input)->getBuffer()))
    return fail("'" + inputPath + "': " + llvm::toString(std::move(error)));
  std::string message;
  auto output = mlir::openOutputFile(outputPath, &message);
  if (!output)
    return fail(message);
  if (mlir::failed(mlir::MlirOptMain(output->os(), std::move(*input), registry, config)))
    return EXIT_FAILURE;
  output->keep();
  return EXIT_SUCCESS;
}
