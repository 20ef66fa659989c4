//===- CPUEntry.h - From a bufferized model to one function of four pointers -*- C++ -*-===//
//
// What the passes of the section "CPU entry" in Passes.td call.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_CONVERSION_CPUENTRY_H
#define PRUNE_CONVERSION_CPUENTRY_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "prune/Conversion/Passes.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"

namespace mlir::prune {

/// Every buffer of the ABI, each constant in the blob and each temporary in the workspace starts at a multiple of this.
constexpr int64_t kBufferAlignment = 64;

/// Most bytes that the temporaries of one parallel loop may take on each thread's stack.
constexpr int64_t kMaxStackBytes = kMaxChainBytes;

/// Writes the `prune.entry` of the function that `options` names, which is still on tensors, and makes every other
/// function private.
FailureOr<EntryOp> captureEntry(ModuleOp module, const PruneCaptureEntryOptions &options);

/// The one `prune.entry` of `module`; emits an error if there is none, or more than one.
FailureOr<EntryOp> getEntry(ModuleOp module);

/// The function of `entry` if it is on memrefs: inputs, outputs, then weights and workspace as far as `entry` names
/// them, no results. Emits an error otherwise.
FailureOr<func::FuncOp> getBufferizedFunction(EntryOp entry);

struct BlobStatistics {
  int64_t numConstants = 0, numDuplicates = 0, numInline = 0, numBytes = 0;
};

/// Collects the constant globals of more than `inlineElements` elements in one `prune.blob`.
LogicalResult moveConstantsToBlob(ModuleOp module, int64_t inlineElements, BlobStatistics &statistics);

struct WorkspaceStatistics {
  /// Bytes of all temporaries one after the other; bytes that live at the same time at most; bytes planned.
  int64_t numBuffers = 0, totalBytes = 0, liveBytes = 0, plannedBytes = 0;
};

/// Gives every temporary a fixed place in one workspace.
LogicalResult planMemory(ModuleOp module, WorkspaceStatistics &statistics);

/// Gives the function of the entry its final signature of four pointers.
LogicalResult finalizeEntry(ModuleOp module);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_CPUENTRY_H
