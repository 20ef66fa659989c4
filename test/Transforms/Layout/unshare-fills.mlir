// Each accumulation fills its own destination; a fill that is read stays one.
// RUN: prune-opt %s --prune-unshare-fills | FileCheck %s

// CHECK-LABEL: func @two_products
// CHECK: %[[READ:.*]] = linalg.fill
// CHECK: %[[FIRST:.*]] = linalg.fill
// CHECK: linalg.matmul {{.*}} outs(%[[FIRST]]
// CHECK: linalg.copy ins(%[[READ]]
// CHECK: %[[SECOND:.*]] = linalg.fill
// CHECK: linalg.matmul {{.*}} outs(%[[SECOND]]
func.func @two_products(%a: tensor<4x4xf32>, %b: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %0 = linalg.matmul ins(%a, %b : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = linalg.copy ins(%f : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %2 = linalg.matmul ins(%b, %a : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %0, %1, %2 : tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>
}
