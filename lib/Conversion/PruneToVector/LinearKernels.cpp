//===- LinearKernels.cpp - Loops of packed layers ------------------------------===//
//
// For each tile of lanes, chunk of columns and group of rows: the accumulators of the group stay in registers while its
// entries stream past, one load of the activations feeding every row of the group. The load ports are the scarce
// resource of the unstructured kernel, so four coordinates come in one 64-bit load and four values in one 128-bit load;
// an empty inline assembly keeps LLVM from splitting them again.
//
//===----------------------------------------------------------------------===//

#include "WindowCopy.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Analysis/CostModel.h"
#include "prune/Conversion/PruneToVector/PruneToVector.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Entries that one step of the inner loops takes: as many 16-bit coordinates as a 64-bit load holds.
constexpr int64_t entriesPerStep = 4;

/// A register tile: vectors[row][vector].
using Tile = SmallVector<SmallVector<Value>>;

class LinearEmitter {
public:
  LinearEmitter(RewriterBase &rewriter, LinearOp op, const LinearKernelOptions &options)
      : b(op.getLoc(), rewriter), op(op), options(options), registerLanes(options.lanes) {}

  LogicalResult run();

private:
  // Small builders.
  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, value); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value add(Value x, int64_t y) { return y == 0 ? x : add(x, index(y)); }
  Value mul(Value x, int64_t y) { return y == 1 ? x : arith::MulIOp::create(b, x, index(y)).getResult(); }
  Value loadIndex(Value memref, ValueRange indices) {
    Value loaded = memref::LoadOp::create(b, memref, indices);
    return arith::IndexCastUIOp::create(b, b.getIndexType(), loaded);
  }
  /// Hides `value` from LLVM, so that a wide load is not split into one load for each use.
  Value guard(Value value) {
    bool isVector = isa<VectorType>(value.getType());
    return LLVM::InlineAsmOp::create(b, value.getType(), value, "", isVector ? "=v,0" : "=r,0",
                                     /*has_side_effects=*/false, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                     LLVM::AsmDialectAttr(), ArrayAttr())
        .getResult(0);
  }
  Value collapse(Value memref);

  // The nest, from outside to inside.
  void emitChunkCopy(Value scratch, Value firstColumn);
  void emitLaneTile(Value batch, Value lane, int64_t vectors, int64_t tailLanes);
  void emitRowGroups(Value chunk);
  void emitGroup(ArrayRef<Value> rows, Value chunk, function_ref<Tile(Tile)> accumulate);
  bool hasEpilogue();
  void emitRowEpilogue();

  // Inner products by format.
  Tile accumulatePair(Tile tile, Value begin, Value second, Value end, Value shared);
  Tile accumulateSinglePair(Tile tile, Value begin, Value second, Value end, Value shared);
  Tile accumulateBlock(Tile tile, Value begin, Value end);
  Tile accumulateSingleBlock(Tile tile, Value begin, Value end);
  Tile accumulateDense(Tile tile, Value group, Value chunk);

  Tile loop(Tile tile, Value begin, Value end, int64_t step, function_ref<Tile(Tile, Value)> body);
  SmallVector<Value> loadActivations(Value column);
  SmallVector<Value> loadCoordinates(Value position);
  SmallVector<Value> loadValues(Value position, int64_t count);
  Value broadcast(Value scalar) {
    return vector::BroadcastOp::create(b, VectorType::get(options.lanes, scalar.getType()), scalar);
  }

  // Destination rows, with the mask of the last vector where the lanes are ragged.
  Value loadLanes(Value memref, SmallVector<Value> indices, int64_t vector);
  void storeLanes(Value value, Value memref, SmallVector<Value> indices, int64_t vector);
  SmallVector<Value> emitEpilogue(ArrayRef<Value> sums, function_ref<Value(Value, int64_t)> loadExtra);

  /// Adds `value` times `activations` to the chain of accumulators that entry `entry` of a step belongs to.
  void multiplyAdd(SmallVector<Value> &row, Value value, ArrayRef<Value> activations, int64_t entry);

  ImplicitLocOpBuilder b;
  LinearOp op;
  LinearKernelOptions options;
  int64_t registerLanes; ///< lanes of a whole register; `options.lanes` may be fewer

  int64_t numLanes = 0, numColumns = 0, numRows = 0, numChunks = 0, chunk = 0;
  VectorType vectorType;
  Value input, output;       // [batch, column or row, lane]
  SmallVector<Value> extras; // [row] or [batch, row, lane]
  MemRefType scratchType;    ///< a chunk of activations, for tiles that are not whole rows of lanes
  Value sharedScratch;
  /// Sums of the chunks so far, [row, lane] of a tile: rows of the result would lie far apart, often in the same sets
  /// of the cache. Null where they do not fit: then the result holds them.
  MemRefType partialType;
  Value partialSums;
  // State of the tile being emitted.
  int64_t vectors = 0;
  /// Accumulators of one row and vector, summed at the end: few accumulators alone would wait for each other.
  int64_t chains = 1;
  Value batch, lane, tailMask;
  Value activations;                  // memref that the inner loops read
  SmallVector<Value> activationsBase; // leading indices of it
  Value activationsRow;
};

} // namespace

