//===- PruneOps.td - Operations on masks ------------------------*- tablegen -*-===//
#ifndef PRUNE_OPS_TD
#define PRUNE_OPS_TD

include "mlir/IR/OpAsmInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "prune/Dialect/Prune/IR/PruneAttrs.td"
include "prune/Dialect/Prune/IR/PruneTypes.td"

def Prune_MaskOp : Prune_Op<"mask", [Pure, Prune_MaskOf<"weight", "mask">,
                                     DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>]> {
  let summary = "A mask still to be decided";
  let description = [{
    The mask of `weight` under a pattern, keeping what the criterion scores highest. `prune-evaluate-masks` replaces it by
    a constant when the weight is constant and the criterion needs nothing else.

    How much is pruned is said in one of two ways. `target_sparsity` s prunes exactly round-half-even(s · n) of the n units
    (blocks, slices, or single weights), the lowest scores; of equal scores the unit with the lower index is kept.
    `threshold` t prunes the units whose score is t or less. With neither, the pattern alone decides, which must then
    constrain groups (2:4). At least `min_keep` units stay whatever the target; the default is 1, or 0 if `target_sparsity`
    is exactly 1.

    Masks with the same `group` are ranked together, in the order of the module: their units compete for one common
    budget. They must agree in criterion, pattern, target and normalization.

    `normalize` says how the scores u of the units of one weight are scaled before units of different weights compete, in
    f64: `l2` divides |u_i| by the 2-norm of all u of the weight; `lamp` ranks by u_i² / (sum of u_j² over all j with
    u_j² >= u_i²) (Lee et al. 2021). The order within a weight stays. Without it scores compete as they are.

    ```mlir
    %w = arith.constant dense<[[1.0, -4.0], [3.0, 2.0]]> : tensor<2x2xf32>
    %mask = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(5.0e-01) : tensor<2x2xf32>
    // after --prune-evaluate-masks:
    // %mask = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
    ```

    **Constraints**
    1. `mask_c1`: `target_sparsity` is in [0, 1].
    2. `mask_c2`: `threshold` is not NaN.
    3. `mask_c3`: not both of `target_sparsity` and `threshold`; one of them unless the pattern constrains groups.
    4. `mask_c4`: `min_keep` is at least 0 and at most the number of units.
    5. `mask_c5`: the pattern can be laid on the shape of the weight.
    6. `mask_c6`: `target_sparsity` prunes at least what the pattern imposes (2:4 imposes one half).
    7. `mask_c7`: `normalization` comes with `target_sparsity` and `group`.
    8. `mask_c8`: `threshold` is one that the criterion knows.
  }];
  let arguments = (ins Prune_WeightTensor:$weight, CriterionAttrInterface:$criterion, PatternAttrInterface:$pattern,
                       OptionalAttr<F64Attr>:$target_sparsity, OptionalAttr<F64Attr>:$threshold,
                       OptionalAttr<ConfinedAttr<I64Attr, [IntNonNegative]>>:$min_keep, OptionalAttr<StrAttr>:$group,
                       OptionalAttr<Prune_NormalizationAttr>:$normalization, OptionalAttr<StrAttr>:$name);
  let results = (outs Prune_MaskTensor:$mask);
  let assemblyFormat = [{
    $weight `by` `(` $criterion `)` `as` `(` $pattern `)` (`sparsity` `(` $target_sparsity^ `)`)?
    (`threshold` `(` $threshold^ `)`)? (`min_keep` `(` $min_keep^ `)`)? (`group` `(` $group^ `)`)?
    (`normalize` `(` custom<Normalization>($normalization)^ `)`)? (`name` `(` $name^ `)`)? attr-dict `:` type($weight)
  }];
  let extraClassDeclaration = [{
    /// Units to keep at least: `min_keep`, or its default.
    int64_t getEffectiveMinKeep();
  }];
  let hasVerifier = 1;
}

def Prune_ApplyOp : Prune_Op<"apply", [Pure, AllTypesMatch<["weight", "result"]>, Prune_MaskOf<"weight", "mask">,
                                       DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>]> {
  let summary = "A weight with its mask applied";
  let description = [{
    `result[i] = mask[i] ? weight[i] : 0`.

    The mask stays a value of its own and is not folded into the weight, so that every later pass can see it and
    `prune-verify-masks` can check it; `prune-fold-masks` folds it for consumers without masks. Only a constant mask that
    keeps everything folds away. `name` is the name of the weight, which ties the op to its `prune.record`.

    ```mlir
    %w = arith.constant dense<[[1.0, -4.0], [3.0, 2.0]]> : tensor<2x2xf32>
    %m = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
    %pruned = prune.apply %w, %m as(#prune.unstructured) name("fc.weight") : tensor<2x2xf32>   // [[0, -4], [3, 0]]
    ```

    **Constraints**
    1. `apply_c1`: the mask has the shape of the weight.
    2. `apply_c2`: the pattern can be laid on the shape of the weight.
    3. `apply_c3`: a constant mask obeys the pattern.
    4. `apply_c4`: a constant mask keeps at least one weight, unless `allow_empty`.
    5. `apply_c5`: a constant mask in a resource has one byte, 0 or 1, for each weight.
  }];
  let arguments = (ins Prune_MaskedTensor:$weight, Prune_MaskTensor:$mask, PatternAttrInterface:$pattern,
                       OptionalAttr<StrAttr>:$name, UnitAttr:$allow_empty);
  let results = (outs Prune_MaskedTensor:$result);
  let assemblyFormat = [{
    $weight `,` $mask `as` `(` $pattern `)` (`name` `(` $name^ `)`)? (`allow_empty` $allow_empty^)? attr-dict `:`
    type($weight)
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Prune_RecordOp : Prune_Op<"record", [HasParent<"::mlir::ModuleOp">]> {
  let summary = "What was decided for one weight";
  let description = [{
    Remembers the mask of the weight `weight`: its pattern, how many of its elements it keeps and a digest of its bytes.
    `prune-evaluate-masks` writes records, `prune-verify-masks` compares them with what is left in the module, so that no
    pass between the two can lose or change a mask unnoticed.

    Once `prune-fold-masks` has written the zeros into the weight, `stored` names the resource that holds the result and
    `stored_digest` is the digest of its nonzero positions.

    ```mlir
    prune.record "fc.weight" as(#prune.unstructured) keeps 2 of 4 digest "8d3b0f4d7f1e2a55"
    ```

    **Constraints**
    1. `record_c1`: `0 <= kept <= total`.
    2. `record_c2`: digests are 16 hexadecimal digits.
    3. `record_c3`: `stored` and `stored_digest` come together.
  }];
  let arguments = (ins StrAttr:$weight, PatternAttrInterface:$pattern, I64Attr:$kept, I64Attr:$total, StrAttr:$digest,
                       OptionalAttr<StrAttr>:$stored, OptionalAttr<StrAttr>:$stored_digest);
  let assemblyFormat = [{
    $weight `as` `(` $pattern `)` `keeps` $kept `of` $total `digest` $digest
    (`stored` $stored^ `digest` $stored_digest)? attr-dict
  }];
  let hasVerifier = 1;
}

include "prune/Dialect/Prune/IR/PruneCompressedOps.td"
include "prune/Dialect/Prune/IR/PruneKernelOps.td"
include "prune/Dialect/Prune/IR/PruneScoreOps.td"
include "prune/Dialect/Prune/IR/PruneTrainOps.td"

#endif // PRUNE_OPS_TD
