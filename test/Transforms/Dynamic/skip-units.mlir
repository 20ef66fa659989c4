// Heads that a gate prunes for all tokens are not computed.
// RUN: prune-opt %s --split-input-file --prune-skip-units --cse | FileCheck %s
// RUN: prune-opt %s --split-input-file --prune-skip-units --remarks-filter=dynamic --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK

// Products, softmax and transposes run for one head; what is read whole, and the gate, stay outside.
// CHECK-LABEL: @main
// CHECK: %[[MASK:.*]] = prune.dynamic_mask %arg3
// CHECK-NOT: linalg.contract
// CHECK: %[[HEADS:.*]] = scf.forall (%[[HEAD:.*]]) in (3) shared_outs(%[[OUT:.*]] = %{{.*}}) -> (tensor<1x5x3x4xf32>)
// CHECK: %[[COLUMN:.*]] = arith.muli %[[HEAD]], %c4
// CHECK: %[[IS_KEPT:.*]] = tensor.extract %[[MASK]][%c0, %c0, %[[COLUMN]]]
// CHECK: %[[PART:.*]] = scf.if %[[IS_KEPT]] -> (tensor<1x5x1x4xf32>)
// CHECK: linalg.contract {{.*}} : tensor<1x1x5x4xf32>, tensor<1x1x5x4xf32>) outs({{.*}} : tensor<1x1x5x5xf32>)
// CHECK: linalg.contract {{.*}} : tensor<1x1x5x5xf32>, tensor<1x1x5x4xf32>)
// CHECK: } else {
// CHECK: linalg.fill
// CHECK: tensor.parallel_insert_slice %[[PART]] into %[[OUT]][0, 0, %[[HEAD]], 0]
// CHECK-NOT: linalg.contract
// CHECK: tensor.collapse_shape %[[HEADS]]
// CHECK: prune.gate
// REMARK: [Passed] Skip {{.*}}of 3 units those that a gate keeps are computed: 9 operations
#qk = affine_map<(b, h, i, j, d) -> (b, h, i, d)>
#kk = affine_map<(b, h, i, j, d) -> (b, h, j, d)>
#s = affine_map<(b, h, i, j, d) -> (b, h, i, j)>
#p = affine_map<(b, h, i, d, j) -> (b, h, i, j)>
#v = affine_map<(b, h, i, d, j) -> (b, h, j, d)>
#o = affine_map<(b, h, i, d, j) -> (b, h, i, d)>
#all = affine_map<(b, h, i, j) -> (b, h, i, j)>
#row = affine_map<(b, h, i, j) -> (b, h, i)>
func.func @main(%q: tensor<1x5x12xf32>, %k: tensor<1x5x12xf32>, %v: tensor<1x5x12xf32>, %scores: tensor<1x5x12xf32>) -> tensor<1x5x12xf32> {
  %zero = arith.constant 0.0 : f32
  %q0 = tensor.expand_shape %q [[0], [1], [2, 3]] output_shape [1, 5, 3, 4] : tensor<1x5x12xf32> into tensor<1x5x3x4xf32>
  %k0 = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, 5, 3, 4] : tensor<1x5x12xf32> into tensor<1x5x3x4xf32>
  %v0 = tensor.expand_shape %v [[0], [1], [2, 3]] output_shape [1, 5, 3, 4] : tensor<1x5x12xf32> into tensor<1x5x3x4xf32>
  %et = tensor.empty() : tensor<1x3x5x4xf32>
  %q1 = linalg.transpose ins(%q0 : tensor<1x5x3x4xf32>) outs(%et : tensor<1x3x5x4xf32>) permutation = [0, 2, 1, 3]
  %k1 = linalg.transpose ins(%k0 : tensor<1x5x3x4xf32>) outs(%et : tensor<1x3x5x4xf32>) permutation = [0, 2, 1, 3]
  %v1 = linalg.transpose ins(%v0 : tensor<1x5x3x4xf32>) outs(%et : tensor<1x3x5x4xf32>) permutation = [0, 2, 1, 3]
  %es = tensor.empty() : tensor<1x3x5x5xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<1x3x5x5xf32>) -> tensor<1x3x5x5xf32>
  %s = linalg.contract indexing_maps = [#qk, #kk, #s] ins(%q1, %k1 : tensor<1x3x5x4xf32>, tensor<1x3x5x4xf32>) outs(%fs : tensor<1x3x5x5xf32>) -> tensor<1x3x5x5xf32>
  %x = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%s : tensor<1x3x5x5xf32>) outs(%es : tensor<1x3x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = math.exp %in : f32
    linalg.yield %0 : f32
  } -> tensor<1x3x5x5xf32>
  %er = tensor.empty() : tensor<1x3x5xf32>
  %fr = linalg.fill ins(%zero : f32) outs(%er : tensor<1x3x5xf32>) -> tensor<1x3x5xf32>
  %r = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x : tensor<1x3x5x5xf32>) outs(%fr : tensor<1x3x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<1x3x5xf32>
  %p = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x, %r : tensor<1x3x5x5xf32>, tensor<1x3x5xf32>) outs(%es : tensor<1x3x5x5xf32>) {
  ^bb0(%in: f32, %sum: f32, %out: f32):
    %0 = arith.divf %in, %sum : f32
    linalg.yield %0 : f32
  } -> tensor<1x3x5x5xf32>
  %fo = linalg.fill ins(%zero : f32) outs(%et : tensor<1x3x5x4xf32>) -> tensor<1x3x5x4xf32>
  %o = linalg.contract indexing_maps = [#p, #v, #o] ins(%p, %v1 : tensor<1x3x5x5xf32>, tensor<1x3x5x4xf32>) outs(%fo : tensor<1x3x5x4xf32>) -> tensor<1x3x5x4xf32>
  %eo = tensor.empty() : tensor<1x5x3x4xf32>
  %t = linalg.transpose ins(%o : tensor<1x3x5x4xf32>) outs(%eo : tensor<1x5x3x4xf32>) permutation = [0, 2, 1, 3]
  %c = tensor.collapse_shape %t [[0], [1], [2, 3]] : tensor<1x5x3x4xf32> into tensor<1x5x12xf32>
  %m = prune.dynamic_mask %scores along 2 unit(4) whole [1] keep(2) : tensor<1x5x12xf32>
  %g = prune.gate %c, %m : tensor<1x5x12xf32>
  return %g : tensor<1x5x12xf32>
}