/// Views a memref as [leading, row, lanes].
Value LinearEmitter::collapse(Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t rank = type.getRank(), rowDim = op.getRowDim();
  if (rowDim == 0) {
    SmallVector<int64_t> shape{1};
    llvm::append_range(shape, type.getShape());
    SmallVector<ReassociationIndices> groups{{0, 1}};
    for (int64_t dim = 1; dim < rank; ++dim)
      groups.push_back({dim + 1});
    memref = memref::ExpandShapeOp::create(b, shape, memref, groups);
    type = cast<MemRefType>(memref.getType());
    ++rank;
    ++rowDim;
  }
  if (rank == 3)
    return memref;
  ReassociationIndices leading, lanes;
  for (int64_t dim = 0; dim < rowDim; ++dim)
    leading.push_back(dim);
  for (int64_t dim = rowDim + 1; dim < rank; ++dim)
    lanes.push_back(dim);
  return memref::CollapseShapeOp::create(b, memref, ArrayRef<ReassociationIndices>{leading, {rowDim}, lanes});
}

LogicalResult LinearEmitter::run() {
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
  options.lanes = getTileLanes(numLanes, options.lanes);
  if (op.getVectors())
    options.vectors = op.getVectors();
  options.vectors = getTileVectors(options.vectors, op.getRows(), options.registers);
  vectorType = VectorType::get(options.lanes, op.getInitType().getElementType());
  for (Value extra : op.getExtras())
    extras.push_back(cast<MemRefType>(extra.getType()).getRank() == 1 ? extra : collapse(extra));
  numColumns = op.getNumColumns();
  numRows = op.getNumRows();
  chunk = std::min<int64_t>(op.getChunk(), numColumns);
  numChunks = (numColumns + chunk - 1) / chunk;

  // Full tiles, then one tile of the vectors that are left, its last vector masked.
  int64_t tileLanes = options.lanes * options.vectors;
  int64_t fullTiles = numLanes / tileLanes, rest = numLanes % tileLanes;
  int64_t restVectors = (rest + options.lanes - 1) / options.lanes;
  int64_t batches = cast<MemRefType>(output.getType()).getDimSize(0);
  int64_t scratchVectors = std::min(options.vectors, (numLanes + options.lanes - 1) / options.lanes);
  if (op.getWindow()) // room for a run that starts in the last lane
    ++scratchVectors;
  scratchType = MemRefType::get({chunk, scratchVectors * options.lanes}, vectorType.getElementType());
  if ((numLanes != tileLanes || op.getWindow()) && !options.parallel)
    sharedScratch = memref::AllocOp::create(b, scratchType, b.getI64IntegerAttr(64));
  constexpr int64_t maxPartialBytes = 128 * 1024; // on the stack of a thread
  int64_t partialLanes = std::max(fullTiles ? options.vectors : 0, restVectors) * options.lanes;
  if (numChunks > 1 && partialLanes < numLanes && numRows * partialLanes * 4 <= maxPartialBytes) {
    partialType = MemRefType::get({numRows, partialLanes}, vectorType.getElementType());
    if (!options.parallel)
      partialSums = memref::AllocOp::create(b, partialType, b.getI64IntegerAttr(64));
  }
  auto emitTiles = [&](int64_t tiles, function_ref<void(Value, Value)> body) {
    SmallVector<Value> lower{index(0), index(0)}, upper{index(batches), index(tiles)}, step{index(1), index(1)};
    if (options.parallel && batches * tiles > 1) {
      scf::ParallelOp::create(b, lower, upper, step, [&](OpBuilder &nested, Location loc, ValueRange ivs) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
        body(ivs[0], ivs[1]);
      });
      return;
    }
    scf::buildLoopNest(b, b.getLoc(), lower, upper, step, [&](OpBuilder &nested, Location loc, ValueRange ivs) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
      body(ivs[0], ivs[1]);
    });
  };
  if (fullTiles)
    emitTiles(fullTiles,
              [&](Value batch, Value tile) { emitLaneTile(batch, mul(tile, tileLanes), options.vectors, 0); });
  if (rest)
    emitTiles(1, [&](Value batch, Value) {
      emitLaneTile(batch, index(fullTiles * tileLanes), restVectors, rest % options.lanes);
    });
  if (numLanes == 1 && hasEpilogue())
    emitRowEpilogue();
  return success();
}

