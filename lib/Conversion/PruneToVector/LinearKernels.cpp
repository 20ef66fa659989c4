//===- LinearKernels.cpp - Loops of packed layers ------------------------------===//
//
// For each tile of lanes, chunk of columns and group of rows: the accumulators of the group stay in registers while its
// entries stream past (LinearProducts.cpp), one load of the activations feeding every row of the group.
//
//===----------------------------------------------------------------------===//

#include "LinearEmitter.h"
#include "WindowCopy.h"
#include "mlir/Dialect/MemRef/Utils/MemRefUtils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::prune;

LogicalResult LinearEmitter::run() {
  if (op.getLaneDims() == 0)
    return op.emitOpError() << "expected lane dimensions, got none (format "
                            << stringifyStorageFormat(op.getFormat()) << " is one of prune-to-gpu)";
  for (Value operand : op->getOperands()) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.hasStaticShape() || !type.isLastDimUnitStride())
      return op.emitOpError() << "expected operands of static memref type with contiguous lanes, got "
                              << operand.getType();
  }
  size_t storageOperands = op.getFormat() == StorageFormat::Dense        ? 1
                           : op.getFormat() == StorageFormat::ChunkedCSR ? 5
                                                                         : 4;
  if (op.getStorage().size() != storageOperands)
    return op.emitOpError() << "expected " << storageOperands << " storage buffers for "
                            << stringifyStorageFormat(op.getFormat()) << ", got " << op.getStorage().size();

  input = collapse(op.getInput());
  output = collapse(op.getInit());
  numLanes = cast<MemRefType>(output.getType()).getDimSize(2);
  inputStride = cast<MemRefType>(input.getType()).getStridesAndOffset().first[1];
  options.lanes = getTileLanes(numLanes, options.lanes);
  if (op.getVectors())
    options.vectors = op.getVectors();
  options.vectors = getTileVectors(options.vectors, op.getRows(), options.registers);
  vectorType = VectorType::get(options.lanes, op.getSumType());
  constexpr int64_t maxWarmBytes = 1 << 20; // what the second-level cache may hold
  for (Value extra : op.getExtras()) {
    auto type = cast<MemRefType>(extra.getType());
    extras.push_back(type.getRank() == 1 ? extra : collapse(extra));
    auto wholeType = cast<MemRefType>(memref::skipViewLikeOps(cast<MemrefValue>(extra)).getType());
    if (type.getRank() > 1 && wholeType.hasStaticShape() && 4 * wholeType.getNumElements() > maxWarmBytes)
      coldExtras.push_back(extras.back());
  }
  numColumns = op.getNumStorageColumns();
  numRows = op.getNumRows();
  chunk = std::min<int64_t>(op.getChunk(), numColumns);
  numChunks = (numColumns + chunk - 1) / chunk;

  // Whoever made shares has thought of what a parallel region costs.
  bool isDense = op.getFormat() == StorageFormat::Dense, hasShares = static_cast<bool>(op.getShares());
  int64_t batches = cast<MemRefType>(output.getType()).getDimSize(0);
  int64_t numValues = cast<MemRefType>(op.getStorage()[isDense ? 0 : 2].getType()).getNumElements();
  options.parallel &= hasShares || numValues * batches * numLanes >= kMinParallelWork;
  int64_t scratchVectors = std::min(options.vectors, (numLanes + options.lanes - 1) / options.lanes);
  int64_t runVectors = op.getWindow() ? 1 : 0; // room for a run that starts in the last lane
  scratchType = MemRefType::get({chunk, (scratchVectors + runVectors) * options.lanes}, vectorType.getElementType());
  if (needsScratch() && !options.parallel)
    sharedScratch = memref::AllocOp::create(b, scratchType, b.getI64IntegerAttr(64));
  constexpr int64_t maxPartialBytes = 128 * 1024; // on the stack of a thread
  int64_t partialLanes = scratchVectors * options.lanes;
  bool splitsRows = options.parallel && hasShares, fits = numRows * partialLanes * 4 <= maxPartialBytes;
  if (numChunks > 1 && (!fitsResult() || (!splitsRows && partialLanes < numLanes && fits))) {
    partialType = MemRefType::get({numRows, partialLanes}, vectorType.getElementType());
    if (!options.parallel)
      partialSums = memref::AllocOp::create(b, partialType, b.getI64IntegerAttr(64));
  }
  if (splitsRows)
    emitShares();
  else
    emitTiles(options.parallel);
  if (finishesByRows())
    emitRowEpilogue();
  return success();
}

