//===- BlockRingKernel.cpp - Blocks on tensor cores of sm_90, many tokens -------===//
//
// Each warp has one row of blocks and all tokens of the tile: it reads its blocks one after the other, each loaded two
// turns before it is needed, and its sums stay in registers. Activations lie in a ring of chunks in shared memory. The
// tensor copy engine fills it: the warps start a chunk's copies by turns, so that no registers are lent to a warp that
// only copies, and warps with fewer blocks in a chunk go on to the next ones while others are still busy.
//
// OpenCL gets the same kernel with the instructions written out, and with all warps in the same chunk.
//
//===----------------------------------------------------------------------===//

#include "BlockRingKernel.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::prune;

/// As many as fit beside what the registers allow of blocks of threads.
void BlockRingKernel::chooseStages() {
  constexpr int64_t registers = 65536, fixedRegisters = 48, reservedBytes = 1024, barrierBytes = 256;
  int64_t ofThread = tokens / 2 + fixedRegisters;
  int64_t blocks = std::max<int64_t>(1, registers / (warps * kWarpThreads * ofThread));
  auto count = [&](int64_t blocks) {
    return ((b.target.sharedBytes + reservedBytes) / blocks - reservedBytes - barrierBytes) / getStageBytes();
  };
  while (blocks > 1 && count(blocks) < 2)
    --blocks;
  stages = std::clamp<int64_t>(count(blocks), 2, kMostStages);
  chunksAhead = (stages + 1) / 2;
  b.getKernel()->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), b.getI32IntegerAttr(blocks));
}

void BlockRingKernel::setUp() {
  // The ring, and when it is not needed any more the sums of all threads.
  int64_t size = std::max(stages * getStageBytes(), warps * kWarpThreads * tokens * 2);
  stageBytes = b.allocShared(MemRefType::get({size}, b.getI8Type()), kTileAlignment);
  lane = b.rem(b.threadId(), kWarpThreads);
  warp = b.div(b.threadId(), kWarpThreads);
  slot = b.add(b.mul(b.blockId(0), warps), warp);
  firstToken = b.mul(b.blockId(1), tokens);
  auto isZero = [&](Value value) -> Value {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, value, b.constant(0));
  };
  isFirstLane = isZero(lane);
  if (b.target.isOpenCL) { // places in the ring are bytes from its start
    ownPlace = getLanePlace(lane, ptx.i32(0));
    return;
  }
  Value slots = b.allocShared(MemRefType::get({2 * stages}, b.getI64Type()));
  mapAddress = ptx.getGlobalAddress(b.addTensorMap(layer.op.getInput(), {kBoxColumns, tokens}, kBoxRowBytes));
  barriers = ptx.getSharedAddress(slots);
  ownPlace = getLanePlace(lane, ptx.getSharedAddress(stageBytes));
  b.ifThen(isZero(b.threadId()), [&] {
    for (int64_t stage = 0; stage < stages; ++stage)
      for (bool isEmpty : {false, true})
        ptx.run("mbarrier.init.shared::cta.b64 [$0], $1;", "rr",
                {add32(b, barriers, (stage + isEmpty * stages) * 8), ptx.i32(isEmpty ? warps : 1)});
    ptx.run("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;");
  });
  b.ifThen(isFirstLane, [&] { ptx.run("fence.proxy.tensormap::generic.acquire.gpu [$0], 128;", "l", {mapAddress}); });
  b.barrier();
}

/// Lanes 0 to 7 load the first eight tokens' first 16 bytes of a block, the next eight lanes their other 16, the rest
/// those of the next eight tokens. The engine has exchanged the 16 bytes by the token's number.
BlockRingKernel::LanePlace BlockRingKernel::getLanePlace(Value lane, Value ring) {
  Value token = b.add(b.rem(lane, 8), b.mul(b.div(lane, 16), 8)), half = b.rem(b.div(lane, 8), 2);
  LanePlace place;
  place.ring = arith::AddIOp::create(b, ring, ptx.toI32(b.mul(token, kBoxRowBytes)));
  place.swizzle = ptx.toI32(b.mul(arith::XOrIOp::create(b, b.rem(lane, 8), half), 16));
  return place;
}

