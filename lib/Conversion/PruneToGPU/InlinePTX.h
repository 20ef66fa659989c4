//===- InlinePTX.h - Instructions that only PTX has -----------------*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_INLINEPTX_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_INLINEPTX_H

#include "prune/Conversion/PruneToGPU/KernelBuilder.h"

namespace mlir::prune {

/// Appends PTX text to a kernel. `$0`, `$1`, ... in the text are the results, then the operands.
class InlinePTX {
public:
  explicit InlinePTX(KernelBuilder &builder) : b(builder) {}

  /// Has effects beyond its operands, none on registers. `constraints`: one letter for each operand (r: 32 bits, l: 64
  /// bits, f: f32, h: 16 bits).
  void run(StringRef text, StringRef constraints = "", ValueRange operands = {});
  /// One result of `type`, with the constraint `result`.
  Value get(StringRef text, Type type, StringRef result, StringRef constraints, ValueRange operands);
  /// `count` results of i32.
  SmallVector<Value> getWords(StringRef text, int64_t count, StringRef constraints, ValueRange operands);
  /// Changes `registers`, all of f32 or of i32, in place: they are `$0` and on, the operands follow.
  SmallVector<Value> update(StringRef text, ValueRange registers, StringRef constraints = "", ValueRange operands = {});

  Value i32(int64_t value);
  Value toI32(Value index);
  Value toI64(Value index);
  /// The address of the first byte of a buffer in shared memory (i32) or global memory (i64).
  Value getSharedAddress(Value buffer);
  Value getGlobalAddress(Value buffer);

private:
  KernelBuilder &b;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_INLINEPTX_H
