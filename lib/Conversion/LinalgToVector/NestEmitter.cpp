//===- NestEmitter.cpp - Loops of a scheduled nest ------------------------------===//

#include "NestEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace mlir::prune;

Segment NestEmitter::staticSegment(int64_t begin, int64_t end, int64_t step) {
  Segment segment;
  segment.staticBegin = begin;
  segment.staticEnd = end;
  segment.step = step;
  return segment;
}

SmallVector<Segment> NestEmitter::rowSegments() {
  int64_t size = nest.dims[schedule.row].size, main = size - size % schedule.rows;
  SmallVector<Segment> segments = {staticSegment(0, main, schedule.rows)};
  if (main == size)
    return segments;
  // A block that is transposed in registers is square: what is left runs one by one.
  int64_t rest = size - main, joined = rest + schedule.rows;
  if (schedule.transposed)
    return {segments.front(), staticSegment(main, size, 1)};
  // A few rows alone would wait for their own sums: they share with a whole tile.
  if (2 * rest <= schedule.rows && joined % 2 == 0)
    return {staticSegment(0, size - joined, schedule.rows), staticSegment(size - joined, size, joined / 2)};
  return {segments.front(), staticSegment(main, size, rest)};
}

SmallVector<Segment> NestEmitter::vectorSegments() {
  const NestDim &dim = nest.dims[schedule.vector];
  SmallVector<Segment> segments;
  if (!dim.isStatic()) {
    // Run-time extent: whole vectors, then single elements.
    Segment main;
    main.begin = constantIndex(b, 0);
    Value width = constantIndex(b, schedule.lanes);
    Value count = arith::DivUIOp::create(b, dim.dynamicSize, width).getResult();
    main.end = arith::MulIOp::create(b, count, width).getResult();
    main.step = main.lanes = schedule.lanes;
    Segment rest;
    rest.begin = main.end;
    rest.end = dim.dynamicSize;
    segments.push_back(main);
    if (schedule.lanes > 1)
      segments.push_back(rest);
    return segments;
  }
  int64_t begin = 0;
  auto add = [&](int64_t vectors, int64_t lanes) {
    int64_t step = vectors * lanes, count = (dim.size - begin) / step;
    if (count == 0)
      return;
    Segment segment = staticSegment(begin, begin + count * step, step);
    segment.vectors = vectors;
    segment.lanes = lanes;
    begin += count * step;
    segments.push_back(segment);
  };
  add(schedule.vectors, schedule.lanes);
  if (int64_t rest = (dim.size - begin) / schedule.lanes; rest > 0)
    add(rest, schedule.lanes);
  for (int64_t width = schedule.lanes / 2; width >= 1; width /= 2)
    add(1, width);
  return segments;
}

void NestEmitter::emitSegment(int dim, const Segment &segment, llvm::function_ref<void()> inner) {
  Value saved = ivs[dim];
  Value begin = segment.begin, end = segment.end;
  if (!begin && segment.staticEnd - segment.staticBegin <= segment.step) {
    if (segment.staticEnd > segment.staticBegin) {
      ivs[dim] = constantIndex(b, segment.staticBegin);
      inner();
    }
    ivs[dim] = saved;
    return;
  }
  if (!begin) {
    begin = constantIndex(b, segment.staticBegin);
    end = constantIndex(b, segment.staticEnd);
  }
  auto emitFor = [&](Value from, Value to) {
    auto loop = scf::ForOp::create(b, from, to, constantIndex(b, segment.step));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    ivs[dim] = loop.getInductionVar();
    inner();
  };
  int64_t units = segment.begin ? 0 : (segment.staticEnd - segment.staticBegin) / segment.step;
  if (dim == schedule.split && units >= 2) {
    // Thread t takes the tiles [t * units / threads, (t + 1) * units / threads).
    usedParallel = true;
    int64_t threads = std::min<int64_t>(options.threads, units);
    Value one = constantIndex(b, 1), zero = constantIndex(b, 0), count = constantIndex(b, threads);
    auto parallel = scf::ParallelOp::create(b, ValueRange{zero}, ValueRange{count}, ValueRange{one});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(parallel.getBody());
    auto bound = [&](Value thread) {
      Value tile = arith::DivUIOp::create(b, mulIndex(b, thread, units), count).getResult();
      return addIndex(b, mulIndex(b, tile, segment.step), segment.staticBegin);
    };
    Value thread = parallel.getInductionVars()[0];
    Value from = bound(thread), to = bound(addIndex(b, thread, 1));
    emitFor(from, to);
    ivs[dim] = saved;
    return;
  }
  emitFor(begin, end);
  ivs[dim] = saved;
}

