//===- SelectLargest.cpp - The largest of many numbers, as code -------------------===//
//
// The least key that is kept is found bit by bit, counting the keys above a candidate: 32 passes over a row in vectors,
// whatever the numbers are. What equals it is kept from the left until there are enough, by a scalar loop where that
// leaves some out.
//
//===----------------------------------------------------------------------===//

#include "SelectLargest.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include <limits>

using namespace mlir;
using namespace mlir::prune;

namespace {

class LargestEmitter {
public:
  LargestEmitter(ImplicitLocOpBuilder &b, int64_t numRows, int64_t rowSize, int64_t keep)
      : b(b), numRows(numRows), rowSize(rowSize), keep(keep), i32(b.getI32Type()) {}

  /// `scores` and the result are [rows, size].
  Value run(Value scores);

private:
  Value makeInt(int32_t value) { return arith::ConstantOp::create(b, b.getI32IntegerAttr(value)); }
  Value makeIndex(int64_t value) { return arith::ConstantIndexOp::create(b, value); }
  Value fill(Value value, ArrayRef<int64_t> shape) {
    Value empty = tensor::EmptyOp::create(b, shape, value.getType());
    return linalg::FillOp::create(b, value, empty).getResult(0);
  }
  Value emitKeys(Value scores);
  /// Keys of each row that compare with the row's element of `bounds` as `predicate` says.
  Value count(Value keys, Value bounds, arith::CmpIPredicate predicate);
  Value findBounds(Value keys);
  Value keepNotLess(Value keys, Value mask, Value row, Value bound);
  Value keepFirst(Value keys, Value mask, Value row, Value bound, Value left);

  ImplicitLocOpBuilder &b;
  int64_t numRows, rowSize, keep;
  Type i32;
};

} // namespace

Value mlir::prune::emitScoreKey(ImplicitLocOpBuilder &b, Value score) {
  auto type = b.getIntegerType(score.getType().getIntOrFloatBitWidth());
  unsigned width = type.getWidth();
  auto makeInt = [&](const APInt &value) -> Value {
    return arith::ConstantOp::create(b, b.getIntegerAttr(type, value));
  };
  Value most = makeInt(APInt::getSignedMaxValue(width));
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(score.getType()));
  Value bits = arith::BitcastOp::create(b, type, arith::AddFOp::create(b, score, zero));
  Value sign = arith::ShRSIOp::create(b, bits, makeInt(APInt(width, width - 1)));
  Value ordered = arith::XOrIOp::create(b, bits, arith::AndIOp::create(b, sign, most));
  Value isNaN = arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, score, score);
  return arith::SelectOp::create(b, isNaN, most, ordered);
}

Value LargestEmitter::emitKeys(Value scores) {
  Value empty = tensor::EmptyOp::create(b, {numRows, rowSize}, i32);
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(2));
  SmallVector<utils::IteratorType> loops(2, utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, empty.getType(), scores, empty, maps, loops,
                                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                                     ImplicitLocOpBuilder body(loc, builder);
                                     linalg::YieldOp::create(body, emitScoreKey(body, args[0]));
                                   })
      .getResult(0);
}

Value LargestEmitter::count(Value keys, Value bounds, arith::CmpIPredicate predicate) {
  MLIRContext *context = b.getContext();
  AffineMap all = b.getMultiDimIdentityMap(2), row = AffineMap::get(2, 0, b.getAffineDimExpr(0), context);
  Value zeros = fill(makeInt(0), numRows);
  return linalg::GenericOp::create(b, zeros.getType(), ValueRange{keys, bounds}, zeros, {all, row, row},
                                   {utils::IteratorType::parallel, utils::IteratorType::reduction},
                                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                                     Value compares = arith::CmpIOp::create(builder, loc, predicate, args[0], args[1]);
                                     Value one = arith::ExtUIOp::create(builder, loc, i32, compares);
                                     linalg::YieldOp::create(
                                         builder, loc, arith::AddIOp::create(builder, loc, args[2], one).getResult());
                                   })
      .getResult(0);
}

/// The `keep`-th largest key of each row.
Value LargestEmitter::findBounds(Value keys) {
  // From the least number up by 2^31 (which wraps to 0), 2^30 and so on, while enough keys are not less.
  Value least = fill(makeInt(std::numeric_limits<int32_t>::min()), numRows), one = makeInt(1), wanted = makeInt(keep);
  auto loop = scf::ForOp::create(b, makeIndex(0), makeIndex(32), makeIndex(1), least);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value bounds = loop.getRegionIterArg(0);
  Value shift = arith::SubIOp::create(b, makeInt(31), arith::IndexCastOp::create(b, i32, loop.getInductionVar()));
  Value step = arith::ShLIOp::create(b, one, shift);
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(1));
  Value empty = tensor::EmptyOp::create(b, numRows, i32);
  Value candidates = linalg::GenericOp::create(b, empty.getType(), bounds, empty, maps, utils::IteratorType::parallel,
                                               [&](OpBuilder &builder, Location loc, ValueRange args) {
                                                 Value sum = arith::AddIOp::create(builder, loc, args[0], step);
                                                 linalg::YieldOp::create(builder, loc, sum);
                                               })
                         .getResult(0);
  Value counts = count(keys, candidates, arith::CmpIPredicate::sge);
  // In the place of the old bounds.
  maps.push_back(maps.front());
  Value next = linalg::GenericOp::create(
                   b, empty.getType(), ValueRange{counts, candidates}, bounds, maps, utils::IteratorType::parallel,
                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                     Value enough = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, args[0], wanted);
                     Value chosen = arith::SelectOp::create(builder, loc, enough, args[1], args[2]);
                     linalg::YieldOp::create(builder, loc, chosen);
                   })
                   .getResult(0);
  scf::YieldOp::create(b, next);
  return loop.getResult(0);
}

