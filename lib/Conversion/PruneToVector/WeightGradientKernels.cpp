//===- WeightGradientKernels.cpp - Products at the kept elements only --------------===//
//
// For each tile of lanes and chunk of columns: the row of the gradient stays in registers while the columns of its kept
// elements stream past. Four elements make one vector of sums, which is added to the result at once: elements of a row
// lie side by side in it.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Analysis/CostModel.h"
#include "prune/Conversion/PruneToVector/PruneToVector.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
class WeightGradientEmitter : private VectorKernelBuilder {
public:
  WeightGradientEmitter(RewriterBase &rewriter, WeightGradientOp op, const LinearKernelOptions &options)
      : VectorKernelBuilder(op.getLoc(), rewriter), op(op), options(options) {}

  LogicalResult run();

private:
  /// A loop from `begin` to `end`; `body` gets its variable.
  void loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body);
  /// All rows from `begin` to `end`, in tiles of lanes.
  void emitRows(Value begin, Value end);
  /// A tile of `vectors` vectors from `lane` on, of which the last has `tailLanes` lanes unless that is 0.
  void emitTile(Value begin, Value end, Value batch, Value lane, int64_t vectors, int64_t tailLanes);
  void emitRow(Value row, Value chunk);
  Value loadLanes(Value memref, Value row, int64_t vector);
  /// The product of the row in registers with a column, not yet summed over the lanes.
  Value multiply(Value column);
  /// The sums over the lanes of four vectors.
  Value foldFour(ArrayRef<Value> sums);

  WeightGradientOp op;
  LinearKernelOptions options;
  int64_t numLanes = 0, numColumns = 0, chunk = 0, numBatches = 0;
  VectorType vectorType;
  Value gradient, input;  ///< [batch, row or column, lane]
  MemRefType scratchType; ///< a chunk of columns, for tiles that are not whole rows of lanes
  // State of the tile being emitted.
  int64_t vectors = 0;
  Value batch, lane, tailMask;
  Value columns; ///< memref that the inner loop reads
  SmallVector<Value> columnsBase;
  Value columnsRow;
  SmallVector<Value> row;
};
} // namespace

LogicalResult WeightGradientEmitter::run() {
  for (Value operand : op->getOperands()) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.hasStaticShape() || !type.isLastDimUnitStride())
      return op.emitOpError() << "expected operands of static memref type with contiguous lanes, got "
                              << operand.getType();
  }
  gradient = collapse(op.getGradient(), op.getRowDim());
  input = collapse(op.getInput(), op.getRowDim());
  auto type = cast<MemRefType>(input.getType());
  numBatches = type.getDimSize(0);
  numColumns = type.getDimSize(1);
  numLanes = type.getDimSize(2);
  chunk = std::min<int64_t>(op.getChunk(), numColumns);
  options.lanes = std::max<int64_t>(getTileLanes(numLanes, options.lanes), kEntriesPerStep);
  vectorType = VectorType::get(options.lanes, type.getElementType());
  scratchType = MemRefType::get({chunk, options.vectors * options.lanes}, type.getElementType());

  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  linalg::FillOp::create(b, zero, op.getInit());
  if (!options.parallel || !op.getShares()) {
    emitRows(index(0), index(op.getNumRows()));
    return success();
  }
  // Each share of the rows goes over all activations again.
  int64_t numShares = cast<MemRefType>(op.getShares().getType()).getDimSize(0) - 1;
  scf::ParallelOp::create(b, index(0), index(numShares), index(1), [&](OpBuilder &nested, Location, ValueRange ivs) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
    Value begin = loadIndex(op.getShares(), {ivs[0]}), end = loadIndex(op.getShares(), {add(ivs[0], 1)});
    emitRows(begin, end);
  });
  return success();
}

