// Constants above the limit become resources with the importer's name, the scope's, or a counted one.
// RUN: prune-opt %s --prune-name-weights="inline-limit=2" | FileCheck %s
// RUN: prune-opt %s --prune-name-weights="inline-limit=2" --mlir-print-debuginfo | prune-opt --prune-normalize="inline-limit=2" | FileCheck %s --check-prefix=AGAIN
// RUN: prune-opt %s --prune-name-weights | FileCheck %s --check-prefix=SMALL

// SMALL-NOT: dense_resource
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// CHECK-LABEL: @names
func.func @names(%x: tensor<1x2xf32>, %e: tensor<1x2xf32>) -> (tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<2x2xf32>) {
  // From the constant's location.
  // CHECK-DAG: %[[A:.*]] = arith.constant dense_resource<layer.0.query.weight> : tensor<2x2xf32>
  %a = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("layer.0.query.weight")
  // From the scope of the op, where a list of modules repeats its path.
  // CHECK-DAG: %[[B:.*]] = arith.constant dense_resource<layers.1.key.weight> : tensor<2x2xf32>
  %b = arith.constant dense<[[1.0, 2.0], [3.0, 5.0]]> : tensor<2x2xf32>
  // Counted.
  // CHECK-DAG: %[[C:.*]] = arith.constant dense_resource<names.linear_1> : tensor<2x2xf32>
  %c = arith.constant dense<[[1.0, 2.0], [3.0, 6.0]]> : tensor<2x2xf32>
  // Equal constants are one, and splats stay.
  // CHECK-DAG: arith.constant dense<7.000000e+00> : tensor<2x2xf32>
  // AGAIN: dense_resource<layer.0.query.weight>
  // AGAIN-NOT: dense_resource<layer.0.query.weight_1>
  %d = arith.constant dense<[[1.0, 2.0], [3.0, 6.0]]> : tensor<2x2xf32> loc("other")
  %s = arith.constant dense<7.0> : tensor<2x2xf32>
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[A]]
  %ra = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<1x2xf32>, tensor<2x2xf32>) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[B]]
  %rb = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %b : tensor<1x2xf32>, tensor<2x2xf32>) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32> loc("/layers/layers.1/key/MatMul")
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[C]]
  %rc = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %c : tensor<1x2xf32>, tensor<2x2xf32>) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  %rd = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %d : tensor<1x2xf32>, tensor<2x2xf32>) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %ra, %rb, %rc, %rd, %s : tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>, tensor<2x2xf32>
}
