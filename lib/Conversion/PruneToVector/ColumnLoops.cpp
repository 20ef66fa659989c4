//===- ColumnLoops.cpp - Loops of kernels for few tokens ------------------------===//

#include "ColumnLoops.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::prune;

LogicalResult mlir::prune::checkBuffers(Operation *op) {
  for (Value operand : op->getOperands()) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.hasStaticShape() || !type.isLastDimUnitStride())
      return op->emitOpError() << "expected operands of static memref type with contiguous rows, got "
                               << operand.getType();
  }
  return success();
}

void ColumnLoops::loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, begin, end, index(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void ColumnLoops::overColumns(Value begin, Value end, int64_t vectors,
                              function_ref<void(Value, int64_t, int64_t)> body) {
  auto run = [&](int64_t count, int64_t width) {
    int64_t step = count * width;
    Value length = arith::SubIOp::create(b, end, begin);
    Value whole = step == 1 ? end : add(begin, mul(arith::DivUIOp::create(b, length, index(step)), step));
    loop(begin, whole, step, [&](Value column) { body(column, count, width); });
    begin = whole;
  };
  if (vectors > 1)
    run(vectors, options.lanes);
  run(1, options.lanes);
  run(1, 1);
}

void ColumnLoops::overShares(Value end, int64_t shares, int64_t unit, function_ref<void(Value, Value)> body) {
  if (!options.parallel || shares == 1)
    return body(index(0), end);
  Value units = arith::CeilDivUIOp::create(b, end, index(shares * unit));
  Value size = mul(units, unit);
  scf::ParallelOp::create(b, index(0), index(shares), index(1), [&](OpBuilder &nested, Location, ValueRange ivs) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
    auto bound = [&](Value share) -> Value {
      return arith::MinUIOp::create(b, arith::MulIOp::create(b, share, size), end);
    };
    Value begin = bound(ivs[0]), last = bound(add(ivs[0], 1));
    body(begin, last);
  });
}

Value ColumnLoops::findLongest(Value counts) {
  int64_t numTokens = cast<MemRefType>(counts.getType()).getDimSize(0);
  Value longest = loadIndex(counts, {index(0)});
  for (int64_t token = 1; token < numTokens; ++token)
    longest = arith::MaxUIOp::create(b, longest, loadIndex(counts, {index(token)}));
  return longest;
}

void ColumnLoops::takeTurns(Value counts, Value begin, Value end, int64_t step,
                            function_ref<void(Value, Value)> body) {
  int64_t numTokens = cast<MemRefType>(counts.getType()).getDimSize(0);
  loop(begin, end, step, [&](Value entry) {
    if (numTokens == 1)
      return body(index(0), entry);
    loop(numTokens, [&](Value token) {
      Value count = loadIndex(counts, {token});
      auto hasEntry = scf::IfOp::create(b, arith::CmpIOp::create(b, arith::CmpIPredicate::ult, entry, count));
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(hasEntry.thenBlock());
      body(token, entry);
    });
  });
}

void ColumnLoops::fillZero(Value matrix, Value begin, Value end) {
  loop(cast<MemRefType>(matrix.getType()).getDimSize(0), [&](Value row) {
    overColumns(begin, end, 1, [&](Value column, int64_t, int64_t width) {
      Value zeros = arith::ConstantOp::create(b, b.getZeroAttr(VectorType::get(width, f32)));
      vector::StoreOp::create(b, zeros, matrix, ValueRange{row, column});
    });
  });
}

Value ColumnLoops::broadcast(Value scalar, VectorType type) { return vector::BroadcastOp::create(b, type, scalar); }

Value ColumnLoops::fma(Value x, Value y, Value sum) { return vector::FMAOp::create(b, x, y, sum); }
