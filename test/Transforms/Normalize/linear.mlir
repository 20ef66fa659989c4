// Products with a constant weight become linalg.contract over [out, in], whatever the importer wrote.
// RUN: prune-opt %s --prune-normalize --split-input-file | FileCheck %s
// RUN: prune-opt %s --prune-normalize --split-input-file > %t.once
// RUN: prune-opt %t.once --prune-normalize --split-input-file | diff %t.once -

// The legacy exporter's Linear: [in, out], broadcast to the batch, bias first.
// CHECK-DAG: #[[X:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
// CHECK-DAG: #[[W:.*]] = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-DAG: #[[Y:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
// CHECK-LABEL: @broadcast_weight
#kn = affine_map<(d0, d1, d2) -> (d1, d2)>
#last = affine_map<(d0, d1, d2) -> (d2)>
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
func.func @broadcast_weight(%x: tensor<1x3x4xf32>) -> tensor<1x3x2xf32> {
  // CHECK: %[[WEIGHT:.*]] = arith.constant dense<{{\[}}[1.{{0*}}e+00, 3.{{0*}}e+00, 5.{{0*}}e+00, 7.{{0*}}e+00], [2.{{0*}}e+00, 4.{{0*}}e+00, 6.{{0*}}e+00, 8.{{0*}}e+00]]>
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32>
  %bias = arith.constant dense<[1.0, -1.0]> : tensor<2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x2xf32>
  %wb = linalg.generic {indexing_maps = [#kn, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%w : tensor<4x2xf32>) outs(%e : tensor<1x4x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<1x4x2xf32>
  %eo = tensor.empty() : tensor<1x3x2xf32>
  // CHECK: %[[ZERO:.*]] = linalg.fill
  %zeros = linalg.fill ins(%zero : f32) outs(%eo : tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
  // CHECK: linalg.contract indexing_maps = [#[[X]], #[[W]], #[[Y]]]
  // CHECK-SAME: ins(%{{.*}}, %[[WEIGHT]] : tensor<1x3x4xf32>, tensor<2x4xf32>) outs(%[[ZERO]]
  // CHECK-NOT: linalg.batch_matmul
  %y = linalg.batch_matmul ins(%x, %wb : tensor<1x3x4xf32>, tensor<1x4x2xf32>) outs(%zeros : tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
  // The bias stays an elementwise op behind.
  // CHECK: arith.addf
  %r = linalg.generic {indexing_maps = [#last, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%bias, %y : tensor<2xf32>, tensor<1x3x2xf32>) outs(%eo : tensor<1x3x2xf32>) {
  ^bb0(%b: f32, %a: f32, %out: f32):
    %s = arith.addf %b, %a : f32
    linalg.yield %s : f32
  } -> tensor<1x3x2xf32>
  return %r : tensor<1x3x2xf32>
}

// -----

// A weight that is broadcast to a real batch is not copied for each entry.
// CHECK-LABEL: @batched
#kn = affine_map<(d0, d1, d2) -> (d1, d2)>
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
func.func @batched(%x: tensor<5x1x3xf32>, %zeros: tensor<5x1x2xf32>) -> tensor<5x1x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %e = tensor.empty() : tensor<5x3x2xf32>
  %wb = linalg.generic {indexing_maps = [#kn, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%w : tensor<3x2xf32>) outs(%e : tensor<5x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<5x3x2xf32>
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %{{.*}} : tensor<5x1x3xf32>, tensor<2x3xf32>)
  %y = linalg.batch_matmul ins(%x, %wb : tensor<5x1x3xf32>, tensor<5x3x2xf32>) outs(%zeros : tensor<5x1x2xf32>) -> tensor<5x1x2xf32>
  return %y : tensor<5x1x2xf32>
}

// -----

// Gemm: a transposed constant is already the right way round underneath.
// CHECK-LABEL: @gemm
func.func @gemm(%x: tensor<3x4xf32>, %zeros: tensor<3x2xf32>) -> tensor<3x2xf32> {
  // CHECK: %[[WEIGHT:.*]] = arith.constant dense<{{\[}}[1.{{0*}}e+00, 2.{{0*}}e+00,
  %w = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  %e = tensor.empty() : tensor<4x2xf32>
  // CHECK-NOT: linalg.transpose
  %t = linalg.transpose ins(%w : tensor<2x4xf32>) outs(%e : tensor<4x2xf32>) permutation = [1, 0]
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[WEIGHT]] : tensor<3x4xf32>, tensor<2x4xf32>)
  %y = linalg.matmul ins(%x, %t : tensor<3x4xf32>, tensor<4x2xf32>) outs(%zeros : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// -----

// The weight on the left, and a vector.
// CHECK-DAG: #[[XT:.*]] = affine_map<(d0, d1, d2) -> (d2, d1)>
// CHECK-DAG: #[[WN:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[YT:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: @weight_on_the_left
func.func @weight_on_the_left(%x: tensor<4x3xf32>, %v: tensor<4xf32>, %zeros: tensor<2x3xf32>, %zv: tensor<2xf32>)
    -> (tensor<2x3xf32>, tensor<2xf32>) {
  %w = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  // CHECK: linalg.contract indexing_maps = [#[[XT]], #[[WN]], #[[YT]]] ins(%{{.*}}, %{{.*}} : tensor<4x3xf32>, tensor<2x4xf32>)
  %y = linalg.matmul ins(%w, %x : tensor<2x4xf32>, tensor<4x3xf32>) outs(%zeros : tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4xf32>, tensor<2x4xf32>)
  %z = linalg.matvec ins(%w, %v : tensor<2x4xf32>, tensor<4xf32>) outs(%zv : tensor<2xf32>) -> tensor<2xf32>
  return %y, %z : tensor<2x3xf32>, tensor<2xf32>
}

// -----

// A generic that is a product.
// CHECK-LABEL: @generic_product
func.func @generic_product(%x: tensor<3x4xf32>, %zeros: tensor<3x2xf32>) -> tensor<3x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32>
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %{{.*}} : tensor<3x4xf32>, tensor<2x4xf32>)
  %y = linalg.generic {indexing_maps = [affine_map<(m, k, n) -> (m, k)>, affine_map<(m, k, n) -> (k, n)>,
                                        affine_map<(m, k, n) -> (m, n)>],
                       iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%zeros : tensor<3x2xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// -----

// Products of activations, and weights that differ in each batch entry, stay.
// CHECK-LABEL: @not_linear
func.func @not_linear(%q: tensor<2x3x4xf32>, %k: tensor<2x4x3xf32>, %zeros: tensor<2x3x3xf32>)
    -> (tensor<2x3x3xf32>, tensor<2x3x3xf32>) {
  // CHECK: linalg.batch_matmul
  %s = linalg.batch_matmul ins(%q, %k : tensor<2x3x4xf32>, tensor<2x4x3xf32>) outs(%zeros : tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
  %w = arith.constant dense<[[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]],
                             [[4.0, 5.0, 6.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]]> : tensor<2x4x3xf32>
  // CHECK: linalg.batch_matmul
  // CHECK-NOT: linalg.contract
  %t = linalg.batch_matmul ins(%q, %w : tensor<2x3x4xf32>, tensor<2x4x3xf32>) outs(%zeros : tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
  return %s, %t : tensor<2x3x3xf32>, tensor<2x3x3xf32>
}

// -----

// The same behind a reshape that joins the dimensions of the batch: linear layers over images, [N, H, W, C].
// CHECK-LABEL: @batched_image
#kn = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
func.func @batched_image(%x: tensor<10x4x3xf32>, %zeros: tensor<10x4x2xf32>) -> tensor<10x4x2xf32> {
  // CHECK: arith.constant {{.*}} : tensor<2x3xf32>
  // CHECK-NOT: tensor<2x5x3x2xf32>
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %e = tensor.empty() : tensor<2x5x3x2xf32>
  %wb = linalg.generic {indexing_maps = [#kn, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%w : tensor<3x2xf32>) outs(%e : tensor<2x5x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<2x5x3x2xf32>
  %wc = tensor.collapse_shape %wb [[0, 1], [2], [3]] : tensor<2x5x3x2xf32> into tensor<10x3x2xf32>
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %{{.*}} : tensor<10x4x3xf32>, tensor<2x3xf32>)
  %y = linalg.batch_matmul ins(%x, %wc : tensor<10x4x3xf32>, tensor<10x3x2xf32>) outs(%zeros : tensor<10x4x2xf32>) -> tensor<10x4x2xf32>
  return %y : tensor<10x4x2xf32>
}

// -----

// Not if the weight differs along one of the joined dimensions: then each entry has a matrix of its own.
// CHECK-LABEL: @two_weights
#bkn = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
func.func @two_weights(%x: tensor<6x4x1xf32>, %zeros: tensor<6x4x2xf32>) -> tensor<6x4x2xf32> {
  // CHECK: arith.constant {{.*}} : tensor<6x1x2xf32>
  %w = arith.constant dense<[[[1.0, 2.0]], [[3.0, 4.0]]]> : tensor<2x1x2xf32>
  %e = tensor.empty() : tensor<2x3x1x2xf32>
  %wb = linalg.generic {indexing_maps = [#bkn, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%w : tensor<2x1x2xf32>) outs(%e : tensor<2x3x1x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<2x3x1x2xf32>
  %wc = tensor.collapse_shape %wb [[0, 1], [2], [3]] : tensor<2x3x1x2xf32> into tensor<6x1x2xf32>
  // CHECK: linalg.batch_matmul
  %y = linalg.batch_matmul ins(%x, %wc : tensor<6x4x1xf32>, tensor<6x1x2xf32>) outs(%zeros : tensor<6x4x2xf32>) -> tensor<6x4x2xf32>
  return %y : tensor<6x4x2xf32>
}
