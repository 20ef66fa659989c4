// The meaning of dynamic masks and gates as linalg operations.
// RUN: prune-opt %s --prune-lower-dynamic | FileCheck %s

// A score that is NaN is not below a threshold: the comparison is unordered.
// CHECK-LABEL: @threshold
// CHECK: %[[SCORES:.*]] = linalg.generic {{.*}} ins(%arg0 : tensor<2x8xf32>)
// CHECK: math.absf
// CHECK: %[[MASK:.*]] = linalg.generic {{.*}} ins(%[[SCORES]] : tensor<2x8xf32>)
// CHECK: arith.cmpf ugt
// CHECK: linalg.generic {{.*}} ins(%arg0, %[[MASK]] : tensor<2x8xf32>, tensor<2x8xi1>)
// CHECK: arith.select
// CHECK-NOT: prune.
func.func @threshold(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {
  %m = prune.dynamic_mask %x along 1 threshold(0.5) sparsity(0.5) : tensor<2x8xf32>
  %y = prune.gate %x, %m : tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}

// Scores of f16 are f32.
// CHECK-LABEL: @signed_half
// CHECK: arith.extf {{.*}} : f16 to f32
// CHECK-NOT: math.absf
// CHECK: return
func.func @signed_half(%x: tensor<2x8xf16>) -> tensor<2x8xi1> {
  %m = prune.dynamic_mask %x along 1 signed threshold(-0.5) : tensor<2x8xf16>
  return %m : tensor<2x8xi1>
}

// Units of heads, of all tokens: one mask bit for each, spread over their elements.
// CHECK-LABEL: @heads
// CHECK: %[[SPLIT:.*]] = tensor.expand_shape %arg0 {{\[\[}}0], [1], [2, 3]] output_shape [2, 5, 3, 4]
// CHECK: %[[SUMS:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "reduction", "parallel", "reduction"]} ins(%[[SPLIT]] : {{.*}} outs(%{{.*}} : tensor<2x3xf32>)
// CHECK: arith.divf
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "reduction"]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x5x3x4xi1>)
// CHECK: tensor.collapse_shape {{.*}} : tensor<2x5x3x4xi1> into tensor<2x5x12xi1>
func.func @heads(%x: tensor<2x5x12xf32>) -> tensor<2x5x12xi1> {
  %m = prune.dynamic_mask %x along 2 unit(4) whole [1] keep(2) : tensor<2x5x12xf32>
  return %m : tensor<2x5x12xi1>
}

// Groups of n:m are ranked each by itself.
// CHECK-LABEL: @n_of_m
// CHECK: tensor.expand_shape {{.*}} : tensor<2x8xf32> into tensor<2x2x4xf32>
// CHECK: linalg.index 3
// CHECK: tensor.collapse_shape {{.*}} : tensor<2x2x4xi1> into tensor<2x8xi1>
func.func @n_of_m(%x: tensor<2x8xf32>) -> tensor<2x8xi1> {
  %m = prune.dynamic_mask %x along 1 keep(2) of(4) : tensor<2x8xf32>
  return %m : tensor<2x8xi1>
}

// Many units: the bound is found in 32 passes.
// CHECK-LABEL: @long
// CHECK: arith.constant 32 : index
// CHECK: scf.for
// CHECK: arith.cmpi sge
// CHECK: scf.for
// CHECK: tensor.insert {{.*}} : tensor<2x65xi1>
func.func @long(%x: tensor<2x65xf32>) -> tensor<2x65xi1> {
  %m = prune.dynamic_mask %x along 1 keep(7) : tensor<2x65xf32>
  return %m : tensor<2x65xi1>
}

// Not along the last dimension they are ranked, however many.
// CHECK-LABEL: @long_across
// CHECK-NOT: scf.for
// CHECK: return
func.func @long_across(%x: tensor<65x2xf32>) -> tensor<65x2xi1> {
  %m = prune.dynamic_mask %x along 0 keep(7) : tensor<65x2xf32>
  return %m : tensor<65x2xi1>
}
