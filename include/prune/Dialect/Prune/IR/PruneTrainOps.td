//===- PruneTrainOps.td - Ops of fine-tuning --------------------*- tablegen -*-===//
#ifndef PRUNE_TRAIN_OPS_TD
#define PRUNE_TRAIN_OPS_TD

include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
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

def Prune_SelectMasksOp : Prune_Op<"select_masks", [AttrSizedOperandSegments, DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Masks decided at run time from scores";
  let description = [{
    What `prune.mask` says, as code: the masks of weights whose units are ranked together, from the scores of their
    elements. The contract is the same (docs/Vocabulary.md), and the bytes are those that `prune-evaluate-masks` would
    decide. With `sparsity` exactly round-half-even(s · n) of the n units of all weights are pruned; it counts as 0 if it is
    less or NaN, as 1 if it is more, and as what the pattern imposes if that is more. With `threshold` units whose score is
    that or less are pruned, with neither the pattern alone decides. A score that is NaN is larger than all others.

    `criterion` says how scores compare and what those of a unit amount to, `normalization` what makes them comparable
    between weights. `min_keep` lists for each weight how many units stay; -1, and no list, mean 1, or 0 at a sparsity of 1.
    The content of the destinations is not read. `convert-prune-to-loops` makes loops of it.

    ```mlir
    %m = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%half)
        ins(%w : tensor<2x2xf32>) outs(%e : tensor<2x2xi1>) -> tensor<2x2xi1>
    // %w = [[1, -4], [3, 2]] and %half = 0.5 give [[false, true], [true, false]]
    ```

    **Constraints**
    1. `select_masks_c1`: there is a destination for each score, of the same static shape; all are tensors or all are buffers.
    2. `select_masks_c2`: the pattern can be laid on each shape, and its units are boxes (`getUnitBoxes`).
    3. `select_masks_c3`: not both of `sparsity` and `threshold`; one of them unless the pattern constrains groups.
    4. `select_masks_c4`: `normalization` comes with `sparsity`.
    5. `select_masks_c5`: `min_keep` has a number for each weight: -1, or 0 to its number of units.
    6. `select_masks_c6`: `threshold` is not NaN.
    7. `select_masks_c7`: `criterion` neither ranks units within their row nor updates weights.
  }];
  let arguments = (ins Variadic<AnyTypeOf<[TensorOf<[F32]>, MemRefOf<[F32]>]>>:$scores, Optional<F64>:$sparsity,
                       Variadic<AnyTypeOf<[TensorOf<[I1]>, MemRefOf<[I1]>]>>:$inits,
                       CriterionAttrInterface:$criterion, PatternAttrInterface:$pattern,
                       OptionalAttr<F64Attr>:$threshold, OptionalAttr<Prune_NormalizationAttr>:$normalization,
                       OptionalAttr<DenseI64ArrayAttr>:$min_keep);
  let results = (outs Variadic<AnyRankedTensor>:$masks);
  let assemblyFormat = [{
    `by` `(` $criterion `)` `as` `(` $pattern `)` (`sparsity` `(` $sparsity^ `)`)? (`threshold` `(` $threshold^ `)`)?
    (`normalize` `(` custom<Normalization>($normalization)^ `)`)? (`min_keep` $min_keep^)? `ins` `(` $scores `:` type($scores) `)`
    `outs` `(` $inits `:` type($inits) `)` attr-dict (`->` type($masks)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitsMutable(); }
    /// Entry of `min_keep`, or -1.
    int64_t getMinKeepOf(unsigned weight) { return getMinKeep() ? (*getMinKeep())[weight] : -1; }
  }];
  let hasVerifier = 1;
}

def Prune_RegrowMaskOp : Prune_Op<"regrow_mask", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "A mask that exchanges some of what it keeps";
  let description = [{
    Of the k units that `mask` keeps, round-half-even(share · k) with the smallest mean |weight| are pruned, and as many of
    those that are then pruned, the ones just pruned among them, are kept instead: those with the largest mean |gradient|
    (RigL, Evci et al. 2020). The result keeps exactly as many units. Ties, NaN and shares outside of [0, 1] as in
    `prune.select_masks`; a box of `mask` is kept if its first element is.

    ```mlir
    %next = prune.regrow_mask as(#prune.unstructured) share(%half)
        ins(%w, %g, %mask : tensor<4xf32>, tensor<4xf32>, tensor<4xi1>) outs(%e : tensor<4xi1>) -> tensor<4xi1>
    // %w = [1, 4, 0, 0], %g = [1, 0, 2, 3] and %mask = [1, 1, 0, 0] give [0, 1, 0, 1] at a half
    ```

    **Constraints**
    1. `regrow_mask_c1`: all operands but `share` have one static shape; all are tensors or all are buffers.
    2. `regrow_mask_c2`: the pattern can be laid on it, its units are boxes, and it does not constrain groups.
  }];
  let arguments = (ins AnyTypeOf<[TensorOf<[F32]>, MemRefOf<[F32]>]>:$weight,
                       AnyTypeOf<[TensorOf<[F32]>, MemRefOf<[F32]>]>:$gradient,
                       AnyTypeOf<[TensorOf<[I1]>, MemRefOf<[I1]>]>:$mask, F64:$share,
                       AnyTypeOf<[TensorOf<[I1]>, MemRefOf<[I1]>]>:$init, PatternAttrInterface:$pattern);
  let results = (outs Optional<AnyRankedTensor>:$result);
  let assemblyFormat = [{
    `as` `(` $pattern `)` `share` `(` $share `)` `ins` `(` $weight `,` $gradient `,` $mask `:` type($weight) `,`
    type($gradient) `,` type($mask) `)` `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($result)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
  }];
  let hasVerifier = 1;
}

#endif // PRUNE_TRAIN_OPS_TD
