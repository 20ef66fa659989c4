//===- Calibrate.h - prune-bench calibrate --------------------------*- C++ -*-===//
#ifndef PRUNE_TOOLS_PRUNEBENCH_CALIBRATE_H
#define PRUNE_TOOLS_PRUNEBENCH_CALIBRATE_H

#include "llvm/ADT/StringRef.h"
#include <string>

namespace mlir::prune {

struct CalibrateOptions {
  std::string output;       ///< file of the cost model
  std::string cpu = "host"; ///< processor to compile for
  std::string features;
  std::string kinds; ///< of kernels; others keep their constants from `base`
  std::string base;  ///< cost model to start from
  std::string check; ///< cost model to compare with measurements instead
  unsigned rounds = 5;
};

/// Measures kernels on this machine, fits the constants of a cost model and writes it. The status of the program.
int calibrate(const CalibrateOptions &options);

} // namespace mlir::prune

#endif // PRUNE_TOOLS_PRUNEBENCH_CALIBRATE_H