/// `mask` with what a row keeps where nothing beyond `keep` keys equals its bound.
Value LargestEmitter::keepNotLess(Value keys, Value mask, Value row, Value bound) {
  OpFoldResult one = b.getIndexAttr(1), zero = b.getIndexAttr(0);
  SmallVector<OpFoldResult> offsets{row, zero}, sizes{one, b.getIndexAttr(rowSize)}, strides{one, one};
  Value keysOfRow = tensor::ExtractSliceOp::create(b, keys, offsets, sizes, strides);
  Value maskOfRow = tensor::ExtractSliceOp::create(b, mask, offsets, sizes, strides);
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(2));
  SmallVector<utils::IteratorType> loops(2, utils::IteratorType::parallel);
  auto kept = linalg::GenericOp::create(b, maskOfRow.getType(), keysOfRow, maskOfRow, maps, loops,
                                        [&](OpBuilder &builder, Location loc, ValueRange args) {
                                          Value isKept = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge,
                                                                               args[0], bound);
                                          linalg::YieldOp::create(builder, loc, isKept);
                                        });
  return tensor::InsertSliceOp::create(b, kept.getResult(0), mask, offsets, sizes, strides);
}

/// `mask` with what a row keeps: all above its bound, and the first `left` that equal it.
Value LargestEmitter::keepFirst(Value keys, Value mask, Value row, Value bound, Value left) {
  Value one = makeInt(1), zero = makeInt(0);
  auto columns = scf::ForOp::create(b, makeIndex(0), makeIndex(rowSize), makeIndex(1), ValueRange{mask, left});
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(columns.getBody());
  Value place = columns.getInductionVar(), soFar = columns.getRegionIterArg(0), stillLeft = columns.getRegionIterArg(1);
  Value key = tensor::ExtractOp::create(b, keys, ValueRange{row, place});
  Value isAbove = arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, key, bound);
  Value isEqual = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, key, bound);
  Value hasLeft = arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, stillLeft, zero);
  Value takes = arith::AndIOp::create(b, isEqual, hasLeft);
  Value kept = arith::OrIOp::create(b, isAbove, takes);
  Value next = tensor::InsertOp::create(b, kept, soFar, ValueRange{row, place});
  Value less = arith::SubIOp::create(b, stillLeft, arith::SelectOp::create(b, takes, one, zero));
  scf::YieldOp::create(b, ValueRange{next, less});
  return columns.getResult(0);
}

Value LargestEmitter::run(Value scores) {
  Value keys = emitKeys(scores), bounds = findBounds(keys);
  Value notLess = count(keys, bounds, arith::CmpIPredicate::sge);
  Value above = count(keys, bounds, arith::CmpIPredicate::sgt);
  Value wanted = makeInt(keep), mask = tensor::EmptyOp::create(b, {numRows, rowSize}, b.getI1Type());
  auto rows = scf::ForOp::create(b, makeIndex(0), makeIndex(numRows), makeIndex(1), mask);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(rows.getBody());
  Value row = rows.getInductionVar(), soFar = rows.getRegionIterArg(0);
  Value bound = tensor::ExtractOp::create(b, bounds, row);
  Value left = arith::SubIOp::create(b, wanted, tensor::ExtractOp::create(b, above, row));
  Value isExact = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, tensor::ExtractOp::create(b, notLess, row), wanted);
  auto choice = scf::IfOp::create(b, soFar.getType(), isExact, /*withElseRegion=*/true);
  scf::YieldOp::create(b, choice.getResult(0));
  b.setInsertionPointToStart(choice.thenBlock());
  scf::YieldOp::create(b, keepNotLess(keys, soFar, row, bound));
  b.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(b, keepFirst(keys, soFar, row, bound, left));
  return rows.getResult(0);
}

Value mlir::prune::emitLargest(ImplicitLocOpBuilder &b, Value scores, int64_t keep) {
  auto type = cast<RankedTensorType>(scores.getType());
  int64_t rank = type.getRank(), rowSize = type.getShape().back(), numRows = type.getNumElements() / rowSize;
  SmallVector<ReassociationIndices> groups{llvm::to_vector(llvm::seq<int64_t>(0, rank - 1)), {rank - 1}};
  auto flat = type.clone({numRows, rowSize});
  if (rank == 1)
    scores = tensor::ExpandShapeOp::create(b, flat, scores, ArrayRef<ReassociationIndices>{{0, 1}});
  else if (rank > 2)
    scores = tensor::CollapseShapeOp::create(b, scores, groups);
  Value mask = LargestEmitter(b, numRows, rowSize, keep).run(scores);
  if (rank == 1)
    return tensor::CollapseShapeOp::create(b, mask, ArrayRef<ReassociationIndices>{{0, 1}});
  return rank > 2 ? tensor::ExpandShapeOp::create(b, type.clone(b.getI1Type()), mask, groups).getResult() : mask;
}
