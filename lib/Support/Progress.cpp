//===- Progress.cpp - A sign of life on a terminal ----------------------------===//

#include "prune/Support/Progress.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::prune;

Progress::Progress() {
  if (llvm::sys::Process::StandardErrIsDisplayed())
    thread = std::thread([this] { loop(); });
}

void Progress::start(llvm::StringRef what) {
  std::lock_guard<std::mutex> lock(mutex);
  phase = what.str();
  since = std::chrono::steady_clock::now();
}

void Progress::finish() {
  if (!thread.joinable())
    return;
  {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
  }
  wake.notify_all();
  thread.join();
}

void Progress::loop() {
  std::unique_lock<std::mutex> lock(mutex);
  bool shown = false;
  while (!wake.wait_for(lock, std::chrono::milliseconds(500), [this] { return done; })) {
    auto now = std::chrono::steady_clock::now();
    if (phase.empty() || now - begin < std::chrono::seconds(2))
      continue;
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
    llvm::errs() << "\r\033[K" << phase << ", " << seconds << " s";
    shown = true;
  }
  if (shown)
    llvm::errs() << "\r\033[K";
}
