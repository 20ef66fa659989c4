//===- ExpandMath.cpp - prune-expand-kernel-math ------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "prune/Conversion/ApproximateMath/ApproximateMath.h"
#include "prune/Conversion/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEEXPANDKERNELMATH
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Functions for which LLVM has an instruction on every target.
static bool isInstruction(Operation *op) {
  return isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp, math::CountLeadingZerosOp,
             math::CountTrailingZerosOp, math::CtPopOp, math::FloorOp, math::FmaOp, math::IsFiniteOp, math::IsInfOp,
             math::IsNaNOp, math::IsNormalOp, math::RoundEvenOp, math::RoundOp, math::RsqrtOp, math::SqrtOp,
             math::TruncOp>(op);
}

namespace {
struct PruneExpandKernelMath : prune::impl::PruneExpandKernelMathBase<PruneExpandKernelMath> {
  using Base::Base;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateMathAlgebraicSimplificationPatterns(patterns);
    math::populateExpansionPatterns(patterns, {"acosh", "asinh", "atanh", "cosh", "fpowi", "powf", "sinh", "tan"});
    auto hasPolynomial = [](StringRef name) {
      return llvm::is_contained(
          {"math.acos", "math.asin", "math.atan", "math.atan2", "math.cbrt", "math.cos", "math.erfc", "math.sin"},
          name);
    };
    populateMathF32ExpansionPatterns(patterns, hasPolynomial);
    populateMathPolynomialApproximationPatterns(patterns, hasPolynomial);
    populateApproximateMathPatterns(patterns, /*fuseMultiplyAdd=*/true);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    WalkResult walk = getOperation().walk([](Operation *op) {
      if (!isa_and_present<math::MathDialect>(op->getDialect()) || isInstruction(op))
        return WalkResult::advance();
      op->emitOpError() << "has no form in kernels for " << op->getOperand(0).getType();
      return WalkResult::interrupt();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
