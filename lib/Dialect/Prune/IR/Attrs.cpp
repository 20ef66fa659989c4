//===- Attrs.cpp - Registration of pattern and criterion attributes -----------===//

#include "mlir/IR/DialectImplementation.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::prune;

#include "prune/Dialect/Prune/IR/PruneEnums.cpp.inc"
#include "prune/Dialect/Prune/IR/PruneInterfaces.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "prune/Dialect/Prune/IR/PruneAttrs.cpp.inc"

void PruneDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "prune/Dialect/Prune/IR/PruneAttrs.cpp.inc"
      >();
}
