//===- TokenDims.cpp - Which dimensions behind an activation are tokens -----------===//

#include "TokenDims.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/OpDefinition.h"

using namespace mlir;
using namespace mlir::prune;
using llvm::SmallBitVector;

static RankedTensorType getTensorType(Value value) { return dyn_cast<RankedTensorType>(value.getType()); }

/// Loops take the tokens from the operands that have them to all others.
LogicalResult TokenDims::visitStructured(Operation *op, TokenUse &use) {
  auto structured = cast<linalg::LinalgOp>(op);
  SmallBitVector loops(structured.getNumLoops());
  for (OpOperand &operand : op->getOpOperands())
    for (unsigned dim : use.operands[operand.getOperandNumber()].set_bits()) {
      auto loop = dyn_cast<AffineDimExpr>(structured.getMatchingIndexingMap(&operand).getResult(dim));
      if (!loop)
        return op->emitOpError() << "cannot do with fewer tokens: it reads them through a window";
      loops.set(loop.getPosition());
    }
  WalkResult walk = op->walk([&](linalg::IndexOp index) {
    return loops.test(index.getDim()) ? WalkResult::interrupt() : WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return op->emitOpError() << "cannot do with fewer tokens: it computes with their positions";
  for (OpOperand &operand : op->getOpOperands()) {
    RankedTensorType type = getTensorType(operand.get());
    if (!type)
      continue;
    SmallBitVector wanted(type.getRank());
    for (auto [dim, expr] : llvm::enumerate(structured.getMatchingIndexingMap(&operand).getResults())) {
      for (unsigned loop : loops.set_bits()) {
        if (!expr.isFunctionOfDim(loop))
          continue;
        if (!isa<AffineDimExpr>(expr))
          return op->emitOpError() << "cannot do with fewer tokens: it reads them through a window";
        wanted.set(dim);
      }
    }
    SmallBitVector &known = use.operands[operand.getOperandNumber()];
    if (known.any() && known != wanted)
      return op->emitOpError() << "cannot do with fewer tokens: operand " << operand.getOperandNumber()
                               << " has another dimension in their place";
    known = wanted;
  }
  for (OpOperand &init : structured.getDpsInitsMutable())
    if (op->getNumResults())
      dims[structured.getTiedOpResult(&init)] = use.operands[init.getOperandNumber()];
  return success();
}

LogicalResult TokenDims::visitReshape(Operation *op, ArrayRef<SmallVector<int64_t, 2>> groups, bool expands,
                                      TokenUse &use) {
  RankedTensorType from = getTensorType(op->getOperand(0)), to = getTensorType(op->getResult(0));
  SmallBitVector result(to.getRank());
  for (auto [single, group] : llvm::enumerate(groups))
    for (unsigned dim : use.operands[0].set_bits()) {
      if (expands ? dim != single : !llvm::is_contained(group, dim))
        continue;
      RankedTensorType many = expands ? to : from;
      // Tokens may only lie among dimensions of size 1.
      for (int64_t other : group)
        if (many.getDimSize(other) != 1 && many.getDimSize(other) != numTokens)
          return op->emitOpError() << "cannot do with fewer tokens: it splits or joins the dimension of tokens";
      if (llvm::count_if(group, [&](int64_t other) { return many.getDimSize(other) != 1; }) > 1)
        return op->emitOpError() << "cannot do with fewer tokens: it splits or joins the dimension of tokens";
      if (!expands)
        result.set(single);
      for (int64_t other : group)
        if (expands && many.getDimSize(other) != 1)
          result.set(other);
    }
  dims[op->getResult(0)] = result;
  return success();
}

LogicalResult TokenDims::visitElementwise(Operation *op, TokenUse &use) {
  RankedTensorType type = getTensorType(op->getResult(0));
  SmallBitVector tokens(type ? type.getRank() : 0);
  for (const SmallBitVector &operand : use.operands)
    if (operand.any())
      tokens = operand;
  for (auto [operand, known] : llvm::zip(op->getOperands(), use.operands)) {
    if (!getTensorType(operand))
      continue;
    if (known.any() && known != tokens)
      return op->emitOpError() << "cannot do with fewer tokens: its operands have them in different dimensions";
    known = tokens;
  }
  for (Value result : op->getResults())
    dims[result] = tokens;
  return success();
}

LogicalResult TokenDims::visit(Operation *op) {
  TokenUse use;
  use.op = op;
  bool reads = false;
  for (Value operand : op->getOperands()) {
    use.operands.push_back(get(operand));
    reads |= dims.contains(operand);
  }
  bool captures = false;
  op->walk([&](Operation *inner) {
    if (inner != op)
      for (Value operand : inner->getOperands())
        captures |= dims.contains(operand);
  });
  if (captures)
    return op->emitOpError() << "cannot do with fewer tokens: its region reads them from outside";
  if (!reads)
    return success();
  LogicalResult visited = failure();
  if (isa<linalg::LinalgOp>(op))
    visited = visitStructured(op, use);
  else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    visited = visitReshape(op, expand.getReassociationIndices(), /*expands=*/true, use);
  else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
    visited = visitReshape(op, collapse.getReassociationIndices(), /*expands=*/false, use);
  else if (OpTrait::hasElementwiseMappableTraits(op))
    visited = visitElementwise(op, use);
  else
    return op->emitOpError() << "cannot do with fewer tokens: no rule says what becomes of it";
  uses.push_back(std::move(use));
  return visited;
}

FailureOr<TokenDims> TokenDims::follow(Value value, int64_t dim) {
  TokenDims result;
  RankedTensorType type = getTensorType(value);
  result.numTokens = type.getDimSize(dim);
  result.dims[value] = SmallBitVector(type.getRank());
  result.dims[value].set(dim);
  Block *block = value.getParentBlock();
  for (Operation &op : block->without_terminator())
    if (failed(result.visit(&op)))
      return failure();
  return result;
}
