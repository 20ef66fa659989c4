//===- WarpGroupKernel.cpp - Packed layers by warp-group instructions ----------===//
//
// result[m, n] = epilogue(sum over k of W[n, k] * input[m, k]) on tensor cores of sm_90, W dense or 2:4. The rows of W
// are the rows of `wgmma`, the tokens its columns. W lies in tiles of 128 x 64 as shared memory wants them, so a bulk
// copy brings one; the tensor copy engine brings the tokens' part, shared by the two blocks of a cluster. One warp
// copies, two warp groups multiply 64 rows by 256 (or 128) tokens each; the blocks stay and take tile after tile.
//
// OpenCL gets the same tiles, metadata and epilogue with copies by all threads and the instruction's meaning written
// out.
//
//===----------------------------------------------------------------------===//

#include "WarpGroupKernel.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

WarpGroupConfig WarpGroupKernel::chooseConfig(const GPUCostModel &model) const {
  WarpGroupTile tile = model.chooseWarpGroupTile(layer.numTokens, layer.numRows, layer.numColumns,
                                                 layout.getElementBytes(), layout.isSparse);
  WarpGroupConfig best;
  best.tokens = tile.tokens;
  best.cluster = tile.cluster;
  constexpr int64_t kBarrierBytes = 1024, kMostStages = 8, kMostTokensTogether = 128;
  best.stages = std::min<int64_t>(kMostStages, (target.sharedBytes - getStagedBytes() - kBarrierBytes) /
                                                   (getWeightBytes() + best.tokens * kRowBytes));
  // Small tiles of 2:4 would wait longer than they multiply, and the ring has room for two at once.
  best.together = layout.isSparse && best.tokens <= kMostTokensTogether ? 2 : 1;
  return best;
}

void WarpGroupKernel::setUpShared(KernelBuilder &b) {
  auto bytes = [&](int64_t size) { return MemRefType::get({size}, b.getI8Type()); };
  sharedTokens = b.allocShared(bytes(config.stages * getTokenBytes()), kTileAlignment);
  sharedWeights = b.allocShared(bytes(config.stages * getWeightBytes()), kTileAlignment);
  if (usesRegisters) // [group][slot][token][row]
    staged = b.allocShared(MemRefType::get({2, 2, kPieceTokens, kGroupRows}, layer.op.getInitType().getElementType()),
                           kTileAlignment);
  else
    staged = b.allocShared(MemRefType::get({2, kStagedTokens, kStagedStride}, getSumType(b, layout)), 128);
}

LogicalResult WarpGroupKernel::emit(const GPUKernelOptions &options) {
  if (failed(verifyRowMajor(layer.op, target)))
    return failure();
  if (layout.isSparse && layout.type == TensorCoreType::I8)
    return layer.op.emitOpError() << "has no kernel for " << target.chip << ": 2:4 in i8 wants tiles of 16 x 128, got "
                                  << layout.getRows() << " x " << layout.getColumns();
  if (!target.isOpenCL && target.sm < 90)
    return layer.op.emitOpError() << "has no kernel for " << target.chip << ": warp-group instructions need sm_90";
  int64_t columnUnit = 16 / layout.getElementBytes();
  if (!target.isOpenCL && layer.numColumns % columnUnit != 0)
    return layer.op.emitOpError() << "has no kernel for " << target.chip
                                  << ": expected a number of columns that is a multiple of " << columnUnit << ", got "
                                  << layer.numColumns;
  usesRegisters = suitsRegisters();
  config = target.isOpenCL ? WarpGroupConfig{128, 1, 1, 1} : chooseConfig(options.model);
  parts.emplace(layer, getNumColumnTiles(), countTiles() * config.cluster, /*together=*/1,
                options.model.getWarpGroupNs(1, config.tokens, layout.isSparse), options);
  usesRegisters &= !parts->isSplit();
  int64_t pieces = countTiles() * parts->getCount();
  int64_t grid =
      target.isOpenCL ? pieces : std::min(pieces, options.model.processors / config.cluster) * config.cluster;
  KernelBuilder b(rewriter, layer.op, target, layout.isSparse ? "two_of_four_warp_groups" : "dense_warp_groups",
                  parts->getBuffers(rewriter, layer, getSumType(rewriter, layout)), {grid, 1, 1},
                  {target.isOpenCL ? 256 : 384, 1, 1});
  setUpShared(b);
  if (target.isOpenCL)
    emitReference(b);
  else
    emitCUDA(b);
  return success(succeeded(b.finish()) && succeeded(parts->finish(rewriter, layer, target)));
}

