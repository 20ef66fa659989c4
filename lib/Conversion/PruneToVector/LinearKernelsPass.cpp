//===- LinearKernelsPass.cpp - convert-prune-to-vector --------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Conversion/Passes.h"
#include "prune/Conversion/PruneToVector/PruneToVector.h"

namespace mlir::prune {
#define GEN_PASS_DEF_CONVERTPRUNETOVECTOR
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

struct ConvertPruneToVector : prune::impl::ConvertPruneToVectorBase<ConvertPruneToVector> {
  using Base::Base;

  /// Inside of a parallel loop the threads are taken.
  LinearKernelOptions getOptions(Operation *op) {
    return {lanes, vectors, registers, parallel && !op->getParentOfType<scf::ParallelOp>(), vnni};
  }

  void runOnOperation() override {
    SmallVector<LinearOp> layers;
    getOperation()->walk([&](LinearOp op) { layers.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (LinearOp op : layers) {
      if (failed(lowerLinear(rewriter, op, getOptions(op))))
        return signalPassFailure();
      ++numLayers;
    }
    SmallVector<DepthwiseOp> depthwise;
    getOperation()->walk([&](DepthwiseOp op) { depthwise.push_back(op); });
    for (DepthwiseOp op : depthwise) {
      if (failed(lowerDepthwise(rewriter, op, getOptions(op))))
        return signalPassFailure();
      ++numLayers;
    }
    SmallVector<ListNonzerosOp> lists;
    getOperation()->walk([&](ListNonzerosOp op) { lists.push_back(op); });
    for (ListNonzerosOp op : lists)
      if (failed(lowerListNonzeros(rewriter, op)))
        return signalPassFailure();
    SmallVector<SumColumnsOp> sums;
    getOperation()->walk([&](SumColumnsOp op) { sums.push_back(op); });
    for (SumColumnsOp op : sums) {
      if (failed(lowerSumColumns(rewriter, op, getOptions(op))))
        return signalPassFailure();
      ++numLayers;
    }
    SmallVector<WeightGradientOp> gradients;
    getOperation()->walk([&](WeightGradientOp op) { gradients.push_back(op); });
    for (WeightGradientOp op : gradients) {
      if (failed(lowerWeightGradient(rewriter, op, getOptions(op))))
        return signalPassFailure();
      ++numLayers;
    }
  }
};

} // namespace
