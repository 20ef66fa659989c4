// A residual block goes by name or by score; what passes it goes on as it was.
// RUN: prune-opt %s --prune-remove-blocks="blocks=layer.0" --remarks-filter=prune-remove-blocks 2>%t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t.remarks
// RUN: prune-opt %s --prune-remove-blocks="count=2" | FileCheck %s --check-prefix=ALL
// RUN: not prune-opt %s --prune-remove-blocks="count=3" 2>&1 | FileCheck %s --check-prefix=COUNT
// RUN: not prune-opt %s --prune-remove-blocks="blocks=layer.7" 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not prune-opt %s --prune-remove-blocks="blocks=layer count=1" 2>&1 | FileCheck %s --check-prefix=BOTH

// COUNT: error: prune-remove-blocks: expected a count from 0 to 2, the number of residual blocks, got 3
// NAME: error: prune-remove-blocks: blocks: 'layer.7' is found in none of 2 residual blocks, the first of which is 'layer.0.fc'
// BOTH: error: prune-remove-blocks: expected blocks or a count, got both ('layer' and 1)
// REMARK: block 'layer.0.fc': 6 parameters, score 1.0000, removed
// REMARK: block 'layer.1.fc.weight': 4 parameters, score 2.0000

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (n)>

// CHECK-LABEL: @main
// CHECK-SAME: %[[X:.*]]: tensor<1x2xf32>
// CHECK-NOT: dense<[1.000000e+00, 2.000000e+00]>
// CHECK: %[[F:.*]] = linalg.contract {{.*}} ins(%[[X]],
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%[[F]], %[[X]] :
// CHECK: return %[[Y]]

// ALL-LABEL: @main
// ALL-SAME: %[[X:.*]]: tensor<1x2xf32>
// ALL-NEXT: return %[[X]]
func.func @main(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %w0 = arith.constant dense<[[1.0, -1.0], [-1.0, 1.0]]> : tensor<2x2xf32> loc("layer.0.fc.weight")
  %b0 = arith.constant dense<[1.0, 2.0]> : tensor<2xf32> loc("layer.0.fc.bias")
  %w1 = arith.constant dense<[[2.0, -2.0], [-2.0, 2.0]]> : tensor<2x2xf32> loc("layer.1.fc.weight")
  %zero = arith.constant dense<0.0> : tensor<1x2xf32>
  %e = tensor.empty() : tensor<1x2xf32>
  %p0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w0 : tensor<1x2xf32>, tensor<2x2xf32>)
      outs(%zero : tensor<1x2xf32>) -> tensor<1x2xf32>
  // A bias is no residual: the other operand is no tensor of the same shape.
  %f0 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%p0, %b0 : tensor<1x2xf32>, tensor<2xf32>) outs(%e : tensor<1x2xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1x2xf32>
  %y0 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %f0 : tensor<1x2xf32>, tensor<1x2xf32>) outs(%e : tensor<1x2xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1x2xf32>
  %f1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%y0, %w1 : tensor<1x2xf32>, tensor<2x2xf32>)
      outs(%zero : tensor<1x2xf32>) -> tensor<1x2xf32>
  %y1 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%f1, %y0 : tensor<1x2xf32>, tensor<1x2xf32>) outs(%e : tensor<1x2xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1x2xf32>
  return %y1 : tensor<1x2xf32>
}
