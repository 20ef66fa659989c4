//===- Ops.cpp - Operations on masks ------------------------------------------===//

#include "prune/Dialect/Prune/IR/Prune.h"

using namespace mlir;
using namespace mlir::prune;

#define GET_OP_CLASSES
#include "prune/Dialect/Prune/IR/PruneOps.cpp.inc"
