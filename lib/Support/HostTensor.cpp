//===- HostTensor.cpp - Tensors in this process's memory -----------------------===//

#include "prune/Support/HostTensor.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/APInt.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdlib>
#include <cstring>

using namespace mlir::prune;

unsigned mlir::prune::getByteWidth(ElementKind kind) {
  switch (kind) {
  case ElementKind::Bool:
  case ElementKind::Int8:
  case ElementKind::UInt8:
    return 1;
  case ElementKind::Int16:
  case ElementKind::UInt16:
  case ElementKind::Float16:
  case ElementKind::BFloat16:
    return 2;
  case ElementKind::Int32:
  case ElementKind::UInt32:
  case ElementKind::Float32:
    return 4;
  case ElementKind::Int64:
  case ElementKind::UInt64:
  case ElementKind::Float64:
    return 8;
  }
  llvm_unreachable("unknown element kind");
}

llvm::StringRef mlir::prune::getName(ElementKind kind) {
  static constexpr llvm::StringLiteral names[] = {"bool",     "int8",    "int16",  "int32",  "int64",
                                                  "uint8",    "uint16",  "uint32", "uint64", "float16",
                                                  "bfloat16", "float32", "float64"};
  return names[static_cast<unsigned>(kind)];
}

std::optional<ElementKind> mlir::prune::getElementKind(mlir::Type type) {
  if (type.isInteger(1))
    return ElementKind::Bool;
  if (type.isF16())
    return ElementKind::Float16;
  if (type.isBF16())
    return ElementKind::BFloat16;
  if (type.isF32())
    return ElementKind::Float32;
  if (type.isF64())
    return ElementKind::Float64;
  auto integer = llvm::dyn_cast<mlir::IntegerType>(type);
  if (!integer)
    return std::nullopt;
  bool isUnsigned = integer.isUnsigned();
  switch (integer.getWidth()) {
  case 8:
    return isUnsigned ? ElementKind::UInt8 : ElementKind::Int8;
  case 16:
    return isUnsigned ? ElementKind::UInt16 : ElementKind::Int16;
  case 32:
    return isUnsigned ? ElementKind::UInt32 : ElementKind::Int32;
  case 64:
    return isUnsigned ? ElementKind::UInt64 : ElementKind::Int64;
  default:
    return std::nullopt;
  }
}

static bool isInteger(ElementKind kind) { return kind >= ElementKind::Int8 && kind <= ElementKind::UInt64; }

bool mlir::prune::isCompatible(ElementKind expected, ElementKind given) {
  return expected == given ||
         (isInteger(expected) && isInteger(given) && getByteWidth(expected) == getByteWidth(given));
}

void AlignedBuffer::Free::operator()(char *p) const { std::free(p); }

AlignedBuffer::AlignedBuffer(size_t size) : numBytes(size) {
  size_t rounded = llvm::alignTo(std::max<size_t>(size, 1), 64);
  bytes.reset(static_cast<char *>(std::aligned_alloc(64, rounded)));
  if (!bytes)
    llvm::report_bad_alloc_error("out of memory for a tensor");
  std::memset(bytes.get(), 0, rounded);
}

std::optional<int64_t> mlir::prune::getNumElements(llvm::ArrayRef<int64_t> shape) {
  // Zero first: [0, 2^62, 2^62] is an empty tensor.
  if (llvm::any_of(shape, [](int64_t d) { return d < 0; }))
    return std::nullopt;
  if (llvm::is_contained(shape, 0))
    return 0;
  int64_t count = 1;
  for (int64_t dim : shape)
    if (llvm::MulOverflow(count, dim, count) || count > int64_t(1) << 59)
      return std::nullopt;
  return count;
}

std::string mlir::prune::describe(ElementKind kind, llvm::ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << getName(kind) << "[";
  llvm::interleaveComma(shape, os);
  os << "]";
  return text;
}

HostTensor::HostTensor(ElementKind kind, llvm::ArrayRef<int64_t> shape)
    : kind(kind), shape(shape), data(*prune::getNumElements(shape) * getByteWidth(kind)) {}

template <typename T> static double load(const char *p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return static_cast<double>(value);
}

double HostTensor::getElement(int64_t i) const {
  const char *p = data.data() + i * getByteWidth(kind);
  switch (kind) {
  case ElementKind::Bool:
    return *p != 0;
  case ElementKind::Int8:
    return load<int8_t>(p);
  case ElementKind::Int16:
    return load<int16_t>(p);
  case ElementKind::Int32:
    return load<int32_t>(p);
  case ElementKind::Int64:
    return load<int64_t>(p);
  case ElementKind::UInt8:
    return load<uint8_t>(p);
  case ElementKind::UInt16:
    return load<uint16_t>(p);
  case ElementKind::UInt32:
    return load<uint32_t>(p);
  case ElementKind::UInt64:
    return load<uint64_t>(p);
  case ElementKind::Float32:
    return load<float>(p);
  case ElementKind::Float64:
    return load<double>(p);
  case ElementKind::Float16:
  case ElementKind::BFloat16: {
    uint16_t bits;
    std::memcpy(&bits, p, sizeof(bits));
    const llvm::fltSemantics &format =
        kind == ElementKind::Float16 ? llvm::APFloat::IEEEhalf() : llvm::APFloat::BFloat();
    return llvm::APFloat(format, llvm::APInt(16, bits)).convertToDouble();
  }
  }
  llvm_unreachable("unknown element kind");
}
