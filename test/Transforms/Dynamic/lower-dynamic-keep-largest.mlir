// For GPUs more than 64 units are left to prune.keep_largest, whose rows lie along the last dimension.
// RUN: prune-opt %s --prune-lower-dynamic="use-keep-largest" | FileCheck %s

// Elements are taken as they are.
// CHECK-LABEL: @elements
// CHECK-NOT: math.absf
// CHECK: prune.keep_largest 7 magnitude ins(%arg0 : tensor<2x65xf16>)
// CHECK-NOT: linalg
// CHECK: return
func.func @elements(%x: tensor<2x65xf16>) -> tensor<2x65xi1> {
  %m = prune.dynamic_mask %x along 1 keep(7) : tensor<2x65xf16>
  return %m : tensor<2x65xi1>
}

// CHECK-LABEL: @signed
// CHECK: prune.keep_largest 7 ins(%arg0 : tensor<2x65xf32>)
func.func @signed(%x: tensor<2x65xf32>) -> tensor<2x65xi1> {
  %m = prune.dynamic_mask %x along 1 signed keep(7) : tensor<2x65xf32>
  return %m : tensor<2x65xi1>
}

// CHECK-LABEL: @across
// CHECK: %[[ROWS:.*]] = linalg.transpose ins(%arg0 : tensor<65x2x3xf32>) outs(%{{.*}} : tensor<3x2x65xf32>) permutation = [2, 1, 0]
// CHECK: %[[MASK:.*]] = prune.keep_largest 7 magnitude ins(%[[ROWS]] : tensor<3x2x65xf32>)
// CHECK: linalg.transpose ins(%[[MASK]] : tensor<3x2x65xi1>) outs(%{{.*}} : tensor<65x2x3xi1>) permutation = [2, 1, 0]
func.func @across(%x: tensor<65x2x3xf32>) -> tensor<65x2x3xi1> {
  %m = prune.dynamic_mask %x along 0 keep(7) : tensor<65x2x3xf32>
  return %m : tensor<65x2x3xi1>
}

// Scores of units have been made absolute before.
// CHECK-LABEL: @units
// CHECK: math.absf
// CHECK: prune.keep_largest 7 ins(%{{.*}} : tensor<2x65xf32>)
func.func @units(%x: tensor<2x130xf32>) -> tensor<2x130xi1> {
  %m = prune.dynamic_mask %x along 1 unit(2) keep(7) : tensor<2x130xf32>
  return %m : tensor<2x130xi1>
}

// CHECK-LABEL: @groups
// CHECK: %[[ROWS:.*]] = tensor.expand_shape %arg0 {{.*}} : tensor<2x130xf32> into tensor<2x2x65xf32>
// CHECK: prune.keep_largest 7 magnitude ins(%[[ROWS]] : tensor<2x2x65xf32>)
// Few are compared with each other.
// CHECK-LABEL: @few
// CHECK-NOT: prune.keep_largest
// CHECK: return
func.func @groups(%x: tensor<2x130xf32>) -> tensor<2x130xi1> {
  %m = prune.dynamic_mask %x along 1 keep(7) of(65) : tensor<2x130xf32>
  return %m : tensor<2x130xi1>
}
func.func @few(%x: tensor<2x64xf32>) -> tensor<2x64xi1> {
  %m = prune.dynamic_mask %x along 1 keep(7) : tensor<2x64xf32>
  return %m : tensor<2x64xi1>
}
