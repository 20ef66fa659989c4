// An inference batch norm goes into the rows of the weight before it, when nobody else reads the product.
// RUN: prune-opt %s --prune-normalize --split-input-file | FileCheck %s
// RUN: prune-opt %s --prune-normalize="fold-batch-norm=false" --split-input-file | FileCheck %s --check-prefix=KEEP

#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#c = affine_map<(d0, d1, d2, d3) -> (d1)>

// Rows scale by gamma / sqrt(var + eps) = 2 / 2 and 6 / 3; the shift is beta - mean * scale.
// CHECK-LABEL: @folded
// KEEP-LABEL: @folded
func.func @folded(%x: tensor<1x1x4x4xf32>) -> tensor<1x2x3x3xf32> {
  // CHECK-DAG: arith.constant dense<{{.*}}1.000000e+00, 2.000000e+00], [3.000000e+00, 4.000000e+00]]], {{.*}}1.000000e+01, 1.200000e+01], [1.400000e+01, 1.600000e+01]]]]>
  // CHECK-DAG: arith.constant dense<[9.000000e+00, 1.600000e+01]>
  %w = arith.constant dense<[[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]> : tensor<2x1x2x2xf32>
  %gamma = arith.constant dense<[2.0, 6.0]> : tensor<2xf32>
  %beta = arith.constant dense<[10.0, 20.0]> : tensor<2xf32>
  %mean = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %var = arith.constant dense<[3.0, 8.0]> : tensor<2xf32>
  %eps = arith.constant 1.0 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2x3x3xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  // CHECK: linalg.conv_2d_nchw_fchw
  // CHECK-NOT: math.rsqrt
  // CHECK: arith.addf
  // KEEP: math.rsqrt
  %y = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<1x1x4x4xf32>, tensor<2x1x2x2xf32>)
      outs(%init : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  // The importer names the input as start value too.
  %r = linalg.generic {indexing_maps = [#id, #c, #c, #c, #c, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%y, %gamma, %beta, %mean, %var : tensor<1x2x3x3xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>)
      outs(%y : tensor<1x2x3x3xf32>) {
  ^bb0(%in: f32, %g: f32, %b: f32, %m: f32, %v: f32, %out: f32):
    %0 = arith.addf %v, %eps : f32
    %1 = math.rsqrt %0 : f32
    %2 = arith.subf %in, %m : f32
    %3 = arith.mulf %2, %1 : f32
    %4 = arith.mulf %3, %g : f32
    %5 = arith.addf %4, %b : f32
    linalg.yield %5 : f32
  } -> tensor<1x2x3x3xf32>
  return %r : tensor<1x2x3x3xf32>
}

// -----

#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#c = affine_map<(d0, d1, d2, d3) -> (d1)>

// Two readers of the product: its values are needed as they are.
// CHECK-LABEL: @two_uses
func.func @two_uses(%x: tensor<1x1x4x4xf32>, %init: tensor<1x2x3x3xf32>) -> (tensor<1x2x3x3xf32>, tensor<1x2x3x3xf32>) {
  %w = arith.constant dense<[[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]> : tensor<2x1x2x2xf32>
  %scale = arith.constant dense<[2.0, 6.0]> : tensor<2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2x3x3xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %y = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<1x1x4x4xf32>, tensor<2x1x2x2xf32>)
      outs(%zeros : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  // CHECK: arith.mulf
  %r = linalg.generic {indexing_maps = [#id, #c, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%y, %scale : tensor<1x2x3x3xf32>, tensor<2xf32>) outs(%e : tensor<1x2x3x3xf32>) {
  ^bb0(%in: f32, %g: f32, %out: f32):
    %0 = arith.mulf %in, %g : f32
    linalg.yield %0 : f32
  } -> tensor<1x2x3x3xf32>
  return %r, %y : tensor<1x2x3x3xf32>, tensor<1x2x3x3xf32>
}

// -----

#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#w = affine_map<(d0, d1, d2, d3) -> (d3)>

// A scale along the width is no batch norm.
// CHECK-LABEL: @not_the_channel
func.func @not_the_channel(%x: tensor<1x1x4x3xf32>) -> tensor<1x2x3x2xf32> {
  %w = arith.constant dense<[[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]> : tensor<2x1x2x2xf32>
  %scale = arith.constant dense<[2.0, 6.0]> : tensor<2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2x3x2xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2x3x2xf32>) -> tensor<1x2x3x2xf32>
  %y = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<1x1x4x3xf32>, tensor<2x1x2x2xf32>)
      outs(%zeros : tensor<1x2x3x2xf32>) -> tensor<1x2x3x2xf32>
  // CHECK: arith.mulf
  %r = linalg.generic {indexing_maps = [#id, #w, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%y, %scale : tensor<1x2x3x2xf32>, tensor<2xf32>) outs(%e : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %g: f32, %out: f32):
    %0 = arith.mulf %in, %g : f32
    linalg.yield %0 : f32
  } -> tensor<1x2x3x2xf32>
  return %r : tensor<1x2x3x2xf32>
}

// -----

#k0 = affine_map<(i, j, r) -> (r, i)>
#k1 = affine_map<(i, j, r) -> (r, j)>
#out = affine_map<(i, j, r) -> (i, j)>
#id = affine_map<(i, j) -> (i, j)>

// A product over the first dimension of its second factor has no output channel there: it once crashed.
// CHECK-LABEL: @no_channel
func.func @no_channel(%x: tensor<4x3xf32>) -> tensor<3x3xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x3xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<3x3xf32>) -> tensor<3x3xf32>
  // CHECK: linalg.contract
  %y = linalg.contract indexing_maps = [#k0, #k1, #out] ins(%x, %x : tensor<4x3xf32>, tensor<4x3xf32>)
      outs(%zeros : tensor<3x3xf32>) -> tensor<3x3xf32>
  // CHECK: arith.mulf
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%y : tensor<3x3xf32>) outs(%e : tensor<3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %two = arith.constant 2.0 : f32
    %0 = arith.mulf %in, %two : f32
    linalg.yield %0 : f32
  } -> tensor<3x3xf32>
  return %r : tensor<3x3xf32>
}
