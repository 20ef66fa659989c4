//===- WarpGroupEpilogue.cpp - From sums to results, and OpenCL ----------------===//

#include "WarpGroupKernel.h"

using namespace mlir;
using namespace mlir::prune;

//===----------------------------------------------------------------------===//
// Epilogue
//===----------------------------------------------------------------------===//

void WarpGroupKernel::emitEpilogue(KernelBuilder &b, ValueRange sums, Value group, Value thread, Value part,
                                   Value firstRow, Value firstToken, function_ref<void()> wait) {
  if (usesRegisters)
    return emitEpilogueInRegisters(b, sums, group, thread, firstRow, firstToken, wait);
  constexpr int64_t kWidth = 4; // elements of a thread at a time, neighbours in memory
  Value lane = b.rem(thread, 32), warp = b.div(thread, 32);
  Value row = b.add(b.mul(warp, 16), b.div(lane, 4)), token = b.mul(b.rem(lane, 4), 2);
  unsigned firstExtra = layer.getInputBuffer() + 1;
  // Sums of a part leave as they are.
  Value result = parts->isSplit() ? b.getBuffer(firstExtra)
                                  : viewAsMatrix(b, b.getBuffer(firstExtra + layer.op.getExtras().size()));
  Type resultType = cast<MemRefType>(result.getType()).getElementType();
  auto getPlace = [&](Value token, Value row) {
    return parts->isSplit() ? SmallVector<Value>{part, token, row} : SmallVector<Value>{token, row};
  };
  ArrayRef<int64_t> leading = layer.op.getInitType().getShape().drop_back();
  for (int64_t first = 0; first < config.tokens; first += kStagedTokens) {
    wait();
    for (int64_t i = 0; i < kStagedTokens / 2; ++i) {
      // Four sums for each 8 tokens: (row, token), (row, token + 1), (row + 8, token), (row + 8, token + 1).
      Value atToken = b.add(token, i / 4 * 8 + i % 2), atRow = b.add(row, i / 2 % 2 * 8);
      memref::StoreOp::create(b, sums[first / 2 + i], staged, ValueRange{group, atToken, atRow});
    }
    wait();
    constexpr int64_t kThreadsPerToken = kGroupRows / kWidth, kTokensAtOnce = 128 / kThreadsPerToken;
    b.forLoop(b.constant(0), b.constant(kStagedTokens), kTokensAtOnce, [&](Value turn) {
      Value inTile = b.add(turn, b.div(thread, kThreadsPerToken)),
            inGroup = b.mul(b.rem(thread, kThreadsPerToken), kWidth);
      Value m = b.add(b.add(firstToken, first), inTile), n = b.add(firstRow, inGroup);
      auto finish = [&] {
        SmallVector<Value> indices = leading.empty() ? SmallVector<Value>() : b.delinearize(m, leading);
        Value loaded = vector::LoadOp::create(b, VectorType::get({kWidth}, getSumType(b, layout)), staged,
                                              ValueRange{group, inTile, inGroup});
        auto getElement = [&](int64_t i) -> Value {
          if (parts->isSplit())
            return vector::ExtractOp::create(b, loaded, i);
          SmallVector<Value> at(indices);
          at.push_back(b.add(n, i));
          return b.emitEpilogue(layer.op, vector::ExtractOp::create(b, loaded, i), at, firstExtra);
        };
        if (layer.numRows % kWidth == 0) {
          SmallVector<Value> elements;
          for (int64_t i = 0; i < kWidth; ++i)
            elements.push_back(getElement(i));
          auto type = VectorType::get({kWidth}, resultType);
          Value vector = vector::FromElementsOp::create(b, type, elements);
          vector::StoreOp::create(b, vector, result, getPlace(m, n),
                                  /*nontemporal=*/false, llvm::MaybeAlign(kWidth * type.getElementTypeBitWidth() / 8));
          return;
        }
        for (int64_t i = 0; i < kWidth; ++i)
          b.ifThen(b.less(b.add(n, i), b.constant(layer.numRows)),
                   [&] { memref::StoreOp::create(b, getElement(i), result, getPlace(m, b.add(n, i))); });
      };
      Value isInside = b.less(n, b.constant(layer.numRows));
      if (layer.numTokens % config.tokens != 0)
        isInside = arith::AndIOp::create(b, isInside, b.less(m, b.constant(layer.numTokens)));
      b.ifThen(isInside, finish);
    });
  }
}

