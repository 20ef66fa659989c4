// Masked convolutions are packed as products with a window, grouped ones too; depthwise ones get the window; the others stay,
// with the reason. Which code is faster is for choice-convolutions.mlir to show.
// RUN: prune-opt %s -split-input-file --prune-pack=kernel=sparse --canonicalize | FileCheck %s
// RUN: prune-opt %s -split-input-file --prune-pack=kernel=sparse --remarks-filter-missed=prune-pack --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK

// Padding moves into the window. Columns are (channel, row, column of the kernel); a chunk is a whole channel or more.
// CHECK-LABEL: @padded
// CHECK-NOT: tensor.pad
// CHECK: prune.linear chunked_csr rows 2 chunk 9 vectors {{[0-9]}} lanes 2
// CHECK-SAME: window <kernel = [3, 3], strides = [2, 2], dilations = [1, 1], low = [1, 0], high = [0, 2]>
// CHECK-SAME: ins(%arg0 : tensor<1x1x8x8xf32>) outs(%{{.*}} : tensor<1x2x4x4xf32>)
func.func @padded(%x: tensor<1x1x8x8xf32>) -> tensor<1x2x4x4xf32> {
  %w = arith.constant dense<1.0> : tensor<2x1x3x3xf32>
  %m = arith.constant dense<[[[[true, false, false], [false, false, false], [false, false, true]]],
                             [[[false, false, false], [true, false, false], [false, false, false]]]]> : tensor<2x1x3x3xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x1x3x3xf32>
  %z = arith.constant 0.0 : f32
  %padded = tensor.pad %x low[0, 0, 1, 0] high[0, 0, 0, 2] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %z : f32
  } : tensor<1x1x8x8xf32> to tensor<1x1x9x10xf32>
  %e = tensor.empty() : tensor<1x2x4x4xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %r = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<2> : vector<2xi64>}
    ins(%padded, %p : tensor<1x1x9x10xf32>, tensor<2x1x3x3xf32>) outs(%f : tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  return %r : tensor<1x2x4x4xf32>
}

// -----

// Padding by something else than zero stays in front.
// CHECK-LABEL: @padded_by_one
// CHECK: %[[PADDED:.*]] = tensor.pad
// CHECK: prune.linear chunked_csr {{.*}} low = [0, 0], high = [0, 0]> {{.*}} ins(%[[PADDED]] :
func.func @padded_by_one(%x: tensor<1x1x8x8xf32>) -> tensor<1x2x9x9xf32> {
  %w = arith.constant dense<1.0> : tensor<2x1x2x2xf32>
  %m = arith.constant dense<[[[[true, false], [false, false]]], [[[false, false], [true, false]]]]> : tensor<2x1x2x2xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x1x2x2xf32>
  %z = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %padded = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %one : f32
  } : tensor<1x1x8x8xf32> to tensor<1x1x10x10xf32>
  %e = tensor.empty() : tensor<1x2x9x9xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x2x9x9xf32>) -> tensor<1x2x9x9xf32>
  %r = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%padded, %p : tensor<1x1x10x10xf32>, tensor<2x1x2x2xf32>) outs(%f : tensor<1x2x9x9xf32>) -> tensor<1x2x9x9xf32>
  return %r : tensor<1x2x9x9xf32>
}

// -----

