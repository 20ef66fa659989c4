//===- Target.h - The processor code is compiled for ----------------*- C++ -*-===//
//
// One place that knows what "host" means and which instruction sets a processor name implies.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_SUPPORT_TARGET_H
#define PRUNE_SUPPORT_TARGET_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>
#include <vector>

namespace llvm {
class TargetMachine;
} // namespace llvm

namespace mlir::prune {

/// A processor as LLVM names it: `cpu` as in -mcpu, `features` as in -mattr ("+avx2,-avx512f").
struct CPUTarget {
  std::string cpu;
  std::string features;
};

/// Replaces the cpu "host" by the name of this machine's processor, followed by the features in which this machine
/// differs from that name (virtual machines mask some). Other names are checked. `features` is appended.
llvm::Expected<CPUTarget> resolveTarget(llvm::StringRef cpu, llvm::StringRef features);

/// Instruction sets that code for `target` may use and this machine lacks, by name and sorted; empty if it may run
/// here.
llvm::Expected<std::vector<std::string>> findMissingFeatures(const CPUTarget &target);

/// Instruction sets that code for `target` may use, by LLVM's names and sorted.
llvm::Expected<std::vector<std::string>> getInstructionSets(const CPUTarget &target);

/// A target machine for `target` on this machine's triple: position independent, at the highest optimisation level.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createTargetMachine(const CPUTarget &target);

/// What code generation needs to know of a target's vectors.
struct VectorUnits {
  int64_t bits = 128; ///< width of a register
  int64_t registers = 16;
  bool hasFMA = false;  ///< fused multiply-add
  bool hasVNNI = false; ///< vpdpbusd for whole registers and narrower ones
};
llvm::Expected<VectorUnits> describeVectorUnits(const CPUTarget &target);

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_TARGET_H
