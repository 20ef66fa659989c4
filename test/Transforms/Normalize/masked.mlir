// A masked module in normal form is left as it is; a mask in another layout is not lost but reported.
// RUN: prune-opt %s --prune-normalize --split-input-file | FileCheck %s
// RUN: prune-opt %s --prune-normalize --split-input-file --remark-format=emitRemark --remarks-filter=prune-normalize \
// RUN:   -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK

// CHECK-LABEL: @masked
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @masked(%x: tensor<1x2xf32>, %e: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %m = arith.constant dense<[[true, false], [false, true]]> : tensor<2x2xi1>
  // CHECK: %[[P:.*]] = prune.apply
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2xf32>
  // CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[P]]
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<1x2xf32>, tensor<2x2xf32>) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}

// -----

// REMARK: remark: [Missed] not-normal | {{.*}}layer 'in_out.linear_0' is not in normal form: {{.*}}[in, out]
// CHECK-LABEL: @in_out
func.func @in_out(%x: tensor<1x2xf32>, %e: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %m = arith.constant dense<[[true, false], [false, true]]> : tensor<2x2xi1>
  // CHECK: prune.apply
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2xf32>
  // CHECK: linalg.matmul
  %r = linalg.matmul ins(%x, %p : tensor<1x2xf32>, tensor<2x2xf32>) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}