// Two groups are one weight over both channels: the second row keeps an element of the second
// channel's kernel, columns 4 to 7.
// CHECK-LABEL: @grouped
// CHECK-DAG: arith.constant dense<[0, 2]> : tensor<2xi32>
// CHECK-DAG: arith.constant dense<[0, 6]> : tensor<2xi16>
// CHECK-DAG: %[[X:.*]] = tensor.collapse_shape %arg0 {{\[\[}}0], [1, 2], [3], [4]]
// CHECK: %[[Y:.*]] = prune.linear chunked_csr rows 2 chunk 8 {{.*}} ins(%[[X]] : tensor<1x2x8x8xf32>) outs({{.*}} : tensor<1x2x7x7xf32>)
// CHECK: tensor.expand_shape %[[Y]] {{\[\[}}0], [1, 2], [3], [4]]
func.func @grouped(%x: tensor<1x2x1x8x8xf32>) -> tensor<1x2x1x7x7xf32> {
  %w = arith.constant dense<1.0> : tensor<2x1x2x2xf32>
  %m = arith.constant dense<[[[[true, false], [false, false]]], [[[false, false], [true, false]]]]> : tensor<2x1x2x2xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x1x2x2xf32>
  %g = tensor.expand_shape %p [[0, 1], [2], [3], [4]] output_shape [2, 1, 1, 2, 2] : tensor<2x1x2x2xf32> into tensor<2x1x1x2x2xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2x1x7x7xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x2x1x7x7xf32>) -> tensor<1x2x1x7x7xf32>
  %r = linalg.conv_2d_ngchw_gfchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%x, %g : tensor<1x2x1x8x8xf32>, tensor<2x1x1x2x2xf32>) outs(%f : tensor<1x2x1x7x7xf32>) -> tensor<1x2x1x7x7xf32>
  return %r : tensor<1x2x1x7x7xf32>
}

// -----

// CHECK-LABEL: @depthwise
// CHECK-NOT: tensor.pad
// CHECK: prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
// CHECK-SAME: ins(%arg0, %{{.*}} : tensor<1x2x8x8xf32>, tensor<2x3x3xf32>)
// REMARK: depthwise convolution left as it is: more than 25 elements of a kernel or strides above 4
func.func @depthwise(%x: tensor<1x2x8x8xf32>) -> (tensor<1x2x8x8xf32>, tensor<1x2x3x3xf32>) {
  %w = arith.constant dense<1.0> : tensor<2x3x3xf32>
  %large = arith.constant dense<1.0> : tensor<2x6x6xf32>
  %z = arith.constant 0.0 : f32
  %padded = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %z : f32
  } : tensor<1x2x8x8xf32> to tensor<1x2x10x10xf32>
  %e = tensor.empty() : tensor<1x2x8x8xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  %r = linalg.depthwise_conv_2d_nchw_chw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%padded, %w : tensor<1x2x10x10xf32>, tensor<2x3x3xf32>) outs(%f : tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  %e2 = tensor.empty() : tensor<1x2x3x3xf32>
  %f2 = linalg.fill ins(%z : f32) outs(%e2 : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %s = linalg.depthwise_conv_2d_nchw_chw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%x, %large : tensor<1x2x8x8xf32>, tensor<2x6x6xf32>) outs(%f2 : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  return %r, %s : tensor<1x2x8x8xf32>, tensor<1x2x3x3xf32>
}

// -----

// CHECK-LABEL: @other_layout
// CHECK: linalg.conv_2d_nhwc_fhwc
// REMARK: dense because there is no sparse code for linalg.conv_2d_nhwc_fhwc
func.func @other_layout(%x: tensor<1x8x8x1xf32>) -> tensor<1x7x7x2xf32> {
  %w = arith.constant dense<1.0> : tensor<2x2x2x1xf32>
  %m = arith.constant dense<[[[[true], [false]], [[false], [false]]], [[[false], [false]], [[true], [false]]]]> : tensor<2x2x2x1xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2x2x1xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x7x7x2xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x7x7x2xf32>) -> tensor<1x7x7x2xf32>
  %r = linalg.conv_2d_nhwc_fhwc {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%x, %p : tensor<1x8x8x1xf32>, tensor<2x2x2x1xf32>) outs(%f : tensor<1x7x7x2xf32>) -> tensor<1x7x7x2xf32>
  return %r : tensor<1x7x7x2xf32>
}

// -----

// A depthwise filter has nothing to skip, and a mask on it is told so.
// CHECK-LABEL: @masked_depthwise
// CHECK: prune.depthwise
// REMARK: weight: dense, by prune.depthwise at density 0.50 ({{.*}} us estimated)
func.func @masked_depthwise(%x: tensor<1x2x8x8xf32>) -> tensor<1x2x7x7xf32> {
  %w = arith.constant dense<1.0> : tensor<2x2x2xf32>
  %m = arith.constant dense<[[[true, false], [true, false]], [[false, true], [true, false]]]> : tensor<2x2x2xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2x2xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2x7x7xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x2x7x7xf32>) -> tensor<1x2x7x7xf32>
  %r = linalg.depthwise_conv_2d_nchw_chw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%x, %p : tensor<1x2x8x8xf32>, tensor<2x2x2xf32>) outs(%f : tensor<1x2x7x7xf32>) -> tensor<1x2x7x7xf32>
  return %r : tensor<1x2x7x7xf32>
}

