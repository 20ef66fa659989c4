//===- BlockRowKernel.cpp - Blocks on tensor cores, few tokens ------------------===//
//
// The warps of a block of threads take turns at the blocks of 16 rows: each multiplies its blocks with up to 32 tokens,
// whose activations come straight from the second-level cache, 8 bytes for a lane. Then the sums of all warps are added
// in shared memory, always in the same order.
//
//===----------------------------------------------------------------------===//

#include "BlockFragments.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Buffers of the kernel, in order: storage, input, extras, init.
enum RowBuffer { Positions, Coordinates, Values, Input };

class BlockRowKernel {
public:
  BlockRowKernel(RewriterBase &rewriter, LinearOp op, const GPUTarget &target, const GPUCostModel &model)
      : layer(op), tokenFragments(op.getVectors()), tokens(tokenFragments * kFragmentTokens), warps(chooseWarps(model)),
        blocksAtOnce(chooseBlocksAtOnce()), element(op.getInputType().getElementType()),
        b(rewriter, op, target, "block_csr_rows", layer.getBuffers(),
          {getNumTiles(layer.numRows, kFragmentSide), getNumTiles(layer.numTokens, tokens), 1},
          {warps * kWarpThreads, 1, 1}) {}

  LogicalResult emit();

private:
  int64_t chooseWarps(const GPUCostModel &model) const;
  int64_t chooseBlocksAtOnce() const;
  SmallVector<Value> multiplyStep(Value position, Value end, ValueRange sums);
  SmallVector<Value> loadTokens(Value firstColumn, int64_t fragment);
  Value loadOrZero(Value token, Value column);
  void storeSums(ValueRange sums);

  LayerBuffers layer;
  int64_t tokenFragments, tokens, warps, blocksAtOnce;
  Type element;
  KernelBuilder b;
  Value warp, lane, row, firstToken;
};

} // namespace

/// Four where eight would be more than all processors hold at once.
int64_t BlockRowKernel::chooseWarps(const GPUCostModel &model) const {
  constexpr int64_t fewWarps = 4, manyWarps = 8, warpsOfProcessor = 32;
  int64_t blocks = getNumTiles(layer.numRows, kFragmentSide) * getNumTiles(layer.numTokens, tokens);
  return blocks * manyWarps > model.processors * warpsOfProcessor ? fewWarps : manyWarps;
}

/// One where most warps have no second block of a row.
int64_t BlockRowKernel::chooseBlocksAtOnce() const {
  int64_t blocks = cast<ShapedType>(layer.op.getStorage()[Values].getType()).getDimSize(0);
  return blocks > warps * getNumTiles(layer.numRows, kFragmentSide) ? 2 : 1;
}

LogicalResult BlockRowKernel::emit() {
  // With registers for two blocks' loads at once: the assembler would rather have more warps otherwise.
  constexpr int64_t threadsOfProcessor = 1024;
  b.getKernel()->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                         b.getI32IntegerAttr(threadsOfProcessor / (warps * kWarpThreads)));
  lane = b.rem(b.threadId(), kWarpThreads);
  warp = b.div(b.threadId(), kWarpThreads);
  row = b.blockId(0);
  firstToken = b.mul(b.blockId(1), tokens);
  SmallVector<Value> bounds = loadPositions(b, b.getBuffer(Positions), row, 1);
  SmallVector<Value> init(tokenFragments * kFragmentSums, b.zero(b.getF32Type()));
  SmallVector<Value> sums =
      b.forLoop(b.add(bounds[0], warp), bounds[1], warps * blocksAtOnce, init,
                [&](Value position, ValueRange carried) { return multiplyStep(position, bounds[1], carried); });
  storeSums(sums);
  return b.finish();
}

