//===- Parallel.h - Loops over ranges on several threads ------------*- C++ -*-===//
#ifndef PRUNE_SUPPORT_PARALLEL_H
#define PRUNE_SUPPORT_PARALLEL_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/ThreadPool.h"
#include <cstdint>
#include <memory>

namespace mlir::prune {

/// A few threads that share loops. How a loop is split depends on its length alone, never on the number of threads, so
/// that results that are combined in chunk order are the same for any number.
class WorkerPool {
public:
  /// `threads` = 0 takes all cores; 1 runs everything in the caller.
  explicit WorkerPool(unsigned threads = 0);

  unsigned getNumThreads() const { return threads; }

  /// Calls `body(index)` for 0 <= index < count, in any order, and waits.
  void forEach(int64_t count, llvm::function_ref<void(int64_t index)> body);

  /// Splits [0, size) into chunks of `chunk` (the last may be shorter) and calls `body(begin, end)` on each.
  void forEachChunk(int64_t size, int64_t chunk, llvm::function_ref<void(int64_t begin, int64_t end)> body);

private:
  unsigned threads;
  std::unique_ptr<llvm::ThreadPoolInterface> pool;
};

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_PARALLEL_H