bool LinearEmitter::hasEpilogue() { return op.getEpilogue().front().getOperations().size() > 1; }

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
    scf::buildLoopNest(
        b, b.getLoc(), {index(0), index(begin)}, {index(batches), index(end)}, {index(1), index(step)},
        [&](OpBuilder &nested, Location loc, ValueRange ivs) {
          OpBuilder::InsertionGuard guard(b);
          b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
          auto type = VectorType::get(step, vectorType.getElementType());
          Value sum = vector::LoadOp::create(b, type, sums, ivs);
          Value result = emitEpilogue(sum, [&](Value extra, int64_t) {
                           Value flat = flatExtras[llvm::find(extras, extra) - extras.begin()];
                           bool isPerRow = cast<MemRefType>(flat.getType()).getRank() == 1;
                           return vector::LoadOp::create(b, type, flat, isPerRow ? ivs.drop_front() : ivs).getResult();
                         }).front();
          vector::StoreOp::create(b, result, sums, ivs);
        });
  };
  int64_t whole = numRows / registerLanes * registerLanes;
  overRows(0, whole, registerLanes);
  overRows(whole, numRows, 1);
}

void LinearEmitter::emitLaneTile(Value batchIndex, Value laneIndex, int64_t tileVectors, int64_t tailLanes) {
  batch = batchIndex;
  lane = laneIndex;
  vectors = tileVectors;
  chains = 1;
  int64_t perChain = vectors * static_cast<int64_t>(op.getRows()), most = std::min<int64_t>(8, options.registers / 2);
  while (chains < entriesPerStep && 2 * chains * perChain <= most)
    chains *= 2;
  tailMask = Value();
  if (tailLanes)
    tailMask =
        vector::CreateMaskOp::create(b, VectorType::get(options.lanes, b.getI1Type()), ValueRange{index(tailLanes)});
  // A tile that is the whole row of lanes is read in place: a chunk of it is contiguous. Otherwise the chunk is copied,
  // once for all rows, so that it lies in the first-level cache without conflicts.
  bool inPlace = numLanes == vectors * options.lanes && !op.getWindow();
  Value scratch = sharedScratch;
  if (!inPlace && options.parallel) // each thread needs its own
    scratch = memref::AllocaOp::create(b, scratchType, b.getI64IntegerAttr(64));
  if (partialType && options.parallel)
    partialSums = memref::AllocaOp::create(b, partialType, b.getI64IntegerAttr(64));
  auto emitOneChunk = [&](Value chunkIndex) {
    Value firstColumn = mul(chunkIndex, chunk);
    activationsBase.clear();
    if (inPlace) {
      activations = input;
      activationsBase.push_back(batch);
      activationsRow = firstColumn;
    } else {
      activationsRow = index(0);
      activations = scratch;
      emitChunkCopy(scratch, firstColumn);
    }
    emitRowGroups(chunkIndex);
  };
  if (numChunks == 1) {
    emitOneChunk(index(0));
    return;
  }
  auto chunks = scf::ForOp::create(b, index(0), index(numChunks), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(chunks.getBody());
  emitOneChunk(chunks.getInductionVar());
}

/// Copies the activations of a chunk for the lanes of the tile.
void LinearEmitter::emitChunkCopy(Value scratch, Value firstColumn) {
  Value left = arith::SubIOp::create(b, index(numColumns), firstColumn);
  Value columns = numColumns % chunk == 0 ? index(chunk) : arith::MinUIOp::create(b, left, index(chunk)).getResult();
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
  if (!tailMask || vector != vectors - 1)
    return vector::LoadOp::create(b, vectorType, memref, indices);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
  return vector::MaskedLoadOp::create(b, vectorType, memref, indices, tailMask, zero);
}

void LinearEmitter::storeLanes(Value value, Value memref, SmallVector<Value> indices, int64_t vector) {
  if (!tailMask || vector != vectors - 1)
    vector::StoreOp::create(b, value, memref, indices);
  else
    vector::MaskedStoreOp::create(b, memref, indices, tailMask, value);
}

void LinearEmitter::emitRowGroups(Value chunkIndex) {
  auto overGroups = [&](int64_t groups, function_ref<void(Value)> body) {
    auto loop = scf::ForOp::create(b, index(0), index(groups), index(1));
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
    if (numRows % rows)
      emitDenseGroup(index(numRows / rows), numRows % rows);
    return;
  }
  case StorageFormat::ChunkedCSR: {
    int64_t pairs = (numRows + 1) / 2;
    Value chunkBase = mul(chunkIndex, 2 * pairs);
    overGroups(pairs, [&](Value pair) {
      Value firstRow = add(chunkBase, mul(pair, 2)), secondRow = add(firstRow, 1);
      Value begin = loadIndex(storage[0], firstRow), second = loadIndex(storage[0], secondRow);
      Value end = loadIndex(storage[0], add(firstRow, 2));
      Value inChunk = mul(pair, 2);
      SmallVector<Value> groupRows{loadIndex(storage[3], {chunkIndex, inChunk}),
                                   loadIndex(storage[3], {chunkIndex, add(inChunk, 1)})};
      Value shared = loadIndex(storage[4], {chunkIndex, pair});
      emitGroup(groupRows, chunkIndex,
                [&](Tile tile) { return accumulatePair(std::move(tile), begin, second, end, shared); });
    });
    return;
  }
  case StorageFormat::BlockRows: {
    int64_t blocks = numRows / rows;
    Value chunkBase = mul(chunkIndex, blocks);
    overGroups(blocks, [&](Value block) {
      Value storageRow = add(chunkBase, block);
      Value begin = loadIndex(storage[0], storageRow), end = loadIndex(storage[0], add(storageRow, 1));
      Value first = loadIndex(storage[3], {chunkIndex, block});
      SmallVector<Value> groupRows;
      for (int64_t r = 0; r < rows; ++r)
        groupRows.push_back(add(first, r));
      emitGroup(groupRows, chunkIndex, [&](Tile tile) { return accumulateBlock(std::move(tile), begin, end); });
    });
    return;
  }
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
                        : loadLanes(output, position(row, v), v));
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
        row[i] = arith::AddFOp::create(b, row[i], row[half + i]);
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
            total.push_back(arith::AddFOp::create(b, before, sum));
          return total;
        });
  }
  bool finishes = hasEpilogue() && numLanes > 1;
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
  auto stackedType = [&](Type element) { return VectorType::get({count, width}, element); };
  auto stack = [&](Type element, function_ref<Value(int64_t)> get) {
    Value stacked = arith::ConstantOp::create(b, b.getZeroAttr(stackedType(element)));
    for (int64_t i = 0; i < count; ++i)
      stacked = vector::InsertOp::create(b, get(i), stacked, ArrayRef<int64_t>{i});
    return stacked;
  };
  Block &body = op.getEpilogue().front();
  IRMapping mapping;
  for (BlockArgument argument : body.getArguments()) {
    int64_t number = argument.getArgNumber();
    mapping.map(argument, stack(argument.getType(),
                                [&](int64_t i) { return number == 0 ? sums[i] : loadExtra(extras[number - 1], i); }));
  }
  // Constants may have been hoisted out of the region.
  auto lookup = [&](Value value) -> Value {
    if (Value mapped = mapping.lookupOrNull(value))
      return mapped;
    return vector::BroadcastOp::create(b, stackedType(value.getType()), value);
  };
  for (Operation &scalar : body.without_terminator()) {
    SmallVector<Type> types;
    for (Type type : scalar.getResultTypes())
      types.push_back(stackedType(type));
    if (auto constant = dyn_cast<arith::ConstantOp>(scalar)) {
      auto splat = DenseElementsAttr::get(cast<ShapedType>(types.front()), constant.getValue());
      mapping.map(constant.getResult(), arith::ConstantOp::create(b, splat).getResult());
      continue;
    }
    SmallVector<Value> operands;
    for (Value operand : scalar.getOperands())
      operands.push_back(lookup(operand));
    OperationState state(b.getLoc(), scalar.getName().getStringRef(), operands, types, scalar.getAttrs());
    state.propertiesAttr = scalar.getPropertiesAsAttribute();
    Operation *vectorized = b.create(state);
    mapping.map(scalar.getResults(), vectorized->getResults());
  }
  Value result = lookup(cast<YieldOp>(body.getTerminator()).getValues().front());
  SmallVector<Value> results;
  for (int64_t i = 0; i < count; ++i)
    results.push_back(vector::ExtractOp::create(b, result, ArrayRef<int64_t>{i}));
  return results;
}

