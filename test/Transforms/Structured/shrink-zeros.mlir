// zeros=true finds units that zeros in the weights make idle, and no others.
// RUN: prune-opt %s -split-input-file --prune-shrink="zeros=true check-equivalence=true" | FileCheck %s

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#row = affine_map<(m, n) -> (n)>
#id = affine_map<(m, n) -> (m, n)>

// Of the four neurons the second is never read, the third is zero with its bias. The fourth has zero weights, but its
// bias is read.
// CHECK-LABEL: @main
// CHECK: dense<{{\[\[}}1.000000e+00, 2.000000e+00], [0.000000e+00, 0.000000e+00]]> : tensor<2x2xf32>
// CHECK: dense<[5.000000e-01, 1.000000e+00]> : tensor<2xf32>
// CHECK: dense<{{\[\[}}1.000000e+00, 4.000000e+00], [5.000000e+00, 8.000000e+00]]> : tensor<2x2xf32>
func.func @main(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %w1 = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [0.0, -0.0], [0.0, 0.0]]> : tensor<4x2xf32> loc("fc1")
  %b1 = arith.constant dense<[0.5, 1.0, 0.0, 1.0]> : tensor<4xf32> loc("fc1.bias")
  %w2 = arith.constant dense<[[1.0, 0.0, 3.0, 4.0], [5.0, 0.0, 7.0, 8.0]]> : tensor<2x4xf32> loc("fc2")
  %z1 = arith.constant dense<0.0> : tensor<1x4xf32>
  %h0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w1 : tensor<1x2xf32>, tensor<4x2xf32>)
      outs(%z1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e = tensor.empty() : tensor<1x4xf32>
  %h = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%h0, %b1 : tensor<1x4xf32>, tensor<4xf32>) outs(%e : tensor<1x4xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1x4xf32>
  %z2 = arith.constant dense<0.0> : tensor<1x2xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %w2 : tensor<1x4xf32>, tensor<2x4xf32>)
      outs(%z2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}
