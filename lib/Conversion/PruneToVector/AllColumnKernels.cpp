//===- AllColumnKernels.cpp - Dense products of few tokens by columns --------------===//
//
// The weight is read once, as prune.sum_columns would read it. Up to three tokens: eight of its rows stream past at a
// time, and all tokens take what they need of them. More tokens have more to compute than to wait for: sums of a few
// tokens stay in registers over a chunk of rows, and what the next columns need is fetched meanwhile.
//
//===----------------------------------------------------------------------===//

#include "ColumnLoops.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Analysis/CostModel.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Measured on an EPYC with AVX2: two vectors, a line of its cache; rows whose lines the first-level cache holds; and
/// twelve sums in registers.
constexpr int64_t kTileVectors = 2, kTileRows = 256, kTileTokens = 6;
class AllColumnsEmitter : private ColumnLoops {
public:
  AllColumnsEmitter(RewriterBase &rewriter, SumAllColumnsOp op, const LinearKernelOptions &options)
      : ColumnLoops(op.getLoc(), rewriter, options), op(op) {
    auto [rows, columns] = std::pair(getType(op.getWeight()).getDimSize(0), getType(op.getWeight()).getDimSize(1));
    numRows = rows;
    numColumns = columns;
    numTokens = getType(op.getInit()).getDimSize(0);
  }

  void run();

private:
  static MemRefType getType(Value value) { return cast<MemRefType>(value.getType()); }
  void emitStreams(Value begin, Value end);
  /// Adds what `count` rows from `row` on give.
  void emitStep(Value row, int64_t count, Value begin, Value end);
  void emitTiles(Value begin, Value end);
  /// The sums of `count` tokens from `token` on over rows `first` to `last`.
  void emitTile(Value token, int64_t count, Value first, Value last, Value column, int64_t vectors, int64_t width,
                bool prefetches);

  SumAllColumnsOp op;
  int64_t numRows = 0, numColumns = 0, numTokens = 0;
};

} // namespace

void AllColumnsEmitter::emitStep(Value row, int64_t count, Value begin, Value end) {
  SmallVector<SmallVector<Value>> factors(numTokens);
  for (auto [token, list] : llvm::enumerate(factors))
    for (int64_t i = 0; i < count; ++i)
      list.push_back(memref::LoadOp::create(b, op.getInput(), ValueRange{index(token), add(row, i)}));
  overColumns(begin, end, 1, [&](Value column, int64_t, int64_t width) {
    auto type = VectorType::get(width, f32);
    SmallVector<Value> weights;
    for (int64_t i = 0; i < count; ++i)
      weights.push_back(vector::LoadOp::create(b, type, op.getWeight(), ValueRange{add(row, i), column}));
    for (auto [token, list] : llvm::enumerate(factors)) {
      Value place = index(token), sum = vector::LoadOp::create(b, type, op.getInit(), ValueRange{place, column});
      for (auto [factor, weight] : llvm::zip_equal(list, weights))
        sum = fma(broadcast(factor, type), weight, sum);
      vector::StoreOp::create(b, sum, op.getInit(), ValueRange{place, column});
    }
  });
}

void AllColumnsEmitter::emitStreams(Value begin, Value end) {
  constexpr int64_t step = ListNonzerosOp::kStep;
  int64_t whole = numRows / step * step;
  loop(index(0), index(whole), step, [&](Value row) { emitStep(row, step, begin, end); });
  if (whole < numRows)
    emitStep(index(whole), numRows - whole, begin, end);
}

void AllColumnsEmitter::emitTile(Value token, int64_t count, Value first, Value last, Value column, int64_t vectors,
                                 int64_t width, bool prefetches) {
  auto type = VectorType::get(width, f32);
  SmallVector<Value> tokens, columns, sums;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(add(token, i));
  for (int64_t i = 0; i < vectors; ++i)
    columns.push_back(add(column, i * width));
  for (Value t : tokens)
    for (Value c : columns)
      sums.push_back(vector::LoadOp::create(b, type, op.getInit(), ValueRange{t, c}));
  SmallVector<Value> next;
  for (int64_t i = 0; prefetches && i < vectors * width; i += kFloatsPerLine)
    next.push_back(arith::MinUIOp::create(b, add(column, vectors * width + i), index(numColumns - 1)));
  sums = forLoop(first, last, 1, sums, [&](Value row, ValueRange carried) {
    for (Value place : next)
      memref::PrefetchOp::create(b, op.getWeight(), ValueRange{row, place}, /*isWrite=*/false, /*localityHint=*/3,
                                 /*isDataCache=*/true);
    SmallVector<Value> weights, results;
    for (Value c : columns)
      weights.push_back(vector::LoadOp::create(b, type, op.getWeight(), ValueRange{row, c}));
    for (auto [i, t] : llvm::enumerate(tokens)) {
      Value factor = broadcast(memref::LoadOp::create(b, op.getInput(), ValueRange{t, row}), type);
      for (auto [j, weight] : llvm::enumerate(weights))
        results.push_back(fma(factor, weight, carried[i * vectors + j]));
    }
    return results;
  });
  for (auto [i, sum] : llvm::enumerate(sums))
    vector::StoreOp::create(b, sum, op.getInit(), ValueRange{tokens[i / vectors], columns[i % vectors]});
}

void AllColumnsEmitter::emitTiles(Value begin, Value end) {
  // Groups of tokens as even as can be: the first one fetches for all.
  int64_t size = llvm::divideCeil(numTokens, llvm::divideCeil(numTokens, kTileTokens));
  int64_t whole = numTokens / size * size;
  loop(index(0), index(numRows), kTileRows, [&](Value first) {
    Value last = arith::MinUIOp::create(b, add(first, kTileRows), index(numRows));
    overColumns(begin, end, kTileVectors, [&](Value column, int64_t vectors, int64_t width) {
      emitTile(index(0), size, first, last, column, vectors, width, /*prefetches=*/vectors > 1);
      loop(index(size), index(whole), size,
           [&](Value token) { emitTile(token, size, first, last, column, vectors, width, /*prefetches=*/false); });
      if (whole < numTokens)
        emitTile(index(whole), numTokens - whole, first, last, column, vectors, width, /*prefetches=*/false);
    });
  });
}

void AllColumnsEmitter::run() {
  overShares(index(numColumns), op.getShares(), kFloatsPerLine, [&](Value begin, Value end) {
    fillZero(op.getInit(), begin, end);
    if (numTokens <= kMostStreamingTokens)
      emitStreams(begin, end);
    else
      emitTiles(begin, end);
  });
}

LogicalResult mlir::prune::lowerSumAllColumns(RewriterBase &rewriter, SumAllColumnsOp op,
                                              const LinearKernelOptions &options) {
  return lowerBy<AllColumnsEmitter>(rewriter, op, options);
}
