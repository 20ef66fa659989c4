//===- PruneDynamicOps.td - Masks on activations ----------------*- tablegen -*-===//
//
// Masks that each call decides anew from its activations, and the products that skip what they prune.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DYNAMIC_OPS_TD
#define PRUNE_DYNAMIC_OPS_TD

include "mlir/IR/OpAsmInterface.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "prune/Dialect/Prune/IR/PruneAttrs.td"
include "prune/Dialect/Prune/IR/PruneTypes.td"

def Prune_DynamicMaskOp : Prune_Op<"dynamic_mask", [Pure, Prune_MaskOf<"input", "mask">,
                                                    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>]> {
  let summary = "A mask that each call decides from an activation";
  let description = [{
    Which units of `input` are kept, by their scores. Units lie along dimension `along`: `unit` consecutive indices of it (1
    unless given), with one index in each other dimension, or all of it in the dimensions that `whole` lists. The score of a
    unit is the mean of |x| over its elements, with `signed` the mean of x.

    - `threshold(t)` prunes the units whose score is t or less. A score that is NaN stays.
    - `keep(k)` keeps the k units along the dimension that score highest: exactly k, for each index of the other
      dimensions. With `of(m)` it keeps k of each m consecutive units. A score that is NaN is larger than all others and
      equal to other NaN; -0 equals +0. Of equal scores the lower index stays.
    - `sparsity(s)` is the share of units that a threshold is meant to prune. Without a threshold the mask is not
      calibrated yet: `prune-calibrate-gates` gives it one, and no code is made of it before.

    `name` is that of the first weight that is multiplied with what the mask keeps.

    Scores are f64 for elements of f64 and f32 for others; `t` is rounded to that type.

    `prune.gate` applies the mask, to `input` or to another activation of its shape: where a small product predicts which
    neurons matter, its result is `input`. `prune-lower-dynamic` replaces both by plain code, which is their meaning;
    products that skip what is pruned (`prune-pack`) give the same result.

    ```mlir
    // %x = [[1, -4, 0.5, 2]]
    %t = prune.dynamic_mask %x along 1 threshold(1.0) : tensor<1x4xf32>        // [[0, 1, 0, 1]]
    %k = prune.dynamic_mask %x along 1 keep(1) : tensor<1x4xf32>               // [[0, 1, 0, 0]]
    %n = prune.dynamic_mask %x along 1 keep(1) of(2) : tensor<1x4xf32>         // [[0, 1, 0, 1]]
    %s = prune.dynamic_mask %x along 1 signed keep(1) : tensor<1x4xf32>        // [[0, 0, 0, 1]]
    // Heads of 64 columns, the same for all tokens; and the half of 128 tokens with the largest embeddings.
    %h = prune.dynamic_mask %y along 2 unit(64) whole [1] keep(6) : tensor<1x128x768xf32>
    %d = prune.dynamic_mask %y along 1 whole [2] keep(64) : tensor<1x128x768xf32>
    ```

    **Constraints**
    1. `dynamic_mask_c1`: the mask has the shape of the input.
    2. `dynamic_mask_c2`: `along` is a dimension of the input, and `unit` divides its size.
    3. `dynamic_mask_c3`: `whole` lists other dimensions in ascending order.
    4. `dynamic_mask_c4`: there is `keep`, or at least one of `threshold` and `sparsity`, not both kinds.
    5. `dynamic_mask_c5`: `threshold` is a number, not negative unless the scores are `signed`.
    6. `dynamic_mask_c6`: `sparsity` is in [0, 1].
    7. `dynamic_mask_c7`: `keep` is 1 to the number of units along the dimension, or to `of`.
    8. `dynamic_mask_c8`: `of` comes with `keep` and divides the number of units.
  }];
  let arguments = (ins
    Prune_WeightTensor:$input,
    I64Attr:$along,
    DefaultValuedAttr<I64Attr, "1">:$unit,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$whole,
    UnitAttr:$is_signed,
    OptionalAttr<F64Attr>:$threshold,
    OptionalAttr<F64Attr>:$target_sparsity,
    OptionalAttr<I64Attr>:$keep,
    OptionalAttr<I64Attr>:$of,
    OptionalAttr<StrAttr>:$name);
  let results = (outs Prune_MaskTensor:$mask);
  let assemblyFormat = [{
    $input `along` $along (`unit` `(` $unit^ `)`)? (`whole` $whole^)? (`signed` $is_signed^)?
    (`threshold` `(` $threshold^ `)`)? (`sparsity` `(` $target_sparsity^ `)`)? (`keep` `(` $keep^ `)`)?
    (`of` `(` $of^ `)`)? (`name` `(` $name^ `)`)? attr-dict `:` type($input)
  }];
  let extraClassDeclaration = [{
    /// Units along the dimension.
    int64_t getNumUnits() { return getInput().getType().getDimSize(getAlong()) / static_cast<int64_t>(getUnit()); }
    /// Units of which `keep` are kept.
    int64_t getGroupSize() { return getOf() ? static_cast<int64_t>(*getOf()) : getNumUnits(); }
    /// True if every unit is kept whatever the input.
    bool keepsAll() { return getKeep() && static_cast<int64_t>(*getKeep()) == getGroupSize(); }
    /// The share of units that are kept, as far as the op says; none for a threshold alone.
    std::optional<double> getExpectedDensity();
  }];
  let hasVerifier = 1;
}

