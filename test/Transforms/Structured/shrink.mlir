// Slice masks on every weight of a unit become smaller shapes; masks that cannot stay as they are, with the reason.
// RUN: prune-opt %s -split-input-file --prune-shrink --remarks-filter=prune-shrink 2>%t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t.remarks

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// CHECK-LABEL: @removes_neurons
// CHECK: arith.constant dense<{{\[\[}}1.000000e+00, 2.000000e+00], [7.000000e+00, 8.000000e+00]]> : tensor<2x2xf32>
// CHECK: arith.constant dense<{{\[\[}}1.000000e+00, 4.000000e+00], [5.000000e+00, 8.000000e+00]]> : tensor<2x2xf32>
// CHECK-NOT: prune.
// CHECK: linalg.contract {{.*}} -> tensor<1x2xf32>
// CHECK: linalg.contract {{.*}} -> tensor<1x2xf32>
// REMARK: Remark="removed 2 units from 2 weights"
prune.record "fc1:0" as(#prune.slice<dim = 0>) keeps 4 of 8 digest "0123456789abcdef"
func.func @removes_neurons(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %w1 = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32> loc("fc1")
  %w2 = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32> loc("fc2")
  %m1 = arith.constant dense<[[true, true], [false, false], [false, false], [true, true]]> : tensor<4x2xi1>
  %m2 = arith.constant dense<[[true, false, false, true], [true, false, false, true]]> : tensor<2x4xi1>
  %a = prune.apply %w1, %m1 as(#prune.slice<dim = 0>) name("fc1:0") : tensor<4x2xf32>
  %b = prune.apply %w2, %m2 as(#prune.slice<dim = 1>) name("fc2:1") : tensor<2x4xf32>
  %z1 = arith.constant dense<0.0> : tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<1x2xf32>, tensor<4x2xf32>)
      outs(%z1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %z2 = arith.constant dense<0.0> : tensor<1x2xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %b : tensor<1x4xf32>, tensor<2x4xf32>)
      outs(%z2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// The reader of the neuron is not masked: without it the neuron is gone, but that it is zero is not said.
// CHECK-LABEL: @keeps_units_that_are_masked_in_part
// CHECK: prune.apply
// CHECK: linalg.contract {{.*}} -> tensor<1x2xf32>
// REMARK: Remark="1 of 1 masked indices of dimension 0 of 'fc1' stay: other weights of the same units are not masked"
func.func @keeps_units_that_are_masked_in_part(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %w1 = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("fc1")
  %w2 = arith.constant dense<[[1.0, 2.0], [5.0, 6.0]]> : tensor<2x2xf32> loc("fc2")
  %m1 = arith.constant dense<[[true, true], [false, false]]> : tensor<2x2xi1>
  %a = prune.apply %w1, %m1 as(#prune.slice<dim = 0>) name("fc1:0") : tensor<2x2xf32>
  %z1 = arith.constant dense<0.0> : tensor<1x2xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<1x2xf32>, tensor<2x2xf32>)
      outs(%z1 : tensor<1x2xf32>) -> tensor<1x2xf32>
  %z2 = arith.constant dense<0.0> : tensor<1x2xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %w2 : tensor<1x2xf32>, tensor<2x2xf32>)
      outs(%z2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// CHECK-LABEL: @keeps_outputs
// CHECK: prune.apply
// CHECK: return {{.*}} : tensor<1x2xf32>
// REMARK: Remark="1 of 1 masked indices of dimension 0 of 'fc1' stay: the dimension is a result of public function 'keeps_outputs' ('func.func' at
func.func @keeps_outputs(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %w1 = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("fc1")
  %m1 = arith.constant dense<[[true, true], [false, false]]> : tensor<2x2xi1>
  %a = prune.apply %w1, %m1 as(#prune.slice<dim = 0>) name("fc1:0") : tensor<2x2xf32>
  %z1 = arith.constant dense<0.0> : tensor<1x2xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<1x2xf32>, tensor<2x2xf32>)
      outs(%z1 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %h : tensor<1x2xf32>
}