void WeightGradientEmitter::loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, begin, end, index(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void WeightGradientEmitter::emitRows(Value begin, Value end) {
  int64_t tileLanes = options.lanes * options.vectors;
  int64_t fullTiles = numLanes / tileLanes, rest = numLanes % tileLanes;
  loop(index(0), index(numBatches), 1, [&](Value batch) {
    if (fullTiles)
      loop(index(0), index(fullTiles * tileLanes), tileLanes,
           [&](Value lane) { emitTile(begin, end, batch, lane, options.vectors, 0); });
    if (rest)
      emitTile(begin, end, batch, index(fullTiles * tileLanes), (rest + options.lanes - 1) / options.lanes,
               rest % options.lanes);
  });
}

void WeightGradientEmitter::emitTile(Value begin, Value end, Value batchIndex, Value laneIndex, int64_t tileVectors,
                                     int64_t tailLanes) {
  batch = batchIndex;
  lane = laneIndex;
  vectors = tileVectors;
  tailMask = Value();
  if (tailLanes)
    tailMask =
        vector::CreateMaskOp::create(b, VectorType::get(options.lanes, b.getI1Type()), ValueRange{index(tailLanes)});
  // A tile that is the whole row of lanes is read in place. Otherwise the chunk is copied, once for all rows, so that
  // it lies in the first-level cache without conflicts.
  bool inPlace = numLanes == vectors * options.lanes;
  Value scratch = inPlace ? Value() : memref::AllocaOp::create(b, scratchType, b.getI64IntegerAttr(64)).getResult();
  loop(index(0), index(op.getNumChunks()), 1, [&](Value chunkIndex) {
    Value firstColumn = mul(chunkIndex, chunk);
    if (inPlace) {
      columns = input;
      columnsBase = {batch};
      columnsRow = firstColumn;
    } else {
      columns = scratch;
      columnsBase.clear();
      columnsRow = index(0);
      Value left = arith::SubIOp::create(b, index(numColumns), firstColumn);
      loop(index(0), arith::MinUIOp::create(b, left, index(chunk)), 1, [&](Value column) {
        for (int64_t v = 0; v < vectors; ++v)
          vector::StoreOp::create(b, loadLanes(input, add(firstColumn, column), v), scratch,
                                  ValueRange{column, index(v * options.lanes)});
      });
    }
    loop(begin, end, 1, [&](Value row) { emitRow(row, chunkIndex); });
  });
}

void WeightGradientEmitter::emitRow(Value rowIndex, Value chunkIndex) {
  Value place = add(mul(rowIndex, op.getNumChunks()), chunkIndex);
  Value begin = loadIndex(op.getPositions(), place), end = loadIndex(op.getPositions(), add(place, 1));
  row.clear();
  for (int64_t v = 0; v < vectors; ++v)
    row.push_back(loadLanes(gradient, rowIndex, v));
  Value length = arith::SubIOp::create(b, end, begin);
  Value stepsEnd = add(begin, arith::AndIOp::create(b, length, index(~(kEntriesPerStep - 1))));
  loop(begin, stepsEnd, kEntriesPerStep, [&](Value position) {
    SmallVector<Value> sums;
    for (Value column : loadCoordinates(op.getCoordinates(), position))
      sums.push_back(multiply(column));
    Value before = vector::LoadOp::create(b, VectorType::get(kEntriesPerStep, vectorType.getElementType()),
                                          op.getInit(), ValueRange{position});
    vector::StoreOp::create(b, arith::AddFOp::create(b, before, foldFour(sums)), op.getInit(), ValueRange{position});
  });
  loop(stepsEnd, end, 1, [&](Value position) {
    Value sum = multiply(loadIndex(op.getCoordinates(), position));
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
    Value folded = foldFour({sum, zero, zero, zero});
    Value total = arith::AddFOp::create(b, memref::LoadOp::create(b, op.getInit(), position),
                                        vector::ExtractOp::create(b, folded, ArrayRef<int64_t>{0}));
    memref::StoreOp::create(b, total, op.getInit(), position);
  });
}

Value WeightGradientEmitter::loadLanes(Value memref, Value rowIndex, int64_t vector) {
  SmallVector<Value> indices{batch, rowIndex, add(lane, vector * options.lanes)};
  if (!tailMask || vector != vectors - 1)
    return vector::LoadOp::create(b, vectorType, memref, indices);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
  return vector::MaskedLoadOp::create(b, vectorType, memref, indices, tailMask, zero);
}

Value WeightGradientEmitter::multiply(Value column) {
  Value sum;
  for (int64_t v = 0; v < vectors; ++v) {
    SmallVector<Value> indices(columnsBase);
    indices.push_back(add(columnsRow, column));
    indices.push_back(index(v * options.lanes));
    Value x = vector::LoadOp::create(b, vectorType, columns, indices);
    sum = sum ? vector::FMAOp::create(b, row[v], x, sum).getResult() : arith::MulFOp::create(b, row[v], x).getResult();
  }
  return sum;
}

Value WeightGradientEmitter::foldFour(ArrayRef<Value> sums) {
  // In each group of four lanes two vectors become one, twice: it then holds one sum of each of the four.
  int64_t lanes = options.lanes;
  auto pick = [&](Value x, Value y, ArrayRef<int64_t> group) -> Value {
    SmallVector<int64_t> order;
    for (int64_t base = 0; base < lanes; base += 4)
      for (int64_t i : group)
        order.push_back(i < 4 ? base + i : lanes + base + i - 4);
    return vector::ShuffleOp::create(b, x, y, order);
  };
  auto fold = [&](Value x, Value y, ArrayRef<int64_t> first, ArrayRef<int64_t> second) -> Value {
    return arith::AddFOp::create(b, pick(x, y, first), pick(x, y, second));
  };
  Value low = fold(sums[0], sums[1], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value high = fold(sums[2], sums[3], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value sum = fold(low, high, {0, 1, 4, 5}, {2, 3, 6, 7});
  for (; lanes > 4; lanes /= 2) {
    SmallVector<int64_t> front = llvm::to_vector(llvm::seq<int64_t>(0, lanes / 2));
    SmallVector<int64_t> back = llvm::to_vector(llvm::seq<int64_t>(lanes / 2, lanes));
    sum = arith::AddFOp::create(b, vector::ShuffleOp::create(b, sum, sum, front),
                                vector::ShuffleOp::create(b, sum, sum, back));
  }
  return sum;
}

LogicalResult mlir::prune::lowerWeightGradient(RewriterBase &rewriter, WeightGradientOp op,
                                               const LinearKernelOptions &options) {
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  if (failed(WeightGradientEmitter(rewriter, op, options).run()))
    return failure();
  rewriter.eraseOp(op);
  return success();
}
