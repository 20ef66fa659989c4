// Which operand's order the results take.
// RUN: prune-opt %s --prune-propagate-layouts --canonicalize | FileCheck %s

#id = affine_map<(i, j) -> (i, j)>

// A gradient that lies transposed meets a parameter and its state, whose next values are returned row-major: only the
// gradient is copied.
// CHECK-LABEL: @update
// CHECK-SAME: %[[W:[^:]*]]: tensor<8x4xf32>, %[[M:[^:]*]]: tensor<8x4xf32>, %[[G:[^:]*]]: tensor<4x8xf32>
// CHECK: %[[COPY:.*]] = linalg.transpose ins(%[[G]]
// CHECK: %[[NEXT:.*]]:2 = linalg.generic {{.*}} ins(%[[W]], %[[M]], %[[COPY]]
// CHECK-NOT: linalg.transpose
// CHECK: return %[[NEXT]]#0, %[[NEXT]]#1
func.func @update(%w: tensor<8x4xf32>, %m: tensor<8x4xf32>, %g: tensor<4x8xf32>) -> (tensor<8x4xf32>, tensor<8x4xf32>) {
  %e = tensor.empty() : tensor<8x4xf32>
  %t = linalg.transpose ins(%g : tensor<4x8xf32>) outs(%e : tensor<8x4xf32>) permutation = [1, 0]
  %r:2 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%w, %m, %t : tensor<8x4xf32>, tensor<8x4xf32>, tensor<8x4xf32>) outs(%e, %e : tensor<8x4xf32>, tensor<8x4xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %o: f32, %p: f32):
    %n = arith.addf %b, %c : f32
    %s = arith.subf %a, %n : f32
    linalg.yield %s, %n : f32, f32
  } -> (tensor<8x4xf32>, tensor<8x4xf32>)
  return %r#0, %r#1 : tensor<8x4xf32>, tensor<8x4xf32>
}

// One row-major operand beside one that lies transposed: the result goes on in the transposed order.
// CHECK-LABEL: @residual
// CHECK-SAME: %[[X:[^:]*]]: tensor<8x4xf32>, %[[Y:[^:]*]]: tensor<4x8xf32>
// CHECK-NOT: linalg.transpose
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[X]], %[[Y]] : {{.*}}) outs(%{{.*}} : tensor<4x8xf32>)
// CHECK: linalg.transpose ins(%[[SUM]]
func.func @residual(%x: tensor<8x4xf32>, %y: tensor<4x8xf32>) -> tensor<8x4xf32> {
  %e = tensor.empty() : tensor<8x4xf32>
  %t = linalg.transpose ins(%y : tensor<4x8xf32>) outs(%e : tensor<8x4xf32>) permutation = [1, 0]
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %t : tensor<8x4xf32>, tensor<8x4xf32>) outs(%e : tensor<8x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<8x4xf32>
  return %r : tensor<8x4xf32>
}