/// The warp whose turn it is brings chunk `chunk`, if there is one.
void BlockRingKernel::startCopies(Value chunkNumber, const RingPlace &place) {
  Value number = arith::IndexCastUIOp::create(b, b.getIndexType(), chunkNumber);
  Value isMine = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, b.rem(number, warps), warp);
  isMine = arith::AndIOp::create(b, isMine, b.less(number, b.constant(numChunks)));
  b.ifThen(arith::AndIOp::create(b, isMine, isFirstLane), [&] {
    Value full;
    if (!b.target.isOpenCL) {
      full = multiplyAdd32(b, place.slot, 8, barriers);
      waitFor(ptx, add32(b, full, 8 * stages), place.parity);
      ptx.run("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "rr", {full, ptx.i32(getStageBytes())});
    }
    // This is the first lane: its place in the ring is the ring's.
    Value destination = multiplyAdd32(b, place.slot, getStageBytes(), ownPlace.ring), token = ptx.toI32(firstToken);
    for (int64_t column = 0; column < chunk; column += kBoxColumns) {
      Value to = add32(b, destination, column / kBoxColumns * tokens * kBoxRowBytes);
      Value from = add32(b, arith::MulIOp::create(b, chunkNumber, ptx.i32(chunk)), column);
      if (b.target.isOpenCL)
        copyBoxReference(to, from, token);
      else
        ptx.run("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [$0], [$1, {$2, "
                "$3}], [$4];",
                "rlrrr", {to, mapAddress, from, token, full});
    }
  });
  if (!b.target.isOpenCL)
    ptx.run("bar.warp.sync 0xffffffff;");
}

/// For the chunk of `state`; OpenCL: and for all warps.
void BlockRingKernel::waitForChunk(const State &state) {
  if (b.target.isOpenCL)
    return b.barrier();
  waitFor(ptx, multiplyAdd32(b, state.place.slot, 8, barriers), state.place.parity);
}

/// Tells that this warp is done with the chunk of `state`; OpenCL: all of them are, afterwards.
void BlockRingKernel::leaveChunk(const State &state) {
  if (b.target.isOpenCL)
    return b.barrier();
  ptx.run("bar.warp.sync 0xffffffff;");
  Value empty = add32(b, multiplyAdd32(b, state.place.slot, 8, barriers), 8 * stages);
  b.ifThen(isFirstLane, [&] { ptx.run("mbarrier.arrive.shared::cta.b64 _, [$0];", "r", {empty}); });
}

/// The end of the blocks of a chunk of this warp; beyond the last chunk any number.
Value BlockRingKernel::loadPosition(Value chunkNumber) {
  Value positions = b.getBuffer(Positions);
  Value place = b.add(b.mul(slot, numChunks), arith::IndexCastUIOp::create(b, b.getIndexType(), chunkNumber));
  return memref::LoadOp::create(b, positions,
                                clampBelow(b, place, cast<MemRefType>(positions.getType()).getNumElements()));
}

/// To the next chunk, which is there afterwards.
BlockRingKernel::State BlockRingKernel::advance(const State &state) {
  leaveChunk(state);
  State next = state;
  next.chunk = add32(b, state.chunk, 1);
  next.place = RingPlace::next(b, state.place, stages);
  next.chunkEnd = state.nextEnd;
  next.nextEnd = loadPosition(add32(b, next.chunk, 2));
  startCopies(add32(b, next.chunk, chunksAhead), state.fill);
  next.fill = RingPlace::next(b, state.fill, stages);
  waitForChunk(next);
  return next;
}

BlockRingKernel::State BlockRingKernel::advanceWhile(State state, function_ref<Value(const State &state)> condition) {
  SmallVector<Value> init = state.toValues();
  SmallVector<Type> types(init.size(), b.getI32Type());
  auto loop = scf::WhileOp::create(
      b, types, init,
      [&](OpBuilder &, Location, ValueRange values) {
        OpBuilder::InsertionGuard guard(b);
        scf::ConditionOp::create(b, condition(State(values)), values);
      },
      [&](OpBuilder &, Location, ValueRange values) { scf::YieldOp::create(b, advance(State(values)).toValues()); });
  return State(loop.getResults());
}

BlockRingKernel::Block BlockRingKernel::loadBlock(Value number) {
  Value inside = clampBelow(b, number, cast<MemRefType>(b.getBuffer(Values).getType()).getDimSize(0));
  Value coordinate = memref::LoadOp::create(b, b.getBuffer(Coordinates), inside);
  Block block;
  block.weights =
      b.target.isOpenCL ? SmallVector<Value>{ptx.toI32(inside)} : loadFragment(b, b.getBuffer(Values), inside, lane);
  block.coordinate = arith::ExtUIOp::create(b, b.getI32Type(), coordinate);
  return block;
}