//===----------------------------------------------------------------------===//
// CUDA
//===----------------------------------------------------------------------===//

WarpGroupKernel::Work WarpGroupKernel::getWork(KernelBuilder &b, Value number) {
  // Eight tiles of tokens, or what is left, go through all rows together: what they read stays in the second-level
  // cache.
  constexpr int64_t kTogether = 8;
  Value part = b.rem(number, parts->getCount());
  number = b.div(number, parts->getCount());
  int64_t rowTiles = getNumTiles(layer.numRows, kTileRows * config.cluster);
  int64_t tokenTiles = getNumTiles(layer.numTokens, config.tokens);
  int64_t together = std::min(kTogether, tokenTiles);
  Value group = b.div(number, together * rowTiles), inGroup = b.rem(number, together * rowTiles);
  Value first = b.mul(group, together);
  Value size = arith::MinUIOp::create(b, b.constant(together), b.sub(b.constant(tokenTiles), first));
  Value token = b.add(first, arith::RemUIOp::create(b, inGroup, size));
  return {arith::DivUIOp::create(b, inGroup, size), token, part};
}

void WarpGroupKernel::emitCUDA(KernelBuilder &b) {
  InlinePTX ptx(b);
  auto setAttr = [&](StringRef name, Attribute value) { b.getKernel()->setAttr(name, value); };
  setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), b.getI32IntegerAttr(1));
  if (config.cluster > 1)
    setAttr(NVVM::NVVMDialect::getClusterDimAttrName(), b.getDenseI32ArrayAttr({int32_t(config.cluster), 1, 1}));
  barriers = b.allocShared(MemRefType::get({2 * config.stages}, b.getI64Type()));
  if (usesRegisters)
    resultMap = b.addTensorMap(layer.op.getInit(), {kGroupRows, kPieceTokens}, /*swizzleBytes=*/128);

  Value thread = b.threadId(), block = b.blockId();
  Value rank = b.rem(block, config.cluster), firstTile = b.div(block, config.cluster);
  auto meet = [&] {
    if (config.cluster > 1)
      ptx.run("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;");
  };
  Value isFirst = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, thread, b.constant(0));
  Value address = ptx.getSharedAddress(barriers);
  b.ifThen(isFirst, [&] {
    for (int64_t stage = 0; stage < config.stages; ++stage) {
      auto init = [&](int64_t slot, int64_t arrivals) {
        Value at = add32(b, address, slot * 8);
        ptx.run("mbarrier.init.shared::cta.b64 [$0], $1;", "rr", {at, ptx.i32(arrivals)});
      };
      init(stage, 1);
      init(config.stages + stage, 2 * config.cluster);
    }
    ptx.run("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;");
  });
  b.barrier();
  meet();
  auto role = scf::IfOp::create(b, b.less(thread, b.constant(128)), /*withElseRegion=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(role.thenBlock());
    ptx.run("setmaxnreg.dec.sync.aligned.u32 40;");
    b.ifThen(isFirst, [&] { emitCopies(b, rank, firstTile); });
    b.setInsertionPointToStart(role.elseBlock());
    ptx.run("setmaxnreg.inc.sync.aligned.u32 232;");
    emitProducts(b, rank, firstTile);
  }
  b.setInsertionPointAfter(role);
  meet(); // nobody leaves while the other may still write here
}

void WarpGroupKernel::emitCopies(KernelBuilder &b, Value rank, Value firstTile) {
  InlinePTX ptx(b);
  int64_t half = config.tokens / config.cluster;
  Value map = b.addTensorMap(layer.op.getInput(), {layout.getColumns(), half}, /*swizzleBytes=*/128);
  Value mapAddress = ptx.getGlobalAddress(map);
  ptx.run("fence.proxy.tensormap::generic.acquire.gpu [$0], 128;", "l", {mapAddress});
  Value weights = ptx.getGlobalAddress(b.getBuffer(0));
  Value sharedA = ptx.getSharedAddress(sharedWeights), sharedB = ptx.getSharedAddress(sharedTokens);
  Value bars = ptx.getSharedAddress(barriers);
  int64_t pieces = countTiles() * parts->getCount();
  int64_t step = b.getGrid()[0] / config.cluster;
  b.forLoop(firstTile, b.constant(pieces), step, {ptx.i32(0), ptx.i32(1)}, [&](Value number, ValueRange ring) {
    Work work = getWork(b, number);
    // Rows beyond the layer's are computed in vain.
    Value weightTile =
        clampBelow(b, b.add(b.mul(work.rowTile, config.cluster), rank), layout.getNumRowTiles(layer.numRows));
    Value source =
        arith::AddIOp::create(b, weights, ptx.toI64(b.mul(weightTile, getNumColumnTiles() * getWeightBytes())));
    Value token = ptx.toI32(b.add(b.mul(work.tokenTile, config.tokens), b.mul(rank, half)));
    Value firstColumnTile = parts->getFirstTile(b, work.part), endColumnTile = parts->getEndTile(b, work.part);
    return b.forLoop(firstColumnTile, endColumnTile, 1, ring, [&](Value k, ValueRange ring) {
      RingPlace place{ring[0], ring[1]};
      Value full = multiplyAdd32(b, place.slot, 8, bars), empty = add32(b, full, 8 * config.stages);
      waitFor(ptx, empty, place.parity);
      ptx.run("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "rr",
              {full, ptx.i32(getWeightBytes() + getTokenBytes())});
      ptx.run("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1], $2, [$3];", "rlrr",
              {multiplyAdd32(b, place.slot, getWeightBytes(), sharedA),
               arith::AddIOp::create(b, source, ptx.toI64(b.mul(k, getWeightBytes()))), ptx.i32(getWeightBytes()),
               full});
      Value column = ptx.toI32(b.mul(k, layout.getColumns()));
      Value destination = multiplyAdd32(b, place.slot, getTokenBytes(),
                                        multiplyAdd32(b, ptx.toI32(rank), getTokenBytes() / config.cluster, sharedB));
      std::string copy = "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes";
      SmallVector<Value> operands{destination, mapAddress, column, token, full};
      if (config.cluster == 1) {
        ptx.run(copy + " [$0], [$1, {$2, $3}], [$4];", "rlrrr", operands);
      } else {
        operands.push_back(arith::ConstantIntOp::create(b, b.getI16Type(), (1 << config.cluster) - 1));
        ptx.run(copy + ".multicast::cluster [$0], [$1, {$2, $3}], [$4], $5;", "rlrrrh", operands);
      }
      RingPlace next = RingPlace::next(b, place, config.stages);
      return SmallVector<Value>{next.slot, next.parity};
    });
  });
}

