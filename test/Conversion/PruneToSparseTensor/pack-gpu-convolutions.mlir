// A convolution of constant filters becomes a product of what they see of each pixel of the result.
// RUN: prune-opt %s --prune-pack-gpu="chip=opencl kernel=dense" | FileCheck %s
// RUN: prune-opt %s --prune-pack-gpu="chip=opencl kernel=dense" --remarks-filter=prune-pack-gpu --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK

// CHECK: #[[FROM:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d3, d1 * 2 + d4, d2 + d5 * 3)>
// CHECK: #[[TURNED:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3, d1)>
// CHECK-LABEL: func @unfolds
// CHECK: %[[SEEN:.*]] = linalg.generic {indexing_maps = [#[[FROM]], #{{.*}}], {{.*}}} ins(%{{.*}} : tensor<2x3x9x9xf32>) outs(%{{.*}} : tensor<2x4x3x3x3x3xf32>)
// CHECK: %[[TOKENS:.*]] = tensor.collapse_shape %[[SEEN]] {{\[\[}}0], [1, 2], [3, 4, 5]]
// CHECK: %[[SUMS:.*]] = prune.linear matrix rows 1 chunk 27 lanes 0 storage(%{{.*}} : tensor<8x27xf32>) ins(%[[TOKENS]] : tensor<2x12x27xf32>)
// CHECK: %[[PIXELS:.*]] = tensor.expand_shape %[[SUMS]] {{\[\[}}0], [1, 2], [3]] output_shape [2, 4, 3, 8]
// CHECK: linalg.generic {indexing_maps = [#[[TURNED]], #{{.*}}], {{.*}}} ins(%[[PIXELS]] : tensor<2x4x3x8xf32>) outs(%{{.*}} : tensor<2x8x4x3xf32>)
// CHECK-NOT: linalg.conv_2d
func.func @unfolds(%x: tensor<2x3x9x9xf32>) -> tensor<2x8x4x3xf32> {
  %w = arith.constant dense<0.5> : tensor<8x3x3x3xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<2x8x4x3xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<2x8x4x3xf32>) -> tensor<2x8x4x3xf32>
  %y = linalg.conv_2d_nchw_fchw {strides = dense<[2, 1]> : vector<2xi64>, dilations = dense<[1, 3]> : vector<2xi64>}
    ins(%x, %w : tensor<2x3x9x9xf32>, tensor<8x3x3x3xf32>) outs(%init : tensor<2x8x4x3xf32>) -> tensor<2x8x4x3xf32>
  return %y : tensor<2x8x4x3xf32>
}

// REMARK: [Missed] Pack {{.*}}convolution left as it is: 4 filters < 8
// REMARK: [Missed] Pack {{.*}}convolution left as it is: its filters are no constant
// REMARK: [Missed] Pack {{.*}}convolution left as it is: the destination is not filled with zero
// REMARK: [Missed] Pack {{.*}}convolution left as it is: element type is not f32
// REMARK: [Missed] Pack {{.*}}convolution left as it is: dynamic shape
// REMARK: [Missed] Pack {{.*}}convolution left as it is: its images have 20722178304 elements unfolded, more than 2147483647
// CHECK-LABEL: func @stays
// CHECK-COUNT-6: linalg.conv_2d_nchw_fchw
func.func @stays(%x: tensor<1x3x5x5xf32>, %w: tensor<8x3x3x3xf32>, %half: tensor<1x3x5x5xf16>, %any: tensor<?x3x5x5xf32>,
                 %some: tensor<?x8x3x3xf32>, %init: tensor<1x8x3x3xf32>,
                 %large: tensor<1x64x6000x6000xf32>)
    -> (tensor<1x4x3x3xf32>, tensor<1x8x3x3xf32>, tensor<1x8x3x3xf32>, tensor<1x8x3x3xf16>, tensor<?x8x3x3xf32>, tensor<1x8x5998x5998xf32>) {
  %zero = arith.constant 0.0 : f32
  %zero16 = arith.constant 0.0 : f16
  %few = arith.constant dense<0.5> : tensor<4x3x3x3xf32>
  %eight = arith.constant dense<0.5> : tensor<8x3x3x3xf32>
  %halves = arith.constant dense<0.5> : tensor<8x3x3x3xf16>
  %e_none4 = tensor.empty() : tensor<1x4x3x3xf32>
  %none4 = linalg.fill ins(%zero : f32) outs(%e_none4 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %e_none8 = tensor.empty() : tensor<1x8x3x3xf32>
  %none8 = linalg.fill ins(%zero : f32) outs(%e_none8 : tensor<1x8x3x3xf32>) -> tensor<1x8x3x3xf32>
  %e_none16 = tensor.empty() : tensor<1x8x3x3xf16>
  %none16 = linalg.fill ins(%zero16 : f16) outs(%e_none16 : tensor<1x8x3x3xf16>) -> tensor<1x8x3x3xf16>
  %0 = linalg.conv_2d_nchw_fchw ins(%x, %few : tensor<1x3x5x5xf32>, tensor<4x3x3x3xf32>) outs(%none4 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %1 = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<1x3x5x5xf32>, tensor<8x3x3x3xf32>) outs(%none8 : tensor<1x8x3x3xf32>) -> tensor<1x8x3x3xf32>
  %2 = linalg.conv_2d_nchw_fchw ins(%x, %eight : tensor<1x3x5x5xf32>, tensor<8x3x3x3xf32>) outs(%init : tensor<1x8x3x3xf32>) -> tensor<1x8x3x3xf32>
  %3 = linalg.conv_2d_nchw_fchw ins(%half, %halves : tensor<1x3x5x5xf16>, tensor<8x3x3x3xf16>) outs(%none16 : tensor<1x8x3x3xf16>) -> tensor<1x8x3x3xf16>
  %4 = linalg.conv_2d_nchw_fchw ins(%any, %eight : tensor<?x3x5x5xf32>, tensor<8x3x3x3xf32>) outs(%some : tensor<?x8x3x3xf32>) -> tensor<?x8x3x3xf32>
  %wide = arith.constant dense<0.5> : tensor<8x64x3x3xf32>
  %e_nonewide = tensor.empty() : tensor<1x8x5998x5998xf32>
  %nonewide = linalg.fill ins(%zero : f32) outs(%e_nonewide : tensor<1x8x5998x5998xf32>) -> tensor<1x8x5998x5998xf32>
  %5 = linalg.conv_2d_nchw_fchw ins(%large, %wide : tensor<1x64x6000x6000xf32>, tensor<8x64x3x3xf32>) outs(%nonewide : tensor<1x8x5998x5998xf32>) -> tensor<1x8x5998x5998xf32>
  return %0, %1, %2, %3, %4, %5 : tensor<1x4x3x3xf32>, tensor<1x8x3x3xf32>, tensor<1x8x3x3xf32>, tensor<1x8x3x3xf16>, tensor<?x8x3x3xf32>, tensor<1x8x5998x5998xf32>
}
