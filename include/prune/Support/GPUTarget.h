//===- GPUTarget.h - The graphics processor code is compiled for ----*- C++ -*-===//
#ifndef PRUNE_SUPPORT_GPUTARGET_H
#define PRUNE_SUPPORT_GPUTARGET_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace mlir::prune {

/// What kernels are built for: an NVIDIA chip, or any device of OpenCL, which runs SPIR-V.
struct GPUTarget {
  bool isOpenCL = false;
  int sm = 0;              ///< 80, 86, 89 or 90; 0 for OpenCL
  std::string chip;        ///< as the user wrote it: "sm_80", "opencl"
  int64_t sharedBytes = 0; ///< most shared memory of one block

  /// The target that `chip` names; the error lists those there are.
  static llvm::Expected<GPUTarget> parse(llvm::StringRef chip);

  /// The chip as LLVM and ptxas name it: sm_90a for sm_90, whose warp-group instructions have that name only.
  std::string getArchitecture() const { return sm == 90 ? "sm_90a" : chip; }
};

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_GPUTARGET_H