bool WarpGroupKernel::suitsRegisters() {
  ShapedType result = layer.op.getInitType();
  auto isPerRow = [](Value extra) { return cast<MemRefType>(extra.getType()).getRank() == 1; };
  // The epilogue stands once for each of a thread's sums: long ones would not stay in the instruction cache.
  constexpr int64_t kMostOps = 8; // beside the terminator
  return result.getElementTypeBitWidth() == 16 && isa<FloatType>(result.getElementType()) && layer.numRows % 8 == 0 &&
         result.getRank() > 1 && llvm::all_of(layer.op.getExtras(), isPerRow) &&
         std::distance(layer.op.getEpilogue().front().begin(), layer.op.getEpilogue().front().end()) <= kMostOps + 1;
}

void WarpGroupKernel::emitEpilogueInRegisters(KernelBuilder &b, ValueRange sums, Value group, Value thread,
                                              Value firstRow, Value firstToken, function_ref<void()> wait) {
  InlinePTX ptx(b);
  Block &epilogue = layer.op.getEpilogue().front();
  Value lane = b.rem(thread, 32), warp = b.div(thread, 32);
  SmallVector<SmallVector<Value>> extras; // of a thread's two rows
  for (int64_t side = 0; side < 2; ++side) {
    Value row = b.add(b.add(firstRow, side * 8), b.add(b.mul(warp, 16), b.div(lane, 4)));
    row = arith::MinUIOp::create(b, row, b.constant(layer.numRows - 1));
    extras.emplace_back();
    for (size_t i = 0; i < layer.op.getExtras().size(); ++i)
      extras.back().push_back(memref::LoadOp::create(b, b.getBuffer(layer.getInputBuffer() + 1 + i), row));
  }
  auto finish = [&](Value sum, int64_t side) {
    SmallVector<Value> arguments{b.convert(sum, epilogue.getArgument(0).getType())};
    llvm::append_range(arguments, extras[side]);
    return b.inlineBlock(epilogue, arguments).front();
  };
  Value isFirst = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, thread, b.constant(0));
  auto pairType = VectorType::get({2}, layer.op.getInitType().getElementType());
  for (int64_t first = 0; first < config.tokens; first += kPieceTokens) {
    int64_t slot = first / kPieceTokens % 2;
    // What left from this slot before, two pieces ago or with one piece the last time, has been read.
    if (!target.isOpenCL)
      b.ifThen(isFirst, [&] {
        ptx.run(config.tokens > kPieceTokens ? "cp.async.bulk.wait_group.read 1;" : "cp.async.bulk.wait_group.read 0;");
      });
    wait();
    SmallVector<Value> pairs; // of neighbouring tokens; for each 8 tokens those of rows `row` and `row` + 8
    for (int64_t i = 0; i < kPieceTokens / 2; i += 2)
      pairs.push_back(vector::FromElementsOp::create(
          b, pairType, ValueRange{finish(sums[first / 2 + i], i / 2 % 2), finish(sums[first / 2 + i + 1], i / 2 % 2)}));
    storePiece(b, pairs, group, thread, slot);
    if (!target.isOpenCL)
      ptx.run("fence.proxy.async.shared::cta;");
    wait();
    if (!target.isOpenCL) {
      b.ifThen(isFirst, [&] {
        int64_t bytes = kPieceTokens * kGroupRows * 2;
        Value source =
            multiplyAdd32(b, ptx.toI32(group), 2 * bytes, add32(b, ptx.getSharedAddress(staged), slot * bytes));
        ptx.run("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [$0, {$1, $2}], [$3];\n"
                "cp.async.bulk.commit_group;",
                "lrrr",
                {ptx.getGlobalAddress(resultMap), ptx.toI32(firstRow), ptx.toI32(b.add(firstToken, first)), source});
      });
      continue;
    }
    Value result = viewAsMatrix(b, b.getBuffer(layer.getInputBuffer() + 1 + layer.op.getExtras().size()));
    b.forLoop(thread, b.constant(kPieceTokens * kGroupRows), 128, [&](Value i) {
      Value token = b.div(i, kGroupRows), row = b.rem(i, kGroupRows);
      Value m = b.add(b.add(firstToken, first), token), n = b.add(firstRow, row);
      Value isInside =
          arith::AndIOp::create(b, b.less(m, b.constant(layer.numTokens)), b.less(n, b.constant(layer.numRows)));
      b.ifThen(isInside, [&] {
        Value swizzled = arith::XOrIOp::create(b, row, b.mul(b.rem(token, 8), 8));
        Value loaded = memref::LoadOp::create(b, staged, ValueRange{group, b.constant(slot), token, swizzled});
        memref::StoreOp::create(b, loaded, result, ValueRange{m, n});
      });
    });
  }
}

