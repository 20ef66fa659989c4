//===- QuantizationPasses.td - Passes to int8 -------------------*- tablegen -*-===//
#ifndef PRUNE_QUANTIZATION_PASSES_TD
#define PRUNE_QUANTIZATION_PASSES_TD

include "mlir/Pass/PassBase.td"

def PruneQuantize : Pass<"prune-quantize", "::mlir::ModuleOp"> {
  let summary = "Compute linear layers with int8 weights and int8 activations";
  let description = [{
    Replaces each linear layer (a `linalg.contract` with a constant f32 weight, masked or not, in the body of `entry`) by a product of
    integers with exact sums of i32, and what leads to it and back:

    - **activations** become unsigned: clamp(round(x / scale) + zero point, 0, 255), ties to even, with one scale and zero point
      for a tensor. The range is what the function gives on the examples in `data` (an .npz as for `prune-calibrate-masks`), from
      the least to the largest value, or with `quantile` = q < 1 from the (1 - q)- to the q-quantile; it always holds 0, so that 0
      is exact. Layers that read the same activation share its integers.
    - **weights** become signed, symmetric by row: round(w / scale) in [-127, 127] with scale = max |w| / 127. What a mask prunes
      is 0, and 0 stays 0: the mask, its pattern and its `prune.record` stay as they are.
    - **sums** get the term that the zero point stands for, -zero point times the sum of the row, as integers, then one product with the
      scale of the row. Biases and activation functions stay f32; `prune-to-cpu` fuses them into the layer.

    A model that is quantized already, as ONNX's QuantizeLinear and DequantizeLinear around its layers, keeps its integers: where
    the activation of a layer comes from i8 by a scale and a zero point, these are taken, and weights that are multiples of one
    step by row or in all get that step. Such layers need no `data`.

    Left alone, each with a remark (category `quantize`): layers that `include` and `exclude` leave out, weights that are no matrix
    or not of f32, more than 66311 columns (sums could overflow), and convolutions. Refuses masks that are not decided, a regular expression that
    matches no linear layer, activations that are not finite, and options out of range.

    ```mlir
    %y = linalg.contract ... ins(%x, %w : tensor<1x4xf32>, tensor<2x4xf32>) outs(%zero : tensor<1x2xf32>) ...
    // becomes
    %q = linalg.generic ... ins(%x : tensor<1x4xf32>) ...                      // f32 to i8
    %sums = linalg.generic ... ins(%q, %wq : tensor<1x4xi8>, tensor<2x4xi8>) outs(%izero : tensor<1x2xi32>) {
    ^bb0(%a: i8, %b: i8, %sum: i32):
      %0 = arith.extui %a : i8 to i32
      %1 = arith.extsi %b : i8 to i32
      %2 = arith.muli %0, %1 : i32
      %3 = arith.addi %sum, %2 : i32
      linalg.yield %3 : i32
    } -> tensor<1x2xi32>
    %y = linalg.generic ... ins(%sums, %offsets, %scales : tensor<1x2xi32>, tensor<2xi32>, tensor<2xf32>) ...
    ```
  }];
  let options = [
    Option<"data", "data", "std::string", "\"\"", "The .npz file with examples of the inputs">,
    Option<"entry", "entry", "std::string", "\"main\"", "Function that is run">,
    Option<"quantile", "quantile", "double", "1.0",
           "Share of an activation's values that its range covers on each side, in (0.5, 1]; 1: all">,
    Option<"include", "include", "std::string", "\"\"",
           "Regular expression; only layers whose weight has a name in which it is found are quantized. Default: all">,
    Option<"exclude", "exclude", "std::string", "\"\"",
           "Regular expression; layers whose weight has a name in which it is found stay f32. Default: none">,
  ];
  let statistics = [
    Statistic<"numQuantized", "quantized-layers", "Number of layers that compute with int8">,
    Statistic<"numDeclined", "declined-layers", "Number of layers left as they are, each with a remark">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect", "::mlir::prune::PruneDialect"];
}

#endif // PRUNE_QUANTIZATION_PASSES_TD
