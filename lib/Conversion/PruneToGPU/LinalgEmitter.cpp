//===- LinalgEmitter.cpp - One linalg operation inside of a kernel ------------===//

#include "LinalgEmitter.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace mlir::prune;

static bool isConstant(Value value) {
  return value.getDefiningOp() && value.getDefiningOp()->hasTrait<OpTrait::ConstantLike>();
}

LogicalResult mlir::prune::collectBuffers(linalg::LinalgOp op, llvm::SetVector<Value> &buffers) {
  llvm::SetVector<Value> used(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), used);
  for (Value value : used) {
    if (auto type = dyn_cast<MemRefType>(value.getType()); type && type.hasStaticShape())
      buffers.insert(value);
    else if (!isConstant(value))
      return op.emitOpError() << "has no kernel: expected operands that are buffers of static shape or constants, got "
                              << value.getType();
  }
  return success();
}

SmallVector<Value> LinalgEmitter::getIndices(OpOperand &operand, ValueRange loops) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  std::optional<SmallVector<Value, 8>> indices = affine::expandAffineMap(b, b.getLoc(), map, loops);
  assert(indices && "maps of linalg have no symbols and no division by zero");
  SmallVector<Value> result(indices->begin(), indices->end());
  if (buffers.rows.contains(operand.get()))
    std::fill_n(result.begin(), buffers.numRowDims, b.constant(0));
  return result;
}

Value LinalgEmitter::load(OpOperand &operand, ValueRange loops) {
  Value value = operand.get();
  if (!isa<MemRefType>(value.getType()))
    return b.clone(*value.getDefiningOp())->getResult(cast<OpResult>(value).getResultNumber());
  return memref::LoadOp::create(b, buffers.mapping.lookup(value), getIndices(operand, loops));
}

SmallVector<Value> LinalgEmitter::loadInputs(ValueRange loops) {
  return llvm::map_to_vector(op.getDpsInputOperands(), [&](OpOperand *input) {
    BlockArgument element = op.getMatchingBlockArgument(input);
    return element.use_empty() ? b.zero(element.getType()) : load(*input, loops);
  });
}

SmallVector<Value> LinalgEmitter::loadOutputs(ValueRange loops, bool all) {
  SmallVector<Value> values;
  for (OpOperand &output : op.getDpsInitsMutable()) {
    BlockArgument element = op.getMatchingBlockArgument(&output);
    values.push_back(all || !element.use_empty() ? load(output, loops) : b.zero(element.getType()));
  }
  return values;
}

SmallVector<Value> LinalgEmitter::emitBody(ValueRange inputs, ValueRange outputs, ValueRange loops) {
  SmallVector<Value> arguments(inputs);
  llvm::append_range(arguments, outputs);
  IRMapping inside = buffers.mapping;
  op.getBlock()->walk([&](linalg::IndexOp index) { inside.map(index.getResult(), loops[index.getDim()]); });
  return b.inlineBlock(*op.getBlock(), arguments, inside);
}

void LinalgEmitter::store(ValueRange values, ValueRange loops) {
  for (auto [value, output] : llvm::zip(values, op.getDpsInitsMutable()))
    memref::StoreOp::create(b, value, buffers.mapping.lookup(output.get()), getIndices(output, loops));
}
