//===- KernelBuilder.h - What the emitters of kernels share -----------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOVECTOR_KERNELBUILDER_H
#define PRUNE_LIB_CONVERSION_PRUNETOVECTOR_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/IR/Prune.h"

namespace mlir::prune {

struct VectorKernelBuilder {
  VectorKernelBuilder(Location loc, OpBuilder &builder) : b(loc, builder) {}

  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, value); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value add(Value x, int64_t y) { return y == 0 ? x : add(x, index(y)); }
  Value mul(Value x, int64_t y) { return y == 1 ? x : arith::MulIOp::create(b, x, index(y)).getResult(); }

  /// An element that is a coordinate or a position.
  Value loadIndex(Value memref, ValueRange indices);
  /// The next four coordinates by one 64-bit load, each times `factor`: one multiplication of the whole word, for which
  /// every product must have 16 bits.
  SmallVector<Value> loadCoordinates(Value coordinates, Value position, int64_t factor = 1);
  /// Hides `value` from LLVM, so that a wide load is not split into one load for each use.
  Value guard(Value value);
  /// A loop that carries values, the next of which `body` gives.
  SmallVector<Value> forLoop(Value begin, Value end, int64_t step, ValueRange init,
                             function_ref<SmallVector<Value>(Value, ValueRange)> body);
  /// Views a memref as [leading, row, lanes].
  Value collapse(Value memref, int64_t rowDim);

  /// The region of an epilogue on vectors of `shape`; `arguments` are its block arguments as such vectors.
  Value applyEpilogue(Block &body, ValueRange arguments, ArrayRef<int64_t> shape);

  ImplicitLocOpBuilder b;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOVECTOR_KERNELBUILDER_H
