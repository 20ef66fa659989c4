// A convolution of groups of channels becomes a batch of products, or CSR of one weight over all channels.
// RUN: prune-opt %s --prune-pack-gpu="chip=opencl kernel=dense" | FileCheck %s --check-prefixes=CHECK,DENSE
// RUN: prune-opt %s --prune-pack-gpu="chip=opencl kernel=csr" | FileCheck %s --check-prefixes=CHECK,CSR
// RUN: prune-opt %s --prune-pack-gpu="chip=opencl kernel=dense" --remarks-filter=prune-pack-gpu --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK

// CHECK-DAG: #[[FROM:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d3, d4, d1 * 2 + d5, d2 + d6)>
// CHECK-DAG: #[[TURNED:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d3, d4, d1, d2)>
// CHECK-LABEL: func @masked
// CHECK: %[[SEEN:.*]] = linalg.generic {indexing_maps = [#[[FROM]], #{{.*}}], {{.*}}} ins(%{{.*}} : tensor<1x2x3x5x5xf32>) outs(%{{.*}} : tensor<1x2x4x2x3x2x2xf32>)
// DENSE: %[[TOKENS:.*]] = tensor.collapse_shape %[[SEEN]] {{\[\[}}0], [1, 2], [3], [4, 5, 6]]
// DENSE: %[[SUMS:.*]] = linalg.contract {{.*}} ins(%[[TOKENS]], %{{.*}} : tensor<1x8x2x12xf32>, tensor<2x8x12xf32>) outs(%{{.*}} : tensor<1x8x2x8xf32>)
// DENSE: %[[PIXELS:.*]] = tensor.expand_shape %[[SUMS]] {{\[\[}}0], [1, 2], [3], [4]]
// CSR: %[[TOKENS:.*]] = tensor.collapse_shape %[[SEEN]] {{\[\[}}0], [1, 2], [3, 4, 5, 6]]
// CSR: %[[SUMS:.*]] = prune.linear csr {{.*}} ins(%[[TOKENS]] : tensor<1x8x24xf32>) outs(%{{.*}} : tensor<1x8x16xf32>)
// CSR: %[[PIXELS:.*]] = tensor.expand_shape %[[SUMS]] {{\[\[}}0], [1, 2], [3, 4]]
// CHECK: linalg.generic {indexing_maps = [#[[TURNED]], #{{.*}}], {{.*}}} ins(%[[PIXELS]] : tensor<1x2x4x2x8xf32>) outs(%{{.*}} : tensor<1x2x8x2x4xf32>)
// CHECK-NOT: linalg.conv_2d
func.func @masked(%x: tensor<1x2x3x5x5xf32>) -> tensor<1x2x8x2x4xf32> {
  %w = arith.constant dense<0.5> : tensor<16x3x2x2xf32>
  %m = arith.constant dense<true> : tensor<16x3x2x2xi1>
  %a = prune.apply %w, %m as(#prune.unstructured) : tensor<16x3x2x2xf32>
  %g = tensor.expand_shape %a [[0, 1], [2], [3], [4]] output_shape [2, 8, 3, 2, 2] : tensor<16x3x2x2xf32> into tensor<2x8x3x2x2xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<1x2x8x2x4xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<1x2x8x2x4xf32>) -> tensor<1x2x8x2x4xf32>
  %y = linalg.conv_2d_ngchw_gfchw {strides = dense<[2, 1]> : vector<2xi64>, dilations = dense<1> : vector<2xi64>}
    ins(%x, %g : tensor<1x2x3x5x5xf32>, tensor<2x8x3x2x2xf32>) outs(%init : tensor<1x2x8x2x4xf32>) -> tensor<1x2x8x2x4xf32>
  return %y : tensor<1x2x8x2x4xf32>
}

// REMARK: [Missed] Pack {{.*}}convolution left as it is: 4 filters of a group < 8
// REMARK: [Missed] Pack {{.*}}convolution left as it is: its filters are no constant
// CHECK-LABEL: func @stays
// CHECK-COUNT-2: linalg.conv_2d_ngchw_gfchw
func.func @stays(%x: tensor<1x2x3x5x5xf32>, %any: tensor<2x8x3x2x2xf32>)
    -> (tensor<1x2x4x4x4xf32>, tensor<1x2x8x4x4xf32>) {
  %w = arith.constant dense<0.5> : tensor<8x3x2x2xf32>
  %g = tensor.expand_shape %w [[0, 1], [2], [3], [4]] output_shape [2, 4, 3, 2, 2] : tensor<8x3x2x2xf32> into tensor<2x4x3x2x2xf32>
  %zero = arith.constant 0.0 : f32
  %empty4 = tensor.empty() : tensor<1x2x4x4x4xf32>
  %init4 = linalg.fill ins(%zero : f32) outs(%empty4 : tensor<1x2x4x4x4xf32>) -> tensor<1x2x4x4x4xf32>
  %empty8 = tensor.empty() : tensor<1x2x8x4x4xf32>
  %init8 = linalg.fill ins(%zero : f32) outs(%empty8 : tensor<1x2x8x4x4xf32>) -> tensor<1x2x8x4x4xf32>
  %0 = linalg.conv_2d_ngchw_gfchw ins(%x, %g : tensor<1x2x3x5x5xf32>, tensor<2x4x3x2x2xf32>) outs(%init4 : tensor<1x2x4x4x4xf32>) -> tensor<1x2x4x4x4xf32>
  %1 = linalg.conv_2d_ngchw_gfchw ins(%x, %any : tensor<1x2x3x5x5xf32>, tensor<2x8x3x2x2xf32>) outs(%init8 : tensor<1x2x8x4x4xf32>) -> tensor<1x2x8x4x4xf32>
  return %0, %1 : tensor<1x2x4x4x4xf32>, tensor<1x2x8x4x4xf32>
}
