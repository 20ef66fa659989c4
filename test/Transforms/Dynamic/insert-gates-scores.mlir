// A result of the function decides which neurons run: the product that makes them computes those, the one behind them skips the others.
// RUN: prune-opt %s --prune-insert-gates="kind=top-k keep=2 include=down scores=1" | FileCheck %s
// RUN: prune-opt %s --prune-insert-gates="kind=top-k keep=2 include=down scores=1" --prune-pack=kernel=sparse | FileCheck %s --check-prefix=PACK
// RUN: not prune-opt %s --prune-insert-gates="kind=top-k keep=2 include=up scores=2" -o /dev/null 2>&1 | FileCheck %s --check-prefix=DEPENDS
// DEPENDS: error: 'linalg.contract' op scores: expected result 2 not to depend on 'up', which it decides on

// CHECK-LABEL: @main
// CHECK: %[[H:.*]] = arith.addf
// CHECK: %[[SCORES:.*]] = linalg.contract {{.*}} ins(%arg0, %{{.*}} -> tensor<1x8xf32>
// CHECK: %[[MASK:.*]] = prune.dynamic_mask %[[SCORES]] along 1 keep(2) name("down") : tensor<1x8xf32>
// CHECK: %[[GATED:.*]] = prune.gate %[[H]], %[[MASK]]
// CHECK: %[[Y:.*]] = linalg.contract {{.*}} ins(%[[GATED]],
// CHECK: return %[[Y]], %[[SCORES]]

// The mask moves before the product that it serves.
// PACK-LABEL: @main
// PACK: %[[MASK:.*]] = prune.dynamic_mask
// PACK: %[[KEPT:.*]] = arith.uitofp %[[MASK]] : tensor<1x8xi1> to tensor<1x8xf32>
// PACK: %[[ROWS:.*]]:3 = prune.list_nonzeros ins(%[[KEPT]]
// PACK: prune.multiply_rows ins(%{{.*}}, %arg0, %[[ROWS]]#0, %[[ROWS]]#2 : tensor<8x4xf32>, tensor<1x4xf32>
// PACK: prune.gate
// PACK: prune.list_nonzeros
// PACK: prune.sum_columns
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<1x4xf32>) -> (tensor<1x4xf32>, tensor<1x8xf32>, tensor<1x4xf32>) {
  %up = arith.constant dense<[[1., 2., 3., 4.], [2., 3., 4., 5.], [3., 4., 5., 6.], [4., 5., 6., 7.], [5., 6., 7., 8.], [6., 7., 8., 9.], [7., 8., 9., 10.], [8., 9., 10., 11.]]> : tensor<8x4xf32> loc("up")
  %down = arith.constant dense<[[2., 3., 4., 5., 6., 7., 8., 9.], [3., 4., 5., 6., 7., 8., 9., 10.], [4., 5., 6., 7., 8., 9., 10., 11.], [5., 6., 7., 8., 9., 10., 11., 12.]]> : tensor<4x8xf32> loc("down")
  %predictor = arith.constant dense<[[3., 4., 5., 6.], [4., 5., 6., 7.], [5., 6., 7., 8.], [6., 7., 8., 9.], [7., 8., 9., 10.], [8., 9., 10., 11.], [9., 10., 11., 12.], [10., 11., 12., 13.]]> : tensor<8x4xf32> loc("predictor")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x8xf32>) -> tensor<1x8xf32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %up : tensor<1x4xf32>, tensor<8x4xf32>) outs(%f : tensor<1x8xf32>) -> tensor<1x8xf32>
  %h = arith.addf %p, %p : tensor<1x8xf32>
  %e2 = tensor.empty() : tensor<1x4xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %down : tensor<1x8xf32>, tensor<4x8xf32>) outs(%f2 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %s = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %predictor : tensor<1x4xf32>, tensor<8x4xf32>) outs(%f : tensor<1x8xf32>) -> tensor<1x8xf32>
  return %y, %s, %y : tensor<1x4xf32>, tensor<1x8xf32>, tensor<1x4xf32>
}
