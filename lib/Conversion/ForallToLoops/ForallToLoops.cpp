//===- ForallToLoops.cpp - prune-forall-to-loops --------------------------------===//
//
// Loops over tiles and samples become parallel loops for as many threads as there are, and never one inside another.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/Transforms.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Conversion/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEFORALLTOLOOPS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;

/// The loops inside of `op` that are in no other one.
static SmallVector<scf::ForallOp> getOutermost(Operation *op) {
  SmallVector<scf::ForallOp> loops;
  for (Region &region : op->getRegions())
    region.walk<WalkOrder::PreOrder>([&](scf::ForallOp loop) {
      loops.push_back(loop);
      return WalkResult::skip();
    });
  return loops;
}

static LogicalResult makeSerial(RewriterBase &rewriter, Operation *op) {
  for (scf::ForallOp loop : getOutermost(op)) {
    rewriter.setInsertionPoint(loop);
    if (failed(makeSerial(rewriter, loop)) || failed(scf::forallToForLoop(rewriter, loop)))
      return failure();
  }
  return success();
}

/// Thread t takes the iterations [t * n / threads, (t + 1) * n / threads), one after the other: what they need in
/// memory is there once for each thread.
static LogicalResult makeShares(RewriterBase &rewriter, scf::ForallOp loop, int64_t trips, int64_t threads) {
  Location loc = loop.getLoc();
  if (failed(makeSerial(rewriter, loop)))
    return failure();
  rewriter.setInsertionPoint(loop);
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(rewriter, loc, value); };
  Value zero = index(0), one = index(1), count = index(threads), total = index(trips);
  auto parallel = scf::ParallelOp::create(rewriter, loc, ValueRange{zero}, ValueRange{count}, ValueRange{one});
  rewriter.setInsertionPointToStart(parallel.getBody());
  auto bound = [&](Value thread) -> Value {
    Value scaled = arith::MulIOp::create(rewriter, loc, thread, total);
    return arith::DivUIOp::create(rewriter, loc, scaled, count);
  };
  Value thread = parallel.getInductionVars().front();
  Value begin = bound(thread), end = bound(arith::AddIOp::create(rewriter, loc, thread, one));
  auto share = scf::ForOp::create(rewriter, loc, begin, end, one);
  rewriter.eraseOp(loop.getTerminator());
  rewriter.inlineBlockBefore(loop.getBody(), share.getBody()->getTerminator(), share.getInductionVar());
  rewriter.eraseOp(loop);
  return success();
}

static LogicalResult makeParallel(RewriterBase &rewriter, Operation *op, int64_t threads) {
  for (scf::ForallOp loop : getOutermost(op)) {
    rewriter.setInsertionPoint(loop);
    std::optional<SmallVector<int64_t>> extents =
        loop.getStaticUpperBound().size() == 1 && loop.isNormalized() && loop.getDynamicUpperBound().empty()
            ? std::optional(llvm::to_vector(loop.getStaticUpperBound()))
            : std::nullopt;
    if (getOutermost(loop).empty()) {
      if (failed(scf::forallToParallelLoop(rewriter, loop)))
        return failure();
      continue;
    }
    // Shares that differ too much cost more than many small parallel loops inside.
    constexpr int64_t minTripsOfThread = 8;
    int64_t trips = extents ? extents->front() : 0;
    bool isEven = trips >= threads && (trips % threads == 0 || trips >= minTripsOfThread * threads);
    LogicalResult done = isEven ? makeShares(rewriter, loop, trips, threads)
                                : LogicalResult::success(succeeded(makeParallel(rewriter, loop, threads)) &&
                                                         succeeded(scf::forallToForLoop(rewriter, loop)));
    if (failed(done))
      return failure();
  }
  return success();
}

namespace {
struct PruneForallToLoops : mlir::prune::impl::PruneForallToLoopsBase<PruneForallToLoops> {
  using PruneForallToLoopsBase::PruneForallToLoopsBase;

  void runOnOperation() override {
    WalkResult walk = getOperation()->walk([](scf::ForallOp loop) {
      if (loop->getNumResults() == 0)
        return WalkResult::advance();
      loop.emitOpError() << "expected no results before it becomes a loop, got " << loop->getNumResults()
                         << " (bufferize first)";
      return WalkResult::interrupt();
    });
    IRRewriter rewriter(&getContext());
    if (walk.wasInterrupted() ||
        failed(threads > 1 ? makeParallel(rewriter, getOperation(), threads) : makeSerial(rewriter, getOperation())))
      return signalPassFailure();
  }
};
} // namespace
