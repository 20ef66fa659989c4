//===- CopyRing.h - Stages of shared memory that copies fill ---------*- C++ -*-===//
//
// Barriers in shared memory tell who may use a stage: the full one counts bytes that have arrived, the empty one those
// who are done with them.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOGPU_COPYRING_H
#define PRUNE_LIB_CONVERSION_PRUNETOGPU_COPYRING_H

#include "InlinePTX.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace mlir::prune {

inline constexpr int64_t kTileAlignment = 1024; ///< of swizzled atoms in shared memory

inline Value add32(KernelBuilder &b, Value x, int64_t y) { return arith::AddIOp::create(b, x, InlinePTX(b).i32(y)); }

inline Value multiplyAdd32(KernelBuilder &b, Value x, int64_t factor, Value y) {
  return arith::AddIOp::create(b, arith::MulIOp::create(b, x, InlinePTX(b).i32(factor)), y);
}

/// Waits until the barrier at `address` has left the phase of parity `parity`.
inline void waitFor(InlinePTX &ptx, Value address, Value parity) {
  ptx.run("{\n.reg .pred p;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 p, [$0], $1;\n@p bra DONE;\nbra "
          "AGAIN;\nDONE:\n}",
          "rr", {address, parity});
}

/// A slot of the ring of stages, and the parity of its turn.
struct RingPlace {
  Value slot, parity; ///< i32

  static RingPlace next(KernelBuilder &b, const RingPlace &place, int64_t stages) {
    InlinePTX ptx(b);
    Value slot = add32(b, place.slot, 1);
    Value wraps = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, slot, ptx.i32(stages));
    Value flipped = arith::XOrIOp::create(b, place.parity, ptx.i32(1));
    return {arith::SelectOp::create(b, wraps, ptx.i32(0), slot),
            arith::SelectOp::create(b, wraps, flipped, place.parity)};
  }
};

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOGPU_COPYRING_H
