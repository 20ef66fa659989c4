// Chains run slice by slice, and what does not fit a chain stays as it is.
// RUN: prune-opt %s --split-input-file --prune-tile-chains="slice-bytes=1024" | FileCheck %s
// RUN: prune-opt %s --split-input-file --prune-tile-chains="slice-bytes=1048576" | FileCheck %s --check-prefix=LARGE

#scores = affine_map<(h, q, k) -> (h, q, k)>
#row = affine_map<(h, q, k) -> (h, q)>

// A softmax: head by head, 16 x 16 scores each. The maximum and the sum are part of it, their fills move inside.
// CHECK-LABEL: func @softmax
// CHECK-SAME: %[[X:.*]]: tensor<4x16x16xf32>
// CHECK: scf.forall (%[[H:.*]]) in (4) shared_outs(%[[OUT:.*]] = {{.*}}) -> (tensor<4x16x16xf32>)
// CHECK: %[[SLICE:.*]] = tensor.extract_slice %[[X]][%[[H]], 0, 0] [1, 16, 16]
// CHECK: linalg.fill {{.*}} -> tensor<1x16xf32>
// CHECK: linalg.generic {{.*}} ins(%[[SLICE]]
// CHECK: %[[EXP:.*]] = linalg.generic {{.*}} outs({{.*}} : tensor<1x16x16xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[EXP]]
// CHECK: %[[PLACE:.*]] = tensor.extract_slice %[[OUT]][%[[H]], 0, 0]
// CHECK: linalg.generic {{.*}} outs(%[[PLACE]]
// CHECK: tensor.parallel_insert_slice
// LARGE-LABEL: func @softmax
// LARGE-NOT: scf.forall
func.func @softmax(%x: tensor<4x16x16xf32>) -> tensor<4x16x16xf32> {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x16x16xf32>
  %r = tensor.empty() : tensor<4x16xf32>
  %lows = linalg.fill ins(%low : f32) outs(%r : tensor<4x16xf32>) -> tensor<4x16xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%r : tensor<4x16xf32>) -> tensor<4x16xf32>
  %max = linalg.generic {indexing_maps = [#scores, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x : tensor<4x16x16xf32>) outs(%lows : tensor<4x16xf32>) {
  ^bb0(%a: f32, %m: f32):
    %0 = arith.maximumf %a, %m : f32
    linalg.yield %0 : f32
  } -> tensor<4x16xf32>
  %exp = linalg.generic {indexing_maps = [#scores, #row, #scores], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %max : tensor<4x16x16xf32>, tensor<4x16xf32>) outs(%e : tensor<4x16x16xf32>) {
  ^bb0(%a: f32, %m: f32, %o: f32):
    %0 = arith.subf %a, %m : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x16x16xf32>
  %sum = linalg.generic {indexing_maps = [#scores, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%exp : tensor<4x16x16xf32>) outs(%zeros : tensor<4x16xf32>) {
  ^bb0(%a: f32, %s: f32):
    %0 = arith.addf %a, %s : f32
    linalg.yield %0 : f32
  } -> tensor<4x16xf32>
  %y = linalg.generic {indexing_maps = [#scores, #row, #scores], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<4x16x16xf32>, tensor<4x16xf32>) outs(%e : tensor<4x16x16xf32>) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %0 = arith.divf %a, %s : f32
    linalg.yield %0 : f32
  } -> tensor<4x16x16xf32>
  return %y : tensor<4x16x16xf32>
}

// -----

#all = affine_map<(i, j, k) -> (i, j, k)>
#row = affine_map<(i, j, k) -> (i, j)>

// The intermediate is also a result: slices of it would be computed for nothing. linalg.index counts from the tile.
// CHECK-LABEL: func @used_elsewhere
// CHECK-NOT: scf.forall
// CHECK-LABEL: func @index
// CHECK: scf.forall (%[[I:.*]]) in (4)
// CHECK: %[[INDEX:.*]] = linalg.index 0
// CHECK: arith.addi %[[INDEX]], %[[I]]
func.func @used_elsewhere(%x: tensor<4x16x16xf32>) -> (tensor<4x16xf32>, tensor<4x16x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x16x16xf32>
  %r = tensor.empty() : tensor<4x16xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%r : tensor<4x16xf32>) -> tensor<4x16xf32>
  %square = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : tensor<4x16x16xf32>) outs(%e : tensor<4x16x16xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.mulf %a, %a : f32
    linalg.yield %0 : f32
  } -> tensor<4x16x16xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%square : tensor<4x16x16xf32>) outs(%zeros : tensor<4x16xf32>) {
  ^bb0(%a: f32, %s: f32):
    %0 = arith.addf %a, %s : f32
    linalg.yield %0 : f32
  } -> tensor<4x16xf32>
  return %sum, %square : tensor<4x16xf32>, tensor<4x16x16xf32>
}

func.func @index(%x: tensor<4x16x16xf32>) -> tensor<4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x16x16xf32>
  %r = tensor.empty() : tensor<4x16xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%r : tensor<4x16xf32>) -> tensor<4x16xf32>
  %scaled = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : tensor<4x16x16xf32>) outs(%e : tensor<4x16x16xf32>) {
  ^bb0(%a: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i32
    %f = arith.sitofp %j : i32 to f32
    %0 = arith.mulf %a, %f : f32
    linalg.yield %0 : f32
  } -> tensor<4x16x16xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%scaled : tensor<4x16x16xf32>) outs(%zeros : tensor<4x16xf32>) {
  ^bb0(%a: f32, %s: f32):
    %0 = arith.addf %a, %s : f32
    linalg.yield %0 : f32
  } -> tensor<4x16xf32>
  return %sum : tensor<4x16xf32>
}

