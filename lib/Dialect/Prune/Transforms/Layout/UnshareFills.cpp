//===- UnshareFills.cpp - Every accumulation fills its own destination --------===//

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEUNSHAREFILLS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;

namespace {
struct PruneUnshareFills : prune::impl::PruneUnshareFillsBase<PruneUnshareFills> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<linalg::FillOp> fills;
    getOperation()->walk([&](linalg::FillOp fill) {
      if (fill.hasPureTensorSemantics())
        fills.push_back(fill);
    });
    for (linalg::FillOp fill : fills) {
      SmallVector<OpOperand *> destinations;
      for (OpOperand &use : fill.getResult(0).getUses())
        if (auto op = dyn_cast<DestinationStyleOpInterface>(use.getOwner()); op && op.isDpsInit(&use))
          destinations.push_back(&use);
      for (OpOperand *use : destinations) {
        if (fill.getResult(0).hasOneUse())
          break;
        OpBuilder b(use->getOwner());
        Value target = fill.getDpsInitOperand(0)->get();
        if (auto empty = target.getDefiningOp<tensor::EmptyOp>())
          target = b.clone(*empty)->getResult(0);
        use->set(linalg::FillOp::create(b, fill.getLoc(), fill.getInputs(), ValueRange{target}).getResult(0));
        ++numCloned;
      }
    }
  }
};
} // namespace