Tile LinearEmitter::loop(Tile tile, Value begin, Value end, int64_t step, function_ref<Tile(Tile, Value)> body) {
  SmallVector<Value> flat;
  for (const auto &row : tile)
    llvm::append_range(flat, row);
  size_t perRow = tile.front().size();
  auto fold = [&](ValueRange values) {
    Tile folded(tile.size());
    for (auto [i, value] : llvm::enumerate(values))
      folded[i / perRow].push_back(value);
    return folded;
  };
  auto loop = scf::ForOp::create(b, begin, end, index(step), flat);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Tile next = body(fold(loop.getRegionIterArgs()), loop.getInductionVar());
  SmallVector<Value> yielded;
  for (const auto &row : next)
    llvm::append_range(yielded, row);
  scf::YieldOp::create(b, yielded);
  return fold(loop.getResults());
}

SmallVector<Value> LinearEmitter::loadActivations(Value column) {
  SmallVector<Value> loaded;
  for (int64_t v = 0; v < vectors; ++v) {
    SmallVector<Value> indices(activationsBase);
    indices.push_back(add(activationsRow, column));
    indices.push_back(index(v * options.lanes));
    loaded.push_back(vector::LoadOp::create(b, vectorType, activations, indices));
  }
  return loaded;
}

/// The next four coordinates by one 64-bit load.
SmallVector<Value> LinearEmitter::loadCoordinates(Value position) {
  auto type = VectorType::get(entriesPerStep, b.getI16Type());
  Value narrow = vector::LoadOp::create(b, type, op.getStorage()[1], ValueRange{position});
  Value wide = vector::BitCastOp::create(b, VectorType::get(1, b.getI64Type()), narrow);
  Value word = guard(vector::ExtractOp::create(b, wide, ArrayRef<int64_t>{0}));
  SmallVector<Value> columns;
  Value low = arith::ConstantIntOp::create(b, 0xffff, 64), sixteen = arith::ConstantIntOp::create(b, 16, 64);
  for (int64_t i = 0; i < entriesPerStep; ++i) {
    Value column = i + 1 == entriesPerStep ? word : arith::AndIOp::create(b, word, low).getResult();
    columns.push_back(arith::IndexCastUIOp::create(b, b.getIndexType(), column));
    word = arith::ShRUIOp::create(b, word, sixteen);
  }
  return columns;
}

