//===- GatherKept.cpp - Storage filled from kept elements ------------------------===//

#include "GatherKept.h"
#include "ConstantStorage.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::prune;

Value mlir::prune::gatherKept(ImplicitLocOpBuilder &b, Value values, ArrayRef<int32_t> places, ArrayRef<int64_t> shape,
                              const Twine &name) {
  Type element = cast<RankedTensorType>(values.getType()).getElementType();
  auto type = RankedTensorType::get(shape, element);
  Value empty = tensor::EmptyOp::create(b, shape, element);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(element));
  if (llvm::all_of(places, [](int32_t place) { return place < 0; }))
    return linalg::FillOp::create(b, zero, empty).getResult(0);
  Value from = makeConstant<int32_t>(b, places, shape, b.getI32Type(), name);
  Value none = arith::ConstantOp::create(b, b.getI32IntegerAttr(0));
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(shape.size()));
  SmallVector<utils::IteratorType> loops(shape.size(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, type, from, empty, maps, loops,
                                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                                     ImplicitLocOpBuilder body(loc, builder);
                                     Value isKept =
                                         arith::CmpIOp::create(body, arith::CmpIPredicate::sge, args[0], none);
                                     Value place = arith::MaxSIOp::create(body, args[0], none);
                                     Value index = arith::IndexCastOp::create(body, body.getIndexType(), place);
                                     Value kept = tensor::ExtractOp::create(body, values, index);
                                     Value result = arith::SelectOp::create(body, isKept, kept, zero);
                                     linalg::YieldOp::create(body, result);
                                   })
      .getResult(0);
}