/// What a lane loads of the block of `coordinate` in the chunk at `place`, of the first 16 tokens.
Value BlockRingKernel::getBlockAddress(Value coordinate, const RingPlace &place, const LanePlace &lane) {
  // Four blocks lie side by side in the columns of a copy, 32 bytes apart.
  constexpr int64_t blocksOfBox = kBoxColumns / kFragmentSide;
  Value box = arith::ShRUIOp::create(b, coordinate, ptx.i32(llvm::Log2_64(blocksOfBox)));
  Value inBox = arith::AndIOp::create(b, coordinate, ptx.i32(blocksOfBox - 1));
  Value inRow = arith::XOrIOp::create(b, arith::ShLIOp::create(b, inBox, ptx.i32(5)), lane.swizzle);
  Value address = multiplyAdd32(b, place.slot, getStageBytes(), lane.ring);
  return arith::AddIOp::create(b, multiplyAdd32(b, box, tokens * kBoxRowBytes, address), inRow);
}

SmallVector<Value> BlockRingKernel::multiply(const Block &block, const RingPlace &place, ValueRange sums) {
  if (b.target.isOpenCL)
    return multiplyReference(block, place, sums);
  constexpr int64_t mostLoads = 4;
  Value address = getBlockAddress(block.coordinate, place, ownPlace);
  SmallVector<Value> results;
  for (int64_t first = 0; first < tokens; first += mostLoads * kLoadTokens) {
    SmallVector<Value> words;
    int64_t end = std::min(first + mostLoads * kLoadTokens, tokens);
    for (int64_t token = first; token < end; token += kLoadTokens)
      llvm::append_range(words, ptx.getWords("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0, $1, $2, $3}, [$4];", 4, "r",
                                             {add32(b, address, token * kBoxRowBytes)}));
    for (int64_t token = first; token < end; token += kFragmentTokens)
      llvm::append_range(results, multiplyFragment(b, element, block.weights,
                                                   ValueRange(words).slice((token - first) / kFragmentTokens * 2, 2),
                                                   sums.slice(token / kFragmentTokens * kFragmentSums, kFragmentSums)));
  }
  return results;
}

/// Sums, blocks that are loaded ahead, and state, after the blocks from `begin` to `end`; `carried` is what they were.
SmallVector<Value> BlockRingKernel::multiplyBlocks(Value begin, Value end, ValueRange carried) {
  return b.forLoop(begin, end, kBlocksAhead, carried, [&](Value first, ValueRange values) {
    SmallVector<Value> all(values);
    // Places of the block's registers stay what they are: moving them to another place would wait for their load.
    for (int64_t i = 0; i < kBlocksAhead; ++i) {
      Value number = b.add(first, i);
      auto step = [&] {
        MutableArrayRef<Value> own = MutableArrayRef(all).slice(getNumSums() + i * getBlockValues(), getBlockValues());
        Block block{llvm::to_vector(own.drop_back()), own.back()};
        State state(ValueRange(all).take_back(kStateValues));
        if (!b.target.isOpenCL) {
          Value number32 = ptx.toI32(number);
          state = advanceWhile(state, [&](const State &state) -> Value {
            return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, number32, state.chunkEnd);
          });
        }
        SmallVector<Value> results = multiply(block, state.place, ValueRange(all).take_front(getNumSums()));
        SmallVector<Value> next = loadBlock(b.add(number, kBlocksAhead)).toValues();
        llvm::copy(results, all.begin());
        llvm::copy(next, own.begin());
        llvm::copy(state.toValues(), all.end() - kStateValues);
      };
      if (i == 0) {
        step();
        continue;
      }
      SmallVector<Value> before(all);
      auto branch = scf::IfOp::create(b, ValueRange(all).getTypes(), b.less(number, end), /*withElseRegion=*/true);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(branch.elseBlock());
      scf::YieldOp::create(b, before);
      b.setInsertionPointToStart(branch.thenBlock());
      step();
      scf::YieldOp::create(b, all);
      llvm::copy(branch.getResults(), all.begin());
    }
    return all;
  });
}

