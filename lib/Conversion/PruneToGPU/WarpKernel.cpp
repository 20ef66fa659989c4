//===- WarpKernel.cpp - Packed layers by the matrix instructions of a warp -----===//
//
// result[m, n] = epilogue(sum over k of W[n, k] * input[m, k]) by `mma.sync` and `mma.sp`, W dense or 2:4, in fragments
// of 16 rows that a warp loads as they are. Tokens go through shared memory, two parts of the columns in turn. OpenCL
// gets the same kernel; there the instruction's meaning is written out on fragments that lanes exchange through shared
// memory.
//
//===----------------------------------------------------------------------===//

#include "InlinePTX.h"
#include "Kernels.h"
#include "LayerBuffers.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

constexpr int64_t kTokenStrideBytes =
    TensorCoreLayout::kRowBytes + 16; ///< of tokens in shared memory: no bank conflicts
constexpr int64_t kWarps = 8, kThreads = kWarps * 32;

/// How the warps of a block divide its rows and tokens.
struct WarpConfig {
  int64_t rowWarps, tokenWarps;         ///< `kWarps` together
  int64_t rowFragments, tokenFragments; ///< of 16 rows and of 8 tokens in a warp

  int64_t getRows() const { return rowWarps * rowFragments * 16; }
  int64_t getTokens() const { return tokenWarps * tokenFragments * 8; }
};

class WarpKernel {
public:
  WarpKernel(RewriterBase &rewriter, LinearOp layer, const GPUTarget &target, const TensorCoreLayout &layout)
      : rewriter(rewriter), layer(layer), target(target), layout(layout) {}

  LogicalResult emit();

private:
  int64_t getNumSteps() const { return layout.isSparse ? 2 : 4; }
  int64_t getTokenRegisters() const { return layout.isSparse ? 4 : 2; }
  /// Elements in a register of 4 bytes, and in a lane's 16 bytes of a row.
  int64_t getUnit() const { return 4 / layout.getElementBytes(); }
  int64_t getColumns() const { return layout.getColumns(); }
  Type getElement(Builder &b) const {
    return layout.type == TensorCoreType::F16    ? Type(b.getF16Type())
           : layout.type == TensorCoreType::BF16 ? Type(b.getBF16Type())
                                                 : b.getF32Type();
  }

  void chooseConfig();
  void copyTokens(KernelBuilder &b, Value firstToken, Value tile, Value slot);
  void endCopies(KernelBuilder &b, bool wait);
  SmallVector<Value> multiplyTile(KernelBuilder &b, Value tile, Value slot, ValueRange sums);
  /// One step: `weights` has four words for each row fragment, `tokens` getTokenRegisters() for each token fragment,
  /// `metadata` one for each row fragment; four sums for each pair of fragments.
  SmallVector<Value> multiply(KernelBuilder &b, int64_t step, ValueRange weights, ValueRange metadata,
                              ValueRange tokens, ValueRange sums);
  SmallVector<Value> multiplyReference(KernelBuilder &b, int64_t step, ValueRange weights, ValueRange metadata,
                                       ValueRange tokens, ValueRange sums);
  void emitEpilogue(KernelBuilder &b, Value firstToken, ValueRange sums);

  RewriterBase &rewriter;
  LinearOp layer;
  const GPUTarget &target;
  TensorCoreLayout layout;
  WarpConfig config{2, 4, 4, 4};
  int64_t numTokens = 0, numRows = 0, numColumns = 0;
  Value input;    ///< numTokens x numColumns
  Value shared;   ///< [2][tokens][columns and padding]
  Value exchange; ///< of the reference: [warp][lane][register]
  Value lane, rowWarp, tokenWarp, firstRow;
};

} // namespace

void WarpKernel::chooseConfig() {
  // Few tokens: all warps side by side over the rows.
  if (numTokens <= 8)
    config = {8, 1, 1, 1};
  else if (numTokens <= 64)
    config = {8, 1, 1, 4};
  else if (llvm::divideCeil(numTokens, 128) * llvm::divideCeil(numRows, 128) < 100)
    config = {4, 2, 1, 4}; // 64 x 64: more blocks
}

