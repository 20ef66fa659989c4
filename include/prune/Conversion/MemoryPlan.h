//===- MemoryPlan.h - Lifetimes of temporaries and their offsets ----*- C++ -*-===//
#ifndef PRUNE_CONVERSION_MEMORYPLAN_H
#define PRUNE_CONVERSION_MEMORYPLAN_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Support/LLVM.h"

namespace mlir::prune {

/// Bytes that one operation (an allocation, or a call whose callee has temporaries) needs from `first` to `last`,
/// positions in a walk over the function, both included.
struct PlannedBuffer {
  Operation *op = nullptr;
  int64_t size = 0;
  int64_t first = 0, last = 0;
  int64_t offset = 0;

  bool overlaps(const PlannedBuffer &other) const { return first <= other.last && other.first <= last; }
};

/// Sizes and lifetimes of the temporaries of `function`; `calleeBytes` answers how much workspace a call needs. With
/// `parallel`, of those inside this scf.parallel; without, none may be in a parallel loop.
FailureOr<SmallVector<PlannedBuffer>> collectBuffers(func::FuncOp function,
                                                     function_ref<int64_t(func::CallOp)> calleeBytes,
                                                     Operation *parallel = nullptr);

/// Gives each buffer the lowest offset at which no buffer of its lifetime is yet, largest first, and returns the
/// bytes needed. Sizes and offsets are multiples of `alignment`.
int64_t assignOffsets(MutableArrayRef<PlannedBuffer> buffers, int64_t alignment);

/// Most bytes that live at one position: no plan can do with less.
int64_t getLiveBytes(ArrayRef<PlannedBuffer> buffers, int64_t alignment);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_MEMORYPLAN_H
