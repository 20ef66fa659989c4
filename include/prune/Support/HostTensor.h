//===- HostTensor.h - Tensors in this process's memory --------------*- C++ -*-===//
#ifndef PRUNE_SUPPORT_HOSTTENSOR_H
#define PRUNE_SUPPORT_HOSTTENSOR_H

#include "mlir/IR/Types.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <memory>
#include <optional>
#include <string>

namespace mlir::prune {

/// Element types that cross the boundary of compiled code, as NumPy knows them. `BFloat16` is a two-byte void there.
enum class ElementKind {
  Bool,
  Int8,
  Int16,
  Int32,
  Int64,
  UInt8,
  UInt16,
  UInt32,
  UInt64,
  Float16,
  BFloat16,
  Float32,
  Float64
};

/// Bytes of one element.
unsigned getByteWidth(ElementKind kind);
/// NumPy's name, such as "float32".
llvm::StringRef getName(ElementKind kind);
/// The kind that holds values of an MLIR element type, signless integers as signed; none for other types.
std::optional<ElementKind> getElementKind(mlir::Type type);
/// True if data of kind `given` may be passed where `expected` is wanted: the same, or integers that differ in sign
/// only (signless integers of MLIR do not say).
bool isCompatible(ElementKind expected, ElementKind given);

/// Bytes aligned to 64, zero at first.
class AlignedBuffer {
public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size);

  char *data() { return bytes.get(); }
  const char *data() const { return bytes.get(); }
  size_t size() const { return numBytes; }

private:
  struct Free {
    void operator()(char *p) const;
  };
  std::unique_ptr<char[], Free> bytes;
  size_t numBytes = 0;
};

/// Number of elements of `shape`; none if it does not fit 2^62 or a dimension is negative.
std::optional<int64_t> getNumElements(llvm::ArrayRef<int64_t> shape);

/// "float32[1, 128]".
std::string describe(ElementKind kind, llvm::ArrayRef<int64_t> shape);

/// A contiguous row-major tensor.
struct HostTensor {
  ElementKind kind = ElementKind::Float32;
  llvm::SmallVector<int64_t, 4> shape;
  AlignedBuffer data;

  HostTensor() = default;
  /// Zeros. The shape must have passed getNumElements.
  HostTensor(ElementKind kind, llvm::ArrayRef<int64_t> shape);

  int64_t getNumElements() const { return data.size() / getByteWidth(kind); }
  /// Element `i` in row-major order as a number.
  double getElement(int64_t i) const;
};

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_HOSTTENSOR_H
