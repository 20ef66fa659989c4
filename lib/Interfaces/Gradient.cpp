//===- Gradient.cpp - Reverse mode: the sweep ---------------------------------===//

#include "prune/Interfaces/Gradient.h"
#include "Impl/GradientModels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

#include "prune/Interfaces/GradientOpInterface.cpp.inc"

using namespace mlir;
using namespace mlir::prune;

bool prune::isDifferentiableType(Type type) { return isa<FloatType>(getElementTypeOrSelf(type)); }

Value prune::createZeros(OpBuilder &builder, Location loc, Type type) {
  TypedAttr zero = builder.getFloatAttr(getElementTypeOrSelf(type), 0.0);
  Value scalar = arith::ConstantOp::create(builder, loc, zero);
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return scalar;
  Value empty = tensor::EmptyOp::create(builder, loc, tensor.getShape(), tensor.getElementType());
  return linalg::FillOp::create(builder, loc, scalar, empty).getResult(0);
}

/// Values that the op reads: operands, and what its regions capture.
static bool readsActive(Operation *op, const llvm::DenseSet<Value> &active) {
  bool found = false;
  op->walk([&](Operation *inner) {
    found |= llvm::any_of(inner->getOperands(), [&](Value operand) { return active.contains(operand); });
  });
  return found;
}

Gradients::Gradients(ValueRange sources, ArrayRef<Operation *> ops) {
  active.insert(sources.begin(), sources.end());
  for (Operation *op : ops)
    if (readsActive(op, active))
      for (Value result : op->getResults())
        if (isDifferentiableType(result.getType()))
          active.insert(result);
}

/// a + b, elementwise.
static Value createSum(OpBuilder &builder, Location loc, Value a, Value b) {
  auto type = dyn_cast<RankedTensorType>(a.getType());
  if (!type)
    return arith::AddFOp::create(builder, loc, a, b);
  Value empty = tensor::EmptyOp::create(builder, loc, type.getShape(), type.getElementType());
  SmallVector<AffineMap> maps(3, builder.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(builder, loc, type, ValueRange{a, b}, ValueRange{empty}, maps, iterators,
                                   [](OpBuilder &b, Location loc, ValueRange args) {
                                     Value sum = arith::AddFOp::create(b, loc, args[0], args[1]);
                                     linalg::YieldOp::create(b, loc, sum);
                                   })
      .getResult(0);
}

void Gradients::add(OpBuilder &builder, Location loc, Value value, Value term) {
  if (!isActive(value))
    return;
  Value &sum = sums[value];
  sum = sum ? createSum(builder, loc, sum, term) : term;
}

LogicalResult Gradients::sweep(OpBuilder &builder, ArrayRef<Operation *> ops) {
  for (Operation *op : llvm::reverse(ops)) {
    if (llvm::none_of(op->getResults(), [&](Value result) { return get(result); }))
      continue;
    auto rule = dyn_cast<GradientOpInterface>(op);
    if (!rule)
      return op->emitOpError() << "cannot be differentiated: expected an op with a gradient rule, got none";
    if (failed(rule.buildGradient(builder, *this)))
      return failure();
  }
  return success();
}

void prune::registerGradientExternalModels(DialectRegistry &registry) {
  registerScalarGradients(registry);
  registerLinalgGradients(registry);
  registerTensorGradients(registry);
  registerControlFlowGradients(registry);
}
