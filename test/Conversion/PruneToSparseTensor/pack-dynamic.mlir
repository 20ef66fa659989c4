// Products behind gates, and of one token behind a ReLU, read only what is multiplied with nonzeros, where the cost model says so.
//
// DEFINE: %{remarks} = --remarks-filter=prune-pack --remark-format=emitRemark -o /dev/null
// RUN: prune-opt %s --split-input-file --prune-pack --cse | FileCheck %s
// RUN: prune-opt %s --split-input-file --prune-pack %{remarks} 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: prune-opt %s --split-input-file --prune-pack="kernel=dense" | FileCheck %s --check-prefix=DENSE
// DENSE-NOT: prune.sum_columns
// DENSE-NOT: prune.multiply_rows
// RUN: prune-opt %s --split-input-file --prune-pack="kernel=sparse threads=2" --cse | FileCheck %s --check-prefix=SPARSE

// The weight is transposed at compile time, and two layers share the lists of their input.
// CHECK-LABEL: @gated
// CHECK: %[[GATED:.*]] = prune.gate
// CHECK: %[[LISTS:.*]]:3 = prune.list_nonzeros ins(%[[GATED]] : tensor<1x512xf32>)
// CHECK-NOT: prune.list_nonzeros
// CHECK: prune.sum_columns ins(%{{.*}}, %[[LISTS]]#0, %[[LISTS]]#1, %[[LISTS]]#2 : tensor<512x256xf32>, tensor<1x512xi32>
// CHECK: prune.sum_columns ins(%{{.*}}, %[[LISTS]]#0, %[[LISTS]]#1, %[[LISTS]]#2 : tensor<512x256xf32>
// REMARK: [Passed] Pack {{.*}}a: columns of nonzero activations, density 0.25 of them ({{.*}} us estimated); skipping zeros of the activations pays below density {{[01]}}.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @gated(%x: tensor<1x512xf32>) -> (tensor<1x256xf32>, tensor<1x256xf32>) {
  %a = arith.constant dense<2.0> : tensor<256x512xf32> loc("a")
  %b = arith.constant dense<3.0> : tensor<256x512xf32> loc("b")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x256xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x256xf32>) -> tensor<1x256xf32>
  %m = prune.dynamic_mask %x along 1 keep(128) : tensor<1x512xf32>
  %g = prune.gate %x, %m : tensor<1x512xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %a : tensor<1x512xf32>, tensor<256x512xf32>) outs(%f : tensor<1x256xf32>) -> tensor<1x256xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %b : tensor<1x512xf32>, tensor<256x512xf32>) outs(%f : tensor<1x256xf32>) -> tensor<1x256xf32>
  return %0, %1 : tensor<1x256xf32>, tensor<1x256xf32>
}

// -----

// A ReLU is recognised in each form; large products are shared by threads.
// CHECK-LABEL: @rectified
// CHECK: prune.list_nonzeros
// CHECK: prune.sum_columns
// CHECK: prune.list_nonzeros
// CHECK: prune.sum_columns
// SPARSE-LABEL: @rectified
// SPARSE: prune.sum_columns shares 2
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#i = affine_map<(m, n) -> (m, n)>
func.func @rectified(%x: tensor<1x512xf32>) -> (tensor<1x256xf32>, tensor<1x256xf32>) {
  %w = arith.constant dense<2.0> : tensor<256x512xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x256xf32>
  %ex = tensor.empty() : tensor<1x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x256xf32>) -> tensor<1x256xf32>
  %r = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<1x512xf32>) outs(%ex : tensor<1x512xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<1x512xf32>
  %s = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<1x512xf32>) outs(%ex : tensor<1x512xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %in : f32
    %1 = arith.cmpf ugt, %0, %zero : f32
    %2 = arith.select %1, %0, %zero : f32
    linalg.yield %2 : f32
  } -> tensor<1x512xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %w : tensor<1x512xf32>, tensor<256x512xf32>) outs(%f : tensor<1x256xf32>) -> tensor<1x256xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%s, %w : tensor<1x512xf32>, tensor<256x512xf32>) outs(%f : tensor<1x256xf32>) -> tensor<1x256xf32>
  return %0, %1 : tensor<1x256xf32>, tensor<1x256xf32>
}

// -----

