//===- CodeGen.h - From the LLVM dialect to machine code ------------*- C++ -*-===//
#ifndef PRUNE_EXECUTIONENGINE_CODEGEN_H
#define PRUNE_EXECUTIONENGINE_CODEGEN_H

#include "mlir/IR/BuiltinOps.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/HostTensor.h"
#include "prune/Support/Target.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <string>
#include <vector>

namespace llvm {
class Module;
} // namespace llvm

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace mlir::prune {

struct TensorSpec {
  std::string name;
  ElementKind kind;
  llvm::SmallVector<int64_t, 4> shape;

  int64_t getByteSize() const { return *prune::getNumElements(shape) * getByteWidth(kind); }
};

/// What `prune.entry` says, without the IR.
struct EntryDescription {
  std::string function;
  std::vector<TensorSpec> inputs, outputs;
  int64_t workspaceBytes = 0;
  int64_t threads = 1;
  CPUTarget target;
  /// The chip that the kernels are for; empty: the code runs on the processor alone.
  std::string gpu;
};

/// The global of a model for a GPU: what include/prune/Runtime/GPU.h calls prune_gpu_program. An object file has it as
/// SYMBOL_program, for the `symbol` of its entry.
constexpr llvm::StringLiteral kGPUProgram = "prune_gpu_program";

struct CodeGenOptions {
  /// Level of LLVM's pipeline, 0 to 3.
  unsigned optLevel = 2;
  /// Let LLVM vectorise scalar loops and straight-line code that reach it.
  bool vectorize = true;
  /// Symbol of the generated function.
  std::string symbol = "prune_entry";
  /// Hide the symbol from users of a shared library.
  bool hidden = false;
};

/// Seconds spent, by phase.
struct CodeGenTimes {
  double translate = 0, optimize = 0, emit = 0;
};

/// A relocatable object file that defines `symbol` and nothing else.
struct ObjectCode {
  std::unique_ptr<llvm::MemoryBuffer> object;
  /// Symbols that must come from elsewhere (libm, libomp).
  std::vector<std::string> undefined;
  CodeGenTimes times;
};

/// Adds the translations to LLVM IR that generateObject needs.
void registerCodeGenTranslations(DialectRegistry &registry);

/// Runs LLVM's pipeline of that level, 0 to 3.
void optimizeModule(llvm::Module &module, unsigned optLevel, bool vectorize, llvm::TargetMachine &machine);

/// Reads the one entry of a lowered module; an error says which op or type is not lowered yet.
llvm::Expected<EntryDescription> describeEntry(ModuleOp module);

/// The bytes of the entry's weights; empty if it has none. They live as long as the module's context.
llvm::Expected<llvm::ArrayRef<char>> getWeightBytes(ModuleOp module);

/// Translates, optimises and compiles a lowered module for the target of its entry. Leaves `module` as it is.
llvm::Expected<ObjectCode> generateObject(ModuleOp module, const EntryDescription &entry,
                                          const CodeGenOptions &options);

} // namespace mlir::prune

#endif // PRUNE_EXECUTIONENGINE_CODEGEN_H