// -----

// A transposed convolution whose strides are its kernel: one product for the four elements of the kernel, the last one first. The mask
// keeps the first element of the first filter and the last one of the second, which are rows 6 and 1.
// CHECK-LABEL: @transposed
// CHECK-DAG: arith.constant dense<{{\[\[}}1, 6, {{.*}}> : tensor<1x8xi32>
// CHECK-NOT: tensor.insert_slice
// CHECK: prune.linear chunked_csr {{.*}} lanes 2 {{.*}} : tensor<1x4x4xf32>) outs({{.*}} : tensor<8x4x4xf32>)
// CHECK: tensor.expand_shape {{.*}} into tensor<1x2x2x2x4x4xf32>
// CHECK: linalg.transpose {{.*}} permutation = [0, 3, 4, 1, 5, 2]
// CHECK: tensor.collapse_shape {{.*}} into tensor<1x2x8x8xf32>
func.func @transposed(%x: tensor<1x1x4x4xf32>) -> tensor<1x2x8x8xf32> {
  %w = arith.constant dense<1.0> : tensor<2x1x2x2xf32>
  %m = arith.constant dense<[[[[true, false], [false, false]]], [[[false, false], [false, true]]]]> : tensor<2x1x2x2xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x1x2x2xf32>
  %z = arith.constant 0.0 : f32
  %s = tensor.empty() : tensor<1x1x9x9xf32>
  %zeros = linalg.fill ins(%z : f32) outs(%s : tensor<1x1x9x9xf32>) -> tensor<1x1x9x9xf32>
  %spread = tensor.insert_slice %x into %zeros[0, 0, 1, 1] [1, 1, 4, 4] [1, 1, 2, 2] : tensor<1x1x4x4xf32> into tensor<1x1x9x9xf32>
  %e = tensor.empty() : tensor<1x2x8x8xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  %r = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%spread, %p : tensor<1x1x9x9xf32>, tensor<2x1x2x2xf32>) outs(%f : tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  return %r : tensor<1x2x8x8xf32>
}

// -----

// With a kernel larger than the strides some results meet several pixels: the zeros stay.
// CHECK-LABEL: @transposed_overlapping
// CHECK: %[[SPREAD:.*]] = tensor.insert_slice
// CHECK: prune.linear chunked_csr {{.*}} window <kernel = [3, 3]{{.*}} ins(%[[SPREAD]] :
func.func @transposed_overlapping(%x: tensor<1x1x4x4xf32>) -> tensor<1x1x9x9xf32> {
  %w = arith.constant dense<1.0> : tensor<1x1x3x3xf32>
  %m = arith.constant dense<[[[[true, false, false], [false, true, false], [false, false, false]]]]> : tensor<1x1x3x3xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<1x1x3x3xf32>
  %z = arith.constant 0.0 : f32
  %s = tensor.empty() : tensor<1x1x11x11xf32>
  %zeros = linalg.fill ins(%z : f32) outs(%s : tensor<1x1x11x11xf32>) -> tensor<1x1x11x11xf32>
  %spread = tensor.insert_slice %x into %zeros[0, 0, 2, 2] [1, 1, 4, 4] [1, 1, 2, 2] : tensor<1x1x4x4xf32> into tensor<1x1x11x11xf32>
  %e = tensor.empty() : tensor<1x1x9x9xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x1x9x9xf32>) -> tensor<1x1x9x9xf32>
  %r = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%spread, %p : tensor<1x1x11x11xf32>, tensor<1x1x3x3xf32>) outs(%f : tensor<1x1x9x9xf32>) -> tensor<1x1x9x9xf32>
  return %r : tensor<1x1x9x9xf32>
}
