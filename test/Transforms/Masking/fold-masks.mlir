// Zeros are written into the weights, bit for bit where kept; records follow, so that the result can still be verified.
// RUN: prune-opt %s --prune-fold-masks --prune-verify-masks | FileCheck %s
// RUN: prune-opt %s --prune-fold-masks --remarks-filter-missed=masks --remark-format=emitRemark -o /dev/null 2>&1 \
// RUN:   | FileCheck %s --check-prefix=REMARK

// CHECK: prune.record "w" as(#prune.n_of_m<1, 2>) keeps 2 of 4 digest "903bacbbad82455c" stored "w.masked" digest "903bacbbad82455c"
prune.record "w" as(#prune.n_of_m<1, 2>) keeps 2 of 4 digest "903bacbbad82455c"

// CHECK-LABEL: @constant
// CHECK-NEXT: %[[W:.*]] = arith.constant dense_resource<w.masked> : tensor<2x2xf32>
// CHECK-NEXT: %[[H:.*]] = arith.constant dense_resource<weight.masked> : tensor<3xf16>
// CHECK-NEXT: return %[[W]], %[[H]]
func.func @constant() -> (tensor<2x2xf32>, tensor<3xf16>) {
  %w = arith.constant dense<[[1.0, -2.0], [3.0, -0.0]]> : tensor<2x2xf32>
  %m = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
  %p = prune.apply %w, %m as(#prune.n_of_m<1, 2>) name("w") : tensor<2x2xf32>
  %half = arith.constant dense<1.0> : tensor<3xf16>
  %mh = arith.constant dense<[true, false, true]> : tensor<3xi1>
  %ph = prune.apply %half, %mh as(#prune.unstructured) : tensor<3xf16>
  return %p, %ph : tensor<2x2xf32>, tensor<3xf16>
}

// What is not known yet is selected at run time.
// CHECK-LABEL: @select
// CHECK-SAME: %[[W:.*]]: tensor<2x2xf32>
// CHECK: %[[M:.*]] = arith.constant dense<{{.*}}> : tensor<2x2xi1>
// CHECK: %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : tensor<2x2xf32>
// CHECK: arith.select %[[M]], %[[W]], %[[ZERO]]
// REMARK: mask of 'x' became arith.select because its weight is not a constant
func.func @select(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %m = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) name("x") : tensor<2x2xf32>
  return %p : tensor<2x2xf32>
}

// 0, -2, 3, +0
// CHECK: w.masked: "0x1000000000000000000000C00000404000000000"
// CHECK: weight.masked: "0x10000000003C0000003C"
