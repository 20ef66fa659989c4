// Operations print and parse back unchanged.
// RUN: prune-opt %s | prune-opt | FileCheck %s

// CHECK-LABEL: @apply
func.func @apply(%w: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %m = arith.constant dense<true> : tensor<4x4xi1>
  // CHECK: prune.apply %{{.*}}, %{{.*}} as (#prune.unstructured) : tensor<4x4xf32>, tensor<4x4xi1>
  %r = prune.apply %w, %m as (#prune.unstructured) : tensor<4x4xf32>, tensor<4x4xi1>
  return %r : tensor<4x4xf32>
}
