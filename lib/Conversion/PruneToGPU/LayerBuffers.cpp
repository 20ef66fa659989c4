//===- LayerBuffers.cpp - What kernels of packed layers share ------------------===//

#include "LayerBuffers.h"
#include "prune/Analysis/GPUCostModel.h"

using namespace mlir;
using namespace mlir::prune;

LayerBuffers::LayerBuffers(LinearOp op)
    : op(op), numRows(op.getNumRows()), numColumns(op.getInputType().getShape().back()) {
  numTokens = ShapedType::getNumElements(op.getInitType().getShape().drop_back());
}

SmallVector<Value> LayerBuffers::getBuffers() const {
  SmallVector<Value> buffers(op.getStorage());
  buffers.push_back(op.getInput());
  llvm::append_range(buffers, op.getExtras());
  buffers.push_back(op.getInit());
  return buffers;
}

SmallVector<Value> LayerBuffers::getInputIndices(KernelBuilder &b, Value token, Value column) const {
  SmallVector<Value> indices = getCoordinates(b, token, op.getInputType().getShape().drop_back());
  indices.push_back(column);
  return indices;
}

void LayerBuffers::storeResult(KernelBuilder &b, Value sum, Value token, Value row) const {
  SmallVector<Value> indices = getCoordinates(b, token, op.getInitType().getShape().drop_back());
  indices.push_back(row);
  unsigned firstExtra = getInputBuffer() + 1;
  Value result = b.emitEpilogue(op, sum, indices, firstExtra);
  memref::StoreOp::create(b, result, b.getBuffer(firstExtra + op.getExtras().size()), indices);
}

void LayerBuffers::storeResults(KernelBuilder &b, ArrayRef<Value> sums, Value token, Value firstRow) const {
  int64_t count = sums.size();
  Value isToken = b.less(token, b.constant(numTokens));
  auto isInside = [&](Value row) { return arith::AndIOp::create(b, isToken, b.less(row, b.constant(numRows))); };
  if (getLoadWidth(op.getInit()) % count != 0) {
    for (auto [i, sum] : llvm::enumerate(sums)) {
      Value row = b.add(firstRow, i);
      b.ifThen(isInside(row), [&] { storeResult(b, sum, token, row); });
    }
    return;
  }
  b.ifThen(isInside(firstRow), [&] {
    SmallVector<Value> indices = getCoordinates(b, token, op.getInitType().getShape().drop_back()), results;
    unsigned firstExtra = getInputBuffer() + 1;
    for (auto [i, sum] : llvm::enumerate(sums)) {
      indices.push_back(b.add(firstRow, i));
      results.push_back(b.emitEpilogue(op, sum, indices, firstExtra));
      indices.pop_back();
    }
    auto type = VectorType::get(count, op.getInitType().getElementType());
    indices.push_back(firstRow);
    vector::StoreOp::create(b, vector::FromElementsOp::create(b, type, results),
                            b.getBuffer(firstExtra + op.getExtras().size()), indices, /*nontemporal=*/false,
                            llvm::MaybeAlign(count * type.getElementTypeBitWidth() / 8));
  });
}

SmallVector<Value> mlir::prune::getCoordinates(KernelBuilder &b, Value number, ArrayRef<int64_t> shape) {
  SmallVector<int64_t> sizes;
  llvm::copy_if(shape, std::back_inserter(sizes), [](int64_t size) { return size != 1; });
  SmallVector<Value> found = b.delinearize(number, sizes), coordinates;
  size_t next = 0;
  for (int64_t size : shape)
    coordinates.push_back(size == 1 ? b.constant(0) : found[next++]);
  return coordinates;
}

Value mlir::prune::viewAsMatrix(KernelBuilder &b, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  if (type.getRank() == 2)
    return buffer;
  if (type.getRank() == 1)
    return memref::ExpandShapeOp::create(b, ArrayRef<int64_t>{1, type.getDimSize(0)}, buffer,
                                         ArrayRef<ReassociationIndices>{{0, 1}});
  ReassociationIndices leading(llvm::to_vector(llvm::seq<int64_t>(0, type.getRank() - 1)));
  return memref::CollapseShapeOp::create(b, buffer, ArrayRef<ReassociationIndices>{leading, {type.getRank() - 1}});
}

SmallVector<Value> mlir::prune::loadPositions(KernelBuilder &b, Value positions, Value run, int64_t count) {
  SmallVector<Value> bounds;
  for (int64_t i = 0; i <= count; ++i) {
    Value position = memref::LoadOp::create(b, positions, b.add(run, i));
    bounds.push_back(arith::IndexCastUIOp::create(b, b.getIndexType(), position));
  }
  return bounds;
}

Value mlir::prune::clampBelow(KernelBuilder &b, Value index, int64_t size) {
  return arith::MinUIOp::create(b, index, b.constant(size - 1));
}

Value mlir::prune::loadVector(KernelBuilder &b, Value buffer, ValueRange indices, int64_t width) {
  Type element = cast<MemRefType>(buffer.getType()).getElementType();
  return vector::LoadOp::create(b, VectorType::get(width, element), buffer, indices, /*nontemporal=*/false,
                                llvm::MaybeAlign(width * element.getIntOrFloatBitWidth() / 8));
}