/// The memory of the result can hold sums for a while.
bool LinearEmitter::fitsResult() {
  return op.getInitType().getElementTypeBitWidth() == vectorType.getElementTypeBitWidth();
}

bool LinearEmitter::hasEpilogue() { return op.getEpilogue().front().getOperations().size() > 1; }

bool LinearEmitter::finishesByRows() { return hasEpilogue() && numLanes == 1 && fitsResult(); }

/// The epilogue of a single lane, after all sums: its vectors are rows.
void LinearEmitter::emitRowEpilogue() {
  auto flatten = [&](Value memref) -> Value {
    if (cast<MemRefType>(memref.getType()).getRank() == 1)
      return memref;
    return memref::CollapseShapeOp::create(b, memref, ArrayRef<ReassociationIndices>{{0}, {1, 2}});
  };
  Value sums = flatten(output);
  SmallVector<Value> flatExtras;
  for (Value extra : extras)
    flatExtras.push_back(flatten(extra));
  int64_t batches = cast<MemRefType>(output.getType()).getDimSize(0);
  auto overRows = [&](int64_t begin, int64_t end, int64_t step) {
    if (begin == end)
      return;
    scf::buildLoopNest(b, b.getLoc(), {index(0), index(begin)}, {index(batches), index(end)}, {index(1), index(step)},
                       [&](OpBuilder &nested, Location loc, ValueRange ivs) {
                         OpBuilder::InsertionGuard guard(b);
                         b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
                         auto load = [&](Value memref, ValueRange indices) -> Value {
                           auto type = VectorType::get(step, cast<MemRefType>(memref.getType()).getElementType());
                           return vector::LoadOp::create(b, type, memref, indices);
                         };
                         Value sum = bitcastTo(load(sums, ivs), vectorType.getElementType());
                         Value result = emitEpilogue(sum, [&](Value extra, int64_t) {
                                          Value flat = flatExtras[llvm::find(extras, extra) - extras.begin()];
                                          bool isPerRow = cast<MemRefType>(flat.getType()).getRank() == 1;
                                          return load(flat, isPerRow ? ivs.drop_front() : ivs);
                                        }).front();
                         vector::StoreOp::create(b, result, sums, ivs);
                       });
  };
  int64_t whole = numRows / registerLanes * registerLanes;
  overRows(0, whole, registerLanes);
  overRows(whole, numRows, 1);
}

/// Full tiles, then one tile of the vectors that are left, its last vector masked.
void LinearEmitter::emitTiles(bool isParallel) {
  int64_t tileLanes = options.lanes * options.vectors, tiles = numLanes / tileLanes, rest = numLanes % tileLanes;
  int64_t batches = cast<MemRefType>(output.getType()).getDimSize(0);
  auto overTiles = [&](int64_t count, int64_t tileVectors, int64_t tailLanes, Value firstLane) {
    SmallVector<Value> lower{index(0), index(0)}, upper{index(batches), index(count)}, step{index(1), index(1)};
    auto body = [&](OpBuilder &nested, Location, ValueRange ivs) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
      Value first = firstLane ? firstLane : mul(ivs[1], tileLanes);
      startLaneTile(ivs[0], first, tileVectors, tailLanes);
      if (firstGroup) // the chunk of a share is that of the loop outside
        emitChunk(chunkOfShare);
      else
        overChunks([&](Value chunkIndex) { emitChunk(chunkIndex); });
    };
    if (isParallel && batches * count > 1)
      scf::ParallelOp::create(b, lower, upper, step, body);
    else
      scf::buildLoopNest(b, b.getLoc(), lower, upper, step, body);
  };
  if (tiles)
    overTiles(tiles, options.vectors, 0, Value());
  if (rest)
    overTiles(1, (rest + options.lanes - 1) / options.lanes, rest % options.lanes, index(tiles * tileLanes));
}

/// Threads share the groups of rows of one chunk after the other; each goes through all tiles.
void LinearEmitter::emitShares() {
  int64_t numShares = cast<MemRefType>(op.getShares().getType()).getDimSize(1) - 1;
  overChunks([&](Value chunkIndex) {
    scf::ParallelOp::create(b, index(0), index(numShares), index(1), [&](OpBuilder &nested, Location, ValueRange ivs) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
      chunkOfShare = chunkIndex;
      firstGroup = loadIndex(op.getShares(), {chunkIndex, ivs[0]});
      groupsEnd = loadIndex(op.getShares(), {chunkIndex, add(ivs[0], 1)});
      isLastShare = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, ivs[0], index(numShares - 1));
      if (needsScratch())
        sharedScratch = memref::AllocaOp::create(b, scratchType, b.getI64IntegerAttr(64));
      emitTiles(/*isParallel=*/false);
    });
  });
}

