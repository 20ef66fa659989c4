//===- ConstantStorage.h - Arrays of a storage as constants -------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_CONSTANTSTORAGE_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_CONSTANTSTORAGE_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"

namespace mlir::prune {

/// An `arith.constant` of `data`, as a resource called `name` unless it is small.
template <typename T>
Value makeConstant(ImplicitLocOpBuilder &b, ArrayRef<T> data, ArrayRef<int64_t> shape, Type element,
                   const Twine &name) {
  ArrayRef<char> bytes(reinterpret_cast<const char *>(data.data()), data.size() * sizeof(T));
  auto type = RankedTensorType::get(shape, element);
  TypedAttr attr = static_cast<int64_t>(data.size()) > kMaxInlineElements
                       ? cast<TypedAttr>(makeResourceAttr(type, bytes, name.str()))
                       : cast<TypedAttr>(DenseElementsAttr::getFromRawBuffer(type, bytes));
  return arith::ConstantOp::create(b, attr);
}

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_CONSTANTSTORAGE_H