LogicalResult WarpKernel::emit() {
  ShapedType result = layer.getInitType();
  numRows = layer.getNumRows();
  numColumns = layer.getNumColumns();
  numTokens = result.getNumElements() / numRows;
  for (Value buffer : {layer.getInput(), layer.getInit()})
    if (!cast<MemRefType>(buffer.getType()).getLayout().isIdentity())
      return layer.emitOpError() << "has no kernel for " << target.chip
                                 << ": expected activations in row-major order, got " << buffer.getType();
  chooseConfig();
  SmallVector<Value> buffers{layer.getStorage().front(), layer.getInput(), layer.getInit()};
  llvm::append_range(buffers, layer.getExtras());
  int64_t rowBlocks = llvm::divideCeil(numRows, config.getRows()),
          tokenBlocks = llvm::divideCeil(numTokens, config.getTokens());
  KernelBuilder b(rewriter, layer, target, layout.isSparse ? "two_of_four_warps" : "dense_warps", buffers,
                  {tokenBlocks, rowBlocks, 1}, {kThreads, 1, 1});
  shared = b.allocShared(
      MemRefType::get({2, config.getTokens(), kTokenStrideBytes / layout.getElementBytes()}, getElement(b)), 128);
  if (target.isOpenCL)
    exchange = b.allocShared(
        MemRefType::get({kWarps, 32, config.rowFragments * 5 + config.tokenFragments * 4}, b.getI32Type()));
  input = viewAsMatrix(b, b.getBuffer(1));
  lane = b.rem(b.threadId(), 32);
  Value warp = b.div(b.threadId(), 32);
  rowWarp = b.div(warp, config.tokenWarps);
  tokenWarp = b.rem(warp, config.tokenWarps);
  firstRow = b.add(b.mul(b.blockId(1), config.getRows()), b.mul(rowWarp, config.rowFragments * 16));
  Value firstToken = b.mul(b.blockId(), config.getTokens());

  int64_t tiles = layout.getNumColumnTiles(numColumns);
  copyTokens(b, firstToken, b.constant(0), b.constant(0));
  endCopies(b, /*wait=*/false);
  SmallVector<Value> sums(config.rowFragments * config.tokenFragments * 4, b.zero(b.getF32Type()));
  sums = b.forLoop(b.constant(0), b.constant(tiles), 1, sums, [&](Value tile, ValueRange sums) {
    Value slot = b.rem(tile, 2), next = b.add(tile, 1);
    b.ifThen(b.less(next, b.constant(tiles)), [&] { copyTokens(b, firstToken, next, b.rem(next, 2)); });
    endCopies(b, /*wait=*/true);
    b.barrier();
    SmallVector<Value> results = multiplyTile(b, tile, slot, sums);
    b.barrier();
    return results;
  });
  emitEpilogue(b, firstToken, sums);
  return b.finish();
}

