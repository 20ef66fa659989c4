//===- ColumnKernels.cpp - Products that read only what is multiplied with nonzeros ---===//
//
// One token reads a weight once, so that memory decides: rows of the transposed weight stream past eight at a time,
// from end to end, while the result stays in the cache. Eight streams hide each other's latency and share one load and
// store of the result. Several tokens take turns, eight rows each.
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

struct ListEmitter : private VectorKernelBuilder {
  ListEmitter(RewriterBase &rewriter, ListNonzerosOp op) : VectorKernelBuilder(op.getLoc(), rewriter), op(op) {}

  void run();

private:
  /// Writes entry `position` of the list of `token`.
  void write(Value token, Value position, Value column, Value value) {
    memref::StoreOp::create(b, column, op.getColumns(), ValueRange{token, position});
    memref::StoreOp::create(b, value, op.getValues(), ValueRange{token, position});
  }

  ListNonzerosOp op;
};

class SumEmitter : private ColumnLoops {
public:
  SumEmitter(RewriterBase &rewriter, SumColumnsOp op, const LinearKernelOptions &options)
      : ColumnLoops(op.getLoc(), rewriter, options), op(op) {}

  void run();

private:
  /// The columns of the result from `begin` to `end`, for all tokens.
  void emitShare(Value begin, Value end);
  /// Adds entries of the list of `token` from `entry` on.
  void emitStep(Value token, Value entry, Value begin, Value end);

  SumColumnsOp op;
};

} // namespace

void ListEmitter::run() {
  auto type = cast<MemRefType>(op.getInput().getType());
  int64_t numTokens = type.getDimSize(0), numColumns = type.getDimSize(1);
  Type i32 = b.getI32Type();
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  auto tokens = scf::ForOp::create(b, index(0), index(numTokens), index(1));
  b.setInsertionPointToStart(tokens.getBody());
  Value token = tokens.getInductionVar();
  // Each element is written behind the list, which then grows by it or not: no branch that could be guessed wrong.
  Value none = arith::ConstantOp::create(b, b.getI32IntegerAttr(0));
  SmallVector<Value> list =
      forLoop(index(0), index(numColumns), 1, {index(0), none}, [&](Value column, ValueRange carried) {
        Value value = memref::LoadOp::create(b, op.getInput(), ValueRange{token, column});
        Value number = arith::IndexCastOp::create(b, i32, column);
        write(token, carried[0], number, value);
        Value isKept = arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, value, zero);
        Value grown = arith::SelectOp::create(b, isKept, add(carried[0], 1), carried[0]);
        Value last = arith::SelectOp::create(b, isKept, number, carried[1]);
        return SmallVector<Value>{grown, last};
      });
  Value count = list[0], last = list[1];
  Value rounded = mul(arith::DivUIOp::create(b, add(count, kStep - 1), index(kStep)), kStep);
  auto rest = scf::ForOp::create(b, count, rounded, index(1));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(rest.getBody());
    write(token, rest.getInductionVar(), last, zero);
  }
  memref::StoreOp::create(b, arith::IndexCastOp::create(b, i32, rounded), op.getCounts(), ValueRange{token});
}

void SumEmitter::emitStep(Value token, Value entry, Value begin, Value end) {
  SmallVector<Value> rows, factors;
  for (int64_t i = 0; i < kStep; ++i) {
    rows.push_back(loadIndex(op.getColumns(), {token, add(entry, i)}));
    factors.push_back(memref::LoadOp::create(b, op.getValues(), ValueRange{token, add(entry, i)}));
  }
  overColumns(begin, end, 1, [&](Value column, int64_t, int64_t width) {
    auto type = VectorType::get(width, f32);
    Value sum = vector::LoadOp::create(b, type, op.getInit(), ValueRange{token, column});
    for (auto [row, factor] : llvm::zip(rows, factors))
      sum = fma(broadcast(factor, type), vector::LoadOp::create(b, type, op.getWeight(), ValueRange{row, column}), sum);
    vector::StoreOp::create(b, sum, op.getInit(), ValueRange{token, column});
  });
}

void SumEmitter::emitShare(Value begin, Value end) {
  fillZero(op.getInit(), begin, end);
  takeTurns(op.getCounts(), index(0), findLongest(op.getCounts()), kStep,
            [&](Value token, Value entry) { emitStep(token, entry, begin, end); });
}

void SumEmitter::run() {
  int64_t numColumns = cast<MemRefType>(op.getInit().getType()).getDimSize(1);
  overShares(index(numColumns), op.getShares(), kFloatsPerLine, [&](Value begin, Value end) { emitShare(begin, end); });
}

LogicalResult mlir::prune::lowerListNonzeros(RewriterBase &rewriter, ListNonzerosOp op) {
  return lowerBy<ListEmitter>(rewriter, op);
}

LogicalResult mlir::prune::lowerSumColumns(RewriterBase &rewriter, SumColumnsOp op,
                                           const LinearKernelOptions &options) {
  return lowerBy<SumEmitter>(rewriter, op, options);
}
