// Products behind gates, and of one token behind a ReLU, read only what is multiplied with nonzeros, where the cost model says so.
//
// DEFINE: %{remarks} = --remarks-filter=prune-pack --remark-format=emitRemark -o /dev/null
// RUN: prune-opt %s --split-input-file --prune-pack --cse | FileCheck %s
// RUN: prune-opt %s --split-input-file --prune-pack %{remarks} 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: prune-opt %s --split-input-file --prune-pack="kernel=dense" | FileCheck %s --check-prefix=DENSE
// DENSE-NOT: prune.sum_columns
// RUN: prune-opt %s --split-input-file --prune-pack="kernel=sparse threads=2" --cse | FileCheck %s --check-prefix=SPARSE

// The weight is transposed at compile time, and two layers share the lists of their input.
// CHECK-LABEL: @gated
// CHECK: %[[GATED:.*]] = prune.gate
// CHECK: %[[LISTS:.*]]:3 = prune.list_nonzeros ins(%[[GATED]] : tensor<1x64xf32>)
// CHECK-NOT: prune.list_nonzeros
// CHECK: prune.sum_columns ins(%{{.*}}, %[[LISTS]]#0, %[[LISTS]]#1, %[[LISTS]]#2 : tensor<64x32xf32>, tensor<1x64xi32>
// CHECK: prune.sum_columns ins(%{{.*}}, %[[LISTS]]#0, %[[LISTS]]#1, %[[LISTS]]#2 : tensor<64x32xf32>
// REMARK: [Passed] Pack {{.*}}a: columns of nonzero activations, density 0.25 of them ({{.*}} us estimated); skipping zeros of the activations pays below density {{[01]}}.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @gated(%x: tensor<1x64xf32>) -> (tensor<1x32xf32>, tensor<1x32xf32>) {
  %a = arith.constant dense<2.0> : tensor<32x64xf32> loc("a")
  %b = arith.constant dense<3.0> : tensor<32x64xf32> loc("b")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x32xf32>) -> tensor<1x32xf32>
  %m = prune.dynamic_mask %x along 1 keep(16) : tensor<1x64xf32>
  %g = prune.gate %x, %m : tensor<1x64xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %a : tensor<1x64xf32>, tensor<32x64xf32>) outs(%f : tensor<1x32xf32>) -> tensor<1x32xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %b : tensor<1x64xf32>, tensor<32x64xf32>) outs(%f : tensor<1x32xf32>) -> tensor<1x32xf32>
  return %0, %1 : tensor<1x32xf32>, tensor<1x32xf32>
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