/// `count` (a multiple of four) values from `position` on, each broadcast to all lanes, by 128-bit loads.
SmallVector<Value> LinearEmitter::loadValues(Value position, int64_t count) {
  SmallVector<Value> values;
  auto quad = VectorType::get(4, vectorType.getElementType());
  for (int64_t base = 0; base < count; base += 4) {
    Value loaded = vector::LoadOp::create(b, quad, op.getStorage()[2], ValueRange{add(position, base)});
    SmallVector<int64_t> repeat;
    for (int64_t i = 0; i < std::max<int64_t>(options.lanes, 4); ++i)
      repeat.push_back(i % 4);
    Value repeated = guard(vector::ShuffleOp::create(b, loaded, loaded, repeat));
    for (int64_t i = 0; i < 4; ++i) {
      SmallVector<int64_t> splat;
      for (int64_t j = 0; j < options.lanes; ++j)
        splat.push_back(j / 4 * 4 + i);
      values.push_back(vector::ShuffleOp::create(b, repeated, repeated, splat));
    }
  }
  return values;
}

void LinearEmitter::multiplyAdd(SmallVector<Value> &row, Value value, ArrayRef<Value> activations, int64_t entry) {
  int64_t first = entry % chains * vectors;
  for (auto [v, activation] : llvm::enumerate(activations))
    row[first + v] = vector::FMAOp::create(b, value, activation, row[first + v]);
}

