//===- HoistStackBuffers.cpp - prune-hoist-stack-buffers ------------------------===//
//
// Buffers on the stack of fixed size move to the start of their function or parallel region, and the scopes around them
// disappear: a scope may not hold the branches that loops become, and a buffer made in a loop would grow the stack.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "prune/Conversion/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEHOISTSTACKBUFFERS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
struct PruneHoistStackBuffers : mlir::prune::impl::PruneHoistStackBuffersBase<PruneHoistStackBuffers> {
  void runOnOperation() override {
    SmallVector<memref::AllocaScopeOp> scopes;
    SmallVector<memref::AllocaOp> buffers;
    getOperation()->walk([&](memref::AllocaScopeOp op) { scopes.push_back(op); });
    getOperation()->walk([&](memref::AllocaOp op) { buffers.push_back(op); });
    for (memref::AllocaOp buffer : buffers) {
      if (!buffer->getOperands().empty())
        continue;
      Operation *owner = buffer->getParentOp();
      while (!isa<FunctionOpInterface, omp::ParallelOp>(owner))
        owner = owner->getParentOp();
      Block &entry = owner->getRegion(0).front();
      if (buffer->getBlock() != &entry)
        ++numHoisted;
      buffer->moveBefore(&entry, entry.begin());
    }
    IRRewriter rewriter(&getContext());
    for (memref::AllocaScopeOp scope : scopes) {
      // A buffer of run-time size needs its scope.
      bool needed = false;
      scope.walk([&](memref::AllocaOp op) { needed |= op->getParentOfType<memref::AllocaScopeOp>() == scope; });
      if (needed || !scope.getBodyRegion().hasOneBlock())
        continue;
      Block &body = scope.getBodyRegion().front();
      Operation *end = body.getTerminator();
      SmallVector<Value> results(end->getOperands());
      rewriter.inlineBlockBefore(&body, scope);
      rewriter.eraseOp(end);
      rewriter.replaceOp(scope, results);
    }
  }
};
} // namespace
