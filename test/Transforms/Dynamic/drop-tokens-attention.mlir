// Tokens are ranked by what they received of the last attention: its quotients, summed over heads and queries that are no padding.
// RUN: prune-opt %s --prune-drop-tokens="before=w keep=2 padding=in2 score=attention" | FileCheck %s
// RUN: prune-opt %s --prune-drop-tokens="before=w keep=2 score=attention" | FileCheck %s --check-prefix=UNPADDED

// CHECK-DAG: #[[ALL:.*]] = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
// CHECK-DAG: #[[QUERY:.*]] = affine_map<(d0, d1, d2) -> (d1)>
// CHECK-DAG: #[[KEY:.*]] = affine_map<(d0, d1, d2) -> (d2)>
// CHECK: %[[SHARES:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel"]}
// CHECK: arith.divf
// CHECK: %[[SUMS:.*]] = linalg.generic {indexing_maps = [#[[ALL]], #[[QUERY]], #[[KEY]]], iterator_types = ["reduction", "reduction", "parallel"]} ins(%[[SHARES]], %{{.*}} : tensor<2x4x4xf32>, tensor<4xi64>)
// CHECK: arith.cmpi eq
// CHECK: arith.select
// CHECK: arith.addf
// CHECK: linalg.generic {{.*}} ins(%[[SUMS]], %{{.*}} : tensor<4xf32>, tensor<4xi64>)
// CHECK: prune.dynamic_mask %{{.*}} along 0 signed keep(2)
// UNPADDED: iterator_types = ["reduction", "reduction", "parallel"]} ins(%{{.*}} : tensor<2x4x4xf32>) outs(%{{.*}} : tensor<4xf32>)
// UNPADDED-NOT: arith.select
// UNPADDED: prune.dynamic_mask %{{.*}} along 0 signed keep(2)
#i = affine_map<(h, m, n) -> (h, m, n)>
#r = affine_map<(h, m, n) -> (h, m)>
#p = affine_map<(h, m, d, n) -> (h, m, n)>
#v = affine_map<(h, m, d, n) -> (h, n, d)>
#o = affine_map<(h, m, d, n) -> (m, h, d)>
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%e: tensor<2x4x4xf32>, %values: tensor<2x4x4xf32>, %marks: tensor<1x4xi64>) -> tensor<4x8xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4., 5., 6., 7., 8.]]> : tensor<1x8xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %es = tensor.empty() : tensor<2x4x4xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %fr = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %sums = linalg.generic {indexing_maps = [#i, #r], iterator_types = ["parallel", "parallel", "reduction"]} ins(%e : tensor<2x4x4xf32>) outs(%fr : tensor<2x4xf32>) {
  ^bb0(%a: f32, %out: f32):
    %0 = arith.addf %out, %a : f32
    linalg.yield %0 : f32
  } -> tensor<2x4xf32>
  %shares = linalg.generic {indexing_maps = [#i, #r, #i], iterator_types = ["parallel", "parallel", "parallel"]} ins(%e, %sums : tensor<2x4x4xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<2x4x4xf32>
  %eo = tensor.empty() : tensor<4x2x4xf32>
  %fo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x2x4xf32>) -> tensor<4x2x4xf32>
  %o = linalg.contract indexing_maps = [#p, #v, #o] ins(%shares, %values : tensor<2x4x4xf32>, tensor<2x4x4xf32>) outs(%fo : tensor<4x2x4xf32>) -> tensor<4x2x4xf32>
  %c = tensor.collapse_shape %o [[0], [1, 2]] : tensor<4x2x4xf32> into tensor<4x8xf32>
  %ey = tensor.empty() : tensor<4x1xf32>
  %fy = linalg.fill ins(%zero : f32) outs(%ey : tensor<4x1xf32>) -> tensor<4x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%c, %w : tensor<4x8xf32>, tensor<1x8xf32>) outs(%fy : tensor<4x1xf32>) -> tensor<4x1xf32>
  %b = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, 0)>, affine_map<(m, k) -> (m, k)>], iterator_types = ["parallel", "parallel"]} ins(%y : tensor<4x1xf32>) outs(%c : tensor<4x8xf32>) {
  ^bb0(%a: f32, %out: f32):
    %0 = arith.addf %out, %a : f32
    linalg.yield %0 : f32
  } -> tensor<4x8xf32>
  return %b : tensor<4x8xf32>
}
