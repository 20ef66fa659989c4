//===- ColumnKernels.cpp - Products that read only what is multiplied with nonzeros ---===//
//
// One token reads a weight once, so that memory decides: rows of the transposed weight stream past eight at a time,
// from end to end, while the result stays in the cache. Eight streams hide each other's latency and share one load and
// store of the result.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Conversion/PruneToVector/PruneToVector.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::prune;

static constexpr int64_t kStep = ListNonzerosOp::kStep;

/// Fails unless all operands are buffers of static shape with contiguous rows.
template <typename OpTy> static LogicalResult checkBuffers(OpTy op) {
  for (Value operand : op->getOperands()) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.hasStaticShape() || !type.isLastDimUnitStride())
      return op.emitOpError() << "expected operands of static memref type with contiguous rows, got "
                              << operand.getType();
  }
  return success();
}

namespace {

struct ListEmitter : private KernelBuilder {
  ListEmitter(RewriterBase &rewriter, ListNonzerosOp op) : KernelBuilder(op.getLoc(), rewriter), op(op) {}

  void run();

private:
  /// Writes entry `position` of the list of `token`.
  void write(Value token, Value position, Value column, Value value) {
    memref::StoreOp::create(b, column, op.getColumns(), ValueRange{token, position});
    memref::StoreOp::create(b, value, op.getValues(), ValueRange{token, position});
  }

  ListNonzerosOp op;
};

class SumEmitter : private KernelBuilder {
public:
  SumEmitter(RewriterBase &rewriter, SumColumnsOp op, const LinearKernelOptions &options)
      : KernelBuilder(op.getLoc(), rewriter), op(op), options(options) {}

  void run();

private:
  /// The columns of the result from `begin` to `end`, for all tokens.
  void emitShare(Value begin, Value end);
  /// Adds entries of the list of `token` from `entry` on.
  void emitStep(Value token, Value entry, Value begin, Value end);
  /// Runs `body` for vectors of `op`'s columns from `begin` to `end`, and for single columns where none fits.
  void overColumns(Value begin, Value end, function_ref<void(Value column, int64_t width)> body);
  void loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body);

  SumColumnsOp op;
  LinearKernelOptions options;
  Type f32;
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
  auto columns = scf::ForOp::create(b, index(0), index(numColumns), index(1), ValueRange{index(0), none},
                                    [&](OpBuilder &builder, Location, Value column, ValueRange carried) {
                                      OpBuilder::InsertionGuard guard(b);
                                      b.setInsertionPoint(builder.getInsertionBlock(), builder.getInsertionPoint());
                                      Value value = memref::LoadOp::create(b, op.getInput(), ValueRange{token, column});
                                      Value number = arith::IndexCastOp::create(b, i32, column);
                                      write(token, carried[0], number, value);
                                      Value isKept = arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, value, zero);
                                      Value grown = arith::SelectOp::create(b, isKept, add(carried[0], 1), carried[0]);
                                      Value last = arith::SelectOp::create(b, isKept, number, carried[1]);
                                      scf::YieldOp::create(b, ValueRange{grown, last});
                                    });
  Value count = columns.getResult(0), last = columns.getResult(1);
  Value rounded = mul(arith::DivUIOp::create(b, add(count, kStep - 1), index(kStep)), kStep);
  auto rest = scf::ForOp::create(b, count, rounded, index(1));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(rest.getBody());
    write(token, rest.getInductionVar(), last, zero);
  }
  memref::StoreOp::create(b, arith::IndexCastOp::create(b, i32, rounded), op.getCounts(), ValueRange{token});
}

void SumEmitter::loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, begin, end, index(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void SumEmitter::overColumns(Value begin, Value end, function_ref<void(Value, int64_t)> body) {
  Value length = arith::SubIOp::create(b, end, begin);
  Value whole = add(begin, mul(arith::DivUIOp::create(b, length, index(options.lanes)), options.lanes));
  loop(begin, whole, options.lanes, [&](Value column) { body(column, options.lanes); });
  loop(whole, end, 1, [&](Value column) { body(column, 1); });
}

void SumEmitter::emitStep(Value token, Value entry, Value begin, Value end) {
  SmallVector<Value> rows, factors;
  for (int64_t i = 0; i < kStep; ++i) {
    rows.push_back(loadIndex(op.getColumns(), {token, add(entry, i)}));
    factors.push_back(memref::LoadOp::create(b, op.getValues(), ValueRange{token, add(entry, i)}));
  }
  overColumns(begin, end, [&](Value column, int64_t width) {
    auto type = VectorType::get(width, f32);
    Value sum = vector::LoadOp::create(b, type, op.getInit(), ValueRange{token, column});
    for (auto [row, factor] : llvm::zip(rows, factors)) {
      Value weights = vector::LoadOp::create(b, type, op.getWeight(), ValueRange{row, column});
      sum = vector::FMAOp::create(b, vector::BroadcastOp::create(b, type, factor), weights, sum);
    }
    vector::StoreOp::create(b, sum, op.getInit(), ValueRange{token, column});
  });
}

void SumEmitter::emitShare(Value begin, Value end) {
  int64_t numTokens = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  loop(index(0), index(numTokens), 1, [&](Value token) {
    overColumns(begin, end, [&](Value column, int64_t width) {
      Value zeros = arith::ConstantOp::create(b, b.getZeroAttr(VectorType::get(width, f32)));
      vector::StoreOp::create(b, zeros, op.getInit(), ValueRange{token, column});
    });
    Value count = loadIndex(op.getCounts(), {token});
    loop(index(0), count, kStep, [&](Value entry) { emitStep(token, entry, begin, end); });
  });
}

void SumEmitter::run() {
  f32 = b.getF32Type();
  int64_t numColumns = cast<MemRefType>(op.getInit().getType()).getDimSize(1), shares = op.getShares();
  if (!options.parallel || shares == 1)
    return emitShare(index(0), index(numColumns));
  // Whole lines of the cache for each share.
  constexpr int64_t perLine = 64 / 4;
  int64_t size = llvm::alignTo((numColumns + shares - 1) / shares, perLine);
  scf::ParallelOp::create(b, index(0), index(shares), index(1), [&](OpBuilder &nested, Location, ValueRange ivs) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
    auto bound = [&](Value share) -> Value { return arith::MinUIOp::create(b, mul(share, size), index(numColumns)); };
    Value begin = bound(ivs[0]), end = bound(add(ivs[0], 1));
    emitShare(begin, end);
  });
}

LogicalResult mlir::prune::lowerListNonzeros(RewriterBase &rewriter, ListNonzerosOp op) {
  if (failed(checkBuffers(op)))
    return failure();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  ListEmitter(rewriter, op).run();
  rewriter.eraseOp(op);
  return success();
}

LogicalResult mlir::prune::lowerSumColumns(RewriterBase &rewriter, SumColumnsOp op,
                                           const LinearKernelOptions &options) {
  if (failed(checkBuffers(op)))
    return failure();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  SumEmitter(rewriter, op, options).run();
  rewriter.eraseOp(op);
  return success();
}
