//===- GenericBuilder.h - Generics whose inputs the body decides ----*- C++ -*-===//
#ifndef PRUNE_INTERFACES_IMPL_GENERICBUILDER_H
#define PRUNE_INTERFACES_IMPL_GENERICBUILDER_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::prune {

/// A `linalg.generic` under construction: all values that its body might read are offered, those that it does read
/// become inputs.
class GenericBuilder {
public:
  /// Loops have the given trip counts. The op will stand at the place of `builder`.
  GenericBuilder(OpBuilder &builder, Location loc, ArrayRef<int64_t> loopSizes);

  /// The element of `tensor` that `map` (from the loops) names, for use in the body.
  Value read(Value tensor, AffineMap map);

  /// Builds the body.
  OpBuilder &getBody() { return body; }

  /// Finishes the op: a tensor whose dimensions are the loops of `dims`, summed over all others.
  Value finish(Value result, ArrayRef<unsigned> dims);

private:
  OpBuilder &builder;
  Location loc;
  SmallVector<int64_t> loopSizes;
  std::unique_ptr<Block> block;
  OpBuilder body;
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
};

} // namespace mlir::prune

#endif // PRUNE_INTERFACES_IMPL_GENERICBUILDER_H
