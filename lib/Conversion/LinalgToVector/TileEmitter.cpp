//===- TileEmitter.cpp - Loads, reductions and stores of one tile ---------------===//

#include "NestEmitter.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::prune;

void prune::transposeInRegisters(ImplicitLocOpBuilder &b, MutableArrayRef<Value> vectors) {
  int64_t n = vectors.size();
  for (int64_t block = 1; block < n; block *= 2)
    for (int64_t i = 0; i < n; ++i) {
      if (i & block)
        continue;
      SmallVector<int64_t> low, high;
      for (int64_t k = 0; k < n; ++k) {
        low.push_back(k & block ? n + k - block : k);
        high.push_back(k & block ? n + k : k + block);
      }
      Value first = vectors[i], second = vectors[i + block];
      vectors[i] = vector::ShuffleOp::create(b, first, second, low).getResult();
      vectors[i + block] = vector::ShuffleOp::create(b, first, second, high).getResult();
    }
}

Value NestEmitter::zeroBased(int dim) { return ivs[dim] ? ivs[dim] : constantIndex(b, 0); }

/// Address of the operand at the tile's origin. Terms are added from the outermost loop inwards, so that all but the
/// last leave the inner loops.
Value NestEmitter::address(unsigned index, AddressCache &cache) {
  Value &result = cache[index];
  if (result)
    return result;
  NestOperand &operand = nest.operands[index];
  Value sum = operand.dynamicBase;
  SmallVector<int> dims(order);
  dims.append(schedule.reductions.begin(), schedule.reductions.end());
  for (int dim : dims) {
    const Coefficient &coefficient = operand.coefficients[dim];
    if (ivs[dim] && (coefficient.dynamic || coefficient.value != 0))
      sum = addIndex(b, sum, mulIndex(b, ivs[dim], coefficient));
  }
  return result = addIndex(b, sum, operand.base);
}

Value NestEmitter::offsetAddress(unsigned index, Value origin, int64_t row, int64_t lane) {
  NestOperand &operand = nest.operands[index];
  int64_t offset = 0;
  Value result = origin;
  auto move = [&](int dim, int64_t steps) {
    if (dim < 0 || steps == 0)
      return;
    const Coefficient &coefficient = operand.coefficients[dim];
    if (coefficient.dynamic)
      result = addIndex(b, result, mulIndex(b, coefficient.dynamic, steps));
    else
      offset += coefficient.value * steps;
  };
  move(schedule.row, row);
  move(schedule.vector, lane);
  result = addIndex(b, result, offset);
  // Terms below divisions are computed for each point.
  for (auto [stride, expr] : operand.irregular) {
    SmallVector<Value> values;
    for (int dim : nest.dimOf) {
      Value value = dim < 0 ? constantIndex(b, 0) : zeroBased(dim);
      if (dim >= 0 && dim == schedule.row)
        value = addIndex(b, value, row);
      if (dim >= 0 && dim == schedule.vector)
        value = addIndex(b, value, lane);
      values.push_back(value);
    }
    Value term = affine::AffineApplyOp::create(b, AffineMap::get(values.size(), 0, expr), values).getResult();
    if (auto constant = getConstantIntValue(stride))
      term = mulIndex(b, term, *constant);
    else
      term = arith::MulIOp::create(b, term, cast<Value>(stride)).getResult();
    result = addIndex(b, result, term);
  }
  return result;
}

void NestEmitter::loadTransposed(unsigned index, LoadCache &loads, AddressCache &addresses) {
  NestOperand &operand = nest.operands[index];
  Value origin = address(index, addresses);
  auto type = VectorType::get({lanes}, operand.elementType);
  SmallVector<Value> block;
  for (int64_t lane = 0; lane < lanes; ++lane)
    block.push_back(
        vector::LoadOp::create(b, type, operand.flat, offsetAddress(index, origin, 0, lane)).getResult());
  transposeInRegisters(b, block);
  for (int64_t row = 0; row < rows; ++row)
    loads[{index, row, 0}] = block[row];
}