void NestEmitter::emitDim(int dim, llvm::function_ref<void()> inner) {
  if (dim == schedule.row) {
    for (const Segment &segment : rowSegments()) {
      rows = segment.step;
      emitSegment(dim, segment, inner);
    }
    rows = 1;
    return;
  }
  if (dim == schedule.vector && !schedule.horizontal) {
    for (const Segment &segment : vectorSegments()) {
      vectors = segment.vectors;
      lanes = segment.lanes;
      emitSegment(dim, segment, inner);
    }
    vectors = lanes = 1;
    return;
  }
  Segment segment = staticSegment(0, nest.dims[dim].size, 1);
  if (!nest.dims[dim].isStatic()) {
    segment.begin = constantIndex(b, 0);
    segment.end = nest.dims[dim].dynamicSize;
  }
  emitSegment(dim, segment, inner);
}

void NestEmitter::emitLoops(unsigned level) {
  if (level == order.size()) {
    schedule.horizontal ? emitHorizontalTile() : emitTile();
    return;
  }
  if (order[level] == schedule.vector && level + 1 == order.size() && schedule.reductions.empty()) {
    DenseMap<Value, Value> saved = hoisted;
    hoistInvariants();
    emitDim(order[level], [&] { emitLoops(level + 1); });
    hoisted = std::move(saved);
    return;
  }
  emitDim(order[level], [&] { emitLoops(level + 1); });
}

void NestEmitter::emit() {
  if (nest.empty)
    return;
  order = schedule.outer;
  // A panel of the vector operand stays in cache while the rows pass; without reductions rows run outside.
  bool hasVector = schedule.vector >= 0 && !schedule.horizontal;
  if (schedule.reductions.empty() || options.rowsOutside) {
    if (schedule.row >= 0)
      order.push_back(schedule.row);
    if (hasVector)
      order.push_back(schedule.vector);
  } else {
    if (hasVector)
      order.push_back(schedule.vector);
    if (schedule.row >= 0)
      order.push_back(schedule.row);
  }
  if (schedule.split >= 0) {
    llvm::erase(order, schedule.split);
    order.insert(order.begin(), schedule.split);
  }
  emitLoops(0);
}

/// Computes what does not change along the lanes before their loop. The compiler below cannot: stores of the loop might
/// overwrite what these read, for all it knows.
void NestEmitter::hoistInvariants() {
  auto isInvariant = [&](const NestOperand &operand) {
    if (operand.isScalar())
      return true;
    return operand.coefficients[schedule.vector].isZero() && (rows == 1 || operand.coefficients[schedule.row].isZero());
  };
  AddressCache addresses;
  LoadCache loads;
  DenseSet<Value> invariant;
  for (auto [i, operand] : llvm::enumerate(nest.operands)) {
    if (!operand.argument || operand.argument.use_empty() || operand.output || !isInvariant(operand))
      continue;
    int64_t savedLanes = std::exchange(lanes, 1);
    hoisted[operand.argument] = load(i, 0, 0, loads, addresses);
    lanes = savedLanes;
  }
  IRMapping mapping;
  for (Operation &op : nest.body().without_terminator()) {
    if (op.getNumOperands() == 0 || op.getNumResults() != 1 || op.getNumRegions() != 0 ||
        !llvm::all_of(op.getOperands(), [&](Value v) {
          return hoisted.contains(v) || v.getParentBlock() != &nest.body();
        }))
      continue;
    if (llvm::none_of(op.getOperands(), [&](Value v) { return hoisted.contains(v); }) && !isa<memref::LoadOp>(op))
      continue;
    for (Value v : op.getOperands())
      if (auto it = hoisted.find(v); it != hoisted.end())
        mapping.map(v, it->second);
    hoisted[op.getResult(0)] = b.clone(op, mapping)->getResult(0);
  }
}
