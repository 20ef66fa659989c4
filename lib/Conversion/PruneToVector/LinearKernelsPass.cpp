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

  template <typename OpTy, typename FunctionTy> LogicalResult lowerAll(RewriterBase &rewriter, FunctionTy lower) {
    SmallVector<OpTy> ops;
    getOperation()->walk([&](OpTy op) { ops.push_back(op); });
    for (OpTy op : ops) {
      if (failed(lower(rewriter, op, getOptions(op))))
        return failure();
      if (!std::is_same_v<OpTy, ListNonzerosOp>)
        ++numLayers;
    }
    return success();
  }

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    auto listNonzeros = [](RewriterBase &b, ListNonzerosOp op, const LinearKernelOptions &) {
      return lowerListNonzeros(b, op);
    };
    if (failed(lowerAll<LinearOp>(rewriter, lowerLinear)) || failed(lowerAll<DepthwiseOp>(rewriter, lowerDepthwise)) ||
        failed(lowerAll<ListNonzerosOp>(rewriter, listNonzeros)) ||
        failed(lowerAll<SumColumnsOp>(rewriter, lowerSumColumns)) ||
        failed(lowerAll<SumAllColumnsOp>(rewriter, lowerSumAllColumns)) ||
        failed(lowerAll<MultiplyRowsOp>(rewriter, lowerMultiplyRows)) ||
        failed(lowerAll<WeightGradientOp>(rewriter, lowerWeightGradient)))
      signalPassFailure();
  }
};

} // namespace