/// Two rows times one lane: the lanes of a vector are entries of a row, their activations gathered by scalar loads.
Tile LinearEmitter::accumulateSinglePair(Tile tile, Value begin, Value second, Value end, Value shared) {
  auto type = VectorType::get(entriesPerStep, vectorType.getElementType());
  auto gather = [&](Value position) {
    SmallVector<Value> elements;
    for (Value column : loadCoordinates(position)) {
      SmallVector<Value> indices(activationsBase);
      indices.push_back(add(activationsRow, column));
      indices.push_back(index(0));
      elements.push_back(memref::LoadOp::create(b, activations, indices));
    }
    return vector::FromElementsOp::create(b, type, elements).getResult();
  };
  auto values = [&](Value position) { return vector::LoadOp::create(b, type, op.getStorage()[2], position); };
  Value length = arith::SubIOp::create(b, second, begin);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  Tile sums{{zero}, {zero}};
  sums = loop(std::move(sums), index(0), shared, entriesPerStep, [&](Tile sums, Value entry) {
    Value first = add(begin, entry), gathered = gather(first);
    sums[0][0] = vector::FMAOp::create(b, values(first), gathered, sums[0][0]);
    sums[1][0] = vector::FMAOp::create(b, values(add(second, entry)), gathered, sums[1][0]);
    return sums;
  });
  Value rest = arith::SubIOp::create(b, length, shared);
  Value stepsEnd = add(shared, arith::AndIOp::create(b, rest, index(~(entriesPerStep - 1))));
  sums = loop(std::move(sums), shared, stepsEnd, entriesPerStep, [&](Tile sums, Value entry) {
    Value first = add(begin, entry), other = add(second, entry);
    sums[0][0] = vector::FMAOp::create(b, values(first), gather(first), sums[0][0]);
    sums[1][0] = vector::FMAOp::create(b, values(other), gather(other), sums[1][0]);
    return sums;
  });
  tile = loop(std::move(tile), stepsEnd, length, 1, [&](Tile tile, Value entry) {
    Value positions[] = {add(begin, entry), add(second, entry)};
    for (int64_t r = 0; r < 2; ++r) {
      Value value = memref::LoadOp::create(b, op.getStorage()[2], positions[r]);
      multiplyAdd(tile[r], broadcast(value), loadActivations(loadIndex(op.getStorage()[1], positions[r])), 0);
    }
    return tile;
  });
  for (int64_t r = 0; r < 2; ++r) {
    Value sum = sums[r][0];
    for (SmallVector<int64_t> high : {SmallVector<int64_t>{2, 3, 2, 3}, SmallVector<int64_t>{1, 1, 1, 1}})
      sum = arith::AddFOp::create(b, sum, vector::ShuffleOp::create(b, sum, sum, high));
    tile[r][0] = arith::AddFOp::create(b, tile[r][0], vector::ShuffleOp::create(b, sum, sum, ArrayRef<int64_t>{0}));
  }
  return tile;
}

