// A layer that has a mask gets a new one in its place, and its record follows: sparsity is raised by running again.
// RUN: prune-opt %s --prune="sparsity=0.25" --prune="sparsity=0.75 pattern=2x1" | FileCheck %s
// Different constants of one name keep their masks apart.
// RUN: prune-opt %s --prune="sparsity=0.25" | FileCheck %s --check-prefix=NAMES

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// CHECK-LABEL: @main
// CHECK: arith.constant dense<{{\[\[}}false, false, false, true], [false, false, false, true]]> : tensor<2x4xi1>
// CHECK: prune.apply %{{.*}} as(#prune.block<2, 1>) name("fc")
// CHECK-NOT: prune.apply %{{.*}} name("fc")
// CHECK: prune.record "fc" as(#prune.block<2, 1>) keeps 2 of 8
// CHECK-NOT: prune.record "fc" as
// NAMES: prune.apply {{.*}} name("fc")
// NAMES: prune.apply {{.*}} name("fc#2")
// NAMES: prune.record "fc"
// NAMES: prune.record "fc#2"
func.func @main(%x: tensor<3x4xf32>) -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %fc = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32> loc("fc")
  %other = arith.constant dense<[[8., 7., 6., 5.], [4., 3., 2., 1.]]> : tensor<2x4xf32> loc("fc")
  %init = tensor.empty() : tensor<3x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc : tensor<3x4xf32>, tensor<2x4xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %other : tensor<3x4xf32>, tensor<2x4xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %0, %1 : tensor<3x2xf32>, tensor<3x2xf32>
}
