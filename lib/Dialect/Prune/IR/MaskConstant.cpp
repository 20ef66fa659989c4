//===- MaskConstant.cpp - Reading and writing constant masks and weights -------===//

#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/xxhash.h"
#include <cstring>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

/// Fails with `message` if there is somebody to tell.
static LogicalResult fail(EmitErrorFn emitError, const Twine &message) {
  if (emitError)
    emitError() << message;
  return failure();
}

/// Bytes of one element in a resource; i1 takes a whole byte there.
static int64_t getStorageWidth(Type type) { return llvm::divideCeil(type.getIntOrFloatBitWidth(), 8); }

bool mlir::prune::isElidedResource(Attribute attr) {
  auto resource = dyn_cast_or_null<DenseResourceElementsAttr>(attr);
  return resource && !resource.getRawHandle().getBlob();
}

FailureOr<RawConstant> mlir::prune::readRawConstant(Attribute attr, EmitErrorFn emitError) {
  RawConstant result;
  auto elements = dyn_cast_or_null<ElementsAttr>(attr);
  if (!elements || !elements.getElementType().isIntOrFloat())
    return fail(emitError, "expected a constant of numbers");
  result.type = elements.getShapedType();
  if (auto dense = dyn_cast<DenseElementsAttr>(attr)) {
    result.bytes = dense.getRawData();
    result.isSplat = dense.isSplat();
    return result;
  }
  auto resource = dyn_cast<DenseResourceElementsAttr>(attr);
  if (!resource)
    return fail(emitError, "expected a constant dense<...> or dense_resource<...>");
  AsmResourceBlob *blob = resource.getRawHandle().getBlob();
  StringRef key = resource.getRawHandle().getKey();
  if (!blob)
    return fail(emitError, "resource '" + key + "' has no data");
  result.bytes = blob->getData();
  result.isResource = true;
  int64_t expected = result.type.getNumElements() * getStorageWidth(result.type.getElementType());
  if (static_cast<int64_t>(result.bytes.size()) != expected)
    return fail(emitError, "resource '" + key + "' holds " + Twine(result.bytes.size()) + " bytes, its type needs " +
                               Twine(expected));
  return result;
}

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

FailureOr<MaskData> MaskData::read(Attribute attr, EmitErrorFn emitError) {
  FailureOr<RawConstant> raw = readRawConstant(attr, emitError);
  if (failed(raw))
    return failure();
  if (!raw->type.getElementType().isInteger(1))
    return fail(emitError, "expected a constant of i1");
  MaskData mask;
  mask.type = raw->type;
  int64_t count = raw->type.getNumElements();
  if (raw->isSplat) {
    mask.storage.assign(count, raw->bytes.front() != 0);
  } else if (raw->isResource || static_cast<int64_t>(raw->bytes.size()) == count) {
    mask.view = ArrayRef(reinterpret_cast<const uint8_t *>(raw->bytes.data()), count);
    uint8_t all = std::accumulate(mask.view.begin(), mask.view.end(), uint8_t(0), std::bit_or<uint8_t>());
    if (all > 1) {
      const uint8_t *bad = llvm::find_if(mask.view, [](uint8_t byte) { return byte > 1; });
      return fail(emitError, "expected mask bytes of 0 or 1, got " + Twine(unsigned(*bad)) + " at index " +
                                 Twine(bad - mask.view.begin()));
    }
    return mask;
  } else {
    // Packed, lowest bit first.
    mask.storage.resize(count);
    for (int64_t i = 0; i < count; ++i)
      mask.storage[i] = (static_cast<uint8_t>(raw->bytes[i / 8]) >> (i % 8)) & 1;
  }
  mask.view = mask.storage;
  return mask;
}

int64_t MaskData::countKept() const { return std::accumulate(view.begin(), view.end(), int64_t(0)); }

ElementsAttr mlir::prune::makeMaskAttr(ShapedType type, ArrayRef<uint8_t> bytes, StringRef name) {
  if (type.getNumElements() <= kMaxInlineElements) {
    SmallVector<bool> values(bytes.begin(), bytes.end());
    return DenseElementsAttr::get(type, ArrayRef<bool>(values));
  }
  return makeResourceAttr(type, ArrayRef(reinterpret_cast<const char *>(bytes.data()), bytes.size()), name);
}

ElementsAttr mlir::prune::makeResourceAttr(ShapedType type, ArrayRef<char> bytes, StringRef name) {
  // 16 bytes, what every allocator gives: bytecode with resources of wider alignment can only be read from buffers that
  // have it, which a string has not.
  AsmResourceBlob blob = HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, /*align=*/16, /*dataIsMutable=*/false);
  return DenseResourceElementsAttr::get(type, name, std::move(blob));
}

std::string mlir::prune::digestMask(ArrayRef<int64_t> shape, ArrayRef<uint8_t> bytes) {
  SmallVector<uint8_t> header;
  for (int64_t size : shape) {
    header.resize(header.size() + sizeof(size));
    llvm::support::endian::write64le(header.end() - sizeof(size), size);
  }
  uint64_t digest = llvm::xxh3_64bits(bytes) + 0x9e3779b97f4a7c15u * llvm::xxh3_64bits(header);
  return llvm::utohexstr(digest, /*LowerCase=*/true, /*Width=*/16);
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// Converts `count` numbers of T to f32.
template <typename T, typename Convert>
static void convertAll(ArrayRef<char> bytes, std::vector<float> &out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    out[i] = convert(value);
  }
}

static float convertHalf(uint16_t bits) {
  return llvm::APFloat(llvm::APFloat::IEEEhalf(), llvm::APInt(16, bits)).convertToFloat();
}

static float convertBFloat(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

FailureOr<WeightData> WeightData::read(Attribute attr, EmitErrorFn emitError) {
  FailureOr<RawConstant> raw = readRawConstant(attr, emitError);
  if (failed(raw))
    return failure();
  WeightData weight;
  weight.type = raw->type;
  Type elementType = raw->type.getElementType();
  int64_t count = raw->type.getNumElements();
  if (elementType.isF32() && !raw->isSplat && reinterpret_cast<uintptr_t>(raw->bytes.data()) % alignof(float) == 0) {
    weight.view = ArrayRef(reinterpret_cast<const float *>(raw->bytes.data()), count);
    return weight;
  }
  std::vector<float> &out = weight.storage;
  out.resize(raw->isSplat ? std::min<int64_t>(count, 1) : count);
  if (elementType.isF32())
    convertAll<float>(raw->bytes, out, [](float value) { return value; });
  else if (elementType.isF64())
    convertAll<double>(raw->bytes, out, [](double value) { return static_cast<float>(value); });
  else if (elementType.isF16())
    convertAll<uint16_t>(raw->bytes, out, convertHalf);
  else if (elementType.isBF16())
    convertAll<uint16_t>(raw->bytes, out, convertBFloat);
  else if (elementType.isInteger(8))
    convertAll<int8_t>(raw->bytes, out, [](int8_t value) { return static_cast<float>(value); });
  else
    return fail(emitError, "expected a constant of f16, bf16, f32, f64 or i8");
  if (raw->isSplat && count > 0) {
    float value = out.front();
    out.assign(count, value);
  }
  weight.view = out;
  return weight;
}

Attribute mlir::prune::getConstantAttr(Value value) {
  Attribute attr;
  return value && matchPattern(value, m_Constant(&attr)) ? attr : Attribute();
}
