// A mask stays visible: canonicalisation folds an application away only if its mask keeps everything.
// RUN: prune-opt %s --canonicalize --cse | FileCheck %s

// CHECK-LABEL: @folds_mask_of_all_true
// CHECK-SAME: %[[WEIGHT:.*]]: tensor<2x2xf32>
func.func @folds_mask_of_all_true(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  // CHECK-NOT: prune.apply
  // CHECK: return %[[WEIGHT]]
  %m = arith.constant dense<true> : tensor<2x2xi1>
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// CHECK-LABEL: @folds_resource_of_all_true
func.func @folds_resource_of_all_true(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  // CHECK-NOT: prune.apply
  %m = arith.constant dense_resource<ones> : tensor<2x2xi1>
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// CHECK-LABEL: @keeps_constant_mask_of_constant_weight
func.func @keeps_constant_mask_of_constant_weight() -> tensor<2x2xf32> {
  // CHECK-DAG: %[[MASK:.*]] = arith.constant dense<{{\[\[}}true, false], [true, true]]> : tensor<2x2xi1>
  // CHECK-DAG: %[[WEIGHT:.*]] = arith.constant dense<1.000000e+00> : tensor<2x2xf32>
  // CHECK: prune.apply %[[WEIGHT]], %[[MASK]] as(#prune.unstructured)
  %w = arith.constant dense<1.0> : tensor<2x2xf32>
  %m = arith.constant dense<[[true, false], [true, true]]> : tensor<2x2xi1>
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// Equal applications are one value; masks of one element only differ in the bit that counts.
// CHECK-LABEL: @merges_equal_applications
func.func @merges_equal_applications(%w: tensor<1x3xf32>) -> (tensor<1x3xf32>, tensor<1x3xf32>) {
  // CHECK: %[[ONE:.*]] = prune.apply
  // CHECK-NOT: prune.apply
  // CHECK: return %[[ONE]], %[[ONE]]
  %m = arith.constant dense<[[true, false, true]]> : tensor<1x3xi1>
  %a = prune.apply %w, %m as(#prune.unstructured) : tensor<1x3xf32>
  %b = prune.apply %w, %m as(#prune.unstructured) : tensor<1x3xf32>
  return %a, %b : tensor<1x3xf32>, tensor<1x3xf32>
}

{-# dialect_resources: { builtin: { ones: "0x0100000001010101" } } #-}
