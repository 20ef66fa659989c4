//===- LinearProducts.cpp - Inner products of packed layers ----------------------===//
//
// The innermost loops, by storage format. The load ports are the scarce resource of the unstructured kernel, so four
// coordinates come in one 64-bit load and four values in one 128-bit load; an empty inline assembly keeps LLVM from
// splitting them again.
//
//===----------------------------------------------------------------------===//

#include "LinearEmitter.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"
#include <limits>

using namespace mlir;
using namespace mlir::prune;

Tile LinearEmitter::loop(Tile tile, Value begin, Value end, int64_t step, function_ref<Tile(Tile, Value)> body) {
  size_t numRows = tile.size(), perRow = tile.front().size();
  auto flatten = [](const Tile &tile) {
    SmallVector<Value> flat;
    for (const auto &row : tile)
      llvm::append_range(flat, row);
    return flat;
  };
  auto fold = [&](ValueRange values) {
    Tile folded(numRows);
    for (auto [i, value] : llvm::enumerate(values))
      folded[i / perRow].push_back(value);
    return folded;
  };
  return fold(forLoop(begin, end, step, flatten(tile),
                      [&](Value position, ValueRange carried) { return flatten(body(fold(carried), position)); }));
}

/// The lanes of the column at `offset`.
SmallVector<Value> LinearEmitter::loadActivations(Value offset) {
  SmallVector<Value> loaded;
  for (int64_t v = 0; v < vectors; ++v)
    loaded.push_back(vector::LoadOp::create(b, vectorType, activations, add(offset, v * options.lanes)));
  return loaded;
}

/// Offsets of the next four columns, by one multiplication where they have 16 bits.
SmallVector<Value> LinearEmitter::loadOffsets(Value position) {
  Value columns = op.getStorage()[1];
  if ((chunk - 1) * activationsStride <= std::numeric_limits<uint16_t>::max())
    return loadCoordinates(columns, position, activationsStride);
  SmallVector<Value> offsets = loadCoordinates(columns, position);
  for (Value &offset : offsets)
    offset = mul(offset, activationsStride);
  return offsets;
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

Value LinearEmitter::addSums(Value x, Value y) {
  return op.hasWords() ? arith::AddIOp::create(b, x, y).getResult() : arith::AddFOp::create(b, x, y).getResult();
}

Value LinearEmitter::multiplyAdd(Value value, Value activation, Value sum) {
  return op.hasWords() ? multiplyAddWords(value, activation, sum)
                       : vector::FMAOp::create(b, value, activation, sum).getResult();
}

void LinearEmitter::multiplyAdd(SmallVector<Value> &row, Value value, ArrayRef<Value> activations, int64_t entry) {
  int64_t first = entry % chains * vectors;
  for (auto [v, activation] : llvm::enumerate(activations))
    row[first + v] = multiplyAdd(value, activation, row[first + v]);
}

/// What does not fill a step: the entries of a pair from position `begin` to `end`.
Tile LinearEmitter::accumulateSingleEntries(Tile tile, Value begin, Value end) {
  return loop(std::move(tile), begin, end, 2, [&](Tile tile, Value position) {
    for (int64_t r = 0; r < 2; ++r) {
      Value entry = add(position, r), value = memref::LoadOp::create(b, op.getStorage()[2], entry);
      multiplyAdd(tile[r], broadcast(value), loadActivations(loadOffset(entry)), 0);
    }
    return tile;
  });
}

/// The positions [begin, end) of a pair in steps of `step` (a power of two): first columns that both rows have, then
/// columns of each, then what is left one by one.
Tile LinearEmitter::loopOverPair(Tile tile, Value begin, Value end, Value shared, int64_t step,
                                 function_ref<Tile(Tile, Value, bool)> body, Value &left) {
  auto roundDown = [&](Value count) { return arith::AndIOp::create(b, count, index(~(step - 1))).getResult(); };
  Value sharedEnd = add(begin, roundDown(mul(shared, 2)));
  tile = loop(std::move(tile), begin, sharedEnd, step,
              [&](Tile tile, Value position) { return body(std::move(tile), position, /*isShared=*/true); });
  left = add(sharedEnd, roundDown(arith::SubIOp::create(b, end, sharedEnd)));
  return loop(std::move(tile), sharedEnd, left, step,
              [&](Tile tile, Value position) { return body(std::move(tile), position, /*isShared=*/false); });
}

/// Two rows times one lane: the lanes of a vector are entries of the pair, their activations gathered by scalar loads.
Tile LinearEmitter::accumulateSinglePair(Tile tile, Value begin, Value end, Value shared) {
  auto type = VectorType::get(kEntriesPerStep, vectorType.getElementType());
  auto gather = [&](Value position, bool isShared) {
    SmallVector<Value> elements;
    for (auto [i, offset] : llvm::enumerate(loadOffsets(position))) {
      if (isShared && i % 2 == 1)
        elements.push_back(elements.back());
      else
        elements.push_back(memref::LoadOp::create(b, activations, offset));
    }
    return vector::FromElementsOp::create(b, type, elements).getResult();
  };
  // Two vectors of sums: one alone would wait for itself.
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type)), left;
  Tile sums{{zero, zero}};
  sums = loopOverPair(
      std::move(sums), begin, end, shared, 2 * kEntriesPerStep,
      [&](Tile sums, Value position, bool isShared) {
        for (int64_t i = 0; i < 2; ++i) {
          Value entry = add(position, i * kEntriesPerStep);
          Value values = vector::LoadOp::create(b, type, op.getStorage()[2], entry);
          sums[0][i] = multiplyAdd(values, gather(entry, isShared), sums[0][i]);
        }
        return sums;
      },
      left);
  tile = accumulateSingleEntries(std::move(tile), left, end);
  // Entries alternate between the rows, and so do the lanes.
  Value sum = addSums(sums[0][0], sums[0][1]);
  sum = addSums(sum, vector::ShuffleOp::create(b, sum, sum, ArrayRef<int64_t>{2, 3, 2, 3}));
  for (int64_t r = 0; r < 2; ++r)
    tile[r][0] = addSums(tile[r][0], vector::ShuffleOp::create(b, sum, sum, ArrayRef<int64_t>{r}));
  return tile;
}