Tile LinearEmitter::accumulatePair(Tile tile, Value begin, Value second, Value end, Value shared) {
  if (numLanes == 1)
    return accumulateSinglePair(std::move(tile), begin, second, end, shared);
  Value length = arith::SubIOp::create(b, second, begin);
  // Columns both rows have: one load of the activations feeds two rows.
  tile = loop(std::move(tile), index(0), shared, entriesPerStep, [&](Tile tile, Value entry) {
    Value first = add(begin, entry), other = add(second, entry);
    SmallVector<Value> columns = loadCoordinates(first);
    SmallVector<Value> x = loadValues(first, entriesPerStep), y = loadValues(other, entriesPerStep);
    for (int64_t i = 0; i < entriesPerStep; ++i) {
      SmallVector<Value> activations = loadActivations(columns[i]);
      multiplyAdd(tile[0], x[i], activations, i);
      multiplyAdd(tile[1], y[i], activations, i);
    }
    return tile;
  });
  // The rest of both rows side by side: two independent chains hide the latency of the multiply-adds.
  Value rest = arith::SubIOp::create(b, length, shared);
  Value steps = arith::AndIOp::create(b, rest, index(~(entriesPerStep - 1)));
  Value stepsEnd = add(shared, steps);
  tile = loop(std::move(tile), shared, stepsEnd, entriesPerStep, [&](Tile tile, Value entry) {
    Value first = add(begin, entry), other = add(second, entry);
    SmallVector<Value> firstColumns = loadCoordinates(first), otherColumns = loadCoordinates(other);
    SmallVector<Value> x = loadValues(first, entriesPerStep), y = loadValues(other, entriesPerStep);
    for (int64_t i = 0; i < entriesPerStep; ++i) {
      multiplyAdd(tile[0], x[i], loadActivations(firstColumns[i]), i);
      multiplyAdd(tile[1], y[i], loadActivations(otherColumns[i]), i);
    }
    return tile;
  });
  return loop(std::move(tile), stepsEnd, length, 1, [&](Tile tile, Value entry) {
    Value positions[] = {add(begin, entry), add(second, entry)};
    for (int64_t r = 0; r < 2; ++r) {
      Value value = memref::LoadOp::create(b, op.getStorage()[2], positions[r]);
      multiplyAdd(tile[r], broadcast(value), loadActivations(loadIndex(op.getStorage()[1], positions[r])), 0);
    }
    return tile;
  });
}

/// Blocks of four or eight rows times one lane: the lanes of a vector are rows, one activation is broadcast to them.
Tile LinearEmitter::accumulateSingleBlock(Tile tile, Value begin, Value end) {
  int64_t quads = op.getRows() / 4;
  auto type = VectorType::get(4, vectorType.getElementType());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  // Each entry of a step has its own sums: one alone would wait for itself.
  Tile sums(quads, SmallVector<Value>(entriesPerStep, zero));
  auto multiply = [&](Tile &sums, Value entry, Value column, int64_t i) {
    SmallVector<Value> indices(activationsBase);
    indices.push_back(add(activationsRow, column));
    indices.push_back(index(0));
    Value scalar = memref::LoadOp::create(b, activations, indices);
    Value activation = vector::BroadcastOp::create(b, type, scalar);
    for (int64_t quad = 0; quad < quads; ++quad) {
      Value position = add(mul(entry, op.getRows()), quad * 4);
      Value values = vector::LoadOp::create(b, type, op.getStorage()[2], ValueRange{position});
      sums[quad][i] = vector::FMAOp::create(b, values, activation, sums[quad][i]);
    }
  };
  Value length = arith::SubIOp::create(b, end, begin);
  Value stepsEnd = add(begin, arith::AndIOp::create(b, length, index(~(entriesPerStep - 1))));
  sums = loop(std::move(sums), begin, stepsEnd, entriesPerStep, [&](Tile sums, Value entry) {
    SmallVector<Value> columns = loadCoordinates(entry);
    for (int64_t i = 0; i < entriesPerStep; ++i)
      multiply(sums, add(entry, i), columns[i], i);
    return sums;
  });
  sums = loop(std::move(sums), stepsEnd, end, 1, [&](Tile sums, Value entry) {
    multiply(sums, entry, loadIndex(op.getStorage()[1], entry), 0);
    return sums;
  });
  for (auto [quad, row] : llvm::enumerate(sums)) {
    Value low = arith::AddFOp::create(b, row[0], row[1]), high = arith::AddFOp::create(b, row[2], row[3]);
    Value sum = arith::AddFOp::create(b, low, high);
    for (int64_t i = 0; i < 4; ++i) {
      Value &total = tile[quad * 4 + i][0];
      total = arith::AddFOp::create(b, total, vector::ShuffleOp::create(b, sum, sum, ArrayRef<int64_t>{i}));
    }
  }
  return tile;
}