void LinearEmitter::overChunks(function_ref<void(Value)> body) {
  if (numChunks == 1)
    return body(index(0));
  auto chunks = scf::ForOp::create(b, index(0), index(numChunks), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(chunks.getBody());
  body(chunks.getInductionVar());
}

void LinearEmitter::startLaneTile(Value batchIndex, Value laneIndex, int64_t tileVectors, int64_t lanesOfTail) {
  batch = batchIndex;
  lane = laneIndex;
  vectors = tileVectors;
  tailLanes = lanesOfTail;
  chains = 1;
  int64_t perChain = vectors * static_cast<int64_t>(op.getRows()), most = std::min<int64_t>(8, options.registers / 2);
  while (chains < kEntriesPerStep && 2 * chains * perChain <= most)
    chains *= 2;
  tailMask = Value();
  if (tailLanes)
    tailMask =
        vector::CreateMaskOp::create(b, VectorType::get(options.lanes, b.getI1Type()), ValueRange{index(tailLanes)});
  scratch = sharedScratch;
  if (!scratch && needsScratch()) // each thread needs its own
    scratch = memref::AllocaOp::create(b, scratchType, b.getI64IntegerAttr(64));
  if (partialType && options.parallel)
    partialSums = memref::AllocaOp::create(b, partialType, b.getI64IntegerAttr(64));
}

/// One chunk of the tile. A tile that is the whole row of lanes is read in place: a chunk of it is contiguous.
/// Otherwise the chunk is copied, once for all rows, so that it lies in the first-level cache without conflicts.
void LinearEmitter::emitChunk(Value chunkIndex) {
  Value firstColumn = mul(chunkIndex, chunk);
  if (needsScratch()) {
    activations = scratch;
    activationsStride = scratchType.getDimSize(1);
    emitChunkCopy(firstColumn);
  } else {
    OpFoldResult one = b.getIndexAttr(1), zero = b.getIndexAttr(0), lanes = b.getIndexAttr(numLanes);
    OpFoldResult columns = getAsOpFoldResult(countColumns(firstColumn));
    SmallVector<OpFoldResult> offsets{batch, firstColumn, zero}, sizes{one, columns, lanes}, strides(3, one);
    activationsStride = inputStride;
    auto type = memref::SubViewOp::inferRankReducedResultType(
        {getConstantIntValue(columns).value_or(ShapedType::kDynamic), numLanes}, cast<MemRefType>(input.getType()),
        offsets, sizes, strides);
    activations = memref::SubViewOp::create(b, type, input, offsets, sizes, strides);
  }
  // A view that begins with the chunk: the inner loops add nothing to their offsets.
  activations = memref::CollapseShapeOp::create(b, activations, ArrayRef<ReassociationIndices>{{0, 1}});
  emitRowGroups(chunkIndex);
}

/// The columns of the chunk that begins with `firstColumn`.
Value LinearEmitter::countColumns(Value firstColumn) {
  if (numColumns % chunk == 0)
    return index(chunk);
  Value left = arith::SubIOp::create(b, index(numColumns), firstColumn);
  return arith::MinUIOp::create(b, left, index(chunk));
}

/// Copies the activations of a chunk for the lanes of the tile.
void LinearEmitter::emitChunkCopy(Value firstColumn) {
  Value columns = countColumns(firstColumn);
  if (std::optional<WindowAttr> window = op.getWindow()) {
    ArrayRef<int64_t> pixels = op.getInputType().getShape().take_back(2);
    WindowCopy copy{*window, vectorType, input, pixels[0], pixels[1], op.getInitType().getShape().back(), scratch};
    int64_t tileLanes = vectors * options.lanes;
    Value lanes = tailMask ? arith::SubIOp::create(b, index(numLanes), lane).getResult() : index(tileLanes);
    Value taps = index(window->getNumTaps());
    copy.emit(b, batch, lane, lanes, arith::DivUIOp::create(b, firstColumn, taps),
              arith::DivUIOp::create(b, columns, taps));
    return;
  }
  if (op.hasWords())
    return emitWordCopy(firstColumn);
  auto copy = scf::ForOp::create(b, index(0), columns, index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(copy.getBody());
  Value column = add(firstColumn, copy.getInductionVar());
  for (int64_t v = 0; v < vectors; ++v) {
    Value loaded = loadLanes(input, {batch, column, add(lane, v * options.lanes)}, v);
    vector::StoreOp::create(b, loaded, scratch, ValueRange{copy.getInductionVar(), index(v * options.lanes)});
  }
}

Value LinearEmitter::loadLanes(Value memref, SmallVector<Value> indices, int64_t vector) {
  auto type = VectorType::get(options.lanes, cast<MemRefType>(memref.getType()).getElementType());
  if (!tailMask || vector != vectors - 1)
    return vector::LoadOp::create(b, type, memref, indices);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  return vector::MaskedLoadOp::create(b, type, memref, indices, tailMask, zero);
}

Value LinearEmitter::bitcastTo(Value vector, Type element) {
  VectorType type = cast<VectorType>(vector.getType()).clone(element);
  return type == vector.getType() ? vector : vector::BitCastOp::create(b, type, vector).getResult();
}

void LinearEmitter::storeLanes(Value value, Value memref, SmallVector<Value> indices, int64_t vector) {
  value = bitcastTo(value, cast<MemRefType>(memref.getType()).getElementType());
  if (!tailMask || vector != vectors - 1)
    vector::StoreOp::create(b, value, memref, indices);
  else if (tailLanes == 1) // LLVM 22 stores 32 bits where one lane of truncated integers is masked in (issue 179489)
    memref::StoreOp::create(b, vector::ExtractOp::create(b, value, ArrayRef<int64_t>{0}), memref, indices);
  else
    vector::MaskedStoreOp::create(b, memref, indices, tailMask, value);
}

/// The rows of a group of a sparse format.
SmallVector<Value> LinearEmitter::loadGroupRows(Value group, Value chunkIndex) {
  SmallVector<Value> groupRows;
  int64_t rows = op.getRows();
  bool isPaired = op.getFormat() == StorageFormat::ChunkedCSR;
  for (int64_t r = 0; r < rows; ++r)
    groupRows.push_back(isPaired || r == 0
                            ? loadIndex(op.getStorage()[3], {chunkIndex, isPaired ? add(mul(group, rows), r) : group})
                            : add(groupRows.front(), r));
  return groupRows;
}

/// Fetches the lanes of the tile, which begin at `first`, of a row with these leading indices.
void LinearEmitter::prefetchLanes(Value memref, SmallVector<Value> indices, Value first) {
  constexpr int64_t perLine = 64 / 4;
  indices.push_back(first);
  for (int64_t offset = 0; offset < vectors * options.lanes; offset += perLine) {
    indices.back() = add(first, offset);
    memref::PrefetchOp::create(b, memref, indices, /*isWrite=*/false, /*localityHint=*/3, /*isDataCache=*/true);
  }
}

/// Fetches the sums of the next group: storage rows are in no order that the processor could guess.
void LinearEmitter::prefetchSums(Value group, int64_t groups, Value chunkIndex) {
  Value next = arith::MinUIOp::create(b, add(group, 1), index(groups - 1));
  bool inPartial = numChunks > 1 && partialSums;
  for (Value row : loadGroupRows(next, chunkIndex))
    if (inPartial)
      prefetchLanes(partialSums, {row}, index(0));
    else
      prefetchLanes(output, {batch, row}, lane);
}

/// Fetches what the epilogue of a later group will read.
void LinearEmitter::prefetchExtras(Value group, int64_t groups, Value chunkIndex) {
  constexpr int64_t distance = 4;
  if (coldExtras.empty())
    return;
  OpBuilder::InsertionGuard guard(b);
  if (numChunks > 1) {
    Value isLast = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, chunkIndex, index(numChunks - 1));
    b.setInsertionPointToStart(scf::IfOp::create(b, isLast).thenBlock());
  }
  Value ahead = arith::MinUIOp::create(b, add(group, distance), index(groups - 1));
  for (Value row : loadGroupRows(ahead, chunkIndex))
    for (Value extra : coldExtras)
      prefetchLanes(extra, {batch, row}, lane);
}

void LinearEmitter::emitRowGroups(Value chunkIndex) {
  auto overGroups = [&](int64_t groups, function_ref<void(Value)> body) {
    auto loop = firstGroup ? scf::ForOp::create(b, firstGroup, groupsEnd, index(1))
                           : scf::ForOp::create(b, index(0), index(groups), index(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar());
  };
  int64_t rows = op.getRows();
  ValueRange storage = op.getStorage();
  switch (op.getFormat()) {
  case StorageFormat::Dense: {
    auto emitDenseGroup = [&](Value group, int64_t activeRows) {
      Value first = mul(group, rows);
      SmallVector<Value> groupRows;
      for (int64_t r = 0; r < activeRows; ++r)
        groupRows.push_back(add(first, r));
      emitGroup(groupRows, chunkIndex, [&](Tile tile) { return accumulateDense(std::move(tile), group, chunkIndex); });
    };
    if (numRows / rows)
      overGroups(numRows / rows, [&](Value group) { emitDenseGroup(group, rows); });
    if (numRows % rows) {
      OpBuilder::InsertionGuard guard(b);
      if (isLastShare)
        b.setInsertionPointToStart(scf::IfOp::create(b, isLastShare).thenBlock());
      emitDenseGroup(index(numRows / rows), numRows % rows);
    }
    return;
  }
  case StorageFormat::ChunkedCSR: {
    int64_t pairs = (numRows + 1) / 2;
    overGroups(pairs, [&](Value pair) {
      prefetchSums(pair, pairs, chunkIndex);
      prefetchExtras(pair, pairs, chunkIndex);
      Value storageRow = add(mul(chunkIndex, pairs), pair);
      Value begin = loadIndex(storage[0], storageRow), end = loadIndex(storage[0], add(storageRow, 1));
      Value shared = loadIndex(storage[4], {chunkIndex, pair});
      emitGroup(loadGroupRows(pair, chunkIndex), chunkIndex,
                [&](Tile tile) { return accumulatePair(std::move(tile), begin, end, shared); });
    });
    return;
  }
  case StorageFormat::BlockRows: {
    int64_t blocks = numRows / rows;
    overGroups(blocks, [&](Value block) {
      prefetchSums(block, blocks, chunkIndex);
      prefetchExtras(block, blocks, chunkIndex);
      Value storageRow = add(mul(chunkIndex, blocks), block);
      Value begin = loadIndex(storage[0], storageRow), end = loadIndex(storage[0], add(storageRow, 1));
      emitGroup(loadGroupRows(block, chunkIndex), chunkIndex,
                [&](Tile tile) { return accumulateBlock(std::move(tile), begin, end); });
    });
    return;
  }
  default:
    llvm_unreachable("refused by the verifier: no format of processors");
  }
}

/// Starts the accumulators of a group of rows, runs `accumulate`, ends with the epilogue in the last chunk, and stores.
void LinearEmitter::emitGroup(ArrayRef<Value> rows, Value chunkIndex, function_ref<Tile(Tile)> accumulate) {
  SmallVector<Type> types(rows.size() * vectors, vectorType);
  auto flatten = [](const Tile &tile) {
    SmallVector<Value> flat;
    for (const auto &row : tile)
      llvm::append_range(flat, row);
    return flat;
  };
  auto fold = [&](ValueRange flat) {
    Tile tile(rows.size());
    for (auto [i, value] : llvm::enumerate(flat))
      tile[i / vectors].push_back(value);
    return tile;
  };
  auto position = [&](Value row, int64_t v) { return SmallVector<Value>{batch, row, add(lane, v * options.lanes)}; };
  auto zeros = [&]() {
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
    return SmallVector<Value>(types.size(), zero);
  };
  auto partial = [&]() {
    SmallVector<Value> loaded;
    for (Value row : rows)
      for (int64_t v = 0; v < vectors; ++v)
        loaded.push_back(
            partialSums ? vector::LoadOp::create(b, vectorType, partialSums, ValueRange{row, index(v * options.lanes)})
                              .getResult()
                        : bitcastTo(loadLanes(output, position(row, v), v), vectorType.getElementType()));
    return loaded;
  };
  // Last row first: the partner of an odd row is an empty copy of the same row, which the real one must overwrite.
  auto store = [&](ValueRange sums, bool isPartial) {
    for (int64_t r = rows.size() - 1; r >= 0; --r)
      for (int64_t v = 0; v < vectors; ++v) {
        Value sum = sums[r * vectors + v];
        if (isPartial && partialSums)
          vector::StoreOp::create(b, sum, partialSums, ValueRange{rows[r], index(v * options.lanes)});
        else
          storeLanes(sum, output, position(rows[r], v), v);
      }
  };
  auto finish = [&](ValueRange sums) {
    // Several vectors go through the epilogue side by side: one alone waits for each operation's result.
    int64_t group = std::max<int64_t>(options.registers / 8, 1), size = sums.size();
    SmallVector<Value> results, flat(sums);
    for (int64_t first = 0, count = 0; first < size; first += count) {
      Value row = rows[first / vectors];
      count = std::min(group, vectors - first % vectors);
      llvm::append_range(results, emitEpilogue(ArrayRef(flat).slice(first, count), [&](Value extra, int64_t i) {
                           if (cast<MemRefType>(extra.getType()).getRank() == 1)
                             return broadcast(memref::LoadOp::create(b, extra, ValueRange{row}));
                           int64_t v = first % vectors + i;
                           return loadLanes(extra, position(row, v), v);
                         }));
    }
    return results;
  };
  auto select = [&](Value condition, function_ref<SmallVector<Value>()> yes, function_ref<SmallVector<Value>()> no) {
    auto branch = scf::IfOp::create(b, types, condition, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    scf::YieldOp::create(b, yes());
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, no());
    return SmallVector<Value>(branch.getResults());
  };

  Tile tile = fold(zeros());
  for (auto &row : tile)
    row.append((chains - 1) * vectors, arith::ConstantOp::create(b, b.getZeroAttr(vectorType)));
  tile = accumulate(std::move(tile));
  for (auto &row : tile)
    while (static_cast<int64_t>(row.size()) > vectors) {
      size_t half = row.size() / 2;
      for (size_t i = 0; i < half; ++i)
        row[i] = addSums(row[i], row[half + i]);
      row.truncate(half);
    }
  SmallVector<Value> sums = flatten(tile);
  // The sums of the chunks before are added at the end: nothing waits for these loads.
  if (numChunks > 1) {
    Value isFirst = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, chunkIndex, index(0));
    sums = select(
        isFirst, [&] { return sums; },
        [&] {
          SmallVector<Value> total;
          for (auto [sum, before] : llvm::zip(sums, partial()))
            total.push_back(addSums(before, sum));
          return total;
        });
  }
  bool finishes = hasEpilogue() && !finishesByRows();
  if (numChunks == 1) {
    store(finishes ? finish(sums) : sums, /*isPartial=*/false);
    return;
  }
  Value isLast = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, chunkIndex, index(numChunks - 1));
  auto branch = scf::IfOp::create(b, isLast, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  store(finishes ? finish(sums) : sums, /*isPartial=*/false);
  b.setInsertionPointToStart(branch.elseBlock());
  store(sums, /*isPartial=*/true);
}

/// The region on vectors, which are rows of one two-dimensional vector so that each operation is done for all before
/// the next. `loadExtra` gives the elements of an extra that belong to the i-th vector.
SmallVector<Value> LinearEmitter::emitEpilogue(ArrayRef<Value> sums,
                                               function_ref<Value(Value extra, int64_t i)> loadExtra) {
  int64_t count = sums.size(), width = cast<VectorType>(sums.front().getType()).getNumElements();
  auto stack = [&](Type element, function_ref<Value(int64_t)> get) {
    Value stacked = arith::ConstantOp::create(b, b.getZeroAttr(VectorType::get({count, width}, element)));
    for (int64_t i = 0; i < count; ++i)
      stacked = vector::InsertOp::create(b, get(i), stacked, ArrayRef<int64_t>{i});
    return stacked;
  };
  Block &body = op.getEpilogue().front();
  SmallVector<Value> arguments;
  for (BlockArgument argument : body.getArguments()) {
    int64_t number = argument.getArgNumber();
    arguments.push_back(
        stack(argument.getType(), [&](int64_t i) { return number == 0 ? sums[i] : loadExtra(extras[number - 1], i); }));
  }
  Value result = applyEpilogue(body, arguments, {count, width});
  SmallVector<Value> results;
  for (int64_t i = 0; i < count; ++i)
    results.push_back(vector::ExtractOp::create(b, result, ArrayRef<int64_t>{i}));
  return results;
}

LogicalResult mlir::prune::lowerLinear(RewriterBase &rewriter, LinearOp op, const LinearKernelOptions &options) {
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  if (failed(LinearEmitter(rewriter, op, options).run()))
    return failure();
  rewriter.eraseOp(op);
  return success();
}
