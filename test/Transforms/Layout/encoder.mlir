// Two layers with a bias and a residual between them: after the first one everything stays with tokens innermost, the bias
// and the residual run in the epilogues, and only the entry and the result are transposed.
// RUN: prune-opt %s --prune-pack=panel=32 --prune-propagate-layouts --canonicalize --cse --prune-fuse-elementwise --prune-fuse-epilogues | FileCheck %s

// CHECK-LABEL: @main
// CHECK: %[[X:.*]] = linalg.transpose {{.*}} outs({{.*}} : tensor<2x4x32xf32>)
// CHECK: %[[A:.*]] = prune.linear dense {{.*}} ins(%[[X]] : tensor<2x4x32xf32>) extras(%{{.*}}, %[[X]] : tensor<4xf32>, tensor<2x4x32xf32>)
// CHECK-NEXT: ^bb0(%[[SUM:.*]]: f32, %[[BIAS:.*]]: f32, %[[RESIDUAL:.*]]: f32):
// CHECK-NOT: linalg.transpose
// Softmax's sum runs over the features, which lie across vectors.
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "reduction"]} ins(%[[A]]
// CHECK-NOT: linalg.transpose
// CHECK: prune.linear dense
// CHECK: linalg.transpose
// CHECK-NOT: linalg.transpose
// CHECK: return

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (n)>
#token = affine_map<(m, n) -> (m)>
func.func @main(%x: tensor<64x4xf32>) -> tensor<64x4xf32> {
  %w = arith.constant dense<[[1.,2.,3.,4.],[5.,6.,7.,8.],[1.,0.,3.,4.],[9.,9.,3.,4.]]> : tensor<4x4xf32>
  %bias = arith.constant dense<[0.1, 0.2, 0.3, 0.4]> : tensor<4xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x4xf32>
  %e1 = tensor.empty() : tensor<64xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<64x4xf32>) -> tensor<64x4xf32>
  %f1 = linalg.fill ins(%z : f32) outs(%e1 : tensor<64xf32>) -> tensor<64xf32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<64x4xf32>, tensor<4x4xf32>) outs(%f : tensor<64x4xf32>) -> tensor<64x4xf32>
  %b = linalg.generic {indexing_maps = [#row, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%bias, %p : tensor<4xf32>, tensor<64x4xf32>) outs(%e : tensor<64x4xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %t = arith.addf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<64x4xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%b, %x : tensor<64x4xf32>, tensor<64x4xf32>) outs(%e : tensor<64x4xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %t = arith.addf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<64x4xf32>
  %s = linalg.generic {indexing_maps = [#id, #token], iterator_types = ["parallel", "reduction"]} ins(%r : tensor<64x4xf32>) outs(%f1 : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %t = arith.addf %a, %o : f32
    linalg.yield %t : f32
  } -> tensor<64xf32>
  %n = linalg.generic {indexing_maps = [#id, #token, #id], iterator_types = ["parallel", "parallel"]} ins(%r, %s : tensor<64x4xf32>, tensor<64xf32>) outs(%e : tensor<64x4xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %t = arith.divf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<64x4xf32>
  %q = linalg.contract indexing_maps = [#x, #w, #y] ins(%n, %w : tensor<64x4xf32>, tensor<4x4xf32>) outs(%f : tensor<64x4xf32>) -> tensor<64x4xf32>
  return %q : tensor<64x4xf32>
}