LogicalResult BlockRingKernel::emit() {
  chooseStages();
  setUp();
  for (int64_t i = 0; i < std::min(chunksAhead, numChunks); ++i)
    startCopies(ptx.i32(i), {ptx.i32(i), ptx.i32(1)});
  State state;
  state.chunk = ptx.i32(0);
  state.place = {ptx.i32(0), ptx.i32(0)};
  state.fill = {ptx.i32(chunksAhead), ptx.i32(1)};
  state.chunkEnd = loadPosition(ptx.i32(1));
  state.nextEnd = loadPosition(ptx.i32(2));
  auto toIndex = [&](Value value) -> Value { return arith::IndexCastUIOp::create(b, b.getIndexType(), value); };
  Value begin = toIndex(loadPosition(ptx.i32(0))), end = toIndex(loadPosition(ptx.i32(numChunks)));
  SmallVector<Value> carried(getNumSums(), b.zero(b.getF32Type()));
  for (int64_t i = 0; i < kBlocksAhead; ++i)
    llvm::append_range(carried, loadBlock(b.add(begin, i)).toValues());
  startCopies(ptx.i32(chunksAhead), state.fill);
  state.fill = RingPlace::next(b, state.fill, stages);
  waitForChunk(state);
  llvm::append_range(carried, state.toValues());
  if (b.target.isOpenCL) {
    carried = multiplyChunks(begin, carried);
  } else {
    carried = multiplyBlocks(begin, end, carried);
    // The chunks that are left: others may wait for this warp's turn to copy.
    advanceWhile(State(ValueRange(carried).take_back(kStateValues)), [&](const State &state) -> Value {
      return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, add32(b, state.chunk, 1), ptx.i32(numChunks));
    });
  }
  FragmentSlot row(b, b.getBuffer(Rows), slot);
  Value exchanged = viewRing({warps, getNumSums(), kWarpThreads}, b.getF32Type());
  storeSums(addSlots(b, exchanged, warp, lane, row, ValueRange(carried).take_front(getNumSums())), row.rowOfBlocks);
  return b.finish();
}

Value BlockRingKernel::viewRing(ArrayRef<int64_t> shape, Type type) {
  auto viewed = MemRefType::get(shape, type, MemRefLayoutAttrInterface(),
                                cast<MemRefType>(stageBytes.getType()).getMemorySpace());
  return memref::ViewOp::create(b, viewed, stageBytes, b.constant(0), ValueRange());
}

/// The bytes of `x` and `y`, which count as 0 to 7, that the four digits of `bytes` say; the last digit is the lowest.
Value BlockRingKernel::permuteBytes(Value x, Value y, int64_t bytes) {
  if (b.target.isOpenCL)
    return permuteBytesReference(x, y, bytes);
  return ptx.get("prmt.b32 $0, $1, $2, $3;", b.getI32Type(), "r", "rrr", {x, y, ptx.i32(bytes)});
}

/// Of a matrix of 8 x 8, 16 bits each: a lane has two neighbours of row lane / 4.
Value BlockRingKernel::transpose(Value halves) {
  if (b.target.isOpenCL)
    return transposeReference(halves);
  return ptx.get("movmatrix.sync.aligned.m8n8.trans.b16 $0, $1;", b.getI32Type(), "r", "r", halves);
}

/// A lane has two rows and two tokens of a fragment; exchanged as matrices of 16 bits, low and high halves by
/// themselves, it has four rows of one token, which are side by side in the result.
void BlockRingKernel::storeSums(ValueRange sums, Value rowOfBlocks) {
  auto exchange = [&](Value first, Value second) {
    Value x = arith::BitcastOp::create(b, b.getI32Type(), first);
    Value y = arith::BitcastOp::create(b, b.getI32Type(), second);
    constexpr int64_t lowHalves = 0x5410, highHalves = 0x7632;
    Value low = transpose(permuteBytes(x, y, lowHalves)), high = transpose(permuteBytes(x, y, highHalves));
    return SmallVector<Value>{arith::BitcastOp::create(b, b.getF32Type(), permuteBytes(low, high, lowHalves)),
                              arith::BitcastOp::create(b, b.getF32Type(), permuteBytes(low, high, highHalves))};
  };
  constexpr int64_t rowsOfLane = 4;
  Value firstRow = b.add(b.mul(rowOfBlocks, kFragmentSide), b.mul(b.rem(lane, 4), rowsOfLane));
  for (int64_t first = 0; first < tokens; first += kFragmentTokens) {
    ValueRange own = sums.slice(first / kFragmentTokens * kFragmentSums, kFragmentSums);
    SmallVector<Value> rows = exchange(own[0], own[1]);
    llvm::append_range(rows, exchange(own[2], own[3]));
    layer.storeResults(b, rows, b.add(firstToken, b.add(b.div(lane, 4), first)), firstRow);
  }
}

bool mlir::prune::suitsBlockRing(LinearOp op) {
  int64_t tokens = op.getVectors() * kFragmentTokens;
  constexpr int64_t columnUnit = 8; // 16 bytes, as the engine wants rows
  return op.getChunk() % BlockRingKernel::kBoxColumns == 0 && tokens % (2 * kFragmentTokens) == 0 &&
         LayerBuffers(op).numColumns % columnUnit == 0 &&
         cast<MemRefType>(op.getInput().getType()).getLayout().isIdentity();
}

LogicalResult mlir::prune::lowerBlockRing(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  return BlockRingKernel(rewriter, op, target).emit();
}