/// The blocks of this warp at `position` and, of two at once, one turn further: all is loaded before any is used.
SmallVector<Value> BlockRowKernel::multiplyStep(Value position, Value end, ValueRange sums) {
  struct Block {
    Value number, loaded, firstColumn;
    SmallVector<Value> weights;
    SmallVector<SmallVector<Value>> tokens;
  };
  SmallVector<Block> blocks(blocksAtOnce);
  for (auto [turn, block] : llvm::enumerate(blocks)) {
    // Beyond the end the last one is loaded again.
    block.number = b.add(position, turn * warps);
    block.loaded = turn == 0 ? block.number : arith::MinUIOp::create(b, block.number, b.sub(end, b.constant(1)));
    Value coordinate = memref::LoadOp::create(b, b.getBuffer(Coordinates), block.loaded);
    block.firstColumn = b.mul(arith::IndexCastUIOp::create(b, b.getIndexType(), coordinate), kFragmentSide);
    if (!b.target.isOpenCL)
      block.weights = loadFragment(b, b.getBuffer(Values), block.loaded, lane);
  }
  for (Block &block : blocks)
    for (int64_t i = 0; !b.target.isOpenCL && i < tokenFragments; ++i)
      block.tokens.push_back(loadTokens(block.firstColumn, i));
  auto multiply = [&](const Block &block, ValueRange sums) {
    SmallVector<Value> results;
    for (int64_t i = 0; i < tokenFragments; ++i) {
      ValueRange own = sums.slice(i * kFragmentSums, kFragmentSums);
      Value first = b.add(firstToken, i * kFragmentTokens);
      llvm::append_range(results, b.target.isOpenCL
                                      ? multiplyFragmentReference(
                                            b, FragmentOrder::Rows, b.getBuffer(Values), block.loaded, lane, own,
                                            [&](Value token, Value column) {
                                              return loadOrZero(b.add(first, token), b.add(block.firstColumn, column));
                                            })
                                      : multiplyFragment(b, element, block.weights, block.tokens[i], own));
    }
    return results;
  };
  // No branch: the assembler would move the loads into it, and have them wait for the products before.
  SmallVector<Value> results = multiply(blocks.front(), sums);
  for (const Block &block : llvm::drop_begin(blocks)) {
    Value isThere = b.less(block.number, end);
    for (auto [result, product] : llvm::zip(results, multiply(block, results)))
      result = arith::SelectOp::create(b, isThere, product, result);
  }
  return results;
}

/// Four consecutive columns of a token for each lane, as two registers.
SmallVector<Value> BlockRowKernel::loadTokens(Value firstColumn, int64_t fragment) {
  constexpr int64_t columnsOfLane = 4;
  Value token = b.add(b.add(firstToken, fragment * kFragmentTokens), b.div(lane, 4));
  Value column = b.add(firstColumn, b.mul(b.rem(lane, 4), columnsOfLane));
  if (layer.numColumns % kFragmentSide == 0 && getLoadWidth(layer.op.getInput()) % columnsOfLane == 0) {
    Value inside = clampBelow(b, token, layer.numTokens);
    return loadWords(b, b.getBuffer(Input), layer.getInputIndices(b, inside, column), columnsOfLane / 2);
  }
  SmallVector<Value> columns;
  for (int64_t i = 0; i < columnsOfLane; ++i)
    columns.push_back(loadOrZero(token, b.add(column, i)));
  Value halves = vector::FromElementsOp::create(b, VectorType::get(columnsOfLane, element), columns);
  Value words = vector::BitCastOp::create(b, VectorType::get(columnsOfLane / 2, b.getI32Type()), halves);
  return {vector::ExtractOp::create(b, words, 0), vector::ExtractOp::create(b, words, 1)};
}

/// Zeros beyond the last column, where a block may reach; beyond the last token, whose results nobody stores, the last.
Value BlockRowKernel::loadOrZero(Value token, Value column) {
  Value inside = clampBelow(b, column, layer.numColumns);
  Value x = memref::LoadOp::create(b, b.getBuffer(Input),
                                   layer.getInputIndices(b, clampBelow(b, token, layer.numTokens), inside));
  return arith::SelectOp::create(b, b.less(column, b.constant(layer.numColumns)), x, b.zero(element));
}

void BlockRowKernel::storeSums(ValueRange sums) {
  Value shared = b.allocShared(MemRefType::get({warps, tokens, kFragmentSide + 1}, b.getF32Type()));
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Value token = b.add(getFragmentToken(b, lane), i / kFragmentSums * kFragmentTokens + i % 2);
    memref::StoreOp::create(b, sum, shared, ValueRange{warp, token, getFragmentRow(b, lane, i % kFragmentSums)});
  }
  storeTilesOfWarps(b, layer, shared, firstToken, b.mul(row, kFragmentSide));
}

LogicalResult mlir::prune::lowerBlockRows(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                          const GPUKernelOptions &options) {
  return BlockRowKernel(rewriter, op, target, options.model).emit();
}
