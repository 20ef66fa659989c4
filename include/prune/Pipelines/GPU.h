//===- GPU.h - From a pruned model to code for a graphics processor -*- C++ -*-===//
#ifndef PRUNE_PIPELINES_GPU_H
#define PRUNE_PIPELINES_GPU_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::prune {

/// Options of the pipeline `prune-to-gpu`.
struct GPUPipelineOptions : PassPipelineOptions<GPUPipelineOptions> {
  PassOptions::Option<std::string> chip{
      *this, "chip", llvm::cl::desc("Chip to compile for: sm_80, sm_86, sm_89, sm_90, or opencl for SPIR-V"),
      llvm::cl::init("sm_80")};
  PassOptions::Option<std::string> format{
      *this, "format", llvm::cl::desc("Code for an NVIDIA chip: ptx, or cubin (needs ptxas)"), llvm::cl::init("ptx")};
  PassOptions::Option<std::string> precision{*this, "precision",
                                             llvm::cl::desc("How layers multiply: f32 (exact), or on tensor cores "
                                                            "tf32, f16 or bf16, adding in f32, or i8, adding in i32"),
                                             llvm::cl::init("f32")};
  PassOptions::Option<std::string> kernel{
      *this, "kernel",
      llvm::cl::desc("Storage of masked weights: auto (the fastest one by the cost model), dense, csr, block or "
                     "two_of_four; or columns, which skip zeros of the activations"),
      llvm::cl::init("auto")};
  PassOptions::Option<std::string> tiles{
      *this, "tiles",
      llvm::cl::desc("Who reads the tiles of tensor cores: warp, warp_group (sm_90 and opencl), or auto"),
      llvm::cl::init("auto")};
  PassOptions::ListOption<std::string> libraries{
      *this, "libraries",
      llvm::cl::desc("Libraries of CUDA that multiply in place of kernels, loaded when the model runs: cublas, "
                     "cusparselt, cusparse")};
  PassOptions::Option<int64_t> columnSplits{
      *this, "column-splits",
      llvm::cl::desc(
          "Parts of the columns of layers on tensor cores, for more blocks of threads; 0: by the cost model"),
      llvm::cl::init(0)};
  PassOptions::Option<std::string> copies{
      *this, "copies",
      llvm::cl::desc("Who copies the activations of blocks into shared memory: threads, engine (the tensor copy engine "
                     "of sm_90; for opencl written out), or auto"),
      llvm::cl::init("auto")};
  PassOptions::Option<std::string> costModel{
      *this, "cost-model", llvm::cl::desc("Cost model: a file like the built-in one of the chip, which is the default"),
      llvm::cl::init("")};
  PassOptions::Option<std::string> report{
      *this, "report", llvm::cl::desc("JSON file for the storage candidates of each layer and what they take"),
      llvm::cl::init("")};
  PassOptions::Option<std::string> entry{*this, "entry", llvm::cl::desc("Function that the model is called by"),
                                         llvm::cl::init("main")};
};

/// Adds the passes that take a model on tensors, pruned or not, to device code, a table of its launches, its weights
/// and a function in the LLVM dialect that runs them.
void buildGPUPipeline(OpPassManager &pm, const GPUPipelineOptions &options);

/// Registers `prune-to-gpu`.
void registerGPUPipeline();

} // namespace mlir::prune

#endif // PRUNE_PIPELINES_GPU_H
