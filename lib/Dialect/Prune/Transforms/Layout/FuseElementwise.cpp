//===- FuseElementwise.cpp - Fusion that computes nothing twice --------------------===//

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEFUSEELEMENTWISE
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;

/// A generic that only moves data: its body yields an argument.
static bool isCopy(Operation *op) {
  auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
  return generic && generic.getBody()->getOperations().size() == 1;
}

static bool computesOnce(OpOperand *operand) {
  Operation *producer = operand->get().getDefiningOp();
  if (isCopy(producer))
    return true;
  if (!producer || !producer->hasOneUse())
    return false;
  auto consumer = cast<linalg::LinalgOp>(operand->getOwner());
  return consumer.getMatchingIndexingMap(operand).isPermutation();
}

namespace {
struct PruneFuseElementwise : prune::impl::PruneFuseElementwiseBase<PruneFuseElementwise> {
  using Base::Base;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    linalg::populateElementwiseOpsFusionPatterns(patterns, computesOnce);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
