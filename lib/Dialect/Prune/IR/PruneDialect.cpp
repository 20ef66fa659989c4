//===- PruneDialect.cpp - Registration of the prune dialect -------------------===//

#include "prune/Dialect/Prune/IR/PruneDynamic.h"

using namespace mlir;
using namespace mlir::prune;

#include "prune/Dialect/Prune/IR/PruneDialect.cpp.inc"

void PruneDialect::initialize() {
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "prune/Dialect/Prune/IR/PruneOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "prune/Dialect/Prune/IR/PruneTargetOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "prune/Dialect/Prune/IR/PruneDynamicOps.cpp.inc"
      >();
}
