//===- CompiledModule.h - A model as code in this process -----------*- C++ -*-===//
#ifndef PRUNE_EXECUTIONENGINE_COMPILEDMODULE_H
#define PRUNE_EXECUTIONENGINE_COMPILEDMODULE_H

#include "prune/ExecutionEngine/CodeGen.h"

struct prune_gpu_program;

namespace llvm::orc {
class LLJIT;
} // namespace llvm::orc

namespace mlir::prune {

/// Pages of memory, aligned far beyond 64 bytes, zero at first. Large ones ask for huge pages.
class MappedMemory {
public:
  MappedMemory() = default;
  MappedMemory(MappedMemory &&other) { *this = std::move(other); }
  MappedMemory &operator=(MappedMemory &&other) {
    std::swap(address, other.address);
    std::swap(numBytes, other.numBytes);
    return *this;
  }
  ~MappedMemory();

  static llvm::Expected<MappedMemory> allocate(size_t size);

  char *data() const { return address; }
  size_t size() const { return numBytes; }

private:
  char *address = nullptr;
  size_t numBytes = 0;
};

struct CompileOptions {
  CodeGenOptions codeGen;
  /// Use the weights where the module has them if they are aligned, instead of a copy. The module's context must
  /// then outlive the compiled module.
  bool borrowWeights = false;
  /// Threads of a call; 0: as many as the module was compiled for.
  int64_t threads = 0;
};

/// Machine code of one lowered model, its weights and its workspace. One call at a time; nothing is allocated in it.
class CompiledModule {
public:
  /// Compiles a module in the form that prune-to-cpu leaves (see `prune.entry`). Refuses code for processor features
  /// that this machine lacks, and threads without libomp.
  static llvm::Expected<std::unique_ptr<CompiledModule>> create(ModuleOp module, const CompileOptions &options = {});
  ~CompiledModule();

  llvm::ArrayRef<TensorSpec> getInputs() const { return entry.inputs; }
  llvm::ArrayRef<TensorSpec> getOutputs() const { return entry.outputs; }
  const EntryDescription &getEntry() const { return entry; }
  const CodeGenTimes &getTimes() const { return times; }
  size_t getWeightBytes() const { return weights.size(); }
  int64_t getThreads() const { return threads; }
  /// True if the code calls malloc: its temporaries were not planned.
  bool allocatesDuringCalls() const { return callsMalloc; }

  /// Why a call on a GPU failed; empty if none did. Code for the processor does not fail.
  std::string getError() const;
  /// Mean milliseconds of the launches of a call, without copies, after at least one call; of code for a GPU only.
  llvm::Expected<double> timeLaunches(unsigned calls);

  /// Calls the code in memory of the caller, of `getEntry().workspaceBytes`, aligned to 64 bytes; with one thread a
  /// call, several such calls may run at once.
  void run(llvm::ArrayRef<const void *> inputs, llvm::ArrayRef<void *> outputs, char *memory) const;

  /// Calls the code. The pointers are those of `prune.entry`, in its order; sizes are not checked.
  void run(llvm::ArrayRef<const void *> inputs, llvm::ArrayRef<void *> outputs);

  /// Checks shapes and types, allocates the outputs and calls the code.
  llvm::Expected<std::vector<HostTensor>> run(llvm::ArrayRef<HostTensor> inputs);

private:
  CompiledModule() = default;
  llvm::Error link(ObjectCode code, llvm::StringRef symbol);
  llvm::Error setUpGPU();
  llvm::Error setUpThreads(llvm::ArrayRef<std::string> undefined);

  using EntryFunction = void (*)(const void *const *, void *const *, const void *, void *);

  EntryDescription entry;
  CodeGenTimes times;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  EntryFunction function = nullptr;
  prune_gpu_program *program = nullptr; ///< of code for a GPU
  llvm::ArrayRef<char> weights;
  MappedMemory weightCopy, workspace;
  int64_t threads = 1;
  bool callsMalloc = false;
  void (*setNumThreads)(int) = nullptr;
};

/// "expected float32[1, 4], got ..." if `tensor` is not what `spec` wants.
llvm::Error checkTensor(const TensorSpec &spec, const HostTensor &tensor);

} // namespace mlir::prune

#endif // PRUNE_EXECUTIONENGINE_COMPILEDMODULE_H