// Two tokens after a ReLU of unknown sparsity, and what is no ReLU, stay dense.
// CHECK-LABEL: @not_rectified
// CHECK-NOT: prune.list_nonzeros
// CHECK: return
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#i = affine_map<(m, n) -> (m, n)>
func.func @not_rectified(%x: tensor<1x512xf32>, %z: tensor<2x512xf32>) -> (tensor<1x256xf32>, tensor<2x256xf32>) {
  %w = arith.constant dense<2.0> : tensor<256x512xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x256xf32>
  %e2 = tensor.empty() : tensor<2x256xf32>
  %ex = tensor.empty() : tensor<1x512xf32>
  %ez = tensor.empty() : tensor<2x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x256xf32>) -> tensor<1x256xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x256xf32>) -> tensor<2x256xf32>
  %s = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<1x512xf32>) outs(%ex : tensor<1x512xf32>) {
  ^bb0(%in: f32, %out: f32):
    %1 = arith.cmpf olt, %in, %zero : f32
    %2 = arith.select %1, %in, %zero : f32
    %3 = arith.subf %zero, %2 : f32
    %4 = arith.addf %3, %in : f32
    linalg.yield %4 : f32
  } -> tensor<1x512xf32>
  %r = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel", "parallel"]} ins(%z : tensor<2x512xf32>) outs(%ez : tensor<2x512xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<2x512xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%s, %w : tensor<1x512xf32>, tensor<256x512xf32>) outs(%f : tensor<1x256xf32>) -> tensor<1x256xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %w : tensor<2x512xf32>, tensor<256x512xf32>) outs(%f2 : tensor<2x256xf32>) -> tensor<2x256xf32>
  return %0, %1 : tensor<1x256xf32>, tensor<2x256xf32>
}

// -----

// Zero times infinity is no zero: nothing is skipped.
// CHECK-LABEL: @infinite
// CHECK-NOT: prune.list_nonzeros
// CHECK: return
// REMARK: [Missed] Pack {{.*}}w: zeros of the activations are not skipped because the weight holds values that are not finite, whose product with zero is NaN
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @infinite(%x: tensor<1x4xf32>) -> tensor<1x2xf32> {
  %w = arith.constant dense<[[1.0, 0x7F800000, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]> : tensor<2x4xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  %m = prune.dynamic_mask %x along 1 keep(1) : tensor<1x4xf32>
  %g = prune.gate %x, %m : tensor<1x4xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %w : tensor<1x4xf32>, tensor<2x4xf32>) outs(%f : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %0 : tensor<1x2xf32>
}

// -----

// Activations whose columns do not lie side by side.
// CHECK-LABEL: @channels
// CHECK-NOT: prune.list_nonzeros
// CHECK: return
// REMARK: [Missed] Pack {{.*}}w: zeros of the activations are not skipped because they do not lie side by side
#x = affine_map<(m, n, k) -> (k, m)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (n, m)>
func.func @channels(%x: tensor<4x16xf32>) -> tensor<2x16xf32> {
  %w = arith.constant dense<2.0> : tensor<2x4xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  %m = prune.dynamic_mask %x along 0 keep(1) : tensor<4x16xf32>
  %g = prune.gate %x, %m : tensor<4x16xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %w : tensor<4x16xf32>, tensor<2x4xf32>) outs(%f : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0 : tensor<2x16xf32>
}

// -----

// With more than one token each call counts what it lists, and multiplies all columns of the same weight where there are too many.
// CHECK-LABEL: @four_tokens
// CHECK: %[[WEIGHT:.*]] = arith.constant {{.*}} : tensor<512x256xf32>
// CHECK: %[[LISTS:.*]]:3 = prune.list_nonzeros
// CHECK: %[[COUNT:.*]] = scf.for
// CHECK: tensor.extract %[[LISTS]]#2
// CHECK: %[[IS_DENSE:.*]] = arith.cmpi ugt, %[[COUNT]], %{{.*}} : i64
// CHECK: scf.if %[[IS_DENSE]] -> (tensor<4x256xf32>)
// CHECK: prune.sum_all_columns ins(%[[WEIGHT]], %
// CHECK: } else {
// CHECK: prune.sum_columns ins(%[[WEIGHT]], %[[LISTS]]#0
// REMARK: [Passed] Pack {{.*}}w: columns of nonzero activations, density 0.10 of them {{.*}}; dense by columns in calls with a density above 0.{{[0-9]+}}; next
#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
func.func @four_tokens(%x: tensor<2x2x512xf32>) -> tensor<2x2x256xf32> {
  %w = arith.constant dense<2.0> : tensor<256x512xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x2x256xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x2x256xf32>) -> tensor<2x2x256xf32>
  %m = prune.dynamic_mask %x along 2 threshold(1.0) sparsity(0.9) : tensor<2x2x512xf32>
  %gated = prune.gate %x, %m : tensor<2x2x512xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%gated, %w : tensor<2x2x512xf32>, tensor<256x512xf32>) outs(%f : tensor<2x2x256xf32>) -> tensor<2x2x256xf32>
  return %0 : tensor<2x2x256xf32>
}