Tile LinearEmitter::accumulateBlock(Tile tile, Value begin, Value end) {
  if (numLanes == 1 && op.getRows() % 4 == 0)
    return accumulateSingleBlock(std::move(tile), begin, end);
  int64_t rows = op.getRows();
  auto multiply = [&](Tile &tile, Value entry, Value column, int64_t i) {
    SmallVector<Value> activations = loadActivations(column);
    Value position = mul(entry, rows);
    SmallVector<Value> values;
    if (rows % 4 == 0)
      values = loadValues(position, rows);
    else
      for (int64_t r = 0; r < rows; ++r)
        values.push_back(broadcast(memref::LoadOp::create(b, op.getStorage()[2], ValueRange{add(position, r)})));
    for (int64_t r = 0; r < rows; ++r)
      multiplyAdd(tile[r], values[r], activations, i);
  };
  Value length = arith::SubIOp::create(b, end, begin);
  Value stepsEnd = add(begin, arith::AndIOp::create(b, length, index(~(entriesPerStep - 1))));
  tile = loop(std::move(tile), begin, stepsEnd, entriesPerStep, [&](Tile tile, Value entry) {
    SmallVector<Value> columns = loadCoordinates(entry);
    for (int64_t i = 0; i < entriesPerStep; ++i)
      multiply(tile, add(entry, i), columns[i], i);
    return tile;
  });
  return loop(std::move(tile), stepsEnd, end, 1, [&](Tile tile, Value entry) {
    multiply(tile, entry, loadIndex(op.getStorage()[1], entry), 0);
    return tile;
  });
}

Tile LinearEmitter::accumulateDense(Tile tile, Value group, Value chunkIndex) {
  Value firstColumn = mul(chunkIndex, chunk);
  auto multiply = [&](Tile &tile, Value column, int64_t i) {
    SmallVector<Value> activations = loadActivations(column);
    for (auto [r, row] : llvm::enumerate(tile)) {
      Value value =
          memref::LoadOp::create(b, op.getStorage()[0], ValueRange{group, add(firstColumn, column), index(r)});
      multiplyAdd(row, broadcast(value), activations, i);
    }
  };
  Value columns = index(chunk);
  if (numColumns % chunk) {
    Value left = arith::SubIOp::create(b, index(numColumns), firstColumn);
    columns = arith::MinUIOp::create(b, left, columns);
  }
  Value stepsEnd = arith::AndIOp::create(b, columns, index(~(entriesPerStep - 1)));
  tile = loop(std::move(tile), index(0), stepsEnd, entriesPerStep, [&](Tile tile, Value column) {
    for (int64_t i = 0; i < entriesPerStep; ++i)
      multiply(tile, add(column, i), i);
    return tile;
  });
  return loop(std::move(tile), stepsEnd, columns, 1, [&](Tile tile, Value column) {
    multiply(tile, column, 0);
    return tile;
  });
}

LogicalResult mlir::prune::lowerLinear(RewriterBase &rewriter, LinearOp op, const LinearKernelOptions &options) {
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  if (failed(LinearEmitter(rewriter, op, options).run()))
    return failure();
  rewriter.eraseOp(op);
  return success();
}
