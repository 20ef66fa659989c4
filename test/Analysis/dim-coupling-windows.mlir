// Heads inside windows: scores are split into windows x heads twice, and both splits mean the same heads. Without that
// the second split may take windows for heads, and all heads hang together.
// RUN: prune-opt %s --prune-explain-groups=text=stdout -o /dev/null | FileCheck %s

// CHECK-LABEL: heads:{{.*}}: 4 heads
// CHECK-NEXT: makes {{.*}} dim 0 of tensor<8x8xf32>
// CHECK-NEXT: makes {{.*}} dim 1 of tensor<1x4x6x6xf32>
// CHECK-NEXT: reads {{.*}} dim 1 of tensor<5x8xf32>
#x = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#w = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#y = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#bias = affine_map<(d0, d1, d2, d3) -> (0, d1, d2, d3)>
func.func @main(%x: tensor<3x6x8xf32>) -> tensor<3x6x5xf32> {
  %wq = arith.constant dense_resource<q> : tensor<8x8xf32>
  %wo = arith.constant dense_resource<o> : tensor<5x8xf32>
  %table = arith.constant dense_resource<table> : tensor<1x4x6x6xf32>
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<3x6x8xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<3x6x8xf32>) -> tensor<3x6x8xf32>
  %q0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %wq : tensor<3x6x8xf32>, tensor<8x8xf32>)
      outs(%f0 : tensor<3x6x8xf32>) -> tensor<3x6x8xf32>
  %q1 = tensor.expand_shape %q0 [[0], [1], [2, 3]] output_shape [3, 6, 4, 2] : tensor<3x6x8xf32> into tensor<3x6x4x2xf32>
  %e1 = tensor.empty() : tensor<3x4x6x2xf32>
  %q2 = linalg.transpose ins(%q1 : tensor<3x6x4x2xf32>) outs(%e1 : tensor<3x4x6x2xf32>) permutation = [0, 2, 1, 3]
  %q = tensor.collapse_shape %q2 [[0, 1], [2], [3]] : tensor<3x4x6x2xf32> into tensor<12x6x2xf32>
  %e2 = tensor.empty() : tensor<12x2x6xf32>
  %k = linalg.transpose ins(%q : tensor<12x6x2xf32>) outs(%e2 : tensor<12x2x6xf32>) permutation = [0, 2, 1]
  %e3 = tensor.empty() : tensor<12x6x6xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<12x6x6xf32>) -> tensor<12x6x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %k : tensor<12x6x2xf32>, tensor<12x2x6xf32>) outs(%f3 : tensor<12x6x6xf32>) -> tensor<12x6x6xf32>
  // The split again, for a bias of each head.
  %s1 = tensor.expand_shape %s0 [[0, 1], [2], [3]] output_shape [3, 4, 6, 6] : tensor<12x6x6xf32> into tensor<3x4x6x6xf32>
  %e4 = tensor.empty() : tensor<3x4x6x6xf32>
  %s2 = linalg.generic {indexing_maps = [#id, #bias, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%s1, %table : tensor<3x4x6x6xf32>, tensor<1x4x6x6xf32>) outs(%e4 : tensor<3x4x6x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %sum = arith.addf %a, %b : f32
    linalg.yield %sum : f32
  } -> tensor<3x4x6x6xf32>
  %s = tensor.collapse_shape %s2 [[0, 1], [2], [3]] : tensor<3x4x6x6xf32> into tensor<12x6x6xf32>
  %e5 = tensor.empty() : tensor<12x6x2xf32>
  %f5 = linalg.fill ins(%zero : f32) outs(%e5 : tensor<12x6x2xf32>) -> tensor<12x6x2xf32>
  %a0 = linalg.batch_matmul ins(%s, %q : tensor<12x6x6xf32>, tensor<12x6x2xf32>) outs(%f5 : tensor<12x6x2xf32>) -> tensor<12x6x2xf32>
  %a1 = tensor.expand_shape %a0 [[0, 1], [2], [3]] output_shape [3, 4, 6, 2] : tensor<12x6x2xf32> into tensor<3x4x6x2xf32>
  %e6 = tensor.empty() : tensor<3x6x4x2xf32>
  %a2 = linalg.transpose ins(%a1 : tensor<3x4x6x2xf32>) outs(%e6 : tensor<3x6x4x2xf32>) permutation = [0, 2, 1, 3]
  %a3 = tensor.collapse_shape %a2 [[0], [1], [2, 3]] : tensor<3x6x4x2xf32> into tensor<3x6x8xf32>
  %e7 = tensor.empty() : tensor<3x6x5xf32>
  %f7 = linalg.fill ins(%zero : f32) outs(%e7 : tensor<3x6x5xf32>) -> tensor<3x6x5xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%a3, %wo : tensor<3x6x8xf32>, tensor<5x8xf32>)
      outs(%f7 : tensor<3x6x5xf32>) -> tensor<3x6x5xf32>
  return %y : tensor<3x6x5xf32>
}
