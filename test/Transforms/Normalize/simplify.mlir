// Dead results, scalars, broadcasts and unit dimensions of imported elementwise ops and reductions.
// RUN: prune-opt %s --prune-normalize --split-input-file | FileCheck %s
// RUN: prune-opt %s --prune-normalize --split-input-file > %t.once
// RUN: prune-opt %t.once --prune-normalize --split-input-file | diff %t.once -

// Softmax's maximum comes with an index that nobody reads.
// CHECK-LABEL: @dead_argmax
#in = affine_map<(d0, d1) -> (d0, d1)>
#out = affine_map<(d0, d1) -> (d0)>
func.func @dead_argmax(%x: tensor<2x4xf32>, %start: tensor<2xf32>, %index: tensor<2xi64>) -> tensor<2xf32> {
  // CHECK: %[[R:.*]] = linalg.generic {{.*}} outs(%{{[a-z0-9]*}} : tensor<2xf32>)
  // CHECK-NOT: linalg.index
  // CHECK: return %[[R]]
  %r:2 = linalg.generic {indexing_maps = [#in, #out, #out], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<2x4xf32>) outs(%start, %index : tensor<2xf32>, tensor<2xi64>) {
  ^bb0(%a: f32, %max: f32, %i: i64):
    %0 = linalg.index 1 : index
    %1 = arith.index_cast %0 : index to i64
    %2 = arith.maximumf %a, %max : f32
    %3 = arith.cmpf ogt, %a, %max : f32
    %4 = arith.select %3, %1, %i : i64
    linalg.yield %2, %4 : f32, i64
  } -> (tensor<2xf32>, tensor<2xi64>)
  return %r#0 : tensor<2xf32>
}

// -----

// A read index stays, and so does the maximum that it is found by, read or not.
// CHECK-LABEL: @live_argmax
#in = affine_map<(d0, d1) -> (d0, d1)>
#out = affine_map<(d0, d1) -> (d0)>
func.func @live_argmax(%x: tensor<2x4xf32>, %start: tensor<2xf32>, %index: tensor<2xi64>) -> tensor<2xi64> {
  // CHECK: linalg.index
  // CHECK: %[[MAX:.*]] = arith.maximumf
  // CHECK: linalg.yield %[[MAX]], %{{.*}} : f32, i64
  %r:2 = linalg.generic {indexing_maps = [#in, #out, #out], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<2x4xf32>) outs(%start, %index : tensor<2xf32>, tensor<2xi64>) {
  ^bb0(%a: f32, %max: f32, %i: i64):
    %0 = linalg.index 1 : index
    %1 = arith.index_cast %0 : index to i64
    %2 = arith.maximumf %a, %max : f32
    %3 = arith.cmpf ogt, %a, %max : f32
    %4 = arith.select %3, %1, %i : i64
    linalg.yield %2, %4 : f32, i64
  } -> (tensor<2xf32>, tensor<2xi64>)
  return %r#1 : tensor<2xi64>
}

// -----

// Layer norm: the mean is divided, collapsed and broadcast before it is subtracted; the divisor is a 0-d constant.
// CHECK: #[[MEAN:.*]] = affine_map<(d0, d1, d2) -> (d0, d1, 0)>
// CHECK-LABEL: @broadcast_mean
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#scalar = affine_map<(d0, d1, d2) -> ()>
#rows = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @broadcast_mean(%x: tensor<1x3x4xf32>, %sum: tensor<1x3x1xf32>) -> tensor<1x3x4xf32> {
  // CHECK: %[[FOUR:.*]] = arith.constant 4.000000e+00 : f32
  %four = arith.constant dense<4.0> : tensor<f32>
  %e1 = tensor.empty() : tensor<1x3x1xf32>
  %e = tensor.empty() : tensor<1x3x4xf32>
  // CHECK: %[[DIV:.*]] = linalg.generic
  // CHECK: arith.divf %{{.*}}, %[[FOUR]]
  %mean = linalg.generic {indexing_maps = [#id, #scalar, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%sum, %four : tensor<1x3x1xf32>, tensor<f32>) outs(%e1 : tensor<1x3x1xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<1x3x1xf32>
  // CHECK-NOT: tensor.collapse_shape
  %c = tensor.collapse_shape %mean [[0], [1, 2]] : tensor<1x3x1xf32> into tensor<1x3xf32>
  %b = linalg.generic {indexing_maps = [#rows, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%c : tensor<1x3xf32>) outs(%e : tensor<1x3x4xf32>) {
  ^bb0(%a: f32, %out: f32):
    linalg.yield %a : f32
  } -> tensor<1x3x4xf32>
  // CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[MEAN]], #{{.*}}]{{.*}} ins(%{{.*}}, %[[DIV]]
  // CHECK-NOT: linalg.generic
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %b : tensor<1x3x4xf32>, tensor<1x3x4xf32>) outs(%e : tensor<1x3x4xf32>) {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %0 = arith.subf %a, %m : f32
    linalg.yield %0 : f32
  } -> tensor<1x3x4xf32>
  return %r : tensor<1x3x4xf32>
}

// -----

// Shapes that are dynamic in type only.
// CHECK-LABEL: @static_after_all
#id = affine_map<(d0) -> (d0)>
func.func @static_after_all(%x: tensor<4xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0 : index
  %d = tensor.cast %x : tensor<4xf32> to tensor<?xf32>
  %n = tensor.dim %d, %zero : tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?xf32>
  // CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<4xf32>) outs(%{{.*}} : tensor<4xf32>)
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%d : tensor<?xf32>) outs(%e : tensor<?xf32>) {
  ^bb0(%a: f32, %out: f32):
    %0 = arith.negf %a : f32
    linalg.yield %0 : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}
