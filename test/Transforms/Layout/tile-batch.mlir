// What a batch passes through runs sample by sample, where that keeps its activations in cache.
// RUN: prune-opt %s --split-input-file --prune-tile-batch="cache-bytes=8192" | FileCheck %s
// RUN: prune-opt %s --split-input-file --prune-tile-batch="cache-bytes=1048576" | FileCheck %s --check-prefix=SMALL
// RUN: prune-opt %s --split-input-file --prune-tile-batch="cache-bytes=8192 weight-bytes=2000" | FileCheck %s --check-prefix=WEIGHTS
// RUN: prune-opt %s --split-input-file --prune-tile-batch="cache-bytes=8192" --prune-tile-chains="slice-bytes=1024" | FileCheck %s --check-prefix=CHAINS

#all = affine_map<(b, t, k, l) -> (b, t, k, l)>
#split = affine_map<(b, t, h, k, l) -> (b, t, h, k, l)>
#head = affine_map<(b, t, h, k, l) -> (b, t, h, l)>

// Two packed layers, a reshape that keeps the batch, and a sum: one loop, weights whole, one result.
// CHECK-LABEL: func @layers
// CHECK-SAME: %[[X:.*]]: tensor<8x2x16x32xf32>
// CHECK: scf.forall (%[[B:.*]]) in (8) shared_outs(%[[OUT:.*]] = {{.*}}) -> (tensor<8x2x4x32xf32>)
// CHECK: %[[SAMPLE:.*]] = tensor.extract_slice %[[X]][%[[B]], 0, 0, 0] [1, 2, 16, 32]
// CHECK: %[[H:.*]] = prune.linear {{.*}} storage(%{{.*}} : tensor<4x16x6xf32>) ins(%[[SAMPLE]] : tensor<1x2x16x32xf32>)
// CHECK: %[[Y:.*]] = prune.linear {{.*}} ins(%[[H]] : tensor<1x2x24x32xf32>)
// CHECK: tensor.expand_shape %[[Y]] {{.*}} : tensor<1x2x16x32xf32> into tensor<1x2x4x4x32xf32>
// CHECK: %[[PLACE:.*]] = tensor.extract_slice %[[OUT]][%[[B]], 0, 0, 0]
// CHECK: %[[ZEROS:.*]] = linalg.fill {{.*}} outs(%[[PLACE]]
// CHECK: linalg.generic {{.*}} outs(%[[ZEROS]] : tensor<1x2x4x32xf32>)
// CHECK: tensor.parallel_insert_slice
// SMALL-LABEL: func @layers
// SMALL-NOT: scf.forall
// Both weights together have 3.2 KB. The first layer alone has nothing to keep in cache.
// WEIGHTS-LABEL: func @layers
// WEIGHTS: prune.linear {{.*}} ins(%{{.*}} : tensor<8x2x16x32xf32>)
// WEIGHTS: scf.forall
// WEIGHTS: prune.linear {{.*}} ins(%{{.*}} : tensor<1x2x24x32xf32>)
// Tiles of a sample inside.
// CHAINS-LABEL: func @layers
// CHAINS: scf.forall (%{{.*}}) in (8)
// CHAINS: scf.forall (%{{.*}}) in (2)
// CHAINS: prune.linear {{.*}} ins(%{{.*}} : tensor<1x1x16x32xf32>)
// CHAINS: prune.linear {{.*}} ins(%{{.*}} : tensor<1x1x24x32xf32>)
func.func @layers(%x: tensor<8x2x16x32xf32>, %w: tensor<4x16x6xf32>, %v: tensor<3x24x6xf32>) -> tensor<8x2x4x32xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x2x24x32xf32>
  %h = prune.linear dense rows 6 chunk 16 storage(%w : tensor<4x16x6xf32>) ins(%x : tensor<8x2x16x32xf32>)
         outs(%e : tensor<8x2x24x32xf32>) {
  ^bb0(%sum: f32):
    %0 = math.tanh %sum : f32
    prune.yield %0 : f32
  } -> tensor<8x2x24x32xf32>
  %o = tensor.empty() : tensor<8x2x16x32xf32>
  %y = prune.linear dense rows 6 chunk 24 storage(%v : tensor<3x24x6xf32>) ins(%h : tensor<8x2x24x32xf32>)
         outs(%o : tensor<8x2x16x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<8x2x16x32xf32>
  %heads = tensor.expand_shape %y [[0], [1], [2, 3], [4]] output_shape [8, 2, 4, 4, 32] : tensor<8x2x16x32xf32> into tensor<8x2x4x4x32xf32>
  %r = tensor.empty() : tensor<8x2x4x32xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%r : tensor<8x2x4x32xf32>) -> tensor<8x2x4x32xf32>
  %s = linalg.generic {indexing_maps = [#split, #head], iterator_types = ["parallel", "parallel", "parallel", "reduction", "parallel"]}
      ins(%heads : tensor<8x2x4x4x32xf32>) outs(%zeros : tensor<8x2x4x32xf32>) {
  ^bb0(%a: f32, %o1: f32):
    %0 = arith.addf %a, %o1 : f32
    linalg.yield %0 : f32
  } -> tensor<8x2x4x32xf32>
  return %s : tensor<8x2x4x32xf32>
}

// -----

#all = affine_map<(b, t, k) -> (b, t, k)>
#sample = affine_map<(b, t, k) -> (b, k)>
#mean = affine_map<(b, t, k) -> (k)>

// A sum over the samples needs them all: it stays behind, and so does what follows; the sums of each sample are in a loop.
// CHECK-LABEL: func @joined
// CHECK: scf.forall (%{{.*}}) in (8)
// CHECK: math.exp
// CHECK: tensor.parallel_insert_slice
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<8x16x32xf32>) outs(%{{.*}} : tensor<32xf32>)
func.func @joined(%x: tensor<8x16x32xf32>) -> (tensor<8x32xf32>, tensor<32xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x16x32xf32>
  %r = tensor.empty() : tensor<8x32xf32>
  %m = tensor.empty() : tensor<32xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%r : tensor<8x32xf32>) -> tensor<8x32xf32>
  %none = linalg.fill ins(%zero : f32) outs(%m : tensor<32xf32>) -> tensor<32xf32>
  %exp = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : tensor<8x16x32xf32>) outs(%e : tensor<8x16x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = math.exp %a : f32
    linalg.yield %0 : f32
  } -> tensor<8x16x32xf32>
  %squares = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp : tensor<8x16x32xf32>) outs(%e : tensor<8x16x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.mulf %a, %a : f32
    linalg.yield %0 : f32
  } -> tensor<8x16x32xf32>
  %sum = linalg.generic {indexing_maps = [#all, #sample], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%squares : tensor<8x16x32xf32>) outs(%zeros : tensor<8x32xf32>) {
  ^bb0(%a: f32, %s: f32):
    %0 = arith.addf %a, %s : f32
    linalg.yield %0 : f32
  } -> tensor<8x32xf32>
  %all = linalg.generic {indexing_maps = [#all, #mean], iterator_types = ["reduction", "reduction", "parallel"]}
      ins(%exp : tensor<8x16x32xf32>) outs(%none : tensor<32xf32>) {
  ^bb0(%a: f32, %s: f32):
    %0 = arith.addf %a, %s : f32
    linalg.yield %0 : f32
  } -> tensor<32xf32>
  return %sum, %all : tensor<8x32xf32>, tensor<32xf32>
}

// -----

#x = affine_map<(b, n, k) -> (b, k)>
#w = affine_map<(b, n, k) -> (n, k)>
#y = affine_map<(b, n, k) -> (b, n)>

// One row for each sample: its product would read the weight eight times.
// CHECK-LABEL: func @classifier
// CHECK-NOT: scf.forall
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<8x512xf32>, tensor<512x512xf32>)
func.func @classifier(%x: tensor<8x512xf32>, %w: tensor<512x512xf32>) -> tensor<8x512xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x512xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<8x512xf32>) -> tensor<8x512xf32>
  %h = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<8x512xf32>, tensor<512x512xf32>) outs(%zeros : tensor<8x512xf32>) {
  ^bb0(%a: f32, %b: f32, %s: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x512xf32>
  %y = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%h, %w : tensor<8x512xf32>, tensor<512x512xf32>) outs(%zeros : tensor<8x512xf32>) {
  ^bb0(%a: f32, %b: f32, %s: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x512xf32>
  return %y : tensor<8x512xf32>
}

// -----

// One sample is no batch.
// CHECK-LABEL: func @one
// CHECK-NOT: scf.forall
func.func @one(%x: tensor<1x8x16x32xf32>, %w: tensor<4x16x6xf32>, %v: tensor<3x24x6xf32>) -> tensor<1x8x16x32xf32> {
  %e = tensor.empty() : tensor<1x8x24x32xf32>
  %h = prune.linear dense rows 6 chunk 16 storage(%w : tensor<4x16x6xf32>) ins(%x : tensor<1x8x16x32xf32>)
         outs(%e : tensor<1x8x24x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<1x8x24x32xf32>
  %o = tensor.empty() : tensor<1x8x16x32xf32>
  %y = prune.linear dense rows 6 chunk 24 storage(%v : tensor<3x24x6xf32>) ins(%h : tensor<1x8x24x32xf32>)
         outs(%o : tensor<1x8x16x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<1x8x16x32xf32>
  return %y : tensor<1x8x16x32xf32>
}
