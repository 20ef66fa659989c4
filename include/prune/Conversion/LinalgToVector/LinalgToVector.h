//===- LinalgToVector.h - Vector loops for linalg on memrefs --------*- C++ -*-===//
//
// The code generator for everything dense: an operation of linalg on memrefs becomes a nest of scf loops around
// one-dimensional vectors of power-of-two width.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_LINALGTOVECTOR_LINALGTOVECTOR_H
#define PRUNE_CONVERSION_LINALGTOVECTOR_LINALGTOVECTOR_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace mlir::prune {

/// What the generator may assume about the processor. The caller derives it from the target's features.
struct LinalgToVectorOptions {
  /// Bits of one vector register: 128 (SSE2), 256 (AVX2), 512 (AVX-512).
  unsigned vectorBits = 256;
  /// Vector accumulators a tile may keep live; 0: 24 for 512 bits (32 registers), else 12 (16 registers).
  unsigned maxAccumulators = 0;
  /// Whether accumulations become fused multiply-adds. Without the instruction they would become calls.
  bool fuseMultiplyAdd = true;
  /// Whether contractions copy panels of an operand into a contiguous buffer where that pays.
  bool pack = true;
  /// Tiles of one row block run side by side before the next rows. Set where the lanes' operand stays in cache.
  bool rowsOutside = false;
  /// Bytes of the panel that a contraction keeps in cache; 0: 24 KiB (first level), for 512 bits 128 KiB (second level).
  int64_t panelBytes = 0;
  /// Threads the code is made for; 1 makes serial code.
  unsigned threads = 1;
  /// Nests whose estimated serial time is below this many nanoseconds stay serial.
  int64_t parallelThreshold = 20000;

  int64_t panelSize() const { return panelBytes ? panelBytes : (vectorBits >= 512 ? 128 : 24) * 1024; }
  unsigned accumulators() const {
    if (maxAccumulators)
      return maxAccumulators;
    if (vectorBits >= 512)
      return 24;
    return fuseMultiplyAdd ? 12 : 8;
  }
};

/// What became of an operation.
struct LinalgToVectorResult {
  /// False: the nest works on scalars, and `reason` says why.
  bool vectorized = false;
  bool packed = false;
  bool parallel = false;
  /// The accumulators start from the value of the op's own fill, which is gone.
  bool startsFromFill = false;
  std::string reason;
};

/// True for a result of a reduction; false for one that each step stores an element of (prune-fuse-reductions).
bool accumulatesOn(linalg::LinalgOp op, OpOperand &init);

/// The linalg.fill of the one buffer that `op` accumulates on, if nothing happens between the two.
linalg::FillOp getOwnFill(linalg::LinalgOp op);

/// Replaces `op`, which must work on memrefs, by loops. Fails, with the reason for a remark or error, only where the
/// operation cannot be lowered at all.
FailureOr<LinalgToVectorResult> lowerLinalgToVectorLoops(RewriterBase &rewriter, linalg::LinalgOp op,
                                                         const LinalgToVectorOptions &options);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_LINALGTOVECTOR_LINALGTOVECTOR_H
