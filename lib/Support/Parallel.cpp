//===- Parallel.cpp - Loops over ranges on several threads --------------------===//

#include "prune/Support/Parallel.h"
#include <algorithm>
#include <atomic>

using namespace mlir::prune;

WorkerPool::WorkerPool(unsigned wanted) {
  llvm::ThreadPoolStrategy strategy = llvm::hardware_concurrency(wanted);
  // A request above the number of cores is honoured: results must not depend on it, and tests show that.
  strategy.Limit = false;
  threads = wanted ? wanted : strategy.compute_thread_count();
  if (threads > 1)
    pool = std::make_unique<llvm::DefaultThreadPool>(strategy);
}

void WorkerPool::forEach(int64_t count, llvm::function_ref<void(int64_t)> body) {
  if (!pool || count < 2) {
    for (int64_t index = 0; index < count; ++index)
      body(index);
    return;
  }
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t index; (index = next.fetch_add(1)) < count;)
      body(index);
  };
  for (int64_t i = 1, e = std::min<int64_t>(threads, count); i < e; ++i)
    pool->async(work);
  work();
  pool->wait();
}

void WorkerPool::forEachChunk(int64_t size, int64_t chunk, llvm::function_ref<void(int64_t, int64_t)> body) {
  forEach((size + chunk - 1) / chunk, [&](int64_t index) { body(index * chunk, std::min(size, (index + 1) * chunk)); });
}