// -----

// A dense product of one token streams the transposed weight.
// CHECK-LABEL: @dense
// CHECK: prune.sum_all_columns ins(%{{.*}}, %arg0 : tensor<512x256xf32>, tensor<1x512xf32>)
// DENSE-LABEL: @dense
// DENSE: prune.sum_all_columns
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @dense(%x: tensor<1x512xf32>) -> tensor<1x256xf32> {
  %w = arith.constant dense<2.0> : tensor<256x512xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x256xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x256xf32>) -> tensor<1x256xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<1x512xf32>, tensor<256x512xf32>) outs(%f : tensor<1x256xf32>) -> tensor<1x256xf32>
  return %0 : tensor<1x256xf32>
}

// -----

// Results that gates with one mask see, and nobody else: only those that the mask keeps are computed.
// CHECK-LABEL: @results
// CHECK: prune.multiply_rows ins(%{{.*}}, %arg0, %{{.*}} : tensor<512x256xf32>, tensor<1x256xf32>
// CHECK-NOT: prune.multiply_rows
// CHECK: return
// REMARK: [Passed] Pack {{.*}}p: rows of results that are kept, density 0.25 of them ({{.*}}); skipping pruned results pays below density
// REMARK: [Missed] Pack {{.*}}q: pruned results are computed because 'func.return' reads them before they are pruned
// REMARK: [Missed] Pack {{.*}}r: pruned results are computed because gates with different masks prune them
// REMARK: [Missed] Pack {{.*}}s: pruned results are computed because 'prune.dynamic_mask' reads them before they are pruned
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @results(%x: tensor<1x256xf32>, %scores: tensor<1x512xf32>) -> (tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>) {
  %w0 = arith.constant dense<2.0> : tensor<512x256xf32> loc("p")
  %w1 = arith.constant dense<2.0> : tensor<512x256xf32> loc("q")
  %w2 = arith.constant dense<2.0> : tensor<512x256xf32> loc("r")
  %w3 = arith.constant dense<2.0> : tensor<512x256xf32> loc("s")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x512xf32>) -> tensor<1x512xf32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w0 : tensor<1x256xf32>, tensor<512x256xf32>) outs(%f : tensor<1x512xf32>) -> tensor<1x512xf32>
  %q = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w1 : tensor<1x256xf32>, tensor<512x256xf32>) outs(%f : tensor<1x512xf32>) -> tensor<1x512xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w2 : tensor<1x256xf32>, tensor<512x256xf32>) outs(%f : tensor<1x512xf32>) -> tensor<1x512xf32>
  %s = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w3 : tensor<1x256xf32>, tensor<512x256xf32>) outs(%f : tensor<1x512xf32>) -> tensor<1x512xf32>
  %m = prune.dynamic_mask %scores along 1 keep(128) : tensor<1x512xf32>
  %n = prune.dynamic_mask %scores along 1 keep(64) : tensor<1x512xf32>
  %o = prune.dynamic_mask %s along 1 keep(64) : tensor<1x512xf32>
  %g0 = prune.gate %p, %m : tensor<1x512xf32>
  %g1 = prune.gate %q, %m : tensor<1x512xf32>
  %g2 = prune.gate %r, %m : tensor<1x512xf32>
  %g3 = prune.gate %r, %n : tensor<1x512xf32>
  %g4 = prune.gate %s, %o : tensor<1x512xf32>
  return %g0, %g1, %g2, %g3, %g4, %q : tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>, tensor<1x512xf32>
}

// -----

// CHECK-LABEL: @two_tokens
// CHECK: %[[R:.*]]:3 = prune.list_nonzeros
// CHECK: prune.multiply_rows ins({{.*}}, {{.*}}, %[[R]]#0, %[[R]]#2 : tensor<512x256xf32>, tensor<2x256xf32>, tensor<2x512xi32>, tensor<2xi32>)
// REMARK: [Passed] Pack {{.*}}p: rows of results that are kept, density 0.25 of them
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @two_tokens(%x: tensor<2x256xf32>, %scores: tensor<2x512xf32>) -> tensor<2x512xf32> {
  %w = arith.constant dense<2.0> : tensor<512x256xf32> loc("p")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x512xf32>) -> tensor<2x512xf32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<2x256xf32>, tensor<512x256xf32>) outs(%f : tensor<2x512xf32>) -> tensor<2x512xf32>
  %m = prune.dynamic_mask %scores along 1 keep(128) : tensor<2x512xf32>
  %g = prune.gate %p, %m : tensor<2x512xf32>
  return %g : tensor<2x512xf32>
}