/// Pairs of sums as rows of tokens in shared memory, pieces of 16 bytes swizzled as the tensor copy engine reads them.
void WarpGroupKernel::storePiece(KernelBuilder &b, ArrayRef<Value> pairs, Value group, Value thread, int64_t slot) {
  InlinePTX ptx(b);
  Value lane = b.rem(thread, 32), warp = b.div(thread, 32);
  if (target.isOpenCL) {
    for (auto [i, pair] : llvm::enumerate(pairs))
      for (int64_t next = 0; next < 2; ++next) {
        Value token = b.add(b.mul(b.rem(lane, 4), 2), static_cast<int64_t>(i) / 2 * 8 + next);
        Value row = b.add(b.add(b.mul(warp, 16), b.div(lane, 4)), i % 2 * 8);
        Value swizzled = arith::XOrIOp::create(b, row, b.mul(b.rem(token, 8), 8));
        memref::StoreOp::create(b, vector::ExtractOp::create(b, pair, next), staged,
                                ValueRange{group, b.constant(slot), token, swizzled});
      }
    return;
  }
  // Four matrices of 8 x 8 at once: 16 rows of 16 tokens. Each lane gives the place of one row of a matrix.
  Value matrix = b.div(lane, 8), inMatrix = b.rem(lane, 8);
  Value piece = b.add(b.mul(warp, 2), b.rem(matrix, 2));
  Value swizzled = arith::XOrIOp::create(b, piece, inMatrix);
  int64_t bytes = kPieceTokens * kGroupRows * 2;
  Value start = multiplyAdd32(b, ptx.toI32(group), 2 * bytes, add32(b, ptx.getSharedAddress(staged), slot * bytes));
  for (size_t i = 0; i < pairs.size(); i += 4) {
    Value token = b.add(b.add(b.mul(b.div(matrix, 2), 8), inMatrix), static_cast<int64_t>(i) / 4 * 16);
    Value offset = b.add(b.mul(token, kGroupRows * 2), b.mul(swizzled, 16));
    SmallVector<Value> operands{arith::AddIOp::create(b, start, ptx.toI32(offset))};
    for (Value pair : pairs.slice(i, 4))
      operands.push_back(
          vector::ExtractOp::create(b, vector::BitCastOp::create(b, VectorType::get({1}, b.getI32Type()), pair), 0));
    ptx.run("stmatrix.sync.aligned.m8n8.x4.trans.shared::cta.b16 [$0], {$1, $2, $3, $4};", "rrrrr", operands);
  }
}

//===----------------------------------------------------------------------===//
// OpenCL
//===----------------------------------------------------------------------===//

/// The place of an element in a tile of rows of `rowBytes` bytes, swizzled as the hardware does.
static Value getSwizzled(KernelBuilder &b, Value row, Value column, int64_t rowBytes, int64_t elementBytes) {
  Value line = b.rem(b.div(row, 128 / rowBytes), rowBytes / 16);
  return b.add(b.mul(row, rowBytes / elementBytes), arith::XOrIOp::create(b, column, b.mul(line, 16 / elementBytes)));
}

