//===- NestEmitter.h - Loops and tiles of a scheduled nest --------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_LINALGTOVECTOR_NESTEMITTER_H
#define PRUNE_LIB_CONVERSION_LINALGTOVECTOR_NESTEMITTER_H

#include "BodyEmitter.h"
#include "Schedule.h"

namespace mlir::prune {

/// A stretch [begin, end) of a dimension walked in steps, with the tile used there.
struct Segment {
  Value begin, end;
  /// Set where the bounds are constants.
  int64_t staticBegin = 0, staticEnd = 0;
  int64_t step = 1;
  int64_t vectors = 1, lanes = 1;
};

class NestEmitter {
public:
  NestEmitter(ImplicitLocOpBuilder &b, Nest &nest, const Schedule &schedule, const LinalgToVectorOptions &options)
      : b(b), nest(nest), schedule(schedule), options(options), ivs(nest.dims.size()) {}

  void emit();
  bool usedThreads() const { return usedParallel; }

private:
  /// Loads of one tile that are already there: operand, row, vector.
  using LoadCache = DenseMap<std::tuple<unsigned, int64_t, int64_t>, Value>;
  /// Linear addresses of the operands at the tile's origin.
  using AddressCache = DenseMap<unsigned, Value>;

  void emitLoops(unsigned level);
  void emitDim(int dim, llvm::function_ref<void()> inner);
  void emitSegment(int dim, const Segment &segment, llvm::function_ref<void()> inner);
  SmallVector<Segment> rowSegments();
  SmallVector<Segment> vectorSegments();
  Segment staticSegment(int64_t begin, int64_t end, int64_t step);

  void emitTile();
  void emitHorizontalTile();
  SmallVector<Value> emitReductionLoops(unsigned level, ArrayRef<int> dims, const Segment *lanes, ValueRange accumulators);
  SmallVector<Value> emitPoints(ValueRange accumulators);
  void hoistInvariants();

  Value address(unsigned operand, AddressCache &cache);
  Value offsetAddress(unsigned operand, Value origin, int64_t row, int64_t lane);
  Value laneAddress(unsigned operand, int64_t row, int64_t lane);
  Value load(unsigned operand, int64_t row, int64_t vector, LoadCache &loads, AddressCache &addresses);
  void loadTransposed(unsigned operand, LoadCache &loads, AddressCache &addresses);
  void store(unsigned operand, int64_t row, int64_t vector, Value value, AddressCache &addresses);
  Value zeroBased(int dim);
  Value indexOf(int64_t originalDim, int64_t row, int64_t vector);
  Value reduceLanes(Operation *combiner, Value value);

  ImplicitLocOpBuilder &b;
  Nest &nest;
  const Schedule &schedule;
  const LinalgToVectorOptions &options;
  /// Current value of each dimension; null: zero.
  SmallVector<Value> ivs;
  SmallVector<int> order;
  int64_t rows = 1, vectors = 1, lanes = 1;
  DenseMap<Value, Value> hoisted;
  bool usedParallel = false;
};

/// Transposes n vectors of n elements by exchanging blocks of 1, 2, 4, ... elements.
void transposeInRegisters(ImplicitLocOpBuilder &b, MutableArrayRef<Value> vectors);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_LINALGTOVECTOR_NESTEMITTER_H
