//===- MatrixKernels.cpp - Dense products by fused multiply-adds on GPUs --------===//
//
// One tile for each block of threads: slices of eight columns of both operands go through shared memory, the next slice
// is on its way while one is multiplied, and each thread keeps 4 x 4 or 8 x 8 sums in registers. Few tokens leave
// nothing to share: then the lanes of a warp go along the columns of a few rows.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"
#include "LayerBuffers.h"
#include "prune/Analysis/GPUCostModel.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// What the dimensions of an operand count: products side by side, rows of the first operand, rows of the second, and
/// what is summed over.
enum Role { Batch, First, Second, Summed };
constexpr size_t kNumRoles = 4;

/// The sizes of the dimensions of each role, and which one each dimension of the operands is.
struct ProductShape {
  SmallVector<int64_t> sizes[kNumRoles];
  /// Role and place in `sizes` of each dimension of first operand, second operand and result.
  SmallVector<std::pair<Role, unsigned>> dims[3];

  int64_t getSize(Role role) const { return ShapedType::getNumElements(sizes[role]); }
};

/// A tile of the result, and how the 256 threads of a block share it: 16 x 16 squares of `side` x `side`.
struct ProductTile {
  int64_t firstSide, secondSide;
  static constexpr int64_t columns = 8, threads = 16;

  int64_t getSize(bool isFirst) const { return threads * (isFirst ? firstSide : secondSide); }
};

class ProductKernel {
public:
  /// `buffers` start with both operands. The result is at `storeResult`.
  ProductKernel(KernelBuilder &b, const ProductShape &shape, const ProductTile &tile, std::array<unsigned, 2> operands)
      : b(b), shape(shape), tile(tile) {
    for (unsigned side : {0, 1})
      sides[side].buffer = b.getBuffer(operands[side]);
  }

  using StoreFn = function_ref<void(Value sum, Value batch, Value first, Value second)>;
  void emit(StoreFn store);

private:
  struct Side {
    Value buffer;
    Value shared;                           ///< [2][columns][tile + padding]
    Value firstRow;                         ///< of the tile
    int64_t width = 1;                      ///< of loads along the columns
    SmallVector<SmallVector<Value>> places; ///< row and column in the tile of each load of a thread
  };

  void setUp(unsigned side);
  SmallVector<Value> load(unsigned side, Value slice);
  void store(unsigned side, ArrayRef<Value> loaded, Value half);
  void multiply(SmallVectorImpl<Value> &sums, Value half);
  SmallVector<Value> getFragment(unsigned side, Value half, int64_t column);
  SmallVector<Value> getIndices(unsigned operand, ArrayRef<Value> numbers);
  Role getRole(unsigned side) const { return side == 0 ? First : Second; }
  int64_t getTile(unsigned side) const { return tile.getSize(side == 0); }
  bool isRagged(unsigned side) const { return shape.getSize(getRole(side)) % getTile(side) != 0; }

  KernelBuilder &b;
  const ProductShape &shape;
  ProductTile tile;
  Side sides[2];
  Value batch;
  Value threadOf[2]; ///< place of the thread among the 16 x 16
};

} // namespace

SmallVector<Value> ProductKernel::getIndices(unsigned operand, ArrayRef<Value> numbers) {
  SmallVector<Value> coordinates[kNumRoles], indices;
  for (auto [role, number] : llvm::enumerate(numbers))
    if (number)
      coordinates[role] = getCoordinates(b, number, shape.sizes[role]);
  for (auto [role, place] : shape.dims[operand])
    indices.push_back(coordinates[role][place]);
  return indices;
}

void ProductKernel::setUp(unsigned side) {
  Side &s = sides[side];
  int64_t size = getTile(side);
  // Four more keep the rows aligned and off each other's banks.
  s.shared = b.allocShared(MemRefType::get({2, ProductTile::columns, size + 4}, b.getF32Type()));
  s.firstRow = b.mul(b.blockId(side), size);
  auto [lastRole, lastPlace] = shape.dims[side].back();
  bool isAlongColumns = lastRole == Summed;
  bool isWhole = shape.getSize(Summed) % ProductTile::columns == 0;
  int64_t numThreads = tile.threads * tile.threads, elementsOfThread = size * tile.columns / numThreads;
  if (isAlongColumns && isWhole && shape.sizes[Summed].size() == 1)
    s.width = std::min(getLoadWidth(s.buffer), elementsOfThread);
  // Neighbouring threads load neighbouring elements.
  int64_t perRow = tile.columns / s.width;
  for (int64_t i = 0; i < size * perRow; i += numThreads) {
    Value number = b.add(b.threadId(), i);
    if (isAlongColumns)
      s.places.push_back({b.div(number, perRow), b.mul(b.rem(number, perRow), s.width)});
    else
      s.places.push_back({b.rem(number, size), b.div(number, size)});
  }
}

