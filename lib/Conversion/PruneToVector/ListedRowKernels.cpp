//===- ListedRowKernels.cpp - Products whose results are needed in part ------------===//
//
// Eight listed rows of the weight stream past at a time, from end to end, each summed in a register of its own.
//
//===----------------------------------------------------------------------===//

#include "ColumnLoops.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace mlir::prune;

static constexpr int64_t kStep = ListNonzerosOp::kStep;

namespace {

class ListedRowsEmitter : private ColumnLoops {
public:
  ListedRowsEmitter(RewriterBase &rewriter, MultiplyRowsOp op, const LinearKernelOptions &options)
      : ColumnLoops(op.getLoc(), rewriter, options), op(op) {}

  void run();

private:
  /// Entries `entry` and after of the list of `token`.
  void emitStep(Value token, Value entry);
  /// Adds `width` columns at a time, from `begin` to `end`, to `sums`.
  SmallVector<Value> emitSums(Value token, ArrayRef<Value> rows, int64_t begin, int64_t end, int64_t width);

  MultiplyRowsOp op;
};

} // namespace

SmallVector<Value> ListedRowsEmitter::emitSums(Value token, ArrayRef<Value> rows, int64_t begin, int64_t end,
                                               int64_t width) {
  auto type = VectorType::get(width, f32);
  SmallVector<Value> zeros(rows.size(), arith::ConstantOp::create(b, b.getZeroAttr(type)));
  SmallVector<Value> sums = forLoop(index(begin), index(end), width, zeros, [&](Value column, ValueRange carried) {
    Value x = vector::LoadOp::create(b, type, op.getInput(), ValueRange{token, column});
    SmallVector<Value> results;
    for (auto [row, sum] : llvm::zip_equal(rows, carried)) {
      Value weights = vector::LoadOp::create(b, type, op.getWeight(), ValueRange{row, column});
      results.push_back(fma(x, weights, sum));
    }
    return results;
  });
  for (Value &sum : sums)
    sum = vector::ReductionOp::create(b, vector::CombiningKind::ADD, sum);
  return sums;
}

void ListedRowsEmitter::emitStep(Value token, Value entry) {
  SmallVector<Value> rows;
  for (int64_t i = 0; i < kStep; ++i)
    rows.push_back(loadIndex(op.getRows(), {token, add(entry, i)}));
  int64_t numColumns = cast<MemRefType>(op.getInput().getType()).getDimSize(1);
  int64_t whole = numColumns / options.lanes * options.lanes;
  SmallVector<Value> sums = emitSums(token, rows, 0, whole, options.lanes);
  if (whole < numColumns)
    for (auto [sum, rest] : llvm::zip_equal(sums, emitSums(token, rows, whole, numColumns, 1)))
      sum = arith::AddFOp::create(b, sum, rest);
  for (auto [row, sum] : llvm::zip_equal(rows, sums))
    memref::StoreOp::create(b, sum, op.getInit(), ValueRange{token, row});
}

void ListedRowsEmitter::run() {
  auto type = cast<MemRefType>(op.getInit().getType());
  fillZero(op.getInit(), index(0), index(type.getDimSize(1)));
  overShares(findLongest(op.getCounts()), op.getShares(), kStep, [&](Value begin, Value end) {
    takeTurns(op.getCounts(), begin, end, kStep, [&](Value token, Value entry) { emitStep(token, entry); });
  });
}

LogicalResult mlir::prune::lowerMultiplyRows(RewriterBase &rewriter, MultiplyRowsOp op,
                                             const LinearKernelOptions &options) {
  return lowerBy<ListedRowsEmitter>(rewriter, op, options);
}
