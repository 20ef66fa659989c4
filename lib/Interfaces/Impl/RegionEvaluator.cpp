//===- RegionEvaluator.cpp - What a scalar region makes of known numbers ------===//

#include "RegionEvaluator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::prune;

bool prune::isZero(TypedAttr number) {
  if (auto value = dyn_cast_or_null<FloatAttr>(number))
    return value.getValue().isZero();
  if (auto value = dyn_cast_or_null<IntegerAttr>(number))
    return value.getValue().isZero();
  return false;
}

KnownScalar RegionEvaluator::lookUp(Value value) {
  auto found = known.find(value);
  if (found != known.end())
    return found->second;
  if (value.getParentBlock() == &block)
    return {};
  // A scalar from outside.
  Attribute constant;
  if (!isa<ShapedType>(value.getType()) && matchPattern(value, m_Constant(&constant)))
    if (auto number = dyn_cast<TypedAttr>(constant))
      return {number, {}};
  return {TypedAttr(), value};
}

KnownScalar RegionEvaluator::evaluate(Operation *op) {
  if (op->getNumResults() != 1 || op->getNumRegions() != 0)
    return {};
  SmallVector<KnownScalar> operands;
  for (Value operand : op->getOperands())
    operands.push_back(lookUp(operand));

  auto isNumber = [&](unsigned i, auto predicate) { return operands[i].number && predicate(operands[i].number); };
  if (isa<arith::MulFOp, arith::MulIOp>(op)) {
    for (unsigned i : {0, 1})
      if (isNumber(i, isZero))
        return operands[i];
  } else if (isa<arith::DivFOp>(op)) {
    // The divisor of a removed index is not zero: that would not be finite in the model as it is either.
    if (isNumber(0, isZero) && !isNumber(1, isZero))
      return operands[0];
  } else if (isa<arith::AddFOp, arith::AddIOp>(op)) {
    for (unsigned i : {0, 1})
      if (isNumber(i, isZero) && !operands[1 - i].number)
        return operands[1 - i];
  } else if (isa<arith::SubFOp, arith::SubIOp>(op)) {
    if (isNumber(1, isZero) && !operands[0].number)
      return operands[0];
  } else if (isa<arith::SelectOp>(op)) {
    if (operands[1] && operands[1] == operands[2])
      return operands[1];
  }

  SmallVector<Attribute> constants;
  for (const KnownScalar &operand : operands)
    constants.push_back(operand.number);
  if (op->getNumOperands() == 0)
    return other ? KnownScalar{other(op), {}} : KnownScalar();
  SmallVector<OpFoldResult> folded;
  // Folders may change the op in place (swap operands): that keeps its meaning, but this is an analysis.
  Operation *clone = op->clone();
  LogicalResult result = clone->fold(constants, folded);
  KnownScalar known;
  if (succeeded(result) && folded.size() == 1) {
    if (auto number = dyn_cast_or_null<TypedAttr>(dyn_cast<Attribute>(folded.front())))
      known.number = number;
    else if (auto value = dyn_cast<Value>(folded.front()))
      known = lookUp(value);
  }
  clone->destroy();
  if (!known && other)
    known.number = other(op);
  return known;
}

SmallVector<KnownScalar> RegionEvaluator::evaluate(ArrayRef<KnownScalar> arguments) {
  known.clear();
  for (auto [argument, value] : llvm::zip_equal(block.getArguments(), arguments))
    if (value)
      known[argument] = value;
  for (Operation &op : block.without_terminator())
    if (KnownScalar value = evaluate(&op))
      known[op.getResult(0)] = value;
  SmallVector<KnownScalar> yielded;
  for (Value operand : block.getTerminator()->getOperands())
    yielded.push_back(lookUp(operand));
  return yielded;
}
