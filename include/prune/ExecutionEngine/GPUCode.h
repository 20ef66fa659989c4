//===- GPUCode.h - From lowered kernels to device code --------------*- C++ -*-===//
#ifndef PRUNE_EXECUTIONENGINE_GPUCODE_H
#define PRUNE_EXECUTIONENGINE_GPUCODE_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "prune/Support/GPUTarget.h"
#include "llvm/Support/Error.h"
#include <string>

namespace mlir::prune {

enum class GPUCodeFormat { PTX, Cubin, SPIRV };

/// The format that an option names, "ptx" or "cubin"; for OpenCL always SPIR-V.
llvm::Expected<GPUCodeFormat> parseGPUCodeFormat(llvm::StringRef format, const GPUTarget &target);

/// Compiles kernels in the LLVM dialect. A cubin needs `ptxas`, looked for in $CUDA_HOME/bin, the path and
/// /usr/local/cuda/bin.
llvm::Expected<std::string> compileKernels(gpu::GPUModuleOp kernels, const GPUTarget &target, GPUCodeFormat format);

} // namespace mlir::prune

#endif // PRUNE_EXECUTIONENGINE_GPUCODE_H
