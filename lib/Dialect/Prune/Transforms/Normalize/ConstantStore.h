//===- ConstantStore.h - New constants made from old ones -----------*- C++ -*-===//
//
// Large constants live in resources: types change and elements move without a copy of the data staying behind in the
// context. New resources get temporary keys that remember their origin; nameWeights gives them their names at the end.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_TRANSFORMS_NORMALIZE_CONSTANTSTORE_H
#define PRUNE_TRANSFORMS_NORMALIZE_CONSTANTSTORE_H

#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringMap.h"
#include <map>
#include <optional>

namespace mlir::prune {

/// A rearrangement of elements: result[i0, i1, ...] = source[offset + i0 * strides[0] + i1 * strides[1] + ...].
struct Move {
  RankedTensorType type;
  int64_t offset = 0;
  SmallVector<int64_t> strides;
};

/// Row-major strides of `shape`.
SmallVector<int64_t> getRowMajorStrides(ArrayRef<int64_t> shape);

/// A parameter name from the scope of a node: `/encoder/layer.0/query/MatMul` -> `encoder.layer.0.query.weight`.
/// PyTorch repeats the path inside a list of modules: `/layer1/layer1.0/conv1/Conv` -> `layer1.0.conv1.weight`.
std::string nameFromScope(StringRef scope, StringRef kind);

class ConstantStore {
public:
  ConstantStore(MLIRContext *context, int64_t inlineLimit) : context(context), inlineLimit(inlineLimit) {}

  /// Turns dense<> constants of more than the inline limit into resources that point at the same bytes.
  void externalize(ModuleOp module);

  /// `source` rearranged; `source` itself with another type when its bytes need no move. The same question twice gives
  /// the same attribute. Null when the bytes of `source` are not at hand.
  ElementsAttr move(ElementsAttr source, const Move &move);

  /// A constant of `bytes`, made from `origin` (may be null).
  ElementsAttr create(RankedTensorType type, AsmResourceBlob &&bytes, ElementsAttr origin);

  /// Makes a resource of `attr` if it is none: upstream folders leave resources alone.
  ElementsAttr toResource(ElementsAttr attr);

  /// Gives every temporary its name, merges equal constants, frees bytes that nobody uses. Returns how many were named.
  int64_t nameWeights(ModuleOp module);

private:
  /// Name of the constant that `attr` comes from; empty: unknown.
  std::string getOrigin(ElementsAttr attr) const;
  DenseResourceElementsAttr insert(RankedTensorType type, AsmResourceBlob &&bytes, StringRef origin);
  void mergeEqual(ModuleOp module);

  using MoveKey = std::tuple<const void *, const void *, int64_t, std::vector<int64_t>>;
  MLIRContext *context;
  int64_t inlineLimit;
  std::map<MoveKey, ElementsAttr> moved;
  /// Names of origins by the key of the temporary resource.
  llvm::StringMap<std::string> origins;
};

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_NORMALIZE_CONSTANTSTORE_H
