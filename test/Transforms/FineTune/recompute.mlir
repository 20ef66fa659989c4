// Elementwise values that the reverse part reads are computed again behind a barrier, from what it keeps anyway: the
// argument and the product. What only a sum gives is kept.
// RUN: prune-opt %s --prune-expand-gradients="recompute=elementwise" --canonicalize --cse \
// RUN:   --remarks-filter-analyse=gradient --remark-format=emitRemark 2>%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t
// RUN: prune-opt %s --prune-expand-gradients --canonicalize --cse | FileCheck %s --check-prefix=STORE
// RUN: not prune-opt %s --prune-expand-gradients="recompute=all" 2>&1 | FileCheck %s --check-prefix=INVALID

// REMARK: the gradient of 'loss' recomputes 1 values and keeps 64 bytes less
// REMARK: the gradient of 'loss' keeps 128 bytes of the forward part
// INVALID: error: recompute: expected none or elementwise, got 'all'

#id = affine_map<(i, j) -> (i, j)>
#x = affine_map<(i, j, k) -> (i, k)>
#w = affine_map<(i, j, k) -> (j, k)>
#y = affine_map<(i, j, k) -> (i, j)>
#all = affine_map<(i, j) -> ()>

func.func private @loss(%x: tensor<4x4xf32>, %w: tensor<4x4xf32>, %v: tensor<4x4xf32>) -> tensor<f32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %s = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = linalg.fill ins(%zero : f32) outs(%s : tensor<f32>) -> tensor<f32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<4x4xf32>, tensor<4x4xf32>)
      outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%p : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = math.exp %in : f32
    linalg.yield %r : f32
  } -> tensor<4x4xf32>
  %q = linalg.contract indexing_maps = [#x, #w, #y] ins(%a, %v : tensor<4x4xf32>, tensor<4x4xf32>)
      outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  %l = linalg.generic {indexing_maps = [#id, #all], iterator_types = ["reduction", "reduction"]}
      ins(%q : tensor<4x4xf32>) outs(%t : tensor<f32>) {
  ^bb0(%in: f32, %out: f32):
    %r = arith.mulf %in, %in : f32
    %u = arith.addf %out, %r : f32
    linalg.yield %u : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}

// CHECK-LABEL: func.func @step(
// CHECK: %[[P:.*]] = linalg.contract
// CHECK: %[[A:.*]] = linalg.generic {{.*}} ins(%[[P]] :
// CHECK: math.exp
// CHECK: linalg.contract {{.*}} ins(%[[A]],
// CHECK: %[[KEPT:.*]] = prune.barrier %[[P]] : tensor<4x4xf32>
// CHECK: %[[AGAIN:.*]] = linalg.generic {{.*}} ins(%[[KEPT]] :
// CHECK-NEXT: ^bb0
// CHECK-NEXT: math.exp
// CHECK-NOT: %[[A]]
// CHECK: return

// STORE-LABEL: func.func @step(
// STORE-NOT: prune.barrier
// STORE: return
func.func @step(%x: tensor<4x4xf32>, %w: tensor<4x4xf32>, %v: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  %l, %dw, %dv = prune.gradient @loss(%x, %w, %v) by [1, 2]
      : (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) -> (tensor<f32>, tensor<4x4xf32>, tensor<4x4xf32>)
  return %dw, %dv : tensor<4x4xf32>, tensor<4x4xf32>
}
