// RUN: prune-opt %s --prune-expand-gradients --canonicalize --cse --symbol-dce --split-input-file | FileCheck %s

// The gradients of a product are products: by x summed over the outputs, by w summed over the rows.

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func private @linear(%w: tensor<3x4xf32>, %x: tensor<2x4xf32>) -> tensor<f32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3xf32>) -> tensor<2x3xf32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<2x4xf32>, tensor<3x4xf32>)
         outs(%f : tensor<2x3xf32>) -> tensor<2x3xf32>
  %loss = func.call @sum(%p) : (tensor<2x3xf32>) -> tensor<f32>
  return %loss : tensor<f32>
}
func.func private @sum(%x: tensor<2x3xf32>) -> tensor<f32> {
  %zero = arith.constant dense<0.0> : tensor<f32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
                       iterator_types = ["reduction", "reduction"]}
      ins(%x : tensor<2x3xf32>) outs(%zero : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %o, %a : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  return %r : tensor<f32>
}
// CHECK-DAG: #[[DX_DY:.+]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[DX_W:.+]] = affine_map<(d0, d1, d2) -> (d2, d1)>
// CHECK-DAG: #[[DX:.+]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[W:.+]]: tensor<3x4xf32>, %[[X:.+]]: tensor<2x4xf32>
func.func @main(%w: tensor<3x4xf32>, %x: tensor<2x4xf32>) -> (tensor<f32>, tensor<2x4xf32>, tensor<3x4xf32>) {
  // CHECK-NOT: prune.gradient
  // CHECK: linalg.contract
  // CHECK: linalg.generic {indexing_maps = [#[[DX_W]], #[[DX_DY]], #[[DX]]], iterator_types = ["parallel", "parallel", "reduction"]} ins(%[[W]],
  // CHECK: -> tensor<2x4xf32>
  // CHECK: linalg.generic {{.*}} ins(%[[X]],
  // CHECK: -> tensor<3x4xf32>
  %l, %dx, %dw = prune.gradient @linear(%w, %x) by [1, 0]
      : (tensor<3x4xf32>, tensor<2x4xf32>) -> (tensor<f32>, tensor<2x4xf32>, tensor<3x4xf32>)
  return %l, %dx, %dw : tensor<f32>, tensor<2x4xf32>, tensor<3x4xf32>
}

// -----

// The gradient of a convolution of stride 1 by its activations is a convolution of the padded gradient.

// CHECK-LABEL: func.func @conv
// CHECK: %[[PADDED:.+]] = tensor.pad {{.*}} low[0, 0, 2, 2] high[0, 0, 2, 2]
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%[[PADDED]],
// CHECK: -> tensor<1x2x6x6xf32>
func.func private @loss(%x: tensor<1x2x6x6xf32>, %w: tensor<3x2x3x3xf32>) -> tensor<f32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x3x4x4xf32>) -> tensor<1x3x4x4xf32>
  %c = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
         ins(%x, %w : tensor<1x2x6x6xf32>, tensor<3x2x3x3xf32>) outs(%f : tensor<1x3x4x4xf32>) -> tensor<1x3x4x4xf32>
  %s = arith.constant dense<0.0> : tensor<f32>
  %r = linalg.reduce ins(%c : tensor<1x3x4x4xf32>) outs(%s : tensor<f32>) dimensions = [0, 1, 2, 3]
    (%a: f32, %o: f32) {
      %t = arith.addf %a, %o : f32
      linalg.yield %t : f32
    }
  return %r : tensor<f32>
}
func.func @conv(%x: tensor<1x2x6x6xf32>, %w: tensor<3x2x3x3xf32>) -> (tensor<f32>, tensor<1x2x6x6xf32>) {
  %l, %dx = prune.gradient @loss(%x, %w) by [0]
      : (tensor<1x2x6x6xf32>, tensor<3x2x3x3xf32>) -> (tensor<f32>, tensor<1x2x6x6xf32>)
  return %l, %dx : tensor<f32>, tensor<1x2x6x6xf32>
}

// The maximum that a softmax takes off cancels: no gradient goes through it, and none of its positions is looked for.
// CHECK-LABEL: @softmax
// CHECK: arith.maxnumf
// CHECK-NOT: arith.cmpf
// CHECK: return
func.func private @softmax_loss(%x: tensor<2x4xf32>) -> tensor<f32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4xf32>
  %s = linalg.softmax dimension(1) ins(%x : tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %e0 = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>], iterator_types = ["reduction", "reduction"]}
      ins(%s : tensor<2x4xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.mulf %a, %a : f32
    %t = arith.addf %o, %q : f32
    linalg.yield %t : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}
func.func @softmax(%x: tensor<2x4xf32>) -> (tensor<f32>, tensor<2x4xf32>) {
  %l, %g = prune.gradient @softmax_loss(%x) by [0] : (tensor<2x4xf32>) -> (tensor<f32>, tensor<2x4xf32>)
  return %l, %g : tensor<f32>, tensor<2x4xf32>
}

// The sum of exponentials less their maximum, not divided by it, changes with the maximum.
// CHECK-LABEL: @not_a_softmax
// CHECK: arith.cmpf oeq
// CHECK: return
func.func private @not_a_softmax_loss(%x: tensor<4xf32>) -> tensor<f32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant -1.0e+30 : f32
  %e0 = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %n = linalg.fill ins(%low : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %m = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<4xf32>) outs(%n : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %t = arith.maximumf %a, %o : f32
    linalg.yield %t : f32
  } -> tensor<f32>
  %e = tensor.empty() : tensor<4xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x, %m : tensor<4xf32>, tensor<f32>) outs(%e : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %t = math.exp %d : f32
    linalg.yield %t : f32
  } -> tensor<4xf32>
  %l = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>], iterator_types = ["reduction"]}
      ins(%p : tensor<4xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %t = arith.addf %a, %o : f32
    linalg.yield %t : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}
func.func @not_a_softmax(%x: tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>) {
  %l, %g = prune.gradient @not_a_softmax_loss(%x) by [0] : (tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>)
  return %l, %g : tensor<f32>, tensor<4xf32>
}

// A dimension of size 1 that the loops do not have is added by a reshape.
// CHECK-LABEL: @unit_dimension
// CHECK: tensor.expand_shape {{.*}} : tensor<2xf32> into tensor<2x1xf32>
// CHECK-NOT: tensor.insert_slice
// CHECK: return
func.func private @unit_dimension_loss(%x: tensor<2x1xf32>, %y: tensor<2x3xf32>) -> tensor<f32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, 0)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
                       iterator_types = ["reduction", "reduction"]}
      ins(%x, %y : tensor<2x1xf32>, tensor<2x3xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.mulf %a, %b : f32
    %t = arith.addf %o, %q : f32
    linalg.yield %t : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}
func.func @unit_dimension(%x: tensor<2x1xf32>, %y: tensor<2x3xf32>) -> tensor<2x1xf32> {
  %l, %g = prune.gradient @unit_dimension_loss(%x, %y) by [0] : (tensor<2x1xf32>, tensor<2x3xf32>) -> (tensor<f32>, tensor<2x1xf32>)
  return %g : tensor<2x1xf32>
}
