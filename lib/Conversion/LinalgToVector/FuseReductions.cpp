//===- FuseReductions.cpp - prune-fuse-reductions -------------------------------===//
//
// The sum of exponentials, the sum of squares: a reduction of what an elementwise op has just stored joins the loops of
// that op, which is then read once less.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Utils/MemRefUtils.h"
#include "mlir/IR/IRMapping.h"
#include "prune/Conversion/LinalgToVector/LinalgToVector.h"
#include "prune/Conversion/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEFUSEREDUCTIONS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// True if `value` is a buffer that lies in the one of `alloc`.
static bool isViewOf(Value value, memref::AllocOp alloc) {
  auto buffer = dyn_cast<MemrefValue>(value);
  return buffer && memref::skipViewLikeOps(buffer) == alloc.getResult();
}

/// The op before `op` and its fill, with nothing but pure ops and allocations between.
static Operation *getPrevious(Operation *op, linalg::FillOp fill) {
  Operation *previous = op->getPrevNode();
  while (previous && (previous == fill || isMemoryEffectFree(previous) || isa<memref::AllocOp>(previous)))
    previous = previous->getPrevNode();
  return previous;
}

/// The elementwise op that makes what `reduction` reads, if it may run in its loops.
static linalg::GenericOp findProducer(linalg::GenericOp reduction) {
  if (!reduction.hasPureBufferSemantics() || reduction.getNumDpsInputs() != 1 || reduction.getNumDpsInits() != 1)
    return {};
  auto producer = dyn_cast_or_null<linalg::GenericOp>(getPrevious(reduction, getOwnFill(reduction)));
  Value values = reduction.getDpsInputs().front();
  if (!producer || !producer.hasPureBufferSemantics() || producer.getNumReductionLoops() != 0 ||
      producer.getNumDpsInits() != 1 || producer.getDpsInits().front() != values ||
      !producer.getRegionOutputArgs().front().use_empty() || producer.hasIndexSemantics() ||
      reduction.hasIndexSemantics())
    return {};
  // The lanes are to lie along results of both.
  AffineMap stored = producer.getMatchingIndexingMap(producer.getDpsInitOperand(0));
  AffineMap read = reduction.getMatchingIndexingMap(reduction.getDpsInputOperand(0));
  AffineMap reduced = reduction.getMatchingIndexingMap(reduction.getDpsInitOperand(0));
  if (!stored.isPermutation() || !read.isPermutation() || !reduced.isProjectedPermutation() ||
      reduced.getNumResults() == 0 || reduced.getResults().back() != read.getResults().back())
    return {};
  // Its inputs are still there when the reduction has begun.
  auto target = cast<MemrefValue>(reduction.getDpsInits().front());
  auto alloc = memref::skipViewLikeOps(target).getDefiningOp<memref::AllocOp>();
  if (!alloc || llvm::any_of(producer->getOperands(), [&](Value v) { return isViewOf(v, alloc); }))
    return {};
  return producer;
}

static void fuse(RewriterBase &rewriter, linalg::GenericOp producer, linalg::GenericOp reduction) {
  AffineMap stored = producer.getMatchingIndexingMap(producer.getDpsInitOperand(0));
  AffineMap read = reduction.getMatchingIndexingMap(reduction.getDpsInputOperand(0));
  AffineMap loops = inversePermutation(stored).compose(read); // of the producer
  SmallVector<AffineMap> maps;
  for (AffineMap map : producer.getIndexingMapsArray())
    maps.push_back(map.compose(loops));
  maps.push_back(reduction.getMatchingIndexingMap(reduction.getDpsInitOperand(0)));
  rewriter.setInsertionPoint(reduction);
  Value outputs[] = {producer.getDpsInits().front(), reduction.getDpsInits().front()};
  auto fused = linalg::GenericOp::create(rewriter, reduction.getLoc(), producer.getDpsInputs(), outputs, maps,
                                         reduction.getIteratorTypesArray(), [](OpBuilder &, Location, ValueRange) {});
  Block *body = fused.getBody();
  rewriter.setInsertionPointToEnd(body);
  IRMapping mapping;
  mapping.map(producer.getBody()->getArguments(), body->getArguments().drop_back());
  for (Operation &op : producer.getBody()->without_terminator())
    rewriter.clone(op, mapping);
  Value value = mapping.lookupOrDefault(producer.getBody()->getTerminator()->getOperand(0));
  mapping.map(reduction.getBody()->getArgument(0), value);
  mapping.map(reduction.getBody()->getArgument(1), body->getArguments().back());
  for (Operation &op : reduction.getBody()->without_terminator())
    rewriter.clone(op, mapping);
  Value sum = mapping.lookupOrDefault(reduction.getBody()->getTerminator()->getOperand(0));
  linalg::YieldOp::create(rewriter, reduction.getLoc(), ValueRange{value, sum});
  rewriter.eraseOp(producer);
  rewriter.eraseOp(reduction);
}

namespace {
struct PruneFuseReductions : mlir::prune::impl::PruneFuseReductionsBase<PruneFuseReductions> {
  void runOnOperation() override {
    SmallVector<linalg::GenericOp> reductions;
    getOperation()->walk([&](linalg::GenericOp op) {
      if (op.getNumReductionLoops() != 0)
        reductions.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (linalg::GenericOp reduction : reductions)
      if (linalg::GenericOp producer = findProducer(reduction)) {
        fuse(rewriter, producer, reduction);
        ++numFused;
      }
  }
};
} // namespace