Tile LinearEmitter::accumulatePair(Tile tile, Value begin, Value end, Value shared) {
  if (numLanes == 1)
    return accumulateSinglePair(std::move(tile), begin, end, shared);
  // Rows side by side are two independent chains that hide the latency of the multiply-adds. Narrow tiles take two
  // steps at once: one is over too soon to pay for the loop.
  Value left;
  int64_t step = vectors < 4 ? 2 * kEntriesPerStep : kEntriesPerStep;
  tile = loopOverPair(
      std::move(tile), begin, end, shared, step,
      [&](Tile tile, Value position, bool isShared) {
        for (int64_t first = 0; first < step; first += kEntriesPerStep) {
          Value quad = add(position, first);
          SmallVector<Value> offsets = loadOffsets(quad), values = loadValues(quad, kEntriesPerStep), activations;
          for (int64_t i = 0; i < kEntriesPerStep; ++i) {
            // One load of the activations feeds both rows where they share the column.
            if (!isShared || i % 2 == 0)
              activations = loadActivations(offsets[i]);
            multiplyAdd(tile[i % 2], values[i], activations, (first + i) / 2);
          }
        }
        return tile;
      },
      left);
  return accumulateSingleEntries(std::move(tile), left, end);
}

/// Blocks of four or eight rows times one lane: the lanes of a vector are rows, one activation is broadcast to them.
Tile LinearEmitter::accumulateSingleBlock(Tile tile, Value begin, Value end) {
  int64_t quads = op.getRows() / 4;
  auto type = VectorType::get(4, vectorType.getElementType());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  // Each entry of a step has its own sums: one alone would wait for itself.
  Tile sums(quads, SmallVector<Value>(kEntriesPerStep, zero));
  auto multiply = [&](Tile &sums, Value entry, Value offset, int64_t i) {
    Value scalar = memref::LoadOp::create(b, activations, offset);
    Value activation = vector::BroadcastOp::create(b, type, scalar);
    for (int64_t quad = 0; quad < quads; ++quad) {
      Value position = add(mul(entry, op.getRows()), quad * 4);
      Value values = vector::LoadOp::create(b, type, op.getStorage()[2], ValueRange{position});
      sums[quad][i] = multiplyAdd(values, activation, sums[quad][i]);
    }
  };
  Value length = arith::SubIOp::create(b, end, begin);
  Value stepsEnd = add(begin, arith::AndIOp::create(b, length, index(~(kEntriesPerStep - 1))));
  sums = loop(std::move(sums), begin, stepsEnd, kEntriesPerStep, [&](Tile sums, Value entry) {
    SmallVector<Value> offsets = loadOffsets(entry);
    for (int64_t i = 0; i < kEntriesPerStep; ++i)
      multiply(sums, add(entry, i), offsets[i], i);
    return sums;
  });
  sums = loop(std::move(sums), stepsEnd, end, 1, [&](Tile sums, Value entry) {
    multiply(sums, entry, loadOffset(entry), 0);
    return sums;
  });
  for (auto [quad, row] : llvm::enumerate(sums)) {
    Value low = addSums(row[0], row[1]), high = addSums(row[2], row[3]);
    Value sum = addSums(low, high);
    for (int64_t i = 0; i < 4; ++i) {
      Value &total = tile[quad * 4 + i][0];
      total = addSums(total, vector::ShuffleOp::create(b, sum, sum, ArrayRef<int64_t>{i}));
    }
  }
  return tile;
}