Value WarpGroupKernel::getDescriptor(KernelBuilder &b, InlinePTX &ptx, Value address, int64_t rowBytes) {
  // Start address, leading offset (not used by swizzled tiles), bytes from one atom of 8 rows to the next, all in units
  // of 16 bytes, and the kind of swizzle: 1 for rows of 128 bytes, 2 for 64.
  uint64_t fixed = uint64_t(1) << 16 | uint64_t(rowBytes * 8 / 16) << 32 | uint64_t(rowBytes == 128 ? 1 : 2) << 62;
  Value start = arith::ShRUIOp::create(b, arith::AndIOp::create(b, address, ptx.i32(0x3FFFF)), ptx.i32(4));
  return arith::OrIOp::create(b, arith::ExtUIOp::create(b, b.getI64Type(), start),
                              arith::ConstantIntOp::create(b, b.getI64Type(), int64_t(fixed)));
}

/// The instruction with its accumulators, for a step of 32 (dense) or 64 (2:4) bytes of columns.
std::string WarpGroupKernel::getInstruction(int64_t step) const {
  int64_t n = getNumAccumulators();
  std::string registers;
  for (int64_t i = 0; i < n; ++i)
    registers += (i ? ", $" : "$") + std::to_string(i);
  // Whether to add, signs of floats, and for types of 16 bits which operand is transposed.
  StringRef flags = layout.type == TensorCoreType::I8     ? "1"
                    : layout.type == TensorCoreType::TF32 ? "1, 1, 1"
                                                          : "1, 1, 1, 0, 0";
  return llvm::formatv("wgmma.mma_async{0}.sync.aligned.m64n{1}k{2}.{9}.{3}.{3} {{{4}}, ${5}, ${6}, {7}{8};",
                       layout.isSparse ? ".sp" : "", config.tokens,
                       (layout.isSparse ? 64 : 32) / layout.getElementBytes(), getFactorName(layout), registers, n,
                       n + 1, layout.isSparse ? llvm::formatv("${0}, {1}, ", n + 2, step % 2).str() : "", flags,
                       getSumName(layout));
}

