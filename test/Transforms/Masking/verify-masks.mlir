// A module that still holds what was recorded passes; so does a mask that keeps everything and folded away.
// RUN: prune-opt %s --prune-verify-masks | FileCheck %s
// CHECK-COUNT-2: prune.record
prune.record "w" as(#prune.n_of_m<1, 2>) keeps 2 of 4 digest "903bacbbad82455c"
prune.record "all" as(#prune.unstructured) keeps 4 of 4 digest "0123456789abcdef"
func.func @main(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %m = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
  %p = prune.apply %w, %m as(#prune.n_of_m<1, 2>) name("w") : tensor<2x2xf32>
  return %p : tensor<2x2xf32>
}
