//===- KeepLargestKernel.cpp - The largest elements of rows on GPUs -------------===//
//
// A block of threads for each row. Scores become integers in their order, and the least one that is kept is found two
// bits at a time, by counting how many are not below three candidates. What equals it is kept from the left until there
// are enough.
//
//===----------------------------------------------------------------------===//

#include "BlockSums.h"
#include "Kernels.h"
#include "LayerBuffers.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"

using namespace mlir;
using namespace mlir::prune;

/// Most bytes of a row's integers in shared memory; those of longer rows are made anew each time.
constexpr int64_t kMostKeyBytes = 44 * 1024;

namespace {

class KeepLargestKernel {
public:
  KeepLargestKernel(RewriterBase &rewriter, KeepLargestOp op, const GPUTarget &target)
      : op(op), shape(op.getScoresType().getShape()), numColumns(shape.back()),
        b(rewriter, op, target, "keep_largest", {op.getScores(), op.getMask()},
          {ShapedType::getNumElements(shape.drop_back()), 1, 1}, {BlockSums::kThreads, 1, 1}),
        keyType(b.getIntegerType(op.getScoresType().getElementType().isF64() ? 64 : 32)), sums(b, kCandidates),
        thread(b.threadId()), row(getCoordinates(b, b.blockId(), shape.drop_back())) {}

  LogicalResult emit();

private:
  /// Two bits: 0 and three candidates.
  static constexpr int64_t kCandidates = 3;

  SmallVector<Value> at(Value column) const {
    SmallVector<Value> indices(row);
    indices.push_back(column);
    return indices;
  }
  Value makeKey(Value column);
  Value getKey(Value column) { return keys ? memref::LoadOp::create(b, keys, column).getResult() : makeKey(column); }
  Value makeInt(const APInt &value) { return arith::ConstantOp::create(b, b.getIntegerAttr(keyType, value)); }
  Value toCount(Value truth) { return arith::ExtUIOp::create(b, b.getI32Type(), truth); }
  Value findBound();
  void storeMask(Value bound);

  KeepLargestOp op;
  ArrayRef<int64_t> shape;
  int64_t numColumns;
  KernelBuilder b;
  IntegerType keyType;
  BlockSums sums;
  Value thread, keep;
  SmallVector<Value> row; ///< coordinates
  Value keys;             ///< in shared memory; null: made anew
};

} // namespace

Value KeepLargestKernel::makeKey(Value column) {
  Value score = memref::LoadOp::create(b, b.getBuffer(0), at(column));
  if (keyType.getWidth() == 32)
    score = b.convert(score, b.getF32Type());
  if (op.getMagnitude())
    score = math::AbsFOp::create(b, score);
  return emitScoreKey(b, score);
}

/// The `keep`-th largest key of the row.
Value KeepLargestKernel::findBound() {
  unsigned width = keyType.getWidth();
  Value one = makeInt(APInt(width, 1)), zero = b.zero(b.getI32Type());
  Value least = makeInt(APInt::getSignedMinValue(width));
  return b
      .forLoop(b.constant(0), b.constant(width), 2, least,
               [&](Value bit, ValueRange carried) {
                 Value shift = arith::IndexCastOp::create(b, keyType, b.sub(b.constant(width - 2), bit));
                 Value step = arith::ShLIOp::create(b, one, shift), bound = carried.front();
                 SmallVector<Value> candidates;
                 for (int64_t i = 0; i < kCandidates; ++i) // the first step up from the least number wraps to 0
                   candidates.push_back(b.add(i == 0 ? bound : candidates.back(), step));
                 SmallVector<Value> none(kCandidates, zero);
                 SmallVector<Value> counts = b.forLoop(
                     thread, b.constant(numColumns), BlockSums::kThreads, none, [&](Value column, ValueRange carried) {
                       Value key = getKey(column);
                       SmallVector<Value> result;
                       for (auto [count, candidate] : llvm::zip(carried, candidates)) {
                         Value reaches = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, key, candidate);
                         result.push_back(b.add(count, toCount(reaches)));
                       }
                       return result;
                     });
                 for (auto [count, candidate] : llvm::zip(sums.add(counts), candidates)) {
                   Value enough = arith::CmpIOp::create(b, arith::CmpIPredicate::uge, count, keep);
                   bound = arith::SelectOp::create(b, enough, candidate, bound);
                 }
                 return SmallVector<Value>{bound};
               })
      .front();
}

void KeepLargestKernel::storeMask(Value bound) {
  // Each thread has consecutive elements: an odd number of them, so that shared memory has no bank conflicts.
  int64_t count = getNumTiles(numColumns, BlockSums::kThreads) | 1;
  Value end = b.constant(numColumns), zero = b.zero(b.getI32Type());
  auto clamp = [&](Value column) -> Value { return arith::MinUIOp::create(b, column, end); };
  Value first = clamp(b.mul(thread, count)), last = clamp(b.add(first, count));
  auto compare = [&](arith::CmpIPredicate predicate, Value key) -> Value {
    return arith::CmpIOp::create(b, predicate, key, bound);
  };
  SmallVector<Value> counts = b.forLoop(first, last, 1, {zero, zero}, [&](Value column, ValueRange carried) {
    Value key = getKey(column);
    return SmallVector<Value>{b.add(carried[0], toCount(compare(arith::CmpIPredicate::eq, key))),
                              b.add(carried[1], toCount(compare(arith::CmpIPredicate::sgt, key)))};
  });
  Value above = sums.add(counts)[1];
  Value left = b.sub(keep, above);
  b.forLoop(first, last, 1, sums.getSumBefore(), [&](Value column, ValueRange carried) {
    Value key = getKey(column), isEqual = compare(arith::CmpIPredicate::eq, key);
    Value hasLeft = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, carried.front(), left);
    Value isKept =
        arith::OrIOp::create(b, compare(arith::CmpIPredicate::sgt, key), arith::AndIOp::create(b, isEqual, hasLeft));
    memref::StoreOp::create(b, isKept, b.getBuffer(1), at(column));
    return SmallVector<Value>{b.add(carried.front(), toCount(isEqual))};
  });
}

LogicalResult KeepLargestKernel::emit() {
  keep = arith::ConstantOp::create(b, b.getI32IntegerAttr(op.getKeep()));
  if (numColumns * keyType.getWidth() / 8 <= kMostKeyBytes) {
    Value shared = b.allocShared(MemRefType::get(numColumns, keyType));
    b.forLoop(thread, b.constant(numColumns), BlockSums::kThreads,
              [&](Value column) { memref::StoreOp::create(b, makeKey(column), shared, column); });
    b.barrier();
    keys = shared;
  }
  storeMask(findBound());
  return b.finish();
}

LogicalResult mlir::prune::lowerKeepLargest(RewriterBase &rewriter, KeepLargestOp op, const GPUTarget &target) {
  if (op.getScoresType().getNumElements() == 0)
    return success();
  return KeepLargestKernel(rewriter, op, target).emit();
}