Value NestEmitter::load(unsigned index, int64_t row, int64_t vector, LoadCache &loads, AddressCache &addresses) {
  NestOperand &operand = nest.operands[index];
  if (operand.isScalar())
    return operand.operand->get();
  Coefficient none;
  const Coefficient &alongRow = schedule.row >= 0 ? operand.coefficients[schedule.row] : none;
  const Coefficient &alongLanes = schedule.vector >= 0 ? operand.coefficients[schedule.vector] : none;
  if (alongRow.isZero())
    row = 0;
  if (alongLanes.isZero())
    vector = 0;
  Value &cached = loads[{index, row, vector}];
  if (cached)
    return cached;
  Value origin = address(index, addresses);
  int64_t lane = vector * lanes;
  if (lanes == 1 || alongLanes.isZero())
    return cached = memref::LoadOp::create(b, operand.flat, offsetAddress(index, origin, row, lane)).getResult();
  auto type = VectorType::get({lanes}, operand.elementType);
  // A vector of i1 in memory is packed by bits, a buffer of i1 holds bytes: such elements move one by one.
  bool bytes = !operand.elementType.isInteger(1);
  if (alongLanes.isOne() && bytes)
    return cached = vector::LoadOp::create(b, type, operand.flat, offsetAddress(index, origin, row, lane)).getResult();
  if (schedule.transposed && rows == lanes && vectors == 1 && alongRow.isOne() && alongLanes.isStatic() && bytes) {
    loadTransposed(index, loads, addresses);
    return loads[{index, row, 0}];
  }
  if (alongLanes.isStatic() && alongLanes.value == 2 && bytes) {
    // Every second element: two loads that end exactly at the last element, then one shuffle.
    Value first = vector::LoadOp::create(b, type, operand.flat, offsetAddress(index, origin, row, lane)).getResult();
    Value start = addIndex(b, offsetAddress(index, origin, row, lane), lanes - 1);
    Value second = vector::LoadOp::create(b, type, operand.flat, start).getResult();
    SmallVector<int64_t> mask;
    for (int64_t i = 0; i < lanes; ++i)
      mask.push_back(2 * i < lanes ? 2 * i : lanes + 2 * i - (lanes - 1));
    return cached = vector::ShuffleOp::create(b, first, second, mask).getResult();
  }
  SmallVector<Value> elements;
  for (int64_t i = 0; i < lanes; ++i)
    elements.push_back(
        memref::LoadOp::create(b, operand.flat, offsetAddress(index, origin, row, lane + i)).getResult());
  return loads[{index, row, vector}] = vector::FromElementsOp::create(b, type, elements).getResult();
}

void NestEmitter::store(unsigned index, int64_t row, int64_t vector, Value value, AddressCache &addresses) {
  NestOperand &operand = nest.operands[index];
  Value origin = address(index, addresses);
  int64_t lane = vector * lanes;
  if (lanes == 1 || (schedule.vector >= 0 && operand.coefficients[schedule.vector].isZero())) {
    // A result that does not move with the lanes keeps the last of them.
    if (isa<VectorType>(value.getType()))
      value = vector::ExtractOp::create(b, value, ArrayRef<int64_t>{lanes - 1}).getResult();
    memref::StoreOp::create(b, value, operand.flat, offsetAddress(index, origin, row, lane));
    return;
  }
  value = broadcastTo(b, value, lanes);
  if (operand.coefficients[schedule.vector].isOne() && !operand.elementType.isInteger(1)) {
    vector::StoreOp::create(b, value, operand.flat, offsetAddress(index, origin, row, lane));
    return;
  }
  for (int64_t i = 0; i < lanes; ++i) {
    Value element = vector::ExtractOp::create(b, value, ArrayRef<int64_t>{i}).getResult();
    memref::StoreOp::create(b, element, operand.flat, offsetAddress(index, origin, row, lane + i));
  }
}

