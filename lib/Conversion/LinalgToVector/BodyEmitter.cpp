//===- BodyEmitter.cpp - Regions of linalg ops on scalars or vectors -----------===//

#include "BodyEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace mlir::prune;

Value prune::broadcastTo(ImplicitLocOpBuilder &b, Value value, int64_t lanes) {
  if (lanes == 1 || isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(b, VectorType::get({lanes}, value.getType()), value).getResult();
}

Value prune::emitElementwise(ImplicitLocOpBuilder &b, Operation *op, ValueRange operands, int64_t lanes) {
  bool isVector = llvm::any_of(operands, [](Value v) { return isa<VectorType>(v.getType()); });
  SmallVector<Value> values(operands);
  Type resultType = op->getResult(0).getType();
  if (isVector) {
    for (Value &value : values)
      value = broadcastTo(b, value, lanes);
    resultType = VectorType::get({lanes}, resultType);
  }
  OperationState state(b.getLoc(), op->getName());
  state.addOperands(values);
  state.addTypes(resultType);
  state.addAttributes(op->getAttrs());
  return b.create(state)->getResult(0);
}

Value BodyEmitter::emitGather(ImplicitLocOpBuilder &b, Operation *op, ValueRange indices) {
  auto load = cast<memref::LoadOp>(op);
  Type type = load.getType();
  if (llvm::none_of(indices, [](Value v) { return isa<VectorType>(v.getType()); }))
    return memref::LoadOp::create(b, load.getMemRef(), indices).getResult();

  // The last index counts up with the lanes and the others stand still: one contiguous vector.
  auto lane = load.getIndices().empty() ? linalg::IndexOp()
                                        : load.getIndices().back().getDefiningOp<linalg::IndexOp>();
  SmallVector<int64_t> strides;
  int64_t offset;
  bool othersUniform = llvm::none_of(indices.drop_back(), [](Value v) { return isa<VectorType>(v.getType()); });
  if (lane && isLaneIndex(lane.getDim()) && othersUniform && !type.isInteger(1) &&
      succeeded(load.getMemRefType().getStridesAndOffset(strides, offset)) && strides.back() == 1) {
    SmallVector<Value> starts(indices);
    starts.back() = vector::ExtractOp::create(b, indices.back(), ArrayRef<int64_t>{0}).getResult();
    return vector::LoadOp::create(b, VectorType::get({lanes}, type), load.getMemRef(), starts).getResult();
  }
  SmallVector<Value> elements;
  for (int64_t i = 0; i < lanes; ++i) {
    SmallVector<Value> at;
    for (Value v : indices)
      at.push_back(isa<VectorType>(v.getType()) ? vector::ExtractOp::create(b, v, ArrayRef<int64_t>{i}).getResult() : v);
    elements.push_back(memref::LoadOp::create(b, load.getMemRef(), at).getResult());
  }
  return vector::FromElementsOp::create(b, VectorType::get({lanes}, type), elements).getResult();
}

/// The product of `add` if it can join the accumulation: it has no other use, the other operand is an accumulator.
static arith::MulFOp fusableProduct(Nest &nest, Operation &op, Value &accumulator) {
  auto add = dyn_cast<arith::AddFOp>(op);
  // Half precision has no such instruction on most targets: it would become calls.
  if (!add || !(add.getType().isF32() || add.getType().isF64()))
    return {};
  for (auto [value, other] : {std::pair(add.getLhs(), add.getRhs()), std::pair(add.getRhs(), add.getLhs())}) {
    auto product = value.getDefiningOp<arith::MulFOp>();
    auto argument = dyn_cast<BlockArgument>(other);
    if (product && product->hasOneUse() && product->getBlock() == &nest.body() && argument &&
        llvm::any_of(nest.operands, [&](NestOperand &o) { return o.output && o.argument == argument; })) {
      accumulator = other;
      return product;
    }
  }
  return {};
}

SmallVector<Value> BodyEmitter::emit(ImplicitLocOpBuilder &b) {
  IRMapping mapping;
  auto lookup = [&](Value value) -> Value {
    if (mapping.contains(value))
      return mapping.lookup(value);
    if (known)
      if (auto it = known->find(value); it != known->end())
        return it->second;
    if (auto blockArgument = dyn_cast<BlockArgument>(value); blockArgument && blockArgument.getOwner() == &nest.body()) {
      Value result = argument(blockArgument);
      mapping.map(value, result);
      return result;
    }
    return value;
  };
  DenseSet<Operation *> fused;
  if (fuseMultiplyAdd && nest.hasReduction())
    for (Operation &op : nest.body().without_terminator()) {
      Value accumulator;
      if (auto product = fusableProduct(nest, op, accumulator))
        fused.insert(product);
    }
  for (Operation &op : nest.body().without_terminator()) {
    if (fused.contains(&op) || (known && op.getNumResults() == 1 && known->contains(op.getResult(0))))
      continue;
    if (auto indexOp = dyn_cast<linalg::IndexOp>(op)) {
      mapping.map(indexOp.getResult(), index(indexOp.getDim()));
      continue;
    }
    Value accumulator;
    if (auto product = fusableProduct(nest, op, accumulator); product && fused.contains(product)) {
      SmallVector<Value> values = {lookup(product.getLhs()), lookup(product.getRhs()), lookup(accumulator)};
      bool isVector = llvm::any_of(values, [](Value v) { return isa<VectorType>(v.getType()); });
      Value result;
      if (isVector) {
        for (Value &value : values)
          value = broadcastTo(b, value, lanes);
        result = vector::FMAOp::create(b, values[0], values[1], values[2]).getResult();
      } else {
        result = math::FmaOp::create(b, values[0], values[1], values[2]).getResult();
      }
      mapping.map(op.getResult(0), result);
      continue;
    }
    SmallVector<Value> operands = llvm::map_to_vector(op.getOperands(), lookup);
    if (isa<memref::LoadOp>(op) && lanes > 1) {
      mapping.map(op.getResult(0), emitGather(b, &op, ValueRange(operands).drop_front()));
      continue;
    }
    if (lanes == 1 || op.getNumOperands() == 0 || op.getNumResults() != 1 || op.getNumRegions() != 0) {
      // Scalars: clone, with regions that may read arguments of the body.
      for (Value operand : op.getOperands())
        lookup(operand);
      op.walk([&](Operation *inner) {
        for (Value operand : inner->getOperands())
          if (auto arg = dyn_cast<BlockArgument>(operand); arg && arg.getOwner() == &nest.body())
            lookup(operand);
      });
      IRMapping complete(mapping);
      if (known)
        for (auto [from, to] : *known)
          complete.map(from, to);
      Operation *clone = b.clone(op, complete);
      for (auto [from, to] : llvm::zip(op.getResults(), clone->getResults()))
        mapping.map(from, to);
      SmallVector<linalg::IndexOp> inner;
      clone->walk([&](linalg::IndexOp op) { inner.push_back(op); });
      for (linalg::IndexOp op : inner) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(op);
        op.getResult().replaceAllUsesWith(index(op.getDim()));
        op.erase();
      }
      continue;
    }
    mapping.map(op.getResult(0), emitElementwise(b, &op, operands, lanes));
  }
  return llvm::map_to_vector(nest.body().getTerminator()->getOperands(), lookup);
}
