//===- ConstantStore.cpp - New constants made from old ones -------------------===//

#include "ConstantStore.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::prune;

SmallVector<int64_t> prune::getRowMajorStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t dim = static_cast<int64_t>(shape.size()) - 2; dim >= 0; --dim)
    strides[dim] = strides[dim + 1] * shape[dim + 1];
  return strides;
}

std::string ConstantStore::getOrigin(ElementsAttr attr) const {
  auto resource = dyn_cast_if_present<DenseResourceElementsAttr>(attr);
  if (!resource)
    return {};
  auto it = origins.find(resource.getRawHandle().getKey());
  if (it != origins.end())
    return it->second;
  return resource.getRawHandle().getKey().str();
}

DenseResourceElementsAttr ConstantStore::insert(RankedTensorType type, AsmResourceBlob &&bytes, StringRef origin) {
  auto &manager = DenseResourceElementsHandle::getManagerInterface(context);
  DenseResourceElementsHandle handle = manager.insert(kUnnamedResource, std::move(bytes));
  origins[handle.getKey()] = origin.str();
  return DenseResourceElementsAttr::get(type, handle);
}

ElementsAttr ConstantStore::create(RankedTensorType type, AsmResourceBlob &&bytes, ElementsAttr origin) {
  // A small resource was made one on purpose (toResource) and stays one.
  bool fromSmallResource = isa_and_present<DenseResourceElementsAttr>(origin) && origin.getNumElements() <= inlineLimit;
  if (type.getNumElements() <= inlineLimit && !fromSmallResource)
    return DenseElementsAttr::getFromRawBuffer(type, bytes.getData());
  return insert(type, std::move(bytes), getOrigin(origin));
}

ElementsAttr ConstantStore::toResource(ElementsAttr attr) {
  FailureOr<ConstantBytes> bytes = getConstantBytes(attr);
  if (isa<DenseResourceElementsAttr>(attr) || failed(bytes) || bytes->isSplat)
    return attr;
  auto keep = [](void *, size_t, size_t) {};
  return insert(cast<RankedTensorType>(attr.getType()),
                AsmResourceBlob(bytes->data, alignof(uint64_t), keep, /*dataIsMutable=*/false), {});
}

void ConstantStore::externalize(ModuleOp module) {
  llvm::DenseMap<Attribute, DenseResourceElementsAttr> done;
  module.walk([&](arith::ConstantOp constant) {
    auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    if (!dense || !type || dense.isSplat() || type.getNumElements() <= inlineLimit)
      return;
    FailureOr<ConstantBytes> bytes = getConstantBytes(dense);
    if (failed(bytes))
      return;
    DenseResourceElementsAttr &resource = done[dense];
    if (!resource) {
      // The bytes live as long as the context, as its attributes do.
      auto keep = [](void *, size_t, size_t) {};
      resource = insert(type, AsmResourceBlob(bytes->data, alignof(uint64_t), keep, /*dataIsMutable=*/false),
                        getLocationName(constant.getLoc()));
    }
    constant.setValueAttr(resource);
  });
}

namespace {
/// One dimension of a copy: how often, and the step in the source.
struct Step {
  int64_t size, stride;
};
} // namespace

/// Copies elements in the order of the result. The two innermost steps are tiled, so that a transposition reads and
/// writes whole cache lines.
template <typename T> static void copyElements(const T *source, T *result, ArrayRef<Step> steps) {
  constexpr int64_t kTile = 32;
  int64_t rank = steps.size();
  Step inner = rank > 0 ? steps[rank - 1] : Step{1, 1};
  Step outer = rank > 1 ? steps[rank - 2] : Step{1, 0};
  SmallVector<int64_t> index(std::max<int64_t>(rank - 2, 0), 0);
  int64_t base = 0;
  while (true) {
    if (inner.stride == 1) {
      for (int64_t i = 0; i < outer.size; ++i)
        std::memcpy(result + i * inner.size, source + base + i * outer.stride, inner.size * sizeof(T));
    } else {
      for (int64_t i0 = 0; i0 < outer.size; i0 += kTile)
        for (int64_t j0 = 0; j0 < inner.size; j0 += kTile)
          for (int64_t i = i0, iEnd = std::min(i0 + kTile, outer.size); i < iEnd; ++i)
            for (int64_t j = j0, jEnd = std::min(j0 + kTile, inner.size); j < jEnd; ++j)
              result[i * inner.size + j] = source[base + i * outer.stride + j * inner.stride];
    }
    result += outer.size * inner.size;
    int64_t dim = rank - 3;
    for (; dim >= 0; --dim) {
      base += steps[dim].stride;
      if (++index[dim] < steps[dim].size)
        break;
      base -= steps[dim].stride * steps[dim].size;
      index[dim] = 0;
    }
    if (dim < 0)
      return;
  }
}

ElementsAttr ConstantStore::move(ElementsAttr source, const Move &move) {
  FailureOr<ConstantBytes> bytes = getConstantBytes(source);
  auto dense = dyn_cast<DenseElementsAttr>(source);
  if (dense && dense.isSplat())
    return dense.resizeSplat(move.type);
  if (failed(bytes))
    return {};
  // Dimensions of size one do not count; neighbours that are contiguous in the source become one.
  SmallVector<Step> steps;
  for (auto [size, stride] : llvm::zip(move.type.getShape(), move.strides)) {
    if (size == 1)
      continue;
    if (!steps.empty() && steps.back().stride == stride * size)
      steps.back() = {steps.back().size * size, stride};
    else
      steps.push_back({size, stride});
  }
  int64_t count = move.type.getNumElements();
  if (count == 0)
    return {};
  bool isReshape = move.offset == 0 && count == source.getNumElements() &&
                   (steps.empty() || (steps.size() == 1 && steps.front().stride == 1));
  if (isReshape)
    return reshapeConstant(source, move.type);
  ElementsAttr &result = moved[MoveKey(source.getAsOpaquePointer(), move.type.getAsOpaquePointer(), move.offset,
                                       std::vector<int64_t>(move.strides.begin(), move.strides.end()))];
  if (result)
    return result;
  int64_t elementBytes = getElementBytes(move.type.getElementType());
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(count * elementBytes, 16);
  const char *from = bytes->data.data() + move.offset * elementBytes;
  char *to = blob.getMutableData().data();
  auto copy = [&](auto element) {
    using T = decltype(element);
    copyElements(reinterpret_cast<const T *>(from), reinterpret_cast<T *>(to), steps);
  };
  switch (elementBytes) {
  case 1:
    copy(uint8_t());
    break;
  case 2:
    copy(uint16_t());
    break;
  case 4:
    copy(uint32_t());
    break;
  case 8:
    copy(uint64_t());
    break;
  default:
    return {};
  }
  return result = create(move.type, std::move(blob), source);
}