Value NestEmitter::indexOf(int64_t originalDim, int64_t row, int64_t vector) {
  int dim = nest.dimOf[originalDim];
  if (dim < 0)
    return constantIndex(b, 0);
  Value value = zeroBased(dim);
  if (dim == schedule.row)
    value = addIndex(b, value, row);
  if (dim != schedule.vector)
    return value;
  value = addIndex(b, value, vector * lanes);
  if (lanes == 1)
    return value;
  auto type = VectorType::get({lanes}, b.getIndexType());
  SmallVector<int64_t> steps = llvm::to_vector(llvm::seq<int64_t>(0, lanes));
  Value iota = arith::ConstantOp::create(b, DenseIntElementsAttr::get(type, steps)).getResult();
  return arith::AddIOp::create(b, broadcastTo(b, value, lanes), iota).getResult();
}

/// Emits the region for every point of the tile. Results are the next accumulators, and what is to be stored.
SmallVector<Value> NestEmitter::emitPoints(ValueRange accumulators) {
  LoadCache loads;
  AddressCache addresses;
  unsigned numOutputs = nest.op.getNumDpsInits();
  SmallVector<Value> results(numOutputs * rows * vectors);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t vector = 0; vector < vectors; ++vector) {
      auto argument = [&](BlockArgument arg) -> Value {
        unsigned output = 0;
        for (auto [i, operand] : llvm::enumerate(nest.operands)) {
          if (operand.argument == arg)
            return operand.accumulates && !accumulators.empty()
                       ? accumulators[(output * rows + row) * vectors + vector]
                       : load(i, row, vector, loads, addresses);
          output += operand.accumulates;
        }
        llvm_unreachable("an argument belongs to an operand");
      };
      auto index = [&](int64_t dim) { return indexOf(dim, row, vector); };
      auto isLaneIndex = [&](int64_t dim) { return lanes > 1 && nest.dimOf[dim] == schedule.vector; };
      BodyEmitter body{nest, lanes, options.fuseMultiplyAdd, argument, index, isLaneIndex, &hoisted};
      for (auto [output, value] : llvm::enumerate(body.emit(b)))
        results[(output * rows + row) * vectors + vector] = value;
    }
  return results;
}

SmallVector<Value> NestEmitter::emitReductionLoops(unsigned level, ArrayRef<int> dims, const Segment *laneSegment,
                                                   ValueRange accumulators) {
  if (level == dims.size()) {
    SmallVector<Value> points = emitPoints(accumulators), results;
    AddressCache addresses;
    auto next = points.begin();
    for (auto [i, operand] : llvm::enumerate(nest.operands)) {
      if (!operand.output)
        continue;
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector, ++next)
          if (operand.accumulates)
            results.push_back(*next);
          else
            store(i, row, vector, *next, addresses);
    }
    for (auto [result, accumulator] : llvm::zip(results, accumulators))
      if (isa<VectorType>(accumulator.getType()))
        result = broadcastTo(b, result, lanes);
    return results;
  }
  int dim = dims[level];
  int64_t begin = 0, end = nest.dims[dim].size, step = 1;
  Value from, to;
  if (dim == schedule.vector && laneSegment) {
    begin = laneSegment->staticBegin;
    end = laneSegment->staticEnd;
    step = laneSegment->step;
    from = laneSegment->begin;
    to = laneSegment->end;
  } else if (!nest.dims[dim].isStatic()) {
    from = constantIndex(b, 0);
    to = nest.dims[dim].dynamicSize;
  }
  Value saved = ivs[dim];
  SmallVector<Value> results;
  if (!from && end - begin <= step) {
    ivs[dim] = constantIndex(b, begin);
    results = emitReductionLoops(level + 1, dims, laneSegment, accumulators);
  } else {
    if (!from) {
      from = constantIndex(b, begin);
      to = constantIndex(b, end);
    }
    auto loop = scf::ForOp::create(b, from, to, constantIndex(b, step), accumulators);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    ivs[dim] = loop.getInductionVar();
    SmallVector<Value> inner = emitReductionLoops(level + 1, dims, laneSegment, loop.getRegionIterArgs());
    scf::YieldOp::create(b, inner);
    results.assign(loop.getResults().begin(), loop.getResults().end());
  }
  ivs[dim] = saved;
  return results;
}

