//===- Progress.h - A sign of life on a terminal --------------------*- C++ -*-===//
#ifndef PRUNE_SUPPORT_PROGRESS_H
#define PRUNE_SUPPORT_PROGRESS_H

#include "llvm/ADT/StringRef.h"
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace mlir::prune {

/// Says on a terminal what is going on once it takes longer than two seconds; silent in a pipe.
class Progress {
public:
  Progress();
  ~Progress() { finish(); }

  /// What is going on from now on.
  void start(llvm::StringRef what);
  /// Takes the line off the terminal.
  void finish();

private:
  void loop();

  std::thread thread;
  std::mutex mutex;
  std::condition_variable wake;
  std::string phase;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now(), since = begin;
  bool done = false;
};

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_PROGRESS_H
