//===- PruneScoreOps.td - What criteria are computed from -------*- tablegen -*-===//
#ifndef PRUNE_SCORE_OPS_TD
#define PRUNE_SCORE_OPS_TD

include "mlir/Interfaces/SideEffectInterfaces.td"
include "prune/Dialect/Prune/IR/PruneAttrs.td"

def Prune_ObserveOp : Prune_Op<"observe", [Pure]> {
  let summary = "A statistic of an activation";
  let description = [{
    Sees the activation as matrices X, one for each group of channels (one only, except before grouped convolutions): a
    column of X is what one column of the weight's matrix view is multiplied with, a row is one position of the result.
    `view` says where: it maps (group, row indices, column indices) to an element of the activation, so that a window of
    a convolution is an affine map and no im2col matrix need exist. `rows` and `columns` are the sizes behind these
    indices. Then

    - `gram`: `result[g][i][j]` is the sum over all rows r of `X_g[r][i] * X_g[r][j]`;
    - `norms`: `result[g][i]` is the sum over all rows r of `X_g[r][i]`².

    With `where` only those rows count whose element of `selected`, row-major, is not zero. Statistics of several calls
    add up. Products are rounded to f32, sums of up to 1024 rows too; sums of these are f64. `prune-expand-observations`
    replaces the op by loops.

    ```mlir
    // A linear layer that reads a tensor<2x3xf32> [[1, 2, 3], [4, 5, 6]]: its two rows.
    %norms = prune.observe norms %x view(affine_map<(g, m, k) -> (m, k)>) rows [2] columns [3]
               : tensor<2x3xf32> -> tensor<1x3xf64>                                            // [[17, 29, 45]]
    // A convolution of 3 channels with a 2x2 kernel and stride 2.
    %gram = prune.observe gram %image view(affine_map<(g, y, x, c, i, j) -> (c, 2 * y + i, 2 * x + j)>)
              rows [4, 4] columns [3, 2, 2] : tensor<3x8x8xf32> -> tensor<1x12x12xf64>
    ```

    **Constraints**
    1. `observe_c1`: `rows` and `columns` are not empty and positive; the result is f64 of [groups, K], or [groups, K, K]
       for `gram`, with K the product of `columns`.
    2. `observe_c2`: `view` has a dimension for the group, each of `rows` and each of `columns`, and a result for each
       dimension of the activation; its results are sums of dimensions with factors that are not negative, and a constant.
    3. `observe_c3`: `view` stays within the activation.
    4. `observe_c4`: `selected` has an element for each row.
  }];
  let arguments = (ins StaticShapeTensorOf<[F32]>:$activation, Optional<StaticShapeTensorOf<[AnySignlessInteger, F32]>>:$selected,
                       Prune_StatisticAttr:$statistic, AffineMapAttr:$view, DenseI64ArrayAttr:$rows,
                       DenseI64ArrayAttr:$columns);
  let results = (outs StaticShapeTensorOf<[F64]>:$result);
  let assemblyFormat = [{
    $statistic $activation `view` `(` $view `)` `rows` $rows `columns` $columns
    (`where` `(` $selected^ `:` type($selected) `)`)? attr-dict `:` type($activation) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif // PRUNE_SCORE_OPS_TD