SmallVector<Value> ProductKernel::load(unsigned side, Value slice) {
  Side &s = sides[side];
  int64_t numRows = shape.getSize(getRole(side)), numColumns = shape.getSize(Summed);
  Value firstColumn = b.mul(slice, tile.columns);
  SmallVector<Value> loaded;
  for (ArrayRef<Value> place : s.places) {
    Value row = b.add(s.firstRow, place[0]), column = b.add(firstColumn, place[1]);
    // Rows beyond the edge are read from it, and their sums not stored. Columns count as zero.
    if (isRagged(side))
      row = clampBelow(b, row, numRows);
    Value isInside;
    if (numColumns % tile.columns != 0) {
      isInside = b.less(column, b.constant(numColumns));
      column = clampBelow(b, column, numColumns);
    }
    std::array<Value, kNumRoles> numbers{batch, side == 0 ? row : Value(), side == 0 ? Value() : row, column};
    SmallVector<Value> indices = getIndices(side, numbers);
    Value x = s.width == 1 ? memref::LoadOp::create(b, s.buffer, indices).getResult()
                           : loadVector(b, s.buffer, indices, s.width);
    for (int64_t i = 0; i < s.width; ++i) {
      Value element = s.width == 1 ? x : vector::ExtractOp::create(b, x, i).getResult();
      element = b.convert(element, b.getF32Type());
      if (isInside)
        element = arith::SelectOp::create(b, isInside, element, b.zero(b.getF32Type()));
      loaded.push_back(element);
    }
  }
  return loaded;
}

void ProductKernel::store(unsigned side, ArrayRef<Value> loaded, Value half) {
  Side &s = sides[side];
  for (auto [i, place] : llvm::enumerate(s.places))
    for (int64_t j = 0; j < s.width; ++j)
      memref::StoreOp::create(b, loaded[i * s.width + j], s.shared, ValueRange{half, b.add(place[1], j), place[0]});
}

/// What a thread needs of one column: runs of four, 64 apart.
SmallVector<Value> ProductKernel::getFragment(unsigned side, Value half, int64_t column) {
  constexpr int64_t run = 4;
  int64_t count = side == 0 ? tile.firstSide : tile.secondSide;
  SmallVector<Value> fragment;
  for (int64_t i = 0; i < count; i += run) {
    Value place = b.add(b.mul(threadOf[side], run), i * tile.threads);
    Value x = loadVector(b, sides[side].shared, {half, b.constant(column), place}, run);
    for (int64_t j = 0; j < run; ++j)
      fragment.push_back(vector::ExtractOp::create(b, x, j));
  }
  return fragment;
}

void ProductKernel::multiply(SmallVectorImpl<Value> &sums, Value half) {
  for (int64_t column = 0; column < tile.columns; ++column) {
    SmallVector<Value> first = getFragment(0, half, column), second = getFragment(1, half, column);
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] = math::FmaOp::create(b, first[i / tile.secondSide], second[i % tile.secondSide], sums[i]);
  }
}