SmallVector<Value> mlir::prune::loadWords(KernelBuilder &b, Value buffer, ValueRange indices, int64_t count) {
  constexpr int64_t wordBits = 32;
  unsigned elementBits = cast<MemRefType>(buffer.getType()).getElementTypeBitWidth();
  Value loaded = loadVector(b, buffer, indices, count * wordBits / elementBits);
  loaded = vector::BitCastOp::create(b, VectorType::get(count, b.getI32Type()), loaded);
  SmallVector<Value> words;
  for (int64_t i = 0; i < count; ++i)
    words.push_back(vector::ExtractOp::create(b, loaded, i));
  return words;
}

int64_t mlir::prune::getLoadWidth(ValueRange buffers) {
  constexpr int64_t loadBits = 128;
  int64_t width = loadBits;
  for (Value buffer : buffers) {
    auto type = cast<MemRefType>(buffer.getType());
    width = std::min<int64_t>(width, loadBits / type.getElementTypeBitWidth());
    if (!type.getLayout().isIdentity() || type.getShape().back() % width != 0)
      return 1;
  }
  return width;
}

void mlir::prune::storeSumsOfWarps(KernelBuilder &b, const LayerBuffers &layer, ArrayRef<Value> sums, Value row,
                                   int64_t rowsOfWarp) {
  int64_t count = sums.size(), numThreads = b.getBlock()[0];
  Value shared = b.allocShared(MemRefType::get({count, numThreads}, b.getF32Type()));
  Value thread = b.threadId(), lane = b.rem(thread, kWarpThreads);
  auto at = [&](int64_t sum, Value thread) { return SmallVector<Value>{b.constant(sum), thread}; };
  for (int64_t i = 0; i < count; ++i)
    memref::StoreOp::create(b, sums[i], shared, at(i, thread));
  // Halves until one is left: the order of the sum is the same everywhere.
  for (int64_t half = kWarpThreads / 2; half >= 1; half /= 2) {
    b.barrier();
    b.ifThen(b.less(lane, b.constant(half)), [&] {
      for (int64_t i = 0; i < count; ++i) {
        Value mine = memref::LoadOp::create(b, shared, at(i, thread));
        Value other = memref::LoadOp::create(b, shared, at(i, b.add(thread, half)));
        memref::StoreOp::create(b, arith::AddFOp::create(b, mine, other), shared, at(i, thread));
      }
    });
  }
  b.barrier();
  // One lane for each sum.
  Value firstThread = b.sub(thread, lane);
  b.forLoop(lane, b.constant(count), kWarpThreads, [&](Value number) {
    Value token = b.rem(number, layer.numTokens), ownRow = b.add(row, b.div(number, layer.numTokens));
    b.ifThen(b.less(ownRow, b.constant(layer.numRows)), [&] {
      Value sum = memref::LoadOp::create(b, shared, ValueRange{number, firstThread});
      layer.storeResult(b, sum, token, ownRow);
    });
  });
}

/// Of floats or of integers.
static Value addSums(KernelBuilder &b, Value x, Value y) {
  if (isa<FloatType>(x.getType()))
    return arith::AddFOp::create(b, x, y);
  return arith::AddIOp::create(b, x, y);
}

void mlir::prune::storeTilesOfWarps(KernelBuilder &b, const LayerBuffers &layer, Value shared, Value firstToken,
                                    Value firstRow) {
  ArrayRef<int64_t> shape = cast<MemRefType>(shared.getType()).getShape();
  int64_t warps = shape[0], tokens = shape[1], rows = shape[2] - 1;
  b.barrier();
  b.forLoop(b.threadId(), b.constant(tokens * rows), b.getBlock()[0], [&](Value number) {
    Value inTile = b.div(number, rows), rowInTile = b.rem(number, rows);
    Value token = b.add(firstToken, inTile), row = b.add(firstRow, rowInTile);
    Value isInside =
        arith::AndIOp::create(b, b.less(row, b.constant(layer.numRows)), b.less(token, b.constant(layer.numTokens)));
    b.ifThen(isInside, [&] {
      Value sum;
      for (int64_t i = 0; i < warps; ++i) {
        Value part = memref::LoadOp::create(b, shared, ValueRange{b.constant(i), inTile, rowInTile});
        sum = sum ? addSums(b, sum, part) : part;
      }
      layer.storeResult(b, sum, token, row);
    });
  });
}

LogicalResult mlir::prune::addParts(RewriterBase &rewriter, const LayerBuffers &layer, Value sums,
                                    const GPUTarget &target) {
  constexpr int64_t kThreads = 128;
  SmallVector<Value> buffers = layer.getBuffers();
  buffers.front() = sums; // the storage is not needed any more
  auto type = cast<MemRefType>(sums.getType());
  int64_t results = layer.numTokens * layer.numRows;
  KernelBuilder b(rewriter, layer.op, target, "add_parts", buffers, {getNumTiles(results, kThreads), 1, 1},
                  {kThreads, 1, 1});
  Value number = b.add(b.mul(b.blockId(), kThreads), b.threadId());
  b.ifThen(b.less(number, b.constant(results)), [&] {
    Value token = b.div(number, layer.numRows), row = b.rem(number, layer.numRows);
    auto load = [&](Value part) -> Value {
      return memref::LoadOp::create(b, b.getBuffer(0), ValueRange{part, token, row});
    };
    Value sum = b.forLoop(b.constant(1), b.constant(type.getDimSize(0)), 1, load(b.constant(0)),
                          [&](Value part, ValueRange sum) -> SmallVector<Value> {
                            return {addSums(b, sum.front(), load(part))};
                          })
                    .front();
    layer.storeResult(b, sum, token, row);
  });
  return b.finish();
}
