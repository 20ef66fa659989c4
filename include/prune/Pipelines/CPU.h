//===- CPU.h - From a pruned model to code for a processor ----------*- C++ -*-===//
#ifndef PRUNE_PIPELINES_CPU_H
#define PRUNE_PIPELINES_CPU_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::prune {

/// Options of the pipeline `prune-to-cpu`.
struct CPUPipelineOptions : PassPipelineOptions<CPUPipelineOptions> {
  PassOptions::Option<int64_t> threads{*this, "threads", llvm::cl::desc("Threads that one call may use"),
                                       llvm::cl::init(1)};
  PassOptions::Option<std::string> cpu{
      *this, "cpu", llvm::cl::desc("Processor to compile for, as LLVM names it; 'host' is this machine's"),
      llvm::cl::init("host")};
  PassOptions::Option<std::string> features{
      *this, "features", llvm::cl::desc("Instruction sets to add or take away, such as '+avx2,-avx512f'"),
      llvm::cl::init("")};
  PassOptions::Option<std::string> kernel{
      *this, "kernel",
      llvm::cl::desc("Code of masked layers: auto (sparse where it pays), sparse, sparsifier (upstream's), dense"),
      llvm::cl::init("auto")};
  PassOptions::Option<int64_t> chunk{
      *this, "chunk",
      llvm::cl::desc("Columns whose activations stay in the first-level cache; 0: as the cost model says"),
      llvm::cl::init(0)};
  PassOptions::Option<int64_t> vectors{
      *this, "vectors",
      llvm::cl::desc("Vector registers along the tokens of a register tile; 0: as the cost model says"),
      llvm::cl::init(0)};
  PassOptions::Option<int64_t> denseRows{*this, "dense-rows",
                                         llvm::cl::desc("Rows of a dense register tile; 0: as the cost model says"),
                                         llvm::cl::init(0)};
  PassOptions::Option<int64_t> wordColumns{
      *this, "word-columns",
      llvm::cl::desc(
          "Columns of an int8 weight that share a word, 2 or 4; 0: 4 on targets with vpdpbusd where that is faster "
          "than f32, else int8 layers compute in f32"),
      llvm::cl::init(0)};
  PassOptions::Option<std::string> costModel{
      *this, "cost-model",
      llvm::cl::desc(
          "What code takes: the cpu of a built-in model or a file of prune-bench calibrate; default: that of "
          "the target"),
      llvm::cl::init("")};
  PassOptions::Option<bool> measure{*this, "measure",
                                    llvm::cl::desc("Time the best candidates of each masked layer on this machine"),
                                    llvm::cl::init(false)};
  PassOptions::Option<double> measureLimit{
      *this, "measure-limit",
      llvm::cl::desc("Seconds after which measure=true leaves the layers that follow to the estimate; 0: no limit"),
      llvm::cl::init(0)};
  PassOptions::Option<std::string> report{
      *this, "report", llvm::cl::desc("JSON file for the candidates of each layer and what they take"),
      llvm::cl::init("")};
  PassOptions::Option<std::string> entry{*this, "entry", llvm::cl::desc("Function that the model is called by"),
                                         llvm::cl::init("main")};
};

/// Adds the passes that take a model on tensors, pruned or not, to the LLVM dialect with its entry and weights.
void buildCPUPipeline(OpPassManager &pm, const CPUPipelineOptions &options);

/// Registers `prune-to-cpu`.
void registerCPUPipeline();

} // namespace mlir::prune

#endif // PRUNE_PIPELINES_CPU_H
