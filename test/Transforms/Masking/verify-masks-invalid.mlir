// Every way in which a later pass can break a mask fails the build, with both values.
// RUN: prune-opt %s --split-input-file --prune-verify-masks --verify-diagnostics

// expected-error @+1 {{mask of 'w' was lost: no prune.apply of that name is left to prune 2 of 4 weights}}
prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
func.func @lost(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  return %w : tensor<2x2xf32>
}

// -----

prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
func.func @bypassed(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %m = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
  // expected-error @+1 {{mask of 'w' was bypassed: the result of its prune.apply is not used}}
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x2xf32>
  return %w : tensor<2x2xf32>
}

// -----

prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
func.func @count(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %m = arith.constant dense<[[true, true], [true, false]]> : tensor<2x2xi1>
  // expected-error @+1 {{mask of 'w' changed: recorded 2 of 4 kept, found 3}}
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x2xf32>
  return %p : tensor<2x2xf32>
}

// -----

prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
func.func @moved(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %m = arith.constant dense<[[true, false], [false, true]]> : tensor<2x2xi1>
  // expected-error @+1 {{mask of 'w' changed: recorded digest 903bacbbad82455c, found}}
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x2xf32>
  return %p : tensor<2x2xf32>
}

// -----

// A transposed weight takes its mask along in another shape: the digest covers the shape too.
prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
func.func @reshaped(%w: tensor<4xf32>) -> tensor<4xf32> {
  %m = arith.constant dense<[false, true, true, false]> : tensor<4xi1>
  // expected-error @+1 {{mask of 'w' changed: recorded digest 903bacbbad82455c, found}}
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<4xf32>
  return %p : tensor<4xf32>
}

// -----

prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
func.func @size(%w: tensor<2xf32>) -> tensor<2xf32> {
  %m = arith.constant dense<[false, true]> : tensor<2xi1>
  // expected-error @+1 {{mask of 'w' changed its size: recorded 4, found 2}}
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2xf32>
  return %p : tensor<2xf32>
}

// -----

prune.record "w" as(#prune.n_of_m<1, 2>) keeps 2 of 4 digest "903bacbbad82455c"
func.func @pattern(%w: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %m = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
  // expected-error @+1 {{mask of 'w' changed its pattern: recorded #prune.n_of_m<1, 2>, found #prune.unstructured}}
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x2xf32>
  return %p : tensor<2x2xf32>
}

// -----

prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
func.func @not_constant(%w: tensor<2x2xf32>, %m: tensor<2x2xi1>) -> tensor<2x2xf32> {
  // expected-error @+1 {{mask of 'w' was decided, but is no longer a constant}}
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x2xf32>
  return %p : tensor<2x2xf32>
}

// -----

// All that is broken is reported, not the first only.
// expected-error @+1 {{mask of 'a' was lost}}
prune.record "a" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"
// expected-error @+1 {{mask of 'b' was lost}}
prune.record "b" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c"

// -----

// expected-error @+1 {{masked weight of 'w' was lost: no constant 'w.masked' is left}}
prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c" stored "w.masked" digest "903bacbbad82455c"

// -----

// A pruned weight came back to life in the stored constant.
prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "903bacbbad82455c" stored "w.masked" digest "903bacbbad82455c"
func.func @resurrected() -> tensor<2x2xf32> {
  // expected-error @+1 {{masked weight of 'w' changed: 3 nonzero of at most 2 kept, digest recorded 903bacbbad82455c, found}}
  %w = arith.constant dense_resource<w.masked> : tensor<2x2xf32>
  return %w : tensor<2x2xf32>
}
{-# dialect_resources: { builtin: { w.masked: "0x04000000000080BF000000400000404000000000" } } #-}
