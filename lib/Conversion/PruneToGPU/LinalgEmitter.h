//===- LinalgEmitter.h - One linalg operation inside of a kernel ----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_LINALGEMITTER_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_LINALGEMITTER_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Conversion/PruneToGPU/KernelBuilder.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::prune {

/// Adds the buffers that `op` reads or writes to `buffers`. An error at `op` if it uses a value that is neither a
/// buffer nor a constant.
LogicalResult collectBuffers(linalg::LinalgOp op, llvm::SetVector<Value> &buffers);

/// What stands in a kernel for buffers on the host.
struct LinalgBuffers {
  IRMapping mapping;
  /// Buffers of which the kernel holds a single row: their first `numRowDims` indices are 0.
  llvm::DenseSet<Value> rows;
  unsigned numRowDims = 0;
};

/// Code of a linalg operation at one point of its loops.
class LinalgEmitter {
public:
  LinalgEmitter(KernelBuilder &builder, linalg::LinalgOp op, const LinalgBuffers &buffers)
      : b(builder), op(op), buffers(buffers) {}

  /// The element of `operand` at the point `loops`; a constant operand is the constant.
  Value load(OpOperand &operand, ValueRange loops);
  /// Elements of the inputs at the point `loops`; zeros stand for those that the body does not use.
  SmallVector<Value> loadInputs(ValueRange loops);
  /// The same of the outputs; `all`: whether the body uses them or not.
  SmallVector<Value> loadOutputs(ValueRange loops, bool all = false);
  /// What the body yields for `inputs` and `outputs`.
  SmallVector<Value> emitBody(ValueRange inputs, ValueRange outputs, ValueRange loops);
  void store(ValueRange values, ValueRange loops);

private:
  SmallVector<Value> getIndices(OpOperand &operand, ValueRange loops);

  KernelBuilder &b;
  linalg::LinalgOp op;
  const LinalgBuffers &buffers;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_LINALGEMITTER_H
