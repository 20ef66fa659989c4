// Gates before the products with constant weights: one for each activation, whoever reads it.
// RUN: prune-opt %s --prune-insert-gates="sparsity=0.75" | FileCheck %s --check-prefixes=CHECK,SPARSITY
// RUN: prune-opt %s --prune-insert-gates="threshold=0.5 include=key" | FileCheck %s --check-prefix=KEY
// RUN: prune-opt %s --prune-insert-gates="kind=top-k keep=3 exclude=out" | FileCheck %s --check-prefix=TOPK
// RUN: prune-opt %s --prune-insert-gates="kind=top-k sparsity=0.75" | FileCheck %s --check-prefix=SHARE
// RUN: prune-opt %s --prune-insert-gates="kind=1:4" | FileCheck %s --check-prefix=GROUP
// RUN: prune-opt %s --prune-insert-gates="kind=2:3" --remarks-filter=dynamic --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=SKIP
// RUN: prune-opt %s --prune-insert-gates --prune-insert-gates | FileCheck %s --check-prefix=TWICE

// CHECK-LABEL: @main
// SPARSITY: %[[MASK:.*]] = prune.dynamic_mask %arg0 along 1 sparsity(7.500000e-01) name("query") : tensor<2x8xf32>
// CHECK: %[[GATED:.*]] = prune.gate %arg0, %[[MASK]]
// CHECK: linalg.contract {{.*}} ins(%[[GATED]],
// CHECK: %[[KEYS:.*]] = linalg.contract {{.*}} ins(%[[GATED]],
// CHECK: %[[MASK2:.*]] = prune.dynamic_mask %[[KEYS]] along 1 {{.*}}name("out")
// CHECK: prune.gate %[[KEYS]], %[[MASK2]]
// The product of two activations has no gate.
// CHECK-NOT: prune.gate

// KEY: prune.dynamic_mask %arg0 along 1 threshold(5.000000e-01) name("key")
// KEY: linalg.contract {{.*}} ins(%arg0,
// KEY: linalg.contract {{.*}} ins(%gated,
// KEY-NOT: prune.gate

// TOPK: prune.dynamic_mask %arg0 along 1 keep(3) name("query") : tensor<2x8xf32>
// TOPK-NOT: prune.dynamic_mask
// SHARE: prune.dynamic_mask %arg0 along 1 keep(2)
// SHARE: prune.dynamic_mask {{.*}} along 1 keep(1)
// GROUP: prune.dynamic_mask %arg0 along 1 keep(1) of(4)

// SKIP: [Missed] NoGate {{.*}}'query' skipped because groups of 3 do not divide its 8 columns
// TWICE-COUNT-2: prune.dynamic_mask
// TWICE-NOT: prune.dynamic_mask

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x8xf32>) -> tensor<2x2xf32> {
  %q = arith.constant dense<[[1., 2., 3., 4., 5., 6., 7., 8.], [2., 2., 3., 4., 5., 6., 7., 8.], [3., 2., 3., 4., 5., 6., 7., 8.], [4., 2., 3., 4., 5., 6., 7., 8.]]> : tensor<4x8xf32> loc("query")
  %k = arith.constant dense<[[5., 2., 3., 4., 5., 6., 7., 8.], [6., 2., 3., 4., 5., 6., 7., 8.], [7., 2., 3., 4., 5., 6., 7., 8.], [8., 2., 3., 4., 5., 6., 7., 8.]]> : tensor<4x8xf32> loc("key")
  %o = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32> loc("out")
  %zero = arith.constant 0.0 : f32
  %e4 = tensor.empty() : tensor<2x4xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %e2 = tensor.empty() : tensor<2x2xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x2xf32>) -> tensor<2x2xf32>
  %queries = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %q : tensor<2x8xf32>, tensor<4x8xf32>) outs(%f4 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %keys = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %k : tensor<2x8xf32>, tensor<4x8xf32>) outs(%f4 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %out = linalg.contract indexing_maps = [#x, #w, #y] ins(%keys, %o : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f2 : tensor<2x2xf32>) -> tensor<2x2xf32>
  %scores = linalg.contract indexing_maps = [#x, #w, #y] ins(%queries, %keys : tensor<2x4xf32>, tensor<2x4xf32>) outs(%out : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %scores : tensor<2x2xf32>
}
