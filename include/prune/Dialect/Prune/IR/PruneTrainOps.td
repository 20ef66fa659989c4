//===- PruneTrainOps.td - Ops of fine-tuning --------------------*- tablegen -*-===//
#ifndef PRUNE_TRAIN_OPS_TD
#define PRUNE_TRAIN_OPS_TD

include "mlir/IR/SymbolInterfaces.td"
include "prune/Dialect/Prune/IR/PruneAttrs.td"

def Prune_GradientOp : Prune_Op<"gradient", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A function and the gradient of its first result";
  let description = [{
    Calls `callee`, whose first result is a loss, a float tensor of rank 0. Gives all results of the callee, then the
    gradient of the loss by each argument that `by` lists, in that order and of the type of the argument.
    `prune-expand-gradients` replaces the op by code (reverse mode); until then it stands for one pure value.

    ```mlir
    %loss, %correct, %dw = prune.gradient @loss(%w, %x, %labels) by [0]
        : (tensor<10x64xf32>, tensor<8x64xf32>, tensor<8xi64>) -> (tensor<f32>, tensor<i64>, tensor<10x64xf32>)
    ```

    **Constraints**
    1. `gradient_c1`: `callee` is a function of the module with a body; operands have the types of its arguments.
    2. `gradient_c2`: the first result of the callee is a float tensor of rank 0.
    3. `gradient_c3`: `by` lists distinct arguments, each a float or a float tensor.
    4. `gradient_c4`: the results are those of the callee, then one of the argument's type for each entry of `by`.
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyType>:$inputs, DenseI64ArrayAttr:$by);
  let results = (outs Variadic<AnyType>:$outputs);
  let assemblyFormat = [{
    $callee `(` $inputs `)` `by` $by attr-dict `:` functional-type($inputs, $outputs)
  }];
  let hasVerifier = 1;
}

def Prune_BarrierOp : Prune_Op<"barrier", [Pure, AllTypesMatch<["source", "result"]>]> {
  let summary = "A value that passes must not take for another";
  let description = [{
    `result` is `source`. What is computed from the one is not shared with what is computed from the other, so that code
    stays where it was put: `prune-expand-gradients` recomputes values behind barriers instead of keeping them in memory.
    Buffers are the same: no copy is made.

    ```mlir
    %y = prune.barrier %x : tensor<4x8xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$source attr-dict `:` type($source)";
}

#endif // PRUNE_TRAIN_OPS_TD
