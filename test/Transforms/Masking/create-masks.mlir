// Masks go on the constant weights of prunable layers and nowhere else; what is left out is said in a remark.
// RUN: prune-opt %s --prune-create-masks="sparsity=0.75" | FileCheck %s
// RUN: prune-opt %s --prune-create-masks="pattern=2:4 criterion=magnitude:l2 min-keep=3" | FileCheck %s --check-prefix=NM
// RUN: prune-opt %s --prune-create-masks="pattern=transposable:2:4" | FileCheck %s --check-prefix=SQUARES
// RUN: prune-opt %s --prune-create-masks="pattern=64:2:8 sparsity=0.8" | FileCheck %s --check-prefix=VNM
// RUN: prune-opt %s --prune-create-masks="pattern=slice:0:2 criterion=random:7 threshold=0.5 include=^fc exclude=2$" \
// RUN:   | FileCheck %s --check-prefix=SLICE
// RUN: prune-opt %s --prune-create-masks="scope=global pattern=4x1" | FileCheck %s --check-prefix=GLOBAL
// RUN: prune-opt %s --prune-create-masks="pattern=#prune.block<2,2> criterion=#prune.magnitude<linf>" \
// RUN:   | FileCheck %s --check-prefix=ATTR
// RUN: prune-opt %s --prune-create-masks="include=fc1" --remarks-filter-missed=masks --remark-format=emitRemark \
// RUN:   --remarks-filter-analyse=masks -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// Two layers share fc1: one mask for both.
// CHECK-LABEL: @main
// CHECK: %[[FC1:.*]] = arith.constant dense{{.*}} : tensor<4x4xf32>
// CHECK-NEXT: %[[MASK1:.*]] = prune.mask %[[FC1]] by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(7.500000e-01) name("fc1") : tensor<4x4xf32>
// CHECK-NEXT: %[[PRUNED1:.*]] = prune.apply %[[FC1]], %[[MASK1]] as(#prune.unstructured) name("fc1") : tensor<4x4xf32>
// CHECK: %[[FC2:.*]] = arith.constant dense{{.*}} : tensor<2x4xf32>
// CHECK: %[[PRUNED2:.*]] = prune.apply %[[FC2]], %{{.*}} name("fc2")
// CHECK-NOT: prune.
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[PRUNED1]] :
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[PRUNED1]] :
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[PRUNED2]] :

// 2:4 says by itself how much is pruned.
// NM: prune.mask %{{.*}} by(#prune.magnitude<l2>) as(#prune.n_of_m<2, 4>) min_keep(3) name("fc1")
// NM: prune.mask %{{.*}} by(#prune.magnitude<l2>) as(#prune.n_of_m<2, 4>) min_keep(3) name("fc2")

// SQUARES: prune.mask %{{.*}} by(#prune.magnitude<l1>) as(#prune.transposable<2, 4>) name("fc1")
// VNM: prune.mask %{{.*}} by(#prune.magnitude<l1>) as(#prune.v_n_m<64, 2, 8>) sparsity(8.000000e-01) name("fc1")

// SLICE: prune.mask %{{.*}} by(#prune.random<seed = 7>) as(#prune.slice<dim = 0, group = 2>) threshold(5.000000e-01) name("fc1")
// SLICE-NOT: name("fc2")

// The default is one half.
// GLOBAL: as(#prune.block<4, 1>) sparsity(5.000000e-01) group("global") name("fc1")
// GLOBAL: as(#prune.block<4, 1>) sparsity(5.000000e-01) group("global") name("fc2")

// ATTR: by(#prune.magnitude<linf>) as(#prune.block<2, 2>)

// REMARK-DAG: 'fc2' skipped because include does not match it
// REMARK-DAG: 'main.attention_0' skipped because product of two activations, no constant weight
// REMARK-DAG: 1 masks created, 2 layers skipped
func.func @main(%x: tensor<3x4xf32>, %z: tensor<4x4xf32>) -> (tensor<3x2xf32>, tensor<3x4xf32>) {
  %fc1 = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 1., 2., 3.], [4., 5., 6., 7.]]> : tensor<4x4xf32> loc("fc1")
  %fc2 = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32> loc("fc2")
  %zero = arith.constant dense<0.0> : tensor<3x4xf32>
  %init = tensor.empty() : tensor<3x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<3x4xf32>, tensor<4x4xf32>) outs(%zero : tensor<3x4xf32>) -> tensor<3x4xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%0, %fc1 : tensor<3x4xf32>, tensor<4x4xf32>) outs(%zero : tensor<3x4xf32>) -> tensor<3x4xf32>
  %2 = linalg.contract indexing_maps = [#x, #w, #y] ins(%1, %fc2 : tensor<3x4xf32>, tensor<2x4xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %3 = linalg.contract indexing_maps = [#x, #w, #y] ins(%1, %z : tensor<3x4xf32>, tensor<4x4xf32>) outs(%zero : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %2, %3 : tensor<3x2xf32>, tensor<3x4xf32>
}