def Prune_GateOp : Prune_Op<"gate", [Pure, AllTypesMatch<["input", "result"]>, Prune_MaskOf<"input", "mask">,
                                     DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>]> {
  let summary = "An activation with a dynamic mask applied";
  let description = [{
    `result[i] = mask[i] ? input[i] : +0`.

    What `prune.apply` is to weights. NaN that the mask prunes becomes zero. A gate whose mask keeps everything folds away,
    and so does a second one with the same mask.

    ```mlir
    %m = prune.dynamic_mask %x along 1 keep(2) : tensor<1x4xf32>
    %y = prune.gate %x, %m : tensor<1x4xf32>                  // [[1, -4, 0.5, 2]] gives [[0, -4, 0, 2]]
    ```

    **Constraints**
    1. `gate_c1`: the mask has the shape of the input.
  }];
  let arguments = (ins Prune_WeightTensor:$input, Prune_MaskTensor:$mask);
  let results = (outs Prune_WeightTensor:$result);
  let assemblyFormat = "$input `,` $mask attr-dict `:` type($input)";
  let hasFolder = 1;
}

def Prune_KeepLargestOp : Prune_Op<"keep_largest", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "A mask of the largest elements of each row";
  let description = [{
    The mask has the `keep` elements of each row of `scores` (its last dimension) that are largest, with `magnitude` in absolute
    value. Equal scores and NaN are ordered as by `prune.dynamic_mask`. The content of `mask` is not read.

    What `prune-to-gpu` makes of a dynamic mask where more than 64 units compete: processors get plain code instead.

    ```mlir
    // %x = [[1, -4, 0.5, 2]]: the mask is [[0, 1, 0, 1]]
    %m = prune.keep_largest 2 magnitude ins(%x : tensor<1x4xf32>) outs(%init : tensor<1x4xi1>) -> tensor<1x4xi1>
    ```

    **Constraints**
    1. `keep_largest_c1`: scores are of f16, bf16, f32 or f64, of static shape and rank 1 or more; the mask is of i1 and the same shape.
    2. `keep_largest_c2`: `keep` is 1 to the size of a row.
  }];
  let arguments = (ins AnyShaped:$scores, AnyShaped:$mask, I64Attr:$keep, UnitAttr:$magnitude);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $keep (`magnitude` $magnitude^)? `ins` `(` $scores `:` type($scores) `)` `outs` `(` $mask `:` type($mask) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getMaskMutable(); }
    ::mlir::ShapedType getScoresType() { return ::llvm::cast<::mlir::ShapedType>(getScores().getType()); }
  }];
  let hasVerifier = 1;
}

def Prune_ListNonzerosOp : Prune_Op<"list_nonzeros", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Columns and values of the elements that are not zero, for each token";
  let description = [{
    For each row of `input`, a token, the elements that are not zero (NaN is not), in ascending order: their columns and their
    values. `counts` says how many, rounded up to a multiple of 8; what fills that up are zeros of the last column listed.
    Contents of the lists beyond are undefined.

    ```mlir
    // %x = [[0, -4, 0.5, 0]]: columns [1, 2, 2, 2, 2, 2, 2, 2], values [-4, 0.5, 0, 0, 0, 0, 0, 0], count 8
    %list:3 = prune.list_nonzeros ins(%x : tensor<1x4xf32>)
        outs(%c, %v, %n : tensor<1x8xi32>, tensor<1x8xf32>, tensor<1xi32>)
        -> tensor<1x8xi32>, tensor<1x8xf32>, tensor<1xi32>
    ```

    **Constraints**
    1. `list_nonzeros_c1`: with an input of `T x K` f32, columns are `T x S` of i32, values `T x S` of f32 and counts `T` of
       i32, where S is K rounded up to a multiple of 8.
  }];
  let arguments = (ins AnyShaped:$input, AnyShaped:$columns, AnyShaped:$values, AnyShaped:$counts);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)` `outs` `(` $columns `,` $values `,` $counts `:` type($columns) `,` type($values) `,`
    type($counts) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return ::mlir::MutableOperandRange(*this, 1, 3); }
    /// Entries by which lists grow.
    static constexpr int64_t kStep = 8;
  }];
  let hasVerifier = 1;
}

def Prune_SumColumnsOp : Prune_Op<"sum_columns", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Product of a transposed weight with lists of nonzero activations";
  let description = [{
    `result[t, n] = sum over e < counts[t] of weight[columns[t, e], n] * values[t, e]`.

    `weight` is the transposed weight of a layer, `K x N`: what a nonzero activation is multiplied with lies side by side, and
    what belongs to zeros is not read. The lists are those of `prune.list_nonzeros`. Each element is summed in the order
    of its list, one multiply-add after the other, whatever the number of threads. The content of `init` is not read.

    `shares` cuts the N columns of the result into as many parts, which threads compute.

    ```mlir
    %y = prune.sum_columns ins(%w, %c, %v, %n : tensor<768x3072xf32>, tensor<1x768xi32>, tensor<1x768xf32>, tensor<1xi32>)
        outs(%init : tensor<1x3072xf32>) -> tensor<1x3072xf32>
    ```

    **Constraints**
    1. `sum_columns_c1`: weight, values and init are f32, columns and counts i32.
    2. `sum_columns_c2`: with `T x S` columns and a weight of `K x N`, values are `T x S`, counts `T`, init is `T x N`, and S is K
       rounded up to a multiple of 8.
    3. `sum_columns_c3`: `shares` is 1 to N.
  }];
  let arguments = (ins AnyShaped:$weight, AnyShaped:$columns, AnyShaped:$values, AnyShaped:$counts, AnyShaped:$init,
                       DefaultValuedAttr<I64Attr, "1">:$shares);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    (`shares` $shares^)? `ins` `(` $weight `,` $columns `,` $values `,` $counts `:` type($weight) `,` type($columns) `,`
    type($values) `,` type($counts) `)` `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
  }];
  let hasVerifier = 1;
}

