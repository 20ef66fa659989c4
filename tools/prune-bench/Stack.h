//===- Stack.h - prune-bench stack ----------------------------------*- C++ -*-===//
#ifndef PRUNE_TOOLS_PRUNEBENCH_STACK_H
#define PRUNE_TOOLS_PRUNEBENCH_STACK_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::prune {

struct StackOptions {
  int64_t layers = 240; ///< of width x width weights each
  int64_t width = 2048;
  int64_t tokens = 4096; ///< examples
  int64_t batch = 512;   ///< of them at a time
  double sparsity = 0.5;
  std::vector<std::string> criteria;
  std::string folder; ///< for the files; the system's when empty
};

/// Prunes a stack of layers by what they see, in a process of its own for each criterion, and prints what that took.
/// The status of the program.
int runStack(const StackOptions &options);

} // namespace mlir::prune

#endif // PRUNE_TOOLS_PRUNEBENCH_STACK_H
