//===- Emit.cpp - Short ways to write structured ops --------------------------===//

#include "Emit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::prune;

static void build(OpBuilder &builder, Location loc, ValueRange args, EmitBody body) {
  ImplicitLocOpBuilder b(loc, builder);
  linalg::YieldOp::create(b, body(b, args));
}

SmallVector<Value> mlir::prune::emitMap(ImplicitLocOpBuilder &b, ValueRange inputs, ArrayRef<RankedTensorType> results,
                                        EmitBody body) {
  int64_t rank = results.front().getRank();
  SmallVector<AffineMap> maps;
  for (Value input : inputs)
    maps.push_back(cast<RankedTensorType>(input.getType()).getRank() == rank
                       ? b.getMultiDimIdentityMap(rank)
                       : AffineMap::get(rank, 0, ArrayRef<AffineExpr>(), b.getContext()));
  SmallVector<Value> inits;
  SmallVector<Type> types(results.begin(), results.end());
  for (RankedTensorType result : results) {
    maps.push_back(b.getMultiDimIdentityMap(rank));
    inits.push_back(tensor::EmptyOp::create(b, result.getShape(), result.getElementType()));
  }
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(b, types, inputs, inits, maps, loops,
                                           [&](OpBuilder &builder, Location loc, ValueRange args) {
                                             build(builder, loc, args.take_front(inputs.size()), body);
                                           });
  return SmallVector<Value>(generic.getResults());
}

SmallVector<Value> mlir::prune::emitSelected(ImplicitLocOpBuilder &b, Value mask, ValueRange values) {
  auto type = cast<RankedTensorType>(values.front().getType());
  SmallVector<Value> inputs(values);
  inputs.push_back(mask);
  SmallVector<RankedTensorType> types(values.size(), type);
  return emitMap(b, inputs, types, [&](ImplicitLocOpBuilder &b, ValueRange args) {
    Value zero = emitFloat(b, 0, type.getElementType());
    SmallVector<Value> selected;
    for (Value value : args.drop_back())
      selected.push_back(arith::SelectOp::create(b, args.back(), value, zero));
    return selected;
  });
}

Value mlir::prune::emitReduction(ImplicitLocOpBuilder &b, ValueRange inputs, ArrayRef<AffineMap> inputMaps,
                                 RankedTensorType result, AffineMap resultMap, TypedAttr init, EmitBody body) {
  SmallVector<AffineMap> maps(inputMaps);
  maps.push_back(resultMap);
  SmallVector<utils::IteratorType> loops(resultMap.getNumDims(), utils::IteratorType::reduction);
  for (AffineExpr expr : resultMap.getResults())
    loops[cast<AffineDimExpr>(expr).getPosition()] = utils::IteratorType::parallel;
  Value empty = tensor::EmptyOp::create(b, result.getShape(), result.getElementType());
  Value start =
      linalg::FillOp::create(b, ValueRange(arith::ConstantOp::create(b, init)), ValueRange(empty)).getResult(0);
  return linalg::GenericOp::create(
             b, TypeRange(result), inputs, ValueRange(start), maps, loops,
             [&](OpBuilder &builder, Location loc, ValueRange args) { build(builder, loc, args, body); })
      .getResult(0);
}

Value mlir::prune::emitSum(ImplicitLocOpBuilder &b, ValueRange inputs, Type elementType, EmitBody body) {
  int64_t rank = cast<RankedTensorType>(inputs.front().getType()).getRank();
  SmallVector<AffineMap> maps(inputs.size(), b.getMultiDimIdentityMap(rank));
  return emitReduction(b, inputs, maps, RankedTensorType::get({}, elementType),
                       AffineMap::get(rank, 0, ArrayRef<AffineExpr>(), b.getContext()),
                       cast<TypedAttr>(b.getZeroAttr(elementType)), [&](ImplicitLocOpBuilder &b, ValueRange args) {
                         Value term = body(b, args.drop_back()).front();
                         Value sum = isa<FloatType>(elementType) ? Value(arith::AddFOp::create(b, args.back(), term))
                                                                 : Value(arith::AddIOp::create(b, args.back(), term));
                         return SmallVector<Value>{sum};
                       });
}

Value mlir::prune::emitFloat(ImplicitLocOpBuilder &b, double value, Type type) {
  return arith::ConstantOp::create(b, b.getFloatAttr(type, value));
}

Value mlir::prune::emitExtract(ImplicitLocOpBuilder &b, Value tensor) {
  return tensor::ExtractOp::create(b, tensor, ValueRange());
}

Value mlir::prune::emitScalarTensor(ImplicitLocOpBuilder &b, Value scalar) {
  return tensor::FromElementsOp::create(b, RankedTensorType::get({}, scalar.getType()), scalar);
}
