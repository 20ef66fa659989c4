//===- BlockKernels.cpp - Packed layers in blocks on GPUs -----------------------===//
//
// A block of threads computes one row of blocks for 64 tokens by fused multiply-adds: the kept blocks and the
// activations of their columns go through shared memory, as many blocks at a time as make up 32 columns.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"
#include "LayerBuffers.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Buffers of the kernel, in order: storage, input, extras, init.
enum BlockBuffer { Positions, Coordinates, Values, Input, FirstExtra };

constexpr int64_t kTokens = 64, kThreads = 256, kStepColumns = 32;

class BlockKernel {
public:
  BlockKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target)
      : layer(op), rows(op.getRows()), columns(op.getChunk()), blocks(std::max<int64_t>(1, kStepColumns / columns)),
        stepColumns(blocks * columns),
        b(rewriter, op, target, "block_csr", layer.getBuffers(),
          {getNumTiles(layer.numRows, rows), getNumTiles(layer.numTokens, kTokens), 1}, {kThreads, 1, 1}) {}

  LogicalResult emit();

private:
  /// Runs `body` for each element of an array of `count` that the threads share.
  void share(int64_t count, function_ref<void(Value number)> body);
  void copyStep(Value position, Value end, Value weights, Value activations);

  LayerBuffers layer;
  int64_t rows, columns;
  int64_t blocks, stepColumns; ///< of a step
  KernelBuilder b;
  Value firstToken;
};

} // namespace

void BlockKernel::share(int64_t count, function_ref<void(Value number)> body) {
  b.forLoop(b.threadId(), b.constant(count), kThreads, body);
}

void BlockKernel::copyStep(Value position, Value end, Value weights, Value activations) {
  Value last = b.sub(end, b.constant(1)), zero = b.zero(b.getF32Type());
  // Blocks beyond the last one of the row count as zero.
  share(blocks * rows * columns, [&](Value number) {
    SmallVector<Value> place = b.delinearize(number, {blocks, rows, columns});
    Value own = b.add(position, place[0]), block = arith::MinUIOp::create(b, own, last);
    Value loaded = memref::LoadOp::create(b, b.getBuffer(Values), ValueRange{block, place[1], place[2]});
    Value value = arith::SelectOp::create(b, b.less(last, own), zero, b.convert(loaded, b.getF32Type()));
    Value column = b.add(b.mul(place[0], columns), place[2]);
    memref::StoreOp::create(b, value, weights, ValueRange{place[1], column});
  });
  share(stepColumns * kTokens, [&](Value number) {
    SmallVector<Value> place = b.delinearize(number, {kTokens, stepColumns});
    Value block = arith::MinUIOp::create(b, b.add(position, b.div(place[1], columns)), last);
    Value coordinate = memref::LoadOp::create(b, b.getBuffer(Coordinates), block);
    Value column = b.mul(arith::IndexCastUIOp::create(b, b.getIndexType(), coordinate), columns);
    column = b.add(column, b.rem(place[1], columns));
    Value token = clampBelow(b, b.add(firstToken, place[0]), layer.numTokens);
    Value inside = clampBelow(b, column, layer.numColumns);
    Value x = memref::LoadOp::create(b, b.getBuffer(Input), layer.getInputIndices(b, token, inside));
    x = b.convert(x, b.getF32Type());
    if (layer.numColumns % columns != 0) // a block over the edge
      x = arith::SelectOp::create(b, b.less(column, b.constant(layer.numColumns)), x, zero);
    memref::StoreOp::create(b, x, activations, ValueRange{place[1], place[0]});
  });
}

LogicalResult BlockKernel::emit() {
  Type f32 = b.getF32Type();
  Value weights = b.allocShared(MemRefType::get({rows, stepColumns}, f32));
  Value activations = b.allocShared(MemRefType::get({stepColumns, kTokens + 1}, f32)); // an odd stride
  Value row = b.blockId(0), token = b.rem(b.threadId(), kTokens), firstRow = b.div(b.threadId(), kTokens);
  firstToken = b.mul(b.blockId(1), kTokens);
  SmallVector<Value> bounds = loadPositions(b, b.getBuffer(Positions), row, 1);
  Value begin = bounds[0], end = bounds[1];
  constexpr int64_t rowsAtOnce = kThreads / kTokens;
  int64_t count = getNumTiles(rows, rowsAtOnce);
  SmallVector<Value> ownRows, init(count, b.zero(f32));
  for (int64_t i = 0; i < count; ++i)
    ownRows.push_back(b.add(firstRow, i * rowsAtOnce));
  SmallVector<Value> sums = b.forLoop(begin, end, blocks, init, [&](Value position, ValueRange carried) {
    b.barrier(); // all threads are done with the step before
    copyStep(position, end, weights, activations);
    b.barrier();
    return b.forLoop(b.constant(0), b.constant(stepColumns), 1, carried, [&](Value column, ValueRange carried) {
      SmallVector<Value> result(carried);
      Value x = memref::LoadOp::create(b, activations, ValueRange{column, token});
      for (int64_t i = 0; i < count; ++i) {
        Value value = memref::LoadOp::create(b, weights, ValueRange{clampBelow(b, ownRows[i], rows), column});
        result[i] = math::FmaOp::create(b, value, x, result[i]);
      }
      return result;
    });
  });
  for (int64_t i = 0; i < count; ++i) {
    Value ownRow = b.add(b.mul(row, rows), ownRows[i]), ownToken = b.add(firstToken, token);
    Value isInside = arith::AndIOp::create(b, b.less(ownRow, b.constant(layer.numRows)),
                                           b.less(ownToken, b.constant(layer.numTokens)));
    if (rows % rowsAtOnce != 0)
      isInside = arith::AndIOp::create(b, isInside, b.less(ownRows[i], b.constant(rows)));
    b.ifThen(isInside, [&] { layer.storeResult(b, sums[i], ownToken, ownRow); });
  }
  return b.finish();
}

LogicalResult mlir::prune::lowerBlockCSR(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                         const GPUKernelOptions &options) {
  if (op.getVectors())
    return lowerBlockFragments(rewriter, op, target, options);
  if (op.getStorage().size() != Input)
    return op.emitOpError() << "expected positions, coordinates and values as storage of block_csr, got "
                            << op.getStorage().size() << " operands";
  return BlockKernel(rewriter, op, target).emit();
}