void ProductKernel::emit(StoreFn storeResult) {
  batch = b.blockId(2);
  threadOf[0] = b.div(b.threadId(), tile.threads);
  threadOf[1] = b.rem(b.threadId(), tile.threads);
  for (unsigned side : {0, 1})
    setUp(side);
  Value zero = b.constant(0);
  for (unsigned side : {0, 1})
    store(side, load(side, zero), zero);
  b.barrier();
  int64_t numSlices = getNumTiles(shape.getSize(Summed), tile.columns);
  SmallVector<Value> sums(tile.firstSide * tile.secondSide, b.zero(b.getF32Type()));
  sums = b.forLoop(zero, b.constant(numSlices), 1, sums, [&](Value slice, ValueRange carried) {
    Value half = b.rem(slice, 2), other = b.sub(b.constant(1), half);
    Value next = clampBelow(b, b.add(slice, 1), numSlices); // the last one loads itself again
    SmallVector<Value> loaded[2] = {load(0, next), load(1, next)};
    SmallVector<Value> sums(carried);
    multiply(sums, half);
    for (unsigned side : {0, 1})
      store(side, loaded[side], other);
    b.barrier();
    return sums;
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    Value places[2];
    Value isInside;
    for (unsigned side : {0, 1}) {
      int64_t number = side == 0 ? i / tile.secondSide : i % tile.secondSide;
      places[side] =
          b.add(b.add(sides[side].firstRow, b.mul(threadOf[side], 4)), number / 4 * 4 * tile.threads + number % 4);
      if (!isRagged(side))
        continue;
      Value inside = b.less(places[side], b.constant(shape.getSize(getRole(side))));
      isInside = isInside ? arith::AndIOp::create(b, isInside, inside).getResult() : inside;
    }
    auto emitStore = [&] { storeResult(sums[i], batch, places[0], places[1]); };
    if (isInside)
      b.ifThen(isInside, emitStore);
    else
      emitStore();
  }
}

/// The tile: large ones where they keep the processors busy, or where the chip has room for no others.
static ProductTile chooseTile(const ProductShape &shape, const GPUTarget &target) {
  constexpr int64_t enoughBlocks = 200;
  int64_t first = shape.getSize(First), second = shape.getSize(Second);
  int64_t blocks = shape.getSize(Batch) * getNumTiles(first, 128) * getNumTiles(second, 128);
  if (first > 64 && second > 64 && blocks >= enoughBlocks)
    return {8, 8};
  return {4, 4};
}

static std::array<int64_t, 3> getGrid(const ProductShape &shape, const ProductTile &tile) {
  return {getNumTiles(shape.getSize(First), tile.getSize(true)),
          getNumTiles(shape.getSize(Second), tile.getSize(false)), shape.getSize(Batch)};
}

static constexpr std::array<int64_t, 3> kProductBlock{ProductTile::threads * ProductTile::threads, 1, 1};

/// For few tokens: each warp takes a few rows, its lanes go along the columns.
static LogicalResult lowerFewTokens(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  constexpr int64_t warps = 8, mostSums = 32;
  LayerBuffers layer(op);
  int64_t rowsOfWarp = layer.numTokens <= 2 ? 1 : std::min<int64_t>(4, mostSums / layer.numTokens);
  int64_t rowsOfBlock = warps * rowsOfWarp;
  KernelBuilder b(rewriter, op, target, "matrix_few_tokens", layer.getBuffers(),
                  {getNumTiles(layer.numRows, rowsOfBlock), 1, 1}, {warps * kWarpThreads, 1, 1});
  Value weight = b.getBuffer(0), input = b.getBuffer(layer.getInputBuffer());
  int64_t width = getLoadWidth({op.getStorage().front(), op.getInput()});
  Value thread = b.threadId(), lane = b.rem(thread, kWarpThreads);
  Value row = b.add(b.mul(b.blockId(), rowsOfBlock), b.mul(b.div(thread, kWarpThreads), rowsOfWarp));
  SmallVector<Value> rows;
  for (int64_t i = 0; i < rowsOfWarp; ++i)
    rows.push_back(clampBelow(b, b.add(row, i), layer.numRows));
  auto load = [&](Value buffer, ValueRange indices) {
    SmallVector<Value> elements;
    Value x =
        width == 1 ? memref::LoadOp::create(b, buffer, indices).getResult() : loadVector(b, buffer, indices, width);
    for (int64_t i = 0; i < width; ++i)
      elements.push_back(b.convert(width == 1 ? x : vector::ExtractOp::create(b, x, i).getResult(), b.getF32Type()));
    return elements;
  };
  SmallVector<Value> init(rowsOfWarp * layer.numTokens, b.zero(b.getF32Type()));
  SmallVector<Value> sums = b.forLoop(b.mul(lane, width), b.constant(layer.numColumns), kWarpThreads * width, init,
                                      [&](Value column, ValueRange carried) {
                                        SmallVector<Value> result(carried);
                                        SmallVector<SmallVector<Value>> weights;
                                        for (Value row : rows)
                                          weights.push_back(load(weight, {row, column}));
                                        for (int64_t token = 0; token < layer.numTokens; ++token) {
                                          SmallVector<Value> x =
                                              load(input, layer.getInputIndices(b, b.constant(token), column));
                                          for (int64_t i = 0; i < rowsOfWarp; ++i)
                                            for (int64_t j = 0; j < width; ++j) {
                                              Value &sum = result[i * layer.numTokens + token];
                                              sum = math::FmaOp::create(b, weights[i][j], x[j], sum);
                                            }
                                        }
                                        return result;
                                      });
  storeSumsOfWarps(b, layer, sums, row, rowsOfWarp);
  return b.finish();
}

LogicalResult mlir::prune::lowerMatrix(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                       const GPUKernelOptions &options) {
  LayerBuffers layer(op);
  auto type = cast<MemRefType>(op.getStorage().front().getType());
  if (op.getStorage().size() != 1 || type.getShape() != ArrayRef<int64_t>{layer.numRows, layer.numColumns})
    return op.emitOpError() << "expected values [" << layer.numRows << ", " << layer.numColumns
                            << "] as storage of matrix, got " << type;
  constexpr int64_t fewTokens = 16;
  if (layer.numTokens <= fewTokens)
    return lowerFewTokens(rewriter, op, target);
  ProductShape shape;
  shape.sizes[First].assign(op.getInputType().getShape().drop_back().begin(),
                            op.getInputType().getShape().drop_back().end());
  shape.sizes[Second] = {layer.numRows};
  shape.sizes[Summed] = {layer.numColumns};
  for (unsigned i = 0; i < shape.sizes[First].size(); ++i)
    shape.dims[0].push_back({First, i});
  shape.dims[0].push_back({Summed, 0});
  shape.dims[1] = {{Second, 0}, {Summed, 0}};
  ProductTile tile = chooseTile(shape, target);
  KernelBuilder b(rewriter, op, target, "matrix", layer.getBuffers(), getGrid(shape, tile), kProductBlock);
  ProductKernel(b, shape, tile, {layer.getInputBuffer(), 0}).emit([&](Value sum, Value, Value token, Value row) {
    layer.storeResult(b, sum, token, row);
  });
  return b.finish();
}

/// The product that a contraction of two buffers is; none if it has another form or other types than f32, f16 and bf16.
static std::optional<ProductShape> matchProduct(linalg::LinalgOp op) {
  if (!linalg::isaContractionOpInterface(op) || !op.hasPureBufferSemantics())
    return std::nullopt;
  for (Value operand : op->getOperands()) {
    auto type = cast<MemRefType>(operand.getType());
    if (!isa<Float16Type, BFloat16Type, Float32Type>(type.getElementType()) || !type.hasStaticShape())
      return std::nullopt;
  }
  ProductShape shape;
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<std::pair<Role, unsigned>> loops;
  for (auto [loop, size] : llvm::enumerate(ranges)) {
    bool in[3];
    for (unsigned operand = 0; operand < 3; ++operand) {
      in[operand] = maps[operand].isFunctionOfDim(loop);
      if (!maps[operand].isProjectedPermutation())
        return std::nullopt;
    }
    std::optional<Role> role;
    if (in[2])
      role = in[0] && in[1] ? Batch : in[0] ? First : Second;
    else if (in[0] && in[1])
      role = Summed;
    if (!role)
      return std::nullopt;
    loops.push_back({*role, shape.sizes[*role].size()});
    shape.sizes[*role].push_back(size);
  }
  for (unsigned operand = 0; operand < 3; ++operand)
    for (AffineExpr expr : maps[operand].getResults())
      shape.dims[operand].push_back(loops[cast<AffineDimExpr>(expr).getPosition()]);
  constexpr int64_t mostBatches = 65535; // of a grid in its third dimension
  if (shape.dims[0].empty() || shape.dims[1].empty() || shape.sizes[Summed].empty() || shape.getSize(Summed) == 0 ||
      shape.getSize(Batch) > mostBatches)
    return std::nullopt;
  return shape;
}

bool mlir::prune::isProduct(linalg::LinalgOp op) {
  constexpr int64_t leastWork = 1 << 10; // multiply-adds of a product, below which tiles are mostly empty
  std::optional<ProductShape> shape = matchProduct(op);
  return shape && shape->getSize(First) * shape->getSize(Second) * shape->getSize(Summed) >= leastWork &&
         shape->getSize(First) > 1 && shape->getSize(Second) > 1;
}

LogicalResult mlir::prune::lowerProduct(RewriterBase &rewriter, linalg::LinalgOp op, const GPUTarget &target,
                                        const LinalgFills &fills) {
  ProductShape shape = *matchProduct(op);
  linalg::FillOp fill = fills.lookup(op);
  ProductTile tile = chooseTile(shape, target);
  KernelBuilder b(rewriter, op, target, "product", op->getOperands(), getGrid(shape, tile), kProductBlock);
  ProductKernel kernel(b, shape, tile, {0, 1});
  kernel.emit([&](Value sum, Value batch, Value first, Value second) {
    SmallVector<Value> coordinates[kNumRoles], indices;
    for (auto [role, number] : {std::pair(Batch, batch), std::pair(First, first), std::pair(Second, second)})
      coordinates[role] = getCoordinates(b, number, shape.sizes[role]);
    for (auto [role, place] : shape.dims[2])
      indices.push_back(coordinates[role][place]);
    Value result = b.getBuffer(2);
    Type element = cast<MemRefType>(result.getType()).getElementType();
    Value start = fill ? b.clone(*fill.getInputs().front().getDefiningOp())->getResult(0)
                       : memref::LoadOp::create(b, result, indices).getResult();
    sum = arith::AddFOp::create(b, b.convert(start, b.getF32Type()), sum);
    memref::StoreOp::create(b, b.convert(sum, element), result, indices);
  });
  return b.finish();
}
