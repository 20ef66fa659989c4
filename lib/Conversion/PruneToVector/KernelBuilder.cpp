//===- KernelBuilder.cpp - What the emitters of kernels share -------------------===//

#include "KernelBuilder.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace mlir::prune;

Value KernelBuilder::applyEpilogue(Block &body, ValueRange arguments, ArrayRef<int64_t> shape) {
  IRMapping mapping;
  mapping.map(body.getArguments(), arguments);
  // Constants may have been hoisted out of the region.
  auto lookup = [&](Value value) -> Value {
    if (Value mapped = mapping.lookupOrNull(value))
      return mapped;
    return vector::BroadcastOp::create(b, VectorType::get(shape, value.getType()), value);
  };
  for (Operation &scalar : body.without_terminator()) {
    SmallVector<Type> types;
    for (Type type : scalar.getResultTypes())
      types.push_back(VectorType::get(shape, type));
    if (auto constant = dyn_cast<arith::ConstantOp>(scalar)) {
      auto splat = DenseElementsAttr::get(cast<ShapedType>(types.front()), constant.getValue());
      mapping.map(constant.getResult(), arith::ConstantOp::create(b, splat).getResult());
      continue;
    }
    SmallVector<Value> operands;
    for (Value operand : scalar.getOperands())
      operands.push_back(lookup(operand));
    OperationState state(b.getLoc(), scalar.getName().getStringRef(), operands, types, scalar.getAttrs());
    state.propertiesAttr = scalar.getPropertiesAsAttribute();
    Operation *vectorized = b.create(state);
    mapping.map(scalar.getResults(), vectorized->getResults());
  }
  return lookup(cast<YieldOp>(body.getTerminator()).getValues().front());
}