Tile LinearEmitter::accumulateBlock(Tile tile, Value begin, Value end) {
  if (numLanes == 1 && op.getRows() % 4 == 0)
    return accumulateSingleBlock(std::move(tile), begin, end);
  int64_t rows = op.getRows();
  auto multiply = [&](Tile &tile, Value entry, Value offset, int64_t i) {
    SmallVector<Value> activations = loadActivations(offset);
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
  Value stepsEnd = add(begin, arith::AndIOp::create(b, length, index(~(kEntriesPerStep - 1))));
  tile = loop(std::move(tile), begin, stepsEnd, kEntriesPerStep, [&](Tile tile, Value entry) {
    SmallVector<Value> offsets = loadOffsets(entry);
    for (int64_t i = 0; i < kEntriesPerStep; ++i)
      multiply(tile, add(entry, i), offsets[i], i);
    return tile;
  });
  return loop(std::move(tile), stepsEnd, end, 1, [&](Tile tile, Value entry) {
    multiply(tile, entry, loadOffset(entry), 0);
    return tile;
  });
}

/// Dense rows of words that fill a vector times one lane: the lanes of the vector are rows, one word of the activations
/// is broadcast to them.
Tile LinearEmitter::accumulateSingleDense(Tile tile, Value group, Value chunkIndex) {
  auto type = VectorType::get(op.getRows(), vectorType.getElementType());
  Value firstColumn = mul(chunkIndex, chunk), columns = countColumns(firstColumn);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  // Each column of a step has its own sums: one alone would wait for itself.
  Tile sums(1, SmallVector<Value>(kEntriesPerStep, zero));
  auto multiply = [&](Tile &sums, Value column, int64_t i) {
    Value word = memref::LoadOp::create(b, activations, mul(column, activationsStride));
    Value values =
        vector::LoadOp::create(b, type, op.getStorage()[0], ValueRange{group, add(firstColumn, column), index(0)});
    sums[0][i] = multiplyAdd(values, vector::BroadcastOp::create(b, type, word), sums[0][i]);
  };
  Value stepsEnd = arith::AndIOp::create(b, columns, index(~(kEntriesPerStep - 1)));
  sums = loop(std::move(sums), index(0), stepsEnd, kEntriesPerStep, [&](Tile sums, Value column) {
    for (int64_t i = 0; i < kEntriesPerStep; ++i)
      multiply(sums, add(column, i), i);
    return sums;
  });
  sums = loop(std::move(sums), stepsEnd, columns, 1, [&](Tile sums, Value column) {
    multiply(sums, column, 0);
    return sums;
  });
  Value low = addSums(sums[0][0], sums[0][1]), high = addSums(sums[0][2], sums[0][3]);
  Value sum = addSums(low, high);
  for (auto [r, row] : llvm::enumerate(tile))
    row[0] = addSums(row[0], vector::ShuffleOp::create(b, sum, sum, SmallVector<int64_t>(1, r)));
  return tile;
}

Tile LinearEmitter::accumulateDense(Tile tile, Value group, Value chunkIndex) {
  int64_t rows = op.getRows();
  if (numLanes == 1 && op.hasWords() && rows >= 4 && rows <= registerLanes && llvm::isPowerOf2_64(rows))
    return accumulateSingleDense(std::move(tile), group, chunkIndex);
  Value firstColumn = mul(chunkIndex, chunk);
  auto multiply = [&](Tile &tile, Value column, int64_t i) {
    SmallVector<Value> activations = loadActivations(mul(column, activationsStride));
    for (auto [r, row] : llvm::enumerate(tile)) {
      Value value =
          memref::LoadOp::create(b, op.getStorage()[0], ValueRange{group, add(firstColumn, column), index(r)});
      multiplyAdd(row, broadcast(value), activations, i);
    }
  };
  Value columns = countColumns(firstColumn);
  Value stepsEnd = arith::AndIOp::create(b, columns, index(~(kEntriesPerStep - 1)));
  // The next group's part of this chunk lies elsewhere: the processor would not see a stream go on.
  Value weight = op.getStorage()[0];
  Value next = arith::MinUIOp::create(b, add(group, 1), index(cast<MemRefType>(weight.getType()).getDimSize(0) - 1));
  auto prefetch = [&](Value column) {
    constexpr int64_t perLine = 64 / 4;
    Value ahead = add(firstColumn, column);
    for (int64_t i = 0, size = kEntriesPerStep * static_cast<int64_t>(op.getRows()); i < size; i += perLine)
      memref::PrefetchOp::create(b, weight, ValueRange{next, ahead, index(i)}, /*isWrite=*/false, /*localityHint=*/3,
                                 /*isDataCache=*/true);
  };
  tile = loop(std::move(tile), index(0), stepsEnd, kEntriesPerStep, [&](Tile tile, Value column) {
    if (numChunks > 1)
      prefetch(column);
    for (int64_t i = 0; i < kEntriesPerStep; ++i)
      multiply(tile, add(column, i), i);
    return tile;
  });
  return loop(std::move(tile), stepsEnd, columns, 1, [&](Tile tile, Value column) {
    multiply(tile, column, 0);
    return tile;
  });
}