void NestEmitter::emitTile() {
  AddressCache addresses;
  LoadCache loads;
  SmallVector<unsigned> outputs;
  for (auto [i, operand] : llvm::enumerate(nest.operands))
    if (operand.output && (operand.accumulates || schedule.reductions.empty()))
      outputs.push_back(i);
  SmallVector<Value> values;
  if (schedule.reductions.empty()) {
    values = emitPoints({});
  } else {
    for (unsigned output : outputs)
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector) {
          Value initial = nest.operands[output].initial;
          values.push_back(broadcastTo(b, initial ? initial : load(output, row, vector, loads, addresses), lanes));
        }
    values = emitReductionLoops(0, schedule.reductions, nullptr, values);
  }
  for (auto [i, output] : llvm::enumerate(outputs))
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t vector = 0; vector < vectors; ++vector)
        store(output, row, vector, values[(i * rows + row) * vectors + vector], addresses);
}

/// Combines the lanes of a vector: halves onto halves, always in the same order.
Value NestEmitter::reduceLanes(Operation *combiner, Value value) {
  auto type = dyn_cast<VectorType>(value.getType());
  if (!type)
    return value;
  int64_t width = type.getNumElements();
  while (width > 1) {
    width /= 2;
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < width; ++i) {
      low.push_back(i);
      high.push_back(width + i);
    }
    Value first = vector::ShuffleOp::create(b, value, value, low).getResult();
    Value second = vector::ShuffleOp::create(b, value, value, high).getResult();
    value = emitElementwise(b, combiner, {first, second}, width);
  }
  return vector::ExtractOp::create(b, value, ArrayRef<int64_t>{0}).getResult();
}

/// Lanes along a reduction: accumulators start from the neutral element and meet the output's value at the end.
void NestEmitter::emitHorizontalTile() {
  SmallVector<Operation *> combiners = findCombiners(nest);
  AddressCache addresses;
  LoadCache loads;
  SmallVector<unsigned> outputs;
  SmallVector<Value> totals;
  for (auto [i, operand] : llvm::enumerate(nest.operands))
    if (operand.output) {
      outputs.push_back(i);
      totals.push_back(operand.initial ? operand.initial : load(i, 0, 0, loads, addresses));
    }
  for (const Segment &segment : vectorSegments()) {
    vectors = segment.vectors;
    lanes = segment.lanes;
    SmallVector<Value> accumulators;
    for (Operation *combiner : combiners) {
      Value neutral = arith::ConstantOp::create(b, *arith::getNeutralElement(combiner)).getResult();
      accumulators.append(vectors, broadcastTo(b, neutral, lanes));
    }
    SmallVector<Value> results = emitReductionLoops(0, schedule.reductions, &segment, accumulators);
    for (auto [i, combiner] : llvm::enumerate(combiners)) {
      SmallVector<Value> parts(results.begin() + i * vectors, results.begin() + (i + 1) * vectors);
      for (; parts.size() > 1; parts.resize((parts.size() + 1) / 2))
        for (size_t k = 0; k < parts.size() / 2; ++k)
          parts[k] = emitElementwise(b, combiner, {parts[k], parts[k + (parts.size() + 1) / 2]}, lanes);
      totals[i] = emitElementwise(b, combiner, {totals[i], reduceLanes(combiner, parts[0])}, 1);
    }
  }
  vectors = lanes = 1;
  for (auto [i, output] : llvm::enumerate(outputs))
    store(output, 0, 0, totals[i], addresses);
}
