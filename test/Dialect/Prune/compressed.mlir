// Weights as their kept elements: the ops print and parse back, and compressing what was decompressed folds away.
// RUN: prune-opt %s | FileCheck %s
// RUN: prune-opt %s | prune-opt | FileCheck %s
// RUN: prune-opt %s --mlir-print-op-generic | prune-opt | FileCheck %s
// RUN: prune-opt %s --emit-bytecode | prune-opt | FileCheck %s
// RUN: prune-opt %s --canonicalize | FileCheck %s --check-prefix=FOLD

// CHECK-LABEL: @both_ways
func.func @both_ways(%v: tensor<3xf32>, %w: tensor<2x2xf32>) -> (tensor<2x2xf32>, tensor<3xf32>) {
  %m = arith.constant dense<[[false, true], [true, true]]> : tensor<2x2xi1>
  // CHECK: prune.decompress %{{.*}}, %{{.*}} : tensor<3xf32> to tensor<2x2xf32>
  %d = prune.decompress %v, %m : tensor<3xf32> to tensor<2x2xf32>
  // CHECK: prune.compress %{{.*}}, %{{.*}} : tensor<2x2xf32> to tensor<3xf32>
  %c = prune.compress %w, %m : tensor<2x2xf32> to tensor<3xf32>
  return %d, %c : tensor<2x2xf32>, tensor<3xf32>
}

// A mask that keeps nothing, and one that is not known yet.
// CHECK-LABEL: @edges
func.func @edges(%none: tensor<0xbf16>, %v: tensor<5xf64>, %m: tensor<4x3x1xi1>) -> (tensor<2xbf16>, tensor<4x3x1xf64>) {
  %f = arith.constant dense<false> : tensor<2xi1>
  // CHECK: prune.decompress %{{.*}} : tensor<0xbf16> to tensor<2xbf16>
  %a = prune.decompress %none, %f : tensor<0xbf16> to tensor<2xbf16>
  // CHECK: prune.decompress %{{.*}} : tensor<5xf64> to tensor<4x3x1xf64>
  %b = prune.decompress %v, %m : tensor<5xf64> to tensor<4x3x1xf64>
  return %a, %b : tensor<2xbf16>, tensor<4x3x1xf64>
}

// CHECK-LABEL: @gradient
func.func @gradient(%p: tensor<9xi32>, %k: tensor<6xi16>, %dy: tensor<3x4x8xf32>, %x: tensor<3x5x8xf32>,
                    %i: tensor<6xf32>) -> tensor<6xf32> {
  // CHECK: prune.weight_gradient chunk 3 storage(%{{.*}}, %{{.*}} : tensor<9xi32>, tensor<6xi16>) ins(%{{.*}}, %{{.*}} : tensor<3x4x8xf32>, tensor<3x5x8xf32>) outs(%{{.*}} : tensor<6xf32>) -> tensor<6xf32>
  %r = prune.weight_gradient chunk 3 storage(%p, %k : tensor<9xi32>, tensor<6xi16>)
      ins(%dy, %x : tensor<3x4x8xf32>, tensor<3x5x8xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return %r : tensor<6xf32>
}

// CHECK-LABEL: @shares
func.func @shares(%p: memref<5xi32>, %k: memref<6xi16>, %s: memref<3xi32>, %dy: memref<4x8xf32>, %x: memref<5x8xf32>, %i: memref<6xf32>) {
  // CHECK: prune.weight_gradient chunk 5 storage(%{{.*}} : memref<5xi32>, memref<6xi16>) shares(%{{.*}} : memref<3xi32>) ins(
  prune.weight_gradient chunk 5 storage(%p, %k : memref<5xi32>, memref<6xi16>) shares(%s : memref<3xi32>)
      ins(%dy, %x : memref<4x8xf32>, memref<5x8xf32>) outs(%i : memref<6xf32>)
  return
}

// CHECK-LABEL: @pixels
func.func @pixels(%p: memref<5xi32>, %k: memref<6xi16>, %dy: memref<3x4x2x4xf32>, %x: memref<3x5x2x4xf32>, %i: memref<6xf32>) {
  // CHECK: prune.weight_gradient chunk 5 lanes 2 storage(
  prune.weight_gradient chunk 5 lanes 2 storage(%p, %k : memref<5xi32>, memref<6xi16>)
      ins(%dy, %x : memref<3x4x2x4xf32>, memref<3x5x2x4xf32>) outs(%i : memref<6xf32>)
  return
}

// Equal constants are one mask; another mask with as many kept elements is none.
// FOLD-LABEL: @folds_what_was_decompressed
// FOLD-SAME: %[[V:.*]]: tensor<2xf32>
func.func @folds_what_was_decompressed(%v: tensor<2xf32>) -> (tensor<2xf32>, tensor<2xf32>) {
  %m = arith.constant dense<[true, false, true]> : tensor<3xi1>
  %same = arith.constant dense<[true, false, true]> : tensor<3xi1>
  %other = arith.constant dense<[true, true, false]> : tensor<3xi1>
  // FOLD: %[[KEPT:.*]] = prune.compress
  // FOLD-NOT: prune.compress
  // FOLD: return %[[V]], %[[KEPT]]
  %d = prune.decompress %v, %m : tensor<2xf32> to tensor<3xf32>
  %a = prune.compress %d, %same : tensor<3xf32> to tensor<2xf32>
  %b = prune.compress %d, %other : tensor<3xf32> to tensor<2xf32>
  return %a, %b : tensor<2xf32>, tensor<2xf32>
}