/// Part `tile` of the block's tokens into `slot`; zeros beyond the matrix.
void WarpKernel::copyTokens(KernelBuilder &b, Value firstToken, Value tile, Value slot) {
  int64_t elementBytes = layout.getElementBytes(), width = 16 / elementBytes, pieces = getColumns() / width;
  Value firstColumn = b.mul(tile, getColumns());
  if (!target.isOpenCL && numColumns % width == 0) {
    InlinePTX ptx(b);
    Value from = ptx.getGlobalAddress(b.getBuffer(1)), to = ptx.getSharedAddress(shared);
    b.forLoop(b.threadId(), b.constant(config.getTokens() * pieces), kThreads, [&](Value i) {
      Value inBlock = b.div(i, pieces), piece = b.mul(b.rem(i, pieces), width);
      Value token = b.add(firstToken, inBlock), column = b.add(firstColumn, piece);
      Value isInside =
          arith::AndIOp::create(b, b.less(token, b.constant(numTokens)), b.less(column, b.constant(numColumns)));
      Value size = arith::SelectOp::create(b, isInside, ptx.i32(16), ptx.i32(0));
      Value element = arith::SelectOp::create(b, isInside, b.add(b.mul(token, numColumns), column), b.constant(0));
      Value offset =
          b.add(b.mul(b.add(b.mul(slot, config.getTokens()), inBlock), kTokenStrideBytes), b.mul(piece, elementBytes));
      ptx.run("cp.async.cg.shared.global [$0], [$1], 16, $2;", "rlr",
              {arith::AddIOp::create(b, to, ptx.toI32(offset)),
               arith::AddIOp::create(b, from, ptx.toI64(b.mul(element, elementBytes))), size});
    });
    return;
  }
  b.forLoop(b.threadId(), b.constant(config.getTokens() * getColumns()), kThreads, [&](Value i) {
    Value inBlock = b.div(i, getColumns()), inTile = b.rem(i, getColumns());
    Value token = b.add(firstToken, inBlock), column = b.add(firstColumn, inTile);
    Value isInside =
        arith::AndIOp::create(b, b.less(token, b.constant(numTokens)), b.less(column, b.constant(numColumns)));
    auto loaded = scf::IfOp::create(b, getElement(b), isInside, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loaded.thenBlock());
    scf::YieldOp::create(b, memref::LoadOp::create(b, input, ValueRange{token, column}).getResult());
    b.setInsertionPointToStart(loaded.elseBlock());
    scf::YieldOp::create(b, b.zero(getElement(b)));
    b.setInsertionPointAfter(loaded);
    memref::StoreOp::create(b, loaded.getResult(0), shared, ValueRange{slot, inBlock, inTile});
  });
}

/// The copies up to here are one part; waits, if asked, for all parts of this thread before it.
void WarpKernel::endCopies(KernelBuilder &b, bool wait) {
  if (target.isOpenCL)
    return;
  InlinePTX(b).run(wait ? "cp.async.commit_group;\ncp.async.wait_group 1;" : "cp.async.commit_group;");
}

SmallVector<Value> WarpKernel::multiplyTile(KernelBuilder &b, Value tile, Value slot, ValueRange sums) {
  Type i32 = b.getI32Type();
  Value weights = b.getBuffer(0);
  int64_t rowTiles = layout.getNumRowTiles(numRows), columnTiles = layout.getNumColumnTiles(numColumns);
  auto load = [&](Value at, int64_t words) -> Value {
    auto bytes = VectorType::get({words * 4}, b.getI8Type());
    Value loaded = vector::LoadOp::create(b, bytes, weights, at, /*nontemporal=*/false, llvm::MaybeAlign(words * 4));
    return vector::BitCastOp::create(b, VectorType::get({words}, i32), loaded);
  };
  SmallVector<Value> places; // of the row fragments' tiles
  for (int64_t i = 0; i < config.rowFragments; ++i) {
    Value rowTile = b.add(b.div(firstRow, 16), i);
    if (rowTiles * 16 % config.getRows() != 0) // the last block's other rows are computed in vain
      rowTile = arith::MinUIOp::create(b, rowTile, b.constant(rowTiles - 1));
    places.push_back(b.mul(b.add(b.mul(rowTile, columnTiles), tile), layout.getTileBytes()));
  }
  SmallVector<Value> metadata;
  for (Value place : places)
    if (layout.isSparse)
      metadata.push_back(
          vector::ExtractOp::create(b, load(b.add(b.add(place, b.mul(lane, 4)), layout.getValueBytes()), 1), 0));
  SmallVector<Value> results(sums);
  for (int64_t step = 0; step < getNumSteps(); ++step) {
    SmallVector<Value> fragments, tokens;
    for (Value place : places) {
      Value words = load(b.add(b.add(place, b.mul(lane, 16)), step * 512), 4);
      for (int64_t i = 0; i < 4; ++i)
        fragments.push_back(vector::ExtractOp::create(b, words, i));
    }
    Value token = b.add(b.mul(tokenWarp, config.tokenFragments * 8), b.div(lane, 4)),
          column = b.mul(b.rem(lane, 4), getUnit());
    for (int64_t i = 0; i < config.tokenFragments; ++i)
      for (int64_t k = 0; k < getTokenRegisters(); ++k) {
        auto word = VectorType::get({getUnit()}, getElement(b));
        Value at = b.add(column, (step * getTokenRegisters() + k) * 4 * getUnit());
        Value loaded = vector::LoadOp::create(b, word, shared, ValueRange{slot, b.add(token, i * 8), at},
                                              /*nontemporal=*/false, llvm::MaybeAlign(4));
        tokens.push_back(
            vector::ExtractOp::create(b, vector::BitCastOp::create(b, VectorType::get({1}, i32), loaded), 0));
      }
    results = target.isOpenCL ? multiplyReference(b, step, fragments, metadata, tokens, results)
                              : multiply(b, step, fragments, metadata, tokens, results);
  }
  return results;
}