def Prune_SumAllColumnsOp : Prune_Op<"sum_all_columns", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Product of a transposed weight with all activations of few tokens";
  let description = [{
    `result[t, n] = sum over k of weight[k, n] * input[t, k]`.

    What `prune.sum_columns` computes where no activation is zero, from the same transposed weight, which is read once for all
    tokens. Each element is summed in ascending order of k, one multiply-add after the other, whatever the number of threads,
    so that zeros that the one skips and the other does not make no difference. The content of `init` is not read.

    ```mlir
    %y = prune.sum_all_columns ins(%w, %x : tensor<768x3072xf32>, tensor<4x768xf32>) outs(%init : tensor<4x3072xf32>)
        -> tensor<4x3072xf32>
    ```

    **Constraints**
    1. `sum_all_columns_c1`: with a weight of `K x N` f32, input is `T x K` and init `T x N` of f32.
    2. `sum_all_columns_c2`: `shares`, as in `prune.sum_columns`, is 1 to N.
  }];
  let arguments = (ins AnyShaped:$weight, AnyShaped:$input, AnyShaped:$init, DefaultValuedAttr<I64Attr, "1">:$shares);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    (`shares` $shares^)? `ins` `(` $weight `,` $input `:` type($weight) `,` type($input) `)` `outs` `(` $init `:` type($init) `)`
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
  }];
  let hasVerifier = 1;
}

def Prune_MultiplyRowsOp : Prune_Op<"multiply_rows", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Rows of a product that are listed; the others are zero";
  let description = [{
    `result[t, n] = sum over k of weight[n, k] * input[t, k]` for each n in `rows[t, 0 .. counts[t]]`, +0 for all others.

    The product of a layer whose results a gate prunes, where the gate is known before: a predictor chooses neurons. `weight`
    is that of the layer as it is, `N x K`; rows that are not listed are not read. `rows` and `counts` are what
    `prune.list_nonzeros` makes of the mask; a row may be listed twice. The content of `init` is not read.

    `shares` cuts each list into as many parts, which threads compute.

    ```mlir
    %y = prune.multiply_rows ins(%w, %x, %r, %n : tensor<3072x768xf32>, tensor<1x768xf32>, tensor<1x3072xi32>, tensor<1xi32>)
        outs(%init : tensor<1x3072xf32>) -> tensor<1x3072xf32>
    ```

    **Constraints**
    1. `multiply_rows_c1`: with a weight of `N x K` f32, input is `T x K` and init `T x N` of f32, rows are `T x S` and counts
       `T` of i32, where S is N rounded up to a multiple of 8.
    2. `multiply_rows_c2`: `shares` is 1 to N.
  }];
  let arguments = (ins AnyShaped:$weight, AnyShaped:$input, AnyShaped:$rows, AnyShaped:$counts, AnyShaped:$init,
                       DefaultValuedAttr<I64Attr, "1">:$shares);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    (`shares` $shares^)? `ins` `(` $weight `,` $input `,` $rows `,` $counts `:` type($weight) `,` type($input) `,` type($rows)
    `,` type($counts) `)` `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
  }];
  let hasVerifier = 1;
}

#endif // PRUNE_DYNAMIC_OPS_TD
