//===- MaskConstant.h - Reading and writing constant masks and weights -*- C++ -*-===//
//
// A constant mask or weight comes as dense<...> (masks bit-packed, splats short) or as dense_resource<...> (one byte
// for each mask element). These helpers read both alike, and write the form that suits the size.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_IR_MASKCONSTANT_H
#define PRUNE_DIALECT_PRUNE_IR_MASKCONSTANT_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Value.h"
#include <string>
#include <vector>

namespace mlir::prune {

/// Constants of more elements than this are dense_resource<...>, smaller ones dense<...>.
inline constexpr int64_t kMaxInlineElements = 1024;

/// Where a reader reports what is wrong with a constant; null to stay silent.
using EmitErrorFn = function_ref<InFlightDiagnostic()>;

/// The elements of a constant mask, one byte (0 or 1) each, row-major. Borrows the bytes of a resource, owns a copy
/// otherwise; a borrowed view lives as long as the resource.
class MaskData {
public:
  /// Reads an i1 elements attribute. Fails if it is something else, if a resource has no data or the wrong size, or a
  /// byte that is neither 0 nor 1.
  static FailureOr<MaskData> read(Attribute attr, EmitErrorFn emitError = nullptr);

  MaskData(MaskData &&) = default;
  MaskData &operator=(MaskData &&) = default;

  ArrayRef<uint8_t> bytes() const { return view; }
  ArrayRef<int64_t> shape() const { return type.getShape(); }
  int64_t size() const { return static_cast<int64_t>(view.size()); }
  int64_t countKept() const;

private:
  MaskData() = default;
  ShapedType type;
  std::vector<uint8_t> storage;
  ArrayRef<uint8_t> view;
};

/// The elements of a constant f16, bf16, f32, f64 or i8 weight as f32, row-major. Borrows f32 data, converts the rest
/// (f64 is rounded to nearest even).
class WeightData {
public:
  static FailureOr<WeightData> read(Attribute attr, EmitErrorFn emitError = nullptr);

  WeightData(WeightData &&) = default;
  WeightData &operator=(WeightData &&) = default;

  ArrayRef<float> values() const { return view; }
  ArrayRef<int64_t> shape() const { return type.getShape(); }

private:
  WeightData() = default;
  ShapedType type;
  std::vector<float> storage;
  ArrayRef<float> view;
};

/// The raw bytes of a constant: one element if `isSplat`, all of them otherwise. i1 constants of dense<...> are packed
/// into bits. Fails (with a message) on attributes without data and on resources of the wrong size.
struct RawConstant {
  ShapedType type;
  ArrayRef<char> bytes;
  bool isSplat = false;
  bool isResource = false;
};
FailureOr<RawConstant> readRawConstant(Attribute attr, EmitErrorFn emitError = nullptr);

/// True if `attr` is a dense_resource whose bytes are not there (IR printed with elided resources): nothing can be said
/// about such a constant.
bool isElidedResource(Attribute attr);

/// A constant mask of `type` (i1) from bytes 0 or 1. Above kMaxInlineElements it is a resource with the key `name`,
/// made unique if that is taken.
ElementsAttr makeMaskAttr(ShapedType type, ArrayRef<uint8_t> bytes, StringRef name);

/// A constant of `type` from its raw bytes, always as a resource; the bytes are copied.
ElementsAttr makeResourceAttr(ShapedType type, ArrayRef<char> bytes, StringRef name);

/// Digest of a mask: 16 hexadecimal digits, of its shape and bytes. The same on every machine.
std::string digestMask(ArrayRef<int64_t> shape, ArrayRef<uint8_t> bytes);

/// The attribute of the constant that defines `value`, or null.
Attribute getConstantAttr(Value value);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_IR_MASKCONSTANT_H
