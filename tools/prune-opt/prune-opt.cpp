//===- prune-opt.cpp - Runs passes on a module --------------------------------===//
//
// The driver of the pruning compiler: every upstream dialect and pass, and ours.
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "prune/InitAll.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::prune::registerAllDialects(registry);
  mlir::registerAllPasses();
  mlir::prune::registerAllPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "prune-opt: the pruning compiler's pass driver\n", registry));
}