SmallVector<Value> WarpKernel::multiply(KernelBuilder &b, int64_t step, ValueRange weights, ValueRange metadata,
                                        ValueRange tokens, ValueRange sums) {
  InlinePTX ptx(b);
  StringRef type = layout.type == TensorCoreType::F16 ? "f16" : layout.type == TensorCoreType::BF16 ? "bf16" : "tf32";
  SmallVector<Value> results(sums);
  int64_t count = getTokenRegisters();
  std::string text = layout.isSparse ? llvm::formatv("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.{0}.{"
                                                     "0}.f32 {{$0, $1, $2, $3}, {{$4, $5, $6, "
                                                     "$7}, {{$8, $9, $10, $11}, {{$0, $1, $2, $3}, $12, {1};",
                                                     type, step % 2)
                                           .str()
                                     : llvm::formatv("mma.sync.aligned.m16n8k{1}.row.col.f32.{0}.{0}.f32 {{$0, $1, $2, "
                                                     "$3}, {{$4, $5, $6, $7}, {{$8, $9}, {{$0, "
                                                     "$1, $2, $3};",
                                                     type, 8 * getUnit())
                                           .str();
  for (int64_t row = 0; row < config.rowFragments; ++row)
    for (int64_t token = 0; token < config.tokenFragments; ++token) {
      int64_t first = (row * config.tokenFragments + token) * 4;
      SmallVector<Value> operands(weights.slice(row * 4, 4));
      llvm::append_range(operands, tokens.slice(token * count, count));
      if (layout.isSparse)
        operands.push_back(metadata[row]);
      SmallVector<Value> updated =
          ptx.update(text, ArrayRef<Value>(results).slice(first, 4), std::string(operands.size(), 'r'), operands);
      llvm::copy(updated, results.begin() + first);
    }
  return results;
}

