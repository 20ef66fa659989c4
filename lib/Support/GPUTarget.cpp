//===- GPUTarget.cpp - The graphics processor code is compiled for ------------===//

#include "prune/Support/GPUTarget.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir::prune;

llvm::Expected<GPUTarget> GPUTarget::parse(llvm::StringRef chip) {
  // Shared memory that a block may opt in to (CUDA C++ Programming Guide, technical specifications); for OpenCL what
  // current devices have (its specification promises half); the runtime asks the device.
  static const GPUTarget targets[] = {{false, 80, "sm_80", 163 * 1024},
                                      {false, 86, "sm_86", 99 * 1024},
                                      {false, 89, "sm_89", 99 * 1024},
                                      {false, 90, "sm_90", 227 * 1024},
                                      {true, 0, "opencl", 64 * 1024}};
  const GPUTarget *found = llvm::find_if(targets, [&](const GPUTarget &target) { return target.chip == chip; });
  if (found == std::end(targets))
    return llvm::createStringError("expected chip sm_80, sm_86, sm_89, sm_90 or opencl, got '" + chip + "'");
  return *found;
}
