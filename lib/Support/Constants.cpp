//===- Constants.cpp - Constant tensors of a model: bytes, names, masks -------===//

#include "prune/Support/Constants.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Location.h"
#include "prune/Dialect/Prune/IR/Prune.h"

using namespace mlir;

int64_t prune::getElementBytes(Type type) {
  if (auto complex = dyn_cast<ComplexType>(type))
    return 2 * getElementBytes(complex.getElementType());
  if (type.isIndex())
    return 8;
  if (type.isIntOrFloat())
    return (type.getIntOrFloatBitWidth() + 7) / 8;
  return 0;
}

FailureOr<prune::ConstantBytes> prune::getConstantBytes(ElementsAttr attr) {
  Type elementType = attr.getElementType();
  int64_t elementBytes = getElementBytes(elementType);
  if (!elementBytes)
    return failure();
  int64_t size = attr.getNumElements() * elementBytes;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr)) {
    const AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob || static_cast<int64_t>(blob->getData().size()) != size)
      return failure();
    return ConstantBytes{blob->getData(), false};
  }
  auto dense = dyn_cast<DenseElementsAttr>(attr);
  if (!dense || isa<DenseStringElementsAttr>(attr))
    return failure();
  if (elementType.isIntOrFloat() && elementType.getIntOrFloatBitWidth() % 8)
    return failure();
  ArrayRef<char> data = dense.getRawData();
  if (dense.isSplat())
    return ConstantBytes{data.take_front(elementBytes), true};
  if (static_cast<int64_t>(data.size()) != size)
    return failure();
  return ConstantBytes{data, false};
}

arith::ConstantOp prune::getConstant(Value value) { return value.getDefiningOp<arith::ConstantOp>(); }

Value prune::lookThroughMask(Value value) {
  while (auto apply = value.getDefiningOp<ApplyOp>())
    value = apply->getOperand(0);
  return value;
}

StringRef prune::getLocationName(Location loc) {
  if (auto name = dyn_cast<NameLoc>(loc))
    return name.getName();
  if (auto call = dyn_cast<CallSiteLoc>(loc))
    return getLocationName(call.getCallee());
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (StringRef name = getLocationName(part); !name.empty())
        return name;
  return {};
}

StringRef prune::getConstantName(arith::ConstantOp constant) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue()))
    if (StringRef key = resource.getRawHandle().getKey(); !key.starts_with(kUnnamedResource))
      return key;
  return getLocationName(constant.getLoc());
}

void prune::setConstantBytes(arith::ConstantOp constant, ArrayRef<char> bytes) {
  auto attr = cast<ElementsAttr>(constant.getValue());
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr)) {
    // A new resource would not get the key.
    DenseResourceElementsHandle handle = resource.getRawHandle();
    DenseResourceElementsHandle::getManagerInterface(constant.getContext())
        .update(handle.getKey(), HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, /*align=*/16,
                                                                               /*dataIsMutable=*/false));
    return;
  }
  constant.setValueAttr(DenseElementsAttr::getFromRawBuffer(attr.getShapedType(), bytes));
}

ElementsAttr prune::reshapeConstant(ElementsAttr source, RankedTensorType type) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(source))
    return DenseResourceElementsAttr::get(type, resource.getRawHandle());
  return cast<DenseElementsAttr>(source).reshape(type);
}

DenseResourceElementsAttr prune::getUnmanagedResource(RankedTensorType type, StringRef key, ArrayRef<char> bytes) {
  // The context aligns the data of its attributes to 8 bytes; an importer's buffer may lie anywhere. More is not claimed
  // even where the address happens to allow it: the alignment is printed, and output must not depend on addresses.
  size_t align = 1;
  while (align < 8 && reinterpret_cast<uintptr_t>(bytes.data()) % (2 * align) == 0)
    align *= 2;
  auto keep = [](void *, size_t, size_t) {};
  return DenseResourceElementsAttr::get(type, key, AsmResourceBlob(bytes, align, keep, /*dataIsMutable=*/false));
}