SmallVector<Value> WarpKernel::multiplyReference(KernelBuilder &b, int64_t step, ValueRange weights,
                                                 ValueRange metadata, ValueRange tokens, ValueRange sums) {
  // Registers in the exchange: four of each row fragment, its metadata, those of the token fragments.
  int64_t firstMetadata = config.rowFragments * 4, firstToken = config.rowFragments * 5, count = getTokenRegisters();
  Value warp = b.div(b.threadId(), 32);
  auto put = [&](Value word, int64_t slot) {
    memref::StoreOp::create(b, word, exchange, ValueRange{warp, lane, b.constant(slot)});
  };
  b.barrier();
  for (auto [i, word] : llvm::enumerate(weights))
    put(word, i);
  for (auto [i, word] : llvm::enumerate(metadata))
    put(word, firstMetadata + i);
  for (auto [i, word] : llvm::enumerate(tokens))
    put(word, firstToken + i);
  b.barrier();
  auto getWord = [&](Value fromLane, Value slot) -> Value {
    return memref::LoadOp::create(b, exchange, ValueRange{warp, fromLane, slot});
  };
  // Element `odd` (an index, 0 or 1) of a register of two, or its only one.
  auto getElementOf = [&](Value word, Value odd) -> Value {
    if (getUnit() == 1)
      return arith::BitcastOp::create(b, b.getF32Type(), word);
    Value shift = arith::IndexCastUIOp::create(b, b.getI32Type(), b.mul(odd, 16));
    Value bits = arith::TruncIOp::create(b, b.getI16Type(), arith::ShRUIOp::create(b, word, shift));
    return b.convert(arith::BitcastOp::create(b, getElement(b), bits), b.getF32Type());
  };
  int64_t unit = getUnit();
  Value quad = b.div(lane, 4), inQuad = b.rem(lane, 4);
  return b.forLoop(b.constant(0), b.constant(8 * unit), 1, sums, [&](Value stored, ValueRange sums) {
    SmallVector<Value> results(sums);
    Value storedLane = b.div(b.rem(stored, 4 * unit), unit), odd = b.rem(stored, unit);
    for (int64_t row = 0; row < config.rowFragments; ++row)
      for (int64_t side = 0; side < 2; ++side) {
        Value slot = b.add(b.mul(b.div(stored, 4 * unit), 2), row * 4 + side);
        Value weight = getElementOf(getWord(b.add(b.mul(quad, 4), storedLane), slot), odd), column = stored;
        if (layout.isSparse) {
          Value word =
              getWord(b.add(b.add(b.mul(quad, 4), b.div(stored, 8)), step * 2), b.constant(firstMetadata + row));
          Value shift = arith::IndexCastUIOp::create(b, b.getI32Type(), b.add(b.mul(b.rem(stored, 8), 2), side * 16));
          Value place = arith::AndIOp::create(b, arith::ShRUIOp::create(b, word, shift), InlinePTX(b).i32(3));
          column = b.add(b.mul(b.div(stored, 2), 4), arith::IndexCastUIOp::create(b, b.getIndexType(), place));
        }
        for (int64_t token = 0; token < config.tokenFragments; ++token)
          for (int64_t next = 0; next < 2; ++next) {
            Value fromLane = b.add(b.mul(b.add(b.mul(inQuad, 2), next), 4), b.div(b.rem(column, 4 * unit), unit));
            Value word = getWord(fromLane, b.add(b.div(column, 4 * unit), firstToken + token * count));
            Value product = arith::MulFOp::create(b, weight, getElementOf(word, b.rem(column, unit)));
            Value &sum = results[(row * config.tokenFragments + token) * 4 + side * 2 + next];
            sum = arith::AddFOp::create(b, sum, product);
          }
      }
    return results;
  });
}

void WarpKernel::emitEpilogue(KernelBuilder &b, Value firstToken, ValueRange sums) {
  Value result = viewAsMatrix(b, b.getBuffer(2));
  ArrayRef<int64_t> leading = layer.getInitType().getShape().drop_back();
  Value warpToken = b.add(firstToken, b.add(b.mul(tokenWarp, config.tokenFragments * 8), b.mul(b.rem(lane, 4), 2)));
  Value warpRow = b.add(firstRow, b.div(lane, 4));
  for (size_t i = 0; i < sums.size(); ++i) {
    Value sum = sums[i];
    int64_t fragment = i / 4, row = fragment / config.tokenFragments, token = fragment % config.tokenFragments;
    Value m = b.add(warpToken, token * 8 + i % 2), n = b.add(warpRow, row * 16 + i / 2 % 2 * 8);
    Value isInside = arith::AndIOp::create(b, b.less(m, b.constant(numTokens)), b.less(n, b.constant(numRows)));
    b.ifThen(isInside, [&] {
      SmallVector<Value> indices = leading.empty() ? SmallVector<Value>() : b.delinearize(m, leading);
      indices.push_back(n);
      memref::StoreOp::create(b, b.emitEpilogue(layer, sum, indices, 3), result, ValueRange{m, n});
    });
  }
}

LogicalResult mlir::prune::lowerByWarps(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  return WarpKernel(rewriter, op, target, getTensorCoreLayout(op, /*isWarpGroup=*/false)).emit();
}
