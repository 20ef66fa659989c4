//===- InputFile.h - Reading MLIR files that may be hostile ---------*- C++ -*-===//
#ifndef PRUNE_SUPPORT_INPUTFILE_H
#define PRUNE_SUPPORT_INPUTFILE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>

namespace mlir::prune {

/// Deepest nesting of brackets that is passed on to the parser, which recurses and has no limit of its own.
constexpr unsigned kMaxNesting = 1000;

/// Opens `path` ("-": standard input) in memory aligned to 64 bytes, as resources in bytecode want it; large files
/// are mapped.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>> openModuleFile(llvm::StringRef path);

/// Checks what MLIR's readers take for granted. Text: brackets are not nested deeper than kMaxNesting. Bytecode: the
/// sections fill the file exactly.
llvm::Error checkModuleBytes(llvm::StringRef bytes);

/// Opens, checks and parses `path`; all errors are in the result, the first one with its place, on one line. Resources
/// of a mapped file are not copied: they live as long as `context`.
llvm::Expected<OwningOpRef<ModuleOp>> parseModuleFile(llvm::StringRef path, MLIRContext &context);

/// Makes what LLVM calls a fatal error (a count of 2^60 in damaged bytecode, memory exhausted) one line of `tool`'s,
/// with exit status 1 instead of an abort.
void exitOnFatalErrors(const char *tool);

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_INPUTFILE_H
