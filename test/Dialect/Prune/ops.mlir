// Every op and attribute prints, parses back unchanged, and survives the generic form and bytecode.
// RUN: prune-opt %s | FileCheck %s
// RUN: prune-opt %s | prune-opt | FileCheck %s
// RUN: prune-opt %s --mlir-print-op-generic | prune-opt | FileCheck %s
// RUN: prune-opt %s --emit-bytecode | prune-opt | FileCheck %s

// CHECK: prune.record "fc.weight" as(#prune.block<4, 1>) keeps 16 of 64 digest "0123456789abcdef"
prune.record "fc.weight" as(#prune.block<4, 1>) keeps 16 of 64 digest "0123456789abcdef"
// CHECK: prune.record "fc.weight" as(#prune.unstructured) keeps 1 of 4 digest "0123456789abcdef" stored "fc.weight.masked" digest "fedcba9876543210"
prune.record "fc.weight" as(#prune.unstructured) keeps 1 of 4 digest "0123456789abcdef" stored "fc.weight.masked" digest "fedcba9876543210"

// CHECK-LABEL: @patterns
func.func @patterns(%w: tensor<4x8xf32>) -> (tensor<4x8xi1>, tensor<4x8xi1>, tensor<4x8xi1>, tensor<4x8xi1>, tensor<4x8xi1>) {
  // CHECK: %[[A:mask.*]] = prune.mask %{{.*}} by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(9.000000e-01) : tensor<4x8xf32>
  %a = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.9) : tensor<4x8xf32>
  // CHECK: prune.mask %{{.*}} by(#prune.magnitude<l2>) as(#prune.n_of_m<2, 4>) : tensor<4x8xf32>
  %b = prune.mask %w by(#prune.magnitude<l2>) as(#prune.n_of_m<2, 4>) : tensor<4x8xf32>
  // CHECK: prune.mask %{{.*}} by(#prune.magnitude<linf>) as(#prune.block<4, 1>) threshold(1.000000e-01) min_keep(2) : tensor<4x8xf32>
  %c = prune.mask %w by(#prune.magnitude<linf>) as(#prune.block<4, 1>) threshold(0.1) min_keep(2) : tensor<4x8xf32>
  // CHECK: prune.mask %{{.*}} by(#prune.random<seed = 7>) as(#prune.slice<dim = 0, group = 2>) sparsity(5.000000e-01) group("heads") name("attention.q") : tensor<4x8xf32>
  %d = prune.mask %w by(#prune.random<seed = 7>) as(#prune.slice<dim = 0, group = 2>) sparsity(0.5) group("heads") name("attention.q") : tensor<4x8xf32>
  // CHECK: as(#prune.slice<dim = 1>)
  %e = prune.mask %w by(#prune.random<seed = 7>) as(#prune.slice<dim = 1>) sparsity(0.5) : tensor<4x8xf32>
  return %a, %b, %c, %d, %e : tensor<4x8xi1>, tensor<4x8xi1>, tensor<4x8xi1>, tensor<4x8xi1>, tensor<4x8xi1>
}

// CHECK-LABEL: @patterns_across_rows
func.func @patterns_across_rows(%w: tensor<4x8xf32>) -> (tensor<4x8xi1>, tensor<4x8xi1>) {
  // CHECK: as(#prune.transposable<2, 4>) : tensor<4x8xf32>
  %a = prune.mask %w by(#prune.magnitude<l1>) as(#prune.transposable<2, 4>) : tensor<4x8xf32>
  // CHECK: as(#prune.v_n_m<64, 2, 8>) sparsity(8.000000e-01) : tensor<4x8xf32>
  %b = prune.mask %w by(#prune.magnitude<l1>) as(#prune.v_n_m<64, 2, 8>) sparsity(0.8) : tensor<4x8xf32>
  return %a, %b : tensor<4x8xi1>, tensor<4x8xi1>
}

// CHECK-LABEL: @observe
func.func @observe(%x: tensor<2x3x33x33xf32>, %rows: tensor<512xi1>) -> (tensor<1x12x12xf64>, tensor<3x4xf64>) {
  // CHECK: prune.observe gram %{{.*}} view(#{{.*}}) rows [2, 16, 16] columns [3, 2, 2] where(%{{.*}} : tensor<512xi1>) : tensor<2x3x33x33xf32> -> tensor<1x12x12xf64>
  %gram = prune.observe gram %x view(affine_map<(g, n, y, x, c, i, j) -> (n, c, y * 2 + i, x * 2 + j)>) rows [2, 16, 16] columns [3, 2, 2] where(%rows : tensor<512xi1>) : tensor<2x3x33x33xf32> -> tensor<1x12x12xf64>
  // CHECK: prune.observe norms %{{.*}} view(#{{.*}}) rows [2, 32, 32] columns [2, 2] : tensor<2x3x33x33xf32> -> tensor<3x4xf64>
  %norms = prune.observe norms %x view(affine_map<(g, n, y, x, i, j) -> (n, g, y + i, x + j)>) rows [2, 32, 32] columns [2, 2] : tensor<2x3x33x33xf32> -> tensor<3x4xf64>
  return %gram, %norms : tensor<1x12x12xf64>, tensor<3x4xf64>
}

// CHECK-LABEL: @criteria_with_activations
func.func @criteria_with_activations(%w: tensor<4x8xf32>) -> (tensor<4x8xi1>, tensor<4x8xi1>) {
  // CHECK: by(#prune.wanda)
  %a = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) : tensor<4x8xf32>
  // CHECK: by(#prune.sparsegpt)
  %b = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) : tensor<4x8xf32>
  return %a, %b : tensor<4x8xi1>, tensor<4x8xi1>
}

// CHECK-LABEL: @apply
func.func @apply(%w: tensor<4x4xbf16>, %m: tensor<4x4xi1>) -> (tensor<4x4xbf16>, tensor<4x4xbf16>) {
  // CHECK: %[[P:pruned.*]] = prune.apply %{{.*}}, %{{.*}} as(#prune.unstructured) : tensor<4x4xbf16>
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<4x4xbf16>
  %none = arith.constant dense<false> : tensor<4x4xi1>
  // CHECK: prune.apply %{{.*}}, %{{.*}} as(#prune.block<2, 2>) name("a/b:c") allow_empty : tensor<4x4xbf16>
  %e = prune.apply %w, %none as(#prune.block<2, 2>) name("a/b:c") allow_empty : tensor<4x4xbf16>
  return %r, %e : tensor<4x4xbf16>, tensor<4x4xbf16>
}

// CHECK-LABEL: @barrier
func.func @barrier(%x: tensor<4x?xf32>) -> tensor<4x?xf32> {
  // CHECK: prune.barrier %{{.*}} : tensor<4x?xf32>
  %r = prune.barrier %x : tensor<4x?xf32>
  return %r : tensor<4x?xf32>
}

// A mask in a resource: one byte for each element.
// CHECK-LABEL: @resource
func.func @resource(%w: tensor<2x4xf32>) -> tensor<2x4xf32> {
  // CHECK: arith.constant dense_resource<fc.mask> : tensor<2x4xi1>
  %m = arith.constant dense_resource<fc.mask> : tensor<2x4xi1>
  %r = prune.apply %w, %m as(#prune.n_of_m<1, 2>) : tensor<2x4xf32>
  return %r : tensor<2x4xf32>
}

// The generic form of a normalization names its attribute in full.
// CHECK-LABEL: func.func @normalized
func.func @normalized(%w: tensor<2x4xf32>) -> tensor<2x4xi1> {
  // CHECK: prune.mask %{{.*}} sparsity(5.000000e-01) group("all") normalize(lamp) : tensor<2x4xf32>
  %mask = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("all") normalize(lamp)
      : tensor<2x4xf32>
  return %mask : tensor<2x4xi1>
}

// An elided resource says nothing about its mask, and IR printed for people must still parse.
// CHECK-LABEL: @elided
func.func @elided(%w: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %m = arith.constant dense_resource<elided.mask> : tensor<2x4xi1>
  %r = prune.apply %w, %m as(#prune.n_of_m<1, 2>) : tensor<2x4xf32>
  return %r : tensor<2x4xf32>
}

// CHECK: fc.mask: "0x010000000100000001000000"
{-#
  dialect_resources: {
    builtin: {
      fc.mask: "0x010000000100000001000000"
    }
  }
#-}
