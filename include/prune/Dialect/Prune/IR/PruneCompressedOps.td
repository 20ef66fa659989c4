//===- PruneCompressedOps.td - Weights as their kept elements ----*- tablegen -*-===//
//
// A weight whose mask stays what it is needs no more than its kept elements: these ops go from one form to the other.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_COMPRESSED_OPS_TD
#define PRUNE_COMPRESSED_OPS_TD

include "mlir/Interfaces/SideEffectInterfaces.td"
include "prune/Dialect/Prune/IR/PruneAttrs.td"

def Prune_KeptTensor : ConfinedType<StaticShapeTensorOf<[F16, BF16, F32, F64]>,
    [CPred<"::llvm::cast<::mlir::ShapedType>($_self).getRank() == 1">],
    "statically shaped tensor of f16, bf16, f32 or f64 of rank 1", "::mlir::RankedTensorType">;

def Prune_DecompressOp : Prune_Op<"decompress", [Pure, Prune_MaskOf<"result", "mask">,
                                                 AllElementTypesMatch<["values", "result"]>]> {
  let summary = "A weight from its kept elements";
  let description = [{
    `result[i] = mask[i] ? values[r(i)] : 0`, where `r(i)` counts the kept elements before `i` in row-major order.

    `values` holds exactly the elements that `mask` keeps. The op is linear in them, and `prune.compress` with the same
    mask is its transpose. Code is made of it for constant masks: `prune-pack` gathers the values of packed layers
    from `values`, `prune-lower-compressed` makes the dense tensor.

    ```mlir
    %v = arith.constant dense<[5.0, 6.0, 7.0]> : tensor<3xf32>
    %m = arith.constant dense<[[false, true], [true, true]]> : tensor<2x2xi1>
    %w = prune.decompress %v, %m : tensor<3xf32> to tensor<2x2xf32>   // [[0, 5], [6, 7]]
    ```

    **Constraints**
    1. `decompress_c1`: the mask has the shape of the result; values and result have one element type.
    2. `decompress_c2`: a constant mask keeps as many elements as `values` has.
  }];
  let arguments = (ins Prune_KeptTensor:$values, Prune_MaskTensor:$mask);
  let results = (outs Prune_WeightTensor:$result);
  let assemblyFormat = "$values `,` $mask attr-dict `:` type($values) `to` type($result)";
  let hasVerifier = 1;
}

def Prune_CompressOp : Prune_Op<"compress", [Pure, Prune_MaskOf<"weight", "mask">,
                                             AllElementTypesMatch<["values", "weight"]>]> {
  let summary = "The kept elements of a weight";
  let description = [{
    The elements of `weight` that `mask` keeps, in row-major order.

    `prune.decompress` with the same mask is its transpose, and `compress` of it folds to what it was made from. The
    gradient of a weight that is held compressed ends in this op: `prune-pack` computes only the kept elements of the product
    before it where that is faster.

    ```mlir
    %w = arith.constant dense<[[4.0, 5.0], [6.0, 7.0]]> : tensor<2x2xf32>
    %m = arith.constant dense<[[false, true], [true, true]]> : tensor<2x2xi1>
    %v = prune.compress %w, %m : tensor<2x2xf32> to tensor<3xf32>   // [5, 6, 7]
    ```

    **Constraints**
    1. `compress_c1`: the mask has the shape of the weight; values and weight have one element type.
    2. `compress_c2`: a constant mask keeps as many elements as the result has.
  }];
  let arguments = (ins Prune_WeightTensor:$weight, Prune_MaskTensor:$mask);
  let results = (outs Prune_KeptTensor:$values);
  let assemblyFormat = "$weight `,` $mask attr-dict `:` type($weight) `to` type($values)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

#endif // PRUNE_COMPRESSED_OPS_TD