// -----

// A convolution is not cut by filters: what its window reads is copied once for all of them.
// CHECK-LABEL: @whole_convolution
// CHECK-NOT: scf.for
// CHECK: linalg.conv_2d_nchw_fchw {{.*}} outs(%{{.*}} : tensor<1x64x112x112xf32>)
func.func @whole_convolution(%x: tensor<1x3x230x230xf32>, %w: tensor<64x3x7x7xf32>, %b: tensor<64xf32>) -> tensor<1x64x112x112xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x64x112x112xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x64x112x112xf32>) -> tensor<1x64x112x112xf32>
  %c = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<2> : vector<2xi64>}
    ins(%x, %w : tensor<1x3x230x230xf32>, tensor<64x3x7x7xf32>) outs(%f : tensor<1x64x112x112xf32>) -> tensor<1x64x112x112xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(n, f, h, w) -> (n, f, h, w)>, affine_map<(n, f, h, w) -> (f)>, affine_map<(n, f, h, w) -> (n, f, h, w)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
    ins(%c, %b : tensor<1x64x112x112xf32>, tensor<64xf32>) outs(%e : tensor<1x64x112x112xf32>) {
  ^bb0(%in: f32, %bias: f32, %out: f32):
    %s = arith.addf %in, %bias : f32
    linalg.yield %s : f32
  } -> tensor<1x64x112x112xf32>
  return %y : tensor<1x64x112x112xf32>
}

// -----

