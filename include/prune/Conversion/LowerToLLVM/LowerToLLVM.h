//===- LowerToLLVM.h - From loops and vectors to the LLVM dialect ---*- C++ -*-===//
#ifndef PRUNE_CONVERSION_LOWERTOLLVM_LOWERTOLLVM_H
#define PRUNE_CONVERSION_LOWERTOLLVM_LOWERTOLLVM_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::prune {

/// Options of the pipeline `prune-lower-to-llvm`.
struct LowerToLLVMOptions : PassPipelineOptions<LowerToLLVMOptions> {
  PassOptions::Option<unsigned> threads{
      *this, "threads", llvm::cl::desc("Threads of parallel loops; 1 makes scf.parallel serial."), llvm::cl::init(1)};
  PassOptions::Option<bool> fuseMultiplyAdd{
      *this, "fuse-multiply-add",
      llvm::cl::desc("Polynomials of math functions use fused multiply-add; off for targets without it."),
      llvm::cl::init(true)};
  PassOptions::Option<bool> approximateMath{
      *this, "approximate-math", llvm::cl::desc("Replace math functions by polynomials before libm takes the rest."),
      llvm::cl::init(true)};
  PassOptions::Option<bool> bareMemrefCalls{
      *this, "bare-memref-calls",
      llvm::cl::desc("Pass memrefs of static identity layout as bare pointers in calls and at function boundaries."),
      llvm::cl::init(false)};
};

/// Adds the passes that turn func.func on memrefs with scf, vector, arith, math, index, memref and omp into the LLVM
/// dialect.
void buildLowerToLLVMPipeline(OpPassManager &pm, const LowerToLLVMOptions &options);

/// Registers the pipelines of the conversions.
void registerConversionPipelines();

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_LOWERTOLLVM_LOWERTOLLVM_H
