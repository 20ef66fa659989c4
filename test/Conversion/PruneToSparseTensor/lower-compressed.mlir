// Plain code for what no packed layer took: one element after the other into zeros, and a gather.
// RUN: prune-opt %s --split-input-file --verify-diagnostics --prune-lower-compressed | FileCheck %s

// CHECK-LABEL: @decompress
// CHECK: %[[ZEROS:.*]] = linalg.fill
// CHECK: %[[PLACES:.*]] = arith.constant dense<[1, 2, 3]> : tensor<3xi32>
// CHECK: scf.for %[[I:.*]] = %{{.*}} iter_args(%[[SO_FAR:.*]] = %[[ZEROS]]) -> (tensor<4xf32>)
// CHECK: tensor.extract %[[PLACES]][%[[I]]]
// CHECK: %[[KEPT:.*]] = tensor.extract %arg0[%[[I]]]
// CHECK: tensor.insert %[[KEPT]] into %[[SO_FAR]]
// CHECK: tensor.expand_shape {{.*}} : tensor<4xf32> into tensor<2x2xf32>
func.func @decompress(%v: tensor<3xf32>) -> tensor<2x2xf32> {
  %m = arith.constant dense<[[false, true], [true, true]]> : tensor<2x2xi1>
  %w = prune.decompress %v, %m : tensor<3xf32> to tensor<2x2xf32>
  return %w : tensor<2x2xf32>
}

// CHECK-LABEL: @compress
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %arg0
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<3xi32>)
// CHECK: tensor.extract %[[FLAT]]
func.func @compress(%w: tensor<2x2xf32>) -> tensor<3xf32> {
  %m = arith.constant dense<[[false, true], [true, true]]> : tensor<2x2xi1>
  %v = prune.compress %w, %m : tensor<2x2xf32> to tensor<3xf32>
  return %v : tensor<3xf32>
}

// A mask that keeps nothing reads nothing.
// CHECK-LABEL: @nothing
// CHECK-NOT: scf.for
// CHECK-NOT: tensor.extract
func.func @nothing(%v: tensor<0xf64>, %w: tensor<3xf64>) -> (tensor<3xf64>, tensor<0xf64>) {
  %m = arith.constant dense<false> : tensor<3xi1>
  %d = prune.decompress %v, %m : tensor<0xf64> to tensor<3xf64>
  %c = prune.compress %w, %m : tensor<3xf64> to tensor<0xf64>
  return %d, %c : tensor<3xf64>, tensor<0xf64>
}

// -----

func.func @unknown_mask(%v: tensor<3xf32>, %m: tensor<2x2xi1>) -> tensor<2x2xf32> {
  // expected-error @+1 {{'prune.decompress' op expected a constant mask, run prune-evaluate-masks first}}
  %w = prune.decompress %v, %m : tensor<3xf32> to tensor<2x2xf32>
  return %w : tensor<2x2xf32>
}
