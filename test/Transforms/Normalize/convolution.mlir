// Convolutions: products where they are products, the output channel first, groups behind the constant, biases behind.
// RUN: prune-opt %s --prune-normalize --split-input-file | FileCheck %s
// RUN: prune-opt %s --prune-normalize --split-input-file > %t.once
// RUN: prune-opt %t.once --prune-normalize --split-input-file | diff %t.once -
// RUN: prune-opt %s --prune-normalize="move-bias=false" --split-input-file | FileCheck %s --check-prefix=KEEP

// CHECK-DAG: #[[X:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d4, d2, d3)>
// CHECK-DAG: #[[W:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d1, d4)>
// CHECK-DAG: #[[Y:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3)>
// CHECK-LABEL: @pointwise
func.func @pointwise(%x: tensor<1x3x5x5xf32>, %init: tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32> {
  %w = arith.constant dense<[[[[1.0]], [[2.0]], [[3.0]]], [[[4.0]], [[5.0]], [[6.0]]]]> : tensor<2x3x1x1xf32>
  // CHECK: linalg.contract indexing_maps = [#[[X]], #[[W]], #[[Y]]]
  // CHECK-SAME: ins(%{{.*}}, %{{.*}} : tensor<1x3x5x5xf32>, tensor<2x3xf32>)
  %r = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<1x3x5x5xf32>, tensor<2x3x1x1xf32>)
      outs(%init : tensor<1x2x5x5xf32>) -> tensor<1x2x5x5xf32>
  return %r : tensor<1x2x5x5xf32>
}

// -----

// With a stride it stays a convolution.
// CHECK-LABEL: @pointwise_strided
func.func @pointwise_strided(%x: tensor<1x3x5x5xf32>, %init: tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32> {
  %w = arith.constant dense<[[[[1.0]], [[2.0]], [[3.0]]], [[[4.0]], [[5.0]], [[6.0]]]]> : tensor<2x3x1x1xf32>
  // CHECK: linalg.conv_2d_nchw_fchw
  // CHECK-NOT: linalg.contract
  %r = linalg.conv_2d_nchw_fchw {strides = dense<2> : tensor<2xi64>}
      ins(%x, %w : tensor<1x3x5x5xf32>, tensor<2x3x1x1xf32>) outs(%init : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  return %r : tensor<1x2x3x3xf32>
}

// -----

// NHWC: the filter turns, the activations do not.
// CHECK-LABEL: @nhwc
func.func @nhwc(%x: tensor<1x4x4x2xf32>, %init: tensor<1x4x3x2xf32>) -> tensor<1x4x3x2xf32> {
  // CHECK: arith.constant dense<{{\[}}{{\[}}{{\[}}[1.{{0*}}e+00, 3.{{0*}}e+00], [5.{{0*}}e+00, 7.{{0*}}e+00]]], {{\[}}{{\[}}[2.{{0*}}e+00,
  %w = arith.constant dense<[[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]]> : tensor<1x2x2x2xf32>
  // CHECK: linalg.conv_2d_nhwc_fhwc
  %r = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x4x4x2xf32>, tensor<1x2x2x2xf32>)
      outs(%init : tensor<1x4x3x2xf32>) -> tensor<1x4x3x2xf32>
  return %r : tensor<1x4x3x2xf32>
}

// -----

// Masks see the filter of a grouped convolution as [F, C/G, kh, kw]; canonicalize does not undo that.
// CHECK-LABEL: @grouped
func.func @grouped(%x: tensor<1x2x1x3x3xf32>, %init: tensor<1x2x2x3x3xf32>) -> tensor<1x2x2x3x3xf32> {
  %w = arith.constant dense<[[[[[1.0]]], [[[2.0]]]], [[[[3.0]]], [[[4.0]]]]]> : tensor<2x2x1x1x1xf32>
  // CHECK: %[[W:.*]] = arith.constant dense_resource<"grouped.grouped-conv_0"> : tensor<4x1x1x1xf32>
  // CHECK: %[[GROUPS:.*]] = tensor.expand_shape %[[W]] {{\[}}[0, 1], [2], [3], [4]]
  // CHECK: linalg.conv_2d_ngchw_gfchw ins(%{{.*}}, %[[GROUPS]]
  %r = linalg.conv_2d_ngchw_gfchw ins(%x, %w : tensor<1x2x1x3x3xf32>, tensor<2x2x1x1x1xf32>)
      outs(%init : tensor<1x2x2x3x3xf32>) -> tensor<1x2x2x3x3xf32>
  return %r : tensor<1x2x2x3x3xf32>
}

// -----

// CHECK-LABEL: @bias
// KEEP-LABEL: @bias
func.func @bias(%x: tensor<1x1x4x4xf32>) -> tensor<1x2x3x3xf32> {
  %w = arith.constant dense<[[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]> : tensor<2x1x2x2xf32>
  // CHECK: %[[BIAS:.*]] = arith.constant dense<[1.000000e+00, -1.000000e+00]>
  %bias = arith.constant dense<[1.0, -1.0]> : tensor<2xf32>
  %e = tensor.empty() : tensor<1x2x3x3xf32>
  // CHECK-NOT: linalg.broadcast
  // CHECK: %[[ZEROS:.*]] = linalg.fill
  // KEEP: %[[INIT:.*]] = linalg.broadcast
  %init = linalg.broadcast ins(%bias : tensor<2xf32>) outs(%e : tensor<1x2x3x3xf32>) dimensions = [0, 2, 3]
  // CHECK: %[[CONV:.*]] = linalg.conv_2d_nchw_fchw {{.*}} outs(%[[ZEROS]]
  // CHECK: linalg.generic {{.*}} ins(%[[CONV]], %[[BIAS]]
  // CHECK: arith.addf
  // KEEP: linalg.conv_2d_nchw_fchw {{.*}} outs(%[[INIT]]
  %r = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<1x1x4x4xf32>, tensor<2x1x2x2xf32>)
      outs(%init : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  return %r : tensor<1x2x3x3xf32>
}

// -----

// A generic that is a convolution.
// CHECK-LABEL: @generic_convolution
func.func @generic_convolution(%x: tensor<1x1x4x4xf32>, %init: tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32> {
  %w = arith.constant dense<[[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]> : tensor<2x1x2x2xf32>
  // CHECK: linalg.conv_2d_nchw_fchw
  %r = linalg.generic {indexing_maps = [affine_map<(n, f, h, w, c, i, j) -> (n, c, h + i, w + j)>,
                                        affine_map<(n, f, h, w, c, i, j) -> (f, c, i, j)>,
                                        affine_map<(n, f, h, w, c, i, j) -> (n, f, h, w)>],
                       iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<1x1x4x4xf32>, tensor<2x1x2x2xf32>) outs(%init : tensor<1x2x3x3xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<1x2x3x3xf32>
  return %r : tensor<1x2x3x3xf32>
}