// -----

// The scores are those of the heads themselves; another mask differs from token to token.
// CHECK-LABEL: @depends
// CHECK-NOT: scf.forall
// CHECK: return
// REMARK: [Missed] Skip {{.*}}the 3 units of a gate are computed before they are pruned because something else reads them
// REMARK-NOT: Skip
#x = affine_map<(h, i, d, j) -> (i, h, j)>
#y = affine_map<(h, i, d, j) -> (j, h, d)>
#z = affine_map<(h, i, d, j) -> (i, h, d)>
func.func @depends(%x: tensor<5x3x5xf32>, %y: tensor<5x3x4xf32>) -> (tensor<5x12xf32>, tensor<5x12xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x3x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x3x4xf32>) -> tensor<5x3x4xf32>
  %o = linalg.contract indexing_maps = [#x, #y, #z] ins(%x, %y : tensor<5x3x5xf32>, tensor<5x3x4xf32>) outs(%f : tensor<5x3x4xf32>) -> tensor<5x3x4xf32>
  %c = tensor.collapse_shape %o [[0], [1, 2]] : tensor<5x3x4xf32> into tensor<5x12xf32>
  %m = prune.dynamic_mask %c along 1 unit(4) whole [0] keep(2) : tensor<5x12xf32>
  %g = prune.gate %c, %m : tensor<5x12xf32>
  %n = prune.dynamic_mask %g along 1 unit(4) keep(2) : tensor<5x12xf32>
  %h = prune.gate %g, %n : tensor<5x12xf32>
  return %g, %h : tensor<5x12xf32>, tensor<5x12xf32>
}

// -----

// A mask that comes from the products in another way, and units that nothing makes one by one.
// CHECK-LABEL: @other_ways
// CHECK-NOT: scf.forall
// CHECK: return
// REMARK: [Missed] Skip {{.*}}because no product computes them one by one
// REMARK: [Missed] Skip {{.*}}because they are not a dimension of what is gated, or of what becomes it by tensor.collapse_shape
func.func @other_ways(%x: tensor<5x3x4xf32>, %y: tensor<5x12xf32>) -> (tensor<5x12xf32>, tensor<5x12xf32>) {
  %c = tensor.collapse_shape %x [[0], [1, 2]] : tensor<5x3x4xf32> into tensor<5x12xf32>
  %m = prune.dynamic_mask %y along 1 unit(4) whole [0] keep(2) : tensor<5x12xf32>
  %g = prune.gate %c, %m : tensor<5x12xf32>
  %n = prune.dynamic_mask %g along 1 unit(4) whole [0] keep(1) : tensor<5x12xf32>
  %h = prune.gate %y, %n : tensor<5x12xf32>
  return %g, %h : tensor<5x12xf32>, tensor<5x12xf32>
}

// -----

// Batches of one are merged with heads, as importers write it.
// CHECK-LABEL: @merged
// CHECK: scf.forall
// CHECK: scf.if
// CHECK: tensor.collapse_shape %{{.*}} : tensor<1x1x5x5xf32> into tensor<1x5x5xf32>
// CHECK: linalg.batch_matmul ins({{.*}} : tensor<1x5x5xf32>, tensor<1x5x4xf32>)
// CHECK: tensor.expand_shape %{{.*}} : tensor<1x5x4xf32> into tensor<1x1x5x4xf32>
// CHECK-NOT: linalg.batch_matmul
// REMARK: [Passed] Skip {{.*}}of 3 units those that a gate keeps are computed: 5 operations
func.func @merged(%p: tensor<1x3x5x5xf32>, %v: tensor<1x3x5x4xf32>, %scores: tensor<1x5x12xf32>) -> tensor<1x5x12xf32> {
  %zero = arith.constant 0.0 : f32
  %p0 = tensor.collapse_shape %p [[0, 1], [2], [3]] : tensor<1x3x5x5xf32> into tensor<3x5x5xf32>
  %v0 = tensor.collapse_shape %v [[0, 1], [2], [3]] : tensor<1x3x5x4xf32> into tensor<3x5x4xf32>
  %e = tensor.empty() : tensor<3x5x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  %o = linalg.batch_matmul ins(%p0, %v0 : tensor<3x5x5xf32>, tensor<3x5x4xf32>) outs(%f : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  %o1 = tensor.expand_shape %o [[0, 1], [2], [3]] output_shape [1, 3, 5, 4] : tensor<3x5x4xf32> into tensor<1x3x5x4xf32>
  %eo = tensor.empty() : tensor<1x5x3x4xf32>
  %t = linalg.transpose ins(%o1 : tensor<1x3x5x4xf32>) outs(%eo : tensor<1x5x3x4xf32>) permutation = [0, 2, 1, 3]
  %c = tensor.collapse_shape %t [[0], [1], [2, 3]] : tensor<1x5x3x4xf32> into tensor<1x5x12xf32>
  %m = prune.dynamic_mask %scores along 2 unit(4) whole [1] keep(2) : tensor<1x5x12xf32>
  %g = prune.gate %c, %m : tensor<1x5x12xf32>
  return %g : tensor<1x5x12xf32>
}
