// What no mask can be made of: one line that names the weight and the place.
// RUN: prune-opt %s --split-input-file --prune-evaluate-masks --verify-diagnostics

func.func @nan() -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [0x7FC00000, 3.0]]> : tensor<2x2xf32>
  // expected-error @+1 {{weight 'fc' holds NaN at index [1, 0]}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) name("fc") : tensor<2x2xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2x2xf32>
  return %p : tensor<2x2xf32>
}

// -----

// Also when the criterion does not look at the weight.
func.func @nan_f16_random() -> tensor<2xf16> {
  %w = arith.constant dense<[1.0, 0xFE00]> : tensor<2xf16>
  // expected-error @+1 {{weight 'fc' holds NaN at index [1]}}
  %m = prune.mask %w by(#prune.random<seed = 1>) as(#prune.unstructured) sparsity(0.5) name("fc") : tensor<2xf16>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<2xf16>
  return %p : tensor<2xf16>
}

// -----

func.func @group_disagrees() -> (tensor<4xf32>, tensor<4xf32>) {
  %w = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  // expected-note @+1 {{'a' is here}}
  %a = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("g") name("a") : tensor<4xf32>
  // expected-error @+1 {{masks of group 'g' must agree in criterion, pattern, target and normalization: 'b' differs from 'a'}}
  %b = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.75) group("g") name("b") : tensor<4xf32>
  %pa = prune.apply %w, %a as(#prune.unstructured) : tensor<4xf32>
  %pb = prune.apply %w, %b as(#prune.unstructured) : tensor<4xf32>
  return %pa, %pb : tensor<4xf32>, tensor<4xf32>
}

// -----

func.func @empty_unasked() -> tensor<4xf32> {
  %w = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(1.0) name("fc") : tensor<4xf32>
  // expected-error @+1 {{mask of 'fc' keeps none of 4 weights, and allow_empty is not set}}
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<4xf32>
  return %p : tensor<4xf32>
}

// -----

func.func @resource_of_wrong_size() -> tensor<4xf32> {
  %w = arith.constant dense_resource<short> : tensor<4xf32>
  // expected-error @+1 {{weight 'fc': resource 'short' holds 8 bytes, its type needs 16}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) name("fc") : tensor<4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<4xf32>
  return %p : tensor<4xf32>
}
{-# dialect_resources: { builtin: { short: "0x040000000000803F00000040" } } #-}
