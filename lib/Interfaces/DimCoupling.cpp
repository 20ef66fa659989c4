//===- DimCoupling.cpp - Ties between the dimensions of tensors ---------------===//

#include "prune/Interfaces/DimCoupling.h"

#include "mlir/IR/Builders.h"

#include "prune/Interfaces/DimCouplingOpInterface.cpp.inc"

using namespace mlir;

TypedAttr prune::getAbsentElement(MLIRContext *context) { return StringAttr::get("absent", NoneType::get(context)); }

TypedAttr prune::meetElements(TypedAttr a, TypedAttr b) {
  auto isAbsent = [](TypedAttr element) { return element && isa<NoneType>(element.getType()); };
  if (isAbsent(a))
    return b;
  return isAbsent(b) || a == b ? a : TypedAttr();
}
