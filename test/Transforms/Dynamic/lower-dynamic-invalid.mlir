// A mask that is not calibrated has no code: neither by itself nor in the pipeline.
// RUN: prune-opt %s --verify-diagnostics --prune-lower-dynamic
// RUN: not prune-opt %s --prune-to-cpu 2>&1 | FileCheck %s
// CHECK: 'prune.dynamic_mask' op expected a threshold for its sparsity, got none: run prune-calibrate-gates first

func.func @main(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {
  // expected-error @+1 {{'prune.dynamic_mask' op expected a threshold for its sparsity, got none: run prune-calibrate-gates first}}
  %m = prune.dynamic_mask %x along 1 sparsity(0.5) : tensor<2x8xf32>
  %y = prune.gate %x, %m : tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}
