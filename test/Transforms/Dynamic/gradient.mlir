// The gradient passes a gate where the activation did; the mask is taken for a constant.
// RUN: prune-opt %s --prune-expand-gradients | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK: %[[MASK:.*]] = prune.dynamic_mask %arg0 along 0 keep(2) : tensor<4xf32>
// CHECK: prune.gate %arg0, %[[MASK]]
// CHECK: %[[DX:.*]] = prune.gate %{{.*}}, %[[MASK]] : tensor<4xf32>
// CHECK-NOT: prune.gate
// CHECK: return %{{.*}}, %[[DX]]
func.func private @loss(%x: tensor<4xf32>) -> tensor<f32> {
  %m = prune.dynamic_mask %x along 0 keep(2) : tensor<4xf32>
  %g = prune.gate %x, %m : tensor<4xf32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %s = linalg.reduce ins(%g : tensor<4xf32>) outs(%zero : tensor<f32>) dimensions = [0]
    (%a: f32, %b: f32) { %0 = arith.addf %a, %b : f32 linalg.yield %0 : f32 }
  return %s : tensor<f32>
}
func.func @main(%x: tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>) {
  %loss, %dx = prune.gradient @loss(%x) by [0] : (tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>)
  return %loss, %dx : tensor<f32>, tensor<4xf32>
}
