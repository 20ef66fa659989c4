//===- GradientPasses.td - Reverse mode -------------------------*- tablegen -*-===//
#ifndef PRUNE_GRADIENT_PASSES_TD
#define PRUNE_GRADIENT_PASSES_TD

include "mlir/Pass/PassBase.td"

def PruneExpandGradients : Pass<"prune-expand-gradients", "::mlir::ModuleOp"> {
  let summary = "Replace prune.gradient by code: reverse-mode differentiation";
  let description = [{
    Puts the body of the callee, and of what it calls, in the place of each `prune.gradient`, and behind it the gradients,
    built from the last op to the first by the rules of `GradientOpInterface`: one for all structured ops (any body of
    arith and math ops, reductions by sum, difference, maximum and minimum, windows with strides and dilations, elements
    of captured tensors), others for slices, padding, joins, reshapes, `prune.apply` and `scf.if`. Only ops that depend on
    the arguments in `by` are visited. The loss's own gradient is one.

    - Of equal extrema each gets the same share; of two equal operands of a scalar maximum the first gets all.
    - An op without a rule on the way from the arguments to the loss is an error at that op.
    - `recompute=elementwise` computes elementwise values and reshapes anew where the reverse part first reads them, behind a
      `prune.barrier`, if all that they are computed from is kept anyway. It saves memory and costs their arithmetic.
    - The remark (category `gradient`) says how many bytes of values the reverse part reads of the forward part, which
      therefore stay in memory, and which arguments the loss does not depend on: their gradient is zero.

    ```mlir
    %l, %dx = prune.gradient @square(%x) by [0] : (tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>)
    // with @square the sum of squares becomes the sum, and
    %dx = linalg.generic ... ins(%x, %one : tensor<4xf32>, tensor<f32>) ... // x * 1 + x * 1
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
  let options = [
    Option<"recompute", "recompute", "std::string", "\"none\"", "Values to compute twice instead of keeping them: none or elementwise">,
  ];
  let statistics = [
    Statistic<"numRecomputed", "recomputed", "Number of values that the reverse parts compute anew">,
    Statistic<"numGradients", "gradients", "Number of prune.gradient ops that were expanded">,
    Statistic<"storedBytes", "stored-bytes", "Bytes that the reverse parts read of the forward parts">,
  ];
}

#endif // PRUNE_GRADIENT_PASSES_TD