SmallVector<Value> WarpGroupKernel::multiplyReference(KernelBuilder &b, Value group, Value thread, ValueRange sums) {
  int64_t elementBytes = layout.getElementBytes(), rowBytes = layout.getRowBytes();
  auto view = [&](Value buffer, int64_t offset, int64_t count, Type type) {
    auto space = cast<MemRefType>(buffer.getType()).getMemorySpace();
    return memref::ViewOp::create(b, MemRefType::get({count}, type, MemRefLayoutAttrInterface(), space), buffer,
                                  b.constant(offset), ValueRange())
        .getResult();
  };
  Type element = getElementType(b, layout);
  Value weights = view(sharedWeights, 0, layout.getValueBytes() / elementBytes, element);
  Value tokens = view(sharedTokens, 0, getTokenBytes() / elementBytes, element);
  Value metadata;
  if (layout.isSparse)
    metadata = view(sharedWeights, layout.getValueBytes(), layout.getMetadataBytes() / 4, b.getI32Type());
  Value lane = b.rem(thread, 32), warp = b.div(thread, 32);
  Value row = b.add(b.add(b.mul(group, kGroupRows), b.mul(warp, 16)), b.div(lane, 4));
  Value token = b.mul(b.rem(lane, 4), 2);
  auto load = [&](Value elements, Value at) -> Value { return memref::LoadOp::create(b, elements, at); };
  return b.forLoop(b.constant(0), b.constant(rowBytes / elementBytes), 1, sums, [&](Value stored, ValueRange sums) {
    SmallVector<Value> results(sums);
    for (int64_t side = 0; side < 2; ++side) {
      Value atRow = b.add(row, side * 8);
      Value weight = load(weights, getSwizzled(b, atRow, stored, rowBytes, elementBytes)), column = stored;
      if (layout.isSparse) {
        // The lane of the four that holds these 16 places; the row's half of its word; two bits for each that is kept.
        Value number = b.mul(stored, layout.getPlaces()), piece = b.div(number, 8);
        Value word = b.add(b.mul(b.add(b.mul(group, 4), warp), 32), b.add(b.mul(b.div(lane, 4), 4), piece));
        Value bits = memref::LoadOp::create(b, metadata, word);
        Value shift = b.add(b.mul(b.rem(number, 8), 2), side * 16);
        Value place = arith::AndIOp::create(
            b, arith::ShRUIOp::create(b, bits, arith::IndexCastUIOp::create(b, b.getI32Type(), shift)),
            arith::ConstantIntOp::create(b, b.getI32Type(), 3));
        column = b.add(b.mul(b.div(number, 2), 4), arith::IndexCastUIOp::create(b, b.getIndexType(), place));
        column = b.div(column, layout.getPlaces());
      }
      for (int64_t i = 0; i < getNumAccumulators(); ++i) {
        if (i / 2 % 2 != side)
          continue;
        Value atToken = b.add(token, i / 4 * 8 + i % 2);
        Value x = load(tokens, getSwizzled(b, atToken, column, kRowBytes, elementBytes));
        results[i] = multiplyAddElements(b, weight, x, results[i]);
      }
    }
    return results;
  });
}

void WarpGroupKernel::emitReference(KernelBuilder &b) {
  Value thread = b.rem(b.threadId(), 128), group = b.div(b.threadId(), 128);
  Work work = getWork(b, b.blockId());
  Type element = getElementType(b, layout);
  int64_t elementBytes = layout.getElementBytes(), columns = layout.getColumns();
  auto space = cast<MemRefType>(sharedTokens.getType()).getMemorySpace();
  Value tokens = memref::ViewOp::create(
      b, MemRefType::get({getTokenBytes() / elementBytes}, element, MemRefLayoutAttrInterface(), space), sharedTokens,
      b.constant(0), ValueRange());
  Value firstToken = b.mul(work.tokenTile, config.tokens);
  SmallVector<Value> sums(getNumAccumulators(), b.zero(getSumType(b, layout)));
  Value firstTile = parts->getFirstTile(b, work.part), endTile = parts->getEndTile(b, work.part);
  sums = b.forLoop(firstTile, endTile, 1, sums, [&](Value k, ValueRange sums) {
    b.barrier();
    Value source = b.mul(b.add(b.mul(work.rowTile, getNumColumnTiles()), k), getWeightBytes());
    b.forLoop(b.threadId(), b.constant(getWeightBytes()), 256, [&](Value i) {
      memref::StoreOp::create(b, memref::LoadOp::create(b, b.getBuffer(0), b.add(source, i)), sharedWeights, i);
    });
    b.forLoop(b.threadId(), b.constant(config.tokens * columns), 256, [&](Value i) {
      Value inBlock = b.div(i, columns), inTile = b.rem(i, columns);
      Value loaded = loadTokenOrZero(b, layer, b.add(firstToken, inBlock), b.add(b.mul(k, columns), inTile));
      memref::StoreOp::create(b, loaded, tokens, getSwizzled(b, inBlock, inTile, kRowBytes, elementBytes));
    });
    b.barrier();
    return multiplyReference(b, group, thread, sums);
  });
  Value row = b.add(b.mul(work.rowTile, kTileRows), b.mul(group, kGroupRows));
  emitEpilogue(b, sums, group, thread, work.part, row, firstToken, [&] { b.barrier(); });
}