// Two packed layers: storage of more dimensions than the layer has loops is read whole by each tile.
// CHECK-LABEL: func @packed_layers
// CHECK-SAME: %[[W:.*]]: tensor<4x16x6xf32>
// CHECK: scf.forall (%[[T:.*]]) in (4)
// CHECK: %[[HIDDEN:.*]] = prune.linear dense {{.*}} storage(%[[W]] : tensor<4x16x6xf32>) ins(%{{.*}} : tensor<1x16x32xf32>)
// CHECK: prune.linear dense {{.*}} ins(%[[HIDDEN]] : tensor<1x24x32xf32>)
func.func @packed_layers(%w: tensor<4x16x6xf32>, %v: tensor<3x24x6xf32>, %x: tensor<4x16x32xf32>) -> tensor<4x16x32xf32> {
  %e = tensor.empty() : tensor<4x24x32xf32>
  %h = prune.linear dense rows 6 chunk 16 storage(%w : tensor<4x16x6xf32>) ins(%x : tensor<4x16x32xf32>)
         outs(%e : tensor<4x24x32xf32>) {
  ^bb0(%sum: f32):
    %0 = math.tanh %sum : f32
    prune.yield %0 : f32
  } -> tensor<4x24x32xf32>
  %o = tensor.empty() : tensor<4x16x32xf32>
  %y = prune.linear dense rows 6 chunk 24 storage(%v : tensor<3x24x6xf32>) ins(%h : tensor<4x24x32xf32>)
         outs(%o : tensor<4x16x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<4x16x32xf32>
  return %y : tensor<4x16x32xf32>
}

// -----

#scores = affine_map<(h, q, i, j) -> (h, q, i, j)>
#keys = affine_map<(h, q, i, j) -> (i * 8 + j)>
#row = affine_map<(h, q, i, j) -> (h, q)>

// A mask of the keys, read by two loops as one dimension, moves with no tile: it is no window.
// CHECK-LABEL: func @split_mask
// CHECK-SAME: %{{.*}}: tensor<4x16x2x8xf32>, %[[MASK:.*]]: tensor<16xf32>
// CHECK: scf.forall (%{{.*}}) in (4)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[MASK]] : tensor<1x16x2x8xf32>, tensor<16xf32>)
func.func @split_mask(%x: tensor<4x16x2x8xf32>, %mask: tensor<16xf32>) -> tensor<4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x16x2x8xf32>
  %r = tensor.empty() : tensor<4x16xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%r : tensor<4x16xf32>) -> tensor<4x16xf32>
  %masked = linalg.generic {indexing_maps = [#scores, #keys, #scores],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%x, %mask : tensor<4x16x2x8xf32>, tensor<16xf32>) outs(%e : tensor<4x16x2x8xf32>) {
  ^bb0(%a: f32, %m: f32, %o: f32):
    %0 = arith.addf %a, %m : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x16x2x8xf32>
  %sum = linalg.generic {indexing_maps = [#scores, #keys, #row],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%masked, %mask : tensor<4x16x2x8xf32>, tensor<16xf32>) outs(%zeros : tensor<4x16xf32>) {
  ^bb0(%a: f32, %m: f32, %s: f32):
    %0 = arith.addf %a, %s : f32
    linalg.yield %0 : f32
  } -> tensor<4x16xf32>
  return %sum : tensor<4x16xf32>
}

// -----

// A loss is a number made of a number: nothing to tile, and no crash.
#vector = affine_map<(d0) -> (d0)>
#number = affine_map<(d0) -> ()>
#scalar = affine_map<() -> ()>
// CHECK-LABEL: @keeps_ops_on_numbers
// CHECK-NOT: scf.forall
func.func @keeps_ops_on_numbers(%x: tensor<4xf32>) -> tensor<f32> {
  %c4 = arith.constant 4.0 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %sum = linalg.generic {indexing_maps = [#vector, #number], iterator_types = ["reduction"]}
      ins(%x : tensor<4xf32>) outs(%init : tensor<f32>) {
  ^bb0(%a: f32, %s: f32):
    %r = arith.addf %s, %a : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  %mean = linalg.generic {indexing_maps = [#scalar, #scalar], iterator_types = []}
      ins(%sum : tensor<f32>) outs(%e : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.divf %a, %c4 : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  return %mean : tensor<f32>
}

// -----

// Products by weights that are no constants read a panel of the weight for many rows: tiles of one row would read the
// whole weight for each of them.

// CHECK-LABEL: func.func @products_by_arguments
// CHECK-NOT: scf.forall
func.func @products_by_arguments(%x: tensor<1024x384xf32>, %up: tensor<1536x384xf32>, %down: tensor<384x1536xf32>) -> tensor<1024x384xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<1024x1536xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<1024x1536xf32>) -> tensor<1024x1536xf32>
  %0 = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
         ins(%x, %up : tensor<1024x384xf32>, tensor<1536x384xf32>) outs(%f0 : tensor<1024x1536xf32>) -> tensor<1024x1536xf32>
  %1 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
         ins(%0 : tensor<1024x1536xf32>) outs(%e0 : tensor<1024x1536xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %zero : f32
    linalg.yield %r : f32
  } -> tensor<1024x1536xf32>
  %e2 = tensor.empty() : tensor<1024x384xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1024x384xf32>) -> tensor<1024x384xf32>
  %2 = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
         ins(%1, %down : tensor<1024x1536xf32>, tensor<384x1536xf32>) outs(%f2 : tensor<1024x384xf32>) -> tensor<1024x384xf32>
  return %2 : tensor<1024x384xf32>
}
