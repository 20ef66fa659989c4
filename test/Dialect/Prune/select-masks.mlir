// Masks decided at run time, on tensors and on buffers.
// RUN: prune-opt %s | prune-opt | FileCheck %s
// RUN: prune-opt %s --mlir-print-op-generic | prune-opt | FileCheck %s

// CHECK-LABEL: @on_tensors
func.func @on_tensors(%a: tensor<4x6xf32>, %b: tensor<8xf32>, %m: tensor<4x6xi1>, %n: tensor<8xi1>, %s: f64)
    -> (tensor<4x6xi1>, tensor<8xi1>, tensor<4x6xi1>) {
  // CHECK: prune.select_masks by(#prune.magnitude<l2>) as(#prune.unstructured) sparsity(%{{.*}}) normalize(lamp) min_keep [2, -1] ins(%{{.*}}, %{{.*}} : tensor<4x6xf32>, tensor<8xf32>) outs(%{{.*}}, %{{.*}} : tensor<4x6xi1>, tensor<8xi1>) -> tensor<4x6xi1>, tensor<8xi1>
  %0:2 = prune.select_masks by(#prune.magnitude<l2>) as(#prune.unstructured) sparsity(%s) normalize(lamp) min_keep [2, -1]
      ins(%a, %b : tensor<4x6xf32>, tensor<8xf32>) outs(%m, %n : tensor<4x6xi1>, tensor<8xi1>) -> tensor<4x6xi1>, tensor<8xi1>
  // CHECK: prune.regrow_mask as(#prune.block<2, 1>) share(%{{.*}}) ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xi1>) outs(%{{.*}} : tensor<4x6xi1>) -> tensor<4x6xi1>
  %1 = prune.regrow_mask as(#prune.block<2, 1>) share(%s) ins(%a, %a, %0#0 : tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xi1>)
      outs(%m : tensor<4x6xi1>) -> tensor<4x6xi1>
  return %0#0, %0#1, %1 : tensor<4x6xi1>, tensor<8xi1>, tensor<4x6xi1>
}

// CHECK-LABEL: @on_buffers
func.func @on_buffers(%a: memref<4x6xf32>, %m: memref<4x6xi1>, %s: f64) {
  // CHECK: prune.select_masks by(#prune.movement) as(#prune.n_of_m<2, 4>) threshold(5.000000e-01) ins(%{{.*}} : memref<4x6xf32>) outs(%{{.*}} : memref<4x6xi1>){{$}}
  prune.select_masks by(#prune.movement) as(#prune.n_of_m<2, 4>) threshold(0.5)
      ins(%a : memref<4x6xf32>) outs(%m : memref<4x6xi1>)
  // CHECK: prune.regrow_mask as(#prune.unstructured) share(%{{.*}}) ins(%{{.*}}, %{{.*}}, %{{.*}} : memref<4x6xf32>, memref<4x6xf32>, memref<4x6xi1>) outs(%{{.*}} : memref<4x6xi1>){{$}}
  prune.regrow_mask as(#prune.unstructured) share(%s) ins(%a, %a, %m : memref<4x6xf32>, memref<4x6xf32>, memref<4x6xi1>)
      outs(%m : memref<4x6xi1>)
  return
}
