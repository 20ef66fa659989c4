//===- CLibrary.h - A model as a C library ---------------------------*- C++ -*-===//
//
// A shared library or an object file with a plain C interface, a header that says the names and shapes, and a file of
// weights that is mapped and so shared between processes. Nothing of LLVM is needed to run it.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_TARGET_CLIBRARY_H
#define PRUNE_TARGET_CLIBRARY_H

#include "prune/ExecutionEngine/CodeGen.h"

namespace mlir::prune {

struct CLibraryOptions {
  /// What to write: ".so" or ".o". The weights go beside it, as NAME.weights.
  std::string outputPath;
  /// The header; empty: beside the output, as NAME.h.
  std::string headerPath;
  /// Prefix of all symbols; empty: the output's name without folder, "lib" and extension.
  std::string name;
  /// The C compiler, which builds the interface and links.
  std::string compiler = "cc";
  CodeGenOptions codeGen;
};

/// What was written.
struct CLibrary {
  std::string name, outputPath, headerPath, weightsPath;
  uint64_t weightBytes = 0;
};

/// Compiles a lowered module. Every file is written whole or not at all.
llvm::Expected<CLibrary> writeCLibrary(ModuleOp module, const CLibraryOptions &options);

/// `text` as a C identifier: other characters become '_', keywords and leading digits are avoided.
std::string makeIdentifier(llvm::StringRef text);

/// The header, and the C source behind it. `parallel`: the code calls libomp. `digest`: of the weights.
std::string emitCHeader(const EntryDescription &entry, llvm::StringRef name);
std::string emitCSource(const EntryDescription &entry, llvm::StringRef name, uint64_t weightBytes, uint64_t digest,
                        bool parallel, llvm::ArrayRef<std::string> instructionSets);

/// "PRUNEWB1" as a little-endian word.
constexpr uint64_t kWeightsMagic = 0x314257454E555250;
/// Bytes before the weights in their file: magic, size, digest, zeros.
constexpr uint64_t kWeightsHeaderBytes = 64;

} // namespace mlir::prune

#endif // PRUNE_TARGET_CLIBRARY_H