void WarpGroupKernel::emitProducts(KernelBuilder &b, Value rank, Value firstTile) {
  InlinePTX ptx(b);
  Value thread = b.rem(b.threadId(), 128);
  Value group = b.sub(b.div(b.threadId(), 128), b.constant(1));
  Value sharedA = ptx.getSharedAddress(sharedWeights), sharedB = ptx.getSharedAddress(sharedTokens);
  Value bars = ptx.getSharedAddress(barriers);
  Value group32 = ptx.toI32(group), thread32 = ptx.toI32(thread);
  int64_t rowBytes = layout.getRowBytes(), steps = layout.isSparse ? 2 : 4;
  int64_t pieces = countTiles() * parts->getCount();
  if (usesRegisters)
    ptx.run("fence.proxy.tensormap::generic.acquire.gpu [$0], 128;", "l", {ptx.getGlobalAddress(resultMap)});
  // Tells the copying threads of all blocks of the cluster that a slot is free.
  Value isSignaller = b.less(thread, b.constant(config.cluster));
  auto release = [&](Value slot) {
    Value empty = add32(b, multiplyAdd32(b, slot, 8, bars), 8 * config.stages);
    ptx.run("{\n.reg .b32 r;\nmapa.shared::cluster.u32 r, $0, $1;\nmbarrier.arrive.shared::cluster.b64 _, [r];\n}",
            "rr", {empty, thread32});
  };
  auto getPrevious = [&](Value slot) -> Value {
    Value isZero = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, slot, ptx.i32(0));
    return arith::SelectOp::create(b, isZero, ptx.i32(config.stages - 1), add32(b, slot, -1));
  };

  b.forLoop(
      firstTile, b.constant(pieces), b.getGrid()[0] / config.cluster, {ptx.i32(0), ptx.i32(0)},
      [&](Value number, ValueRange ring) {
        Work work = getWork(b, number);
        Value firstColumnTile = parts->getFirstTile(b, work.part), endColumnTile = parts->getEndTile(b, work.part);
        Value zero = b.zero(getSumType(b, layout));
        SmallVector<Value> carried(getNumAccumulators(), zero);
        llvm::append_range(carried, ring);
        auto multiplyTiles = [&](Value k, int64_t count, ValueRange carried) {
          RingPlace place{carried[carried.size() - 2], carried.back()};
          SmallVector<Value> sums(carried.drop_back(2)), slots;
          SmallVector<SmallVector<Value>> products; // operands of each instruction
          for (int64_t i = 0; i < count; ++i, place = RingPlace::next(b, place, config.stages)) {
            waitFor(ptx, multiplyAdd32(b, place.slot, 8, bars), place.parity);
            slots.push_back(place.slot);
            Value tile = multiplyAdd32(b, place.slot, getWeightBytes(), sharedA);
            Value weights =
                getDescriptor(b, ptx, multiplyAdd32(b, group32, layout.getValueBytes() / 2, tile), rowBytes);
            Value tokens = getDescriptor(b, ptx, multiplyAdd32(b, place.slot, getTokenBytes(), sharedB), kRowBytes);
            Value metadata;
            if (layout.isSparse) {
              Value at =
                  add32(b, multiplyAdd32(b, group32, 512, multiplyAdd32(b, thread32, 4, tile)), layout.getValueBytes());
              metadata = ptx.get("ld.shared.b32 $0, [$1];", b.getI32Type(), "r", "r", at);
            }
            for (int64_t step = 0; step < steps; ++step) {
              // 32 bytes of weights a step, and 32 (dense) or 64 of tokens.
              auto advance = [&](Value descriptor, int64_t bytes) -> Value {
                return arith::AddIOp::create(b, descriptor,
                                             arith::ConstantIntOp::create(b, b.getI64Type(), step * bytes / 16));
              };
              products.push_back({advance(weights, 32), advance(tokens, layout.isSparse ? 64 : 32)});
              if (layout.isSparse)
                products.back().push_back(metadata);
            }
          }
          ptx.run("wgmma.fence.sync.aligned;");
          for (auto [i, operands] : llvm::enumerate(products))
            sums = ptx.update(getInstruction(i % steps), sums, layout.isSparse ? "llr" : "ll", operands);
          ptx.run("wgmma.commit_group.sync.aligned;");
          if (layout.isSparse) {
            // The instructions read the metadata's register until they are done, and ptxas does not know: it gives
            // the register to the next tile's. The other warp group keeps the tensor cores busy in the meantime.
            ptx.run("wgmma.wait_group.sync.aligned 0;");
            b.ifThen(isSignaller, [&] { llvm::for_each(slots, release); });
          } else {
            // The products of the tile before are done: its slot may be filled.
            ptx.run("wgmma.wait_group.sync.aligned 1;");
            Value hasPrevious = arith::CmpIOp::create(b, arith::CmpIPredicate::ne, k, firstColumnTile);
            b.ifThen(arith::AndIOp::create(b, hasPrevious, isSignaller), [&] { release(getPrevious(slots.front())); });
          }
          sums.push_back(place.slot);
          sums.push_back(place.parity);
          return sums;
        };
        Value firstSingle = firstColumnTile;
        if (config.together > 1) {
          firstSingle = b.sub(endColumnTile, b.rem(b.sub(endColumnTile, firstColumnTile), config.together));
          carried = b.forLoop(firstColumnTile, firstSingle, config.together, carried,
                              [&](Value k, ValueRange carried) { return multiplyTiles(k, config.together, carried); });
        }
        carried = b.forLoop(firstSingle, endColumnTile, 1, carried,
                            [&](Value k, ValueRange carried) { return multiplyTiles(k, 1, carried); });
        RingPlace place{carried[carried.size() - 2], carried.back()};
        SmallVector<Value> sums(ArrayRef<Value>(carried).drop_back(2));
        sums = ptx.update("wgmma.wait_group.sync.aligned 0;", sums);
        if (!layout.isSparse)
          b.ifThen(isSignaller, [&] { release(getPrevious(place.slot)); });
        Value row = b.add(b.mul(b.add(b.mul(work.rowTile, config.cluster), rank), kTileRows), b.mul(group, kGroupRows));
        emitEpilogue(b, sums, group, thread, work.part, row, b.mul(work.tokenTile, config.tokens),
                     [&] { ptx.run("bar.sync $0, 128;", "r", {add32(b, group32, 1)}); });
        return SmallVector<Value>{place.slot, place.parity};
      });
  if (usesRegisters)
    ptx.run("cp.async.bulk.wait_group.read 0;"); // of this thread; others have none
}

LogicalResult mlir::prune::lowerByWarpGroups(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                             const GPUKernelOptions &options) {
  return WarpGroupKernel(rewriter, op, target, getTensorCoreLayout(op, /*isWarpGroup=*/true)).emit(options);
}
