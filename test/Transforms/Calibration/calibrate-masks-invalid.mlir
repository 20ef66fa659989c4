// What prune-calibrate-masks refuses: one line each, with the place, the rule and both values. Nothing is changed.
// REQUIRES: python
// RUN: rm -rf %t && split-file %s %t
// RUN: %python %t/data.py %t
// DEFINE: %{file} = model
// DEFINE: %{options} =
// DEFINE: %{fails} = not prune-opt %t/%{file}.mlir --prune-calibrate-masks="%{options}" -o /dev/null 2>&1 | FileCheck %s --match-full-lines --check-prefix

// REDEFINE: %{options} = damping=0
// RUN: %{fails} DAMPING
// DAMPING: {{.*}}: error: damping: expected a value in (0, 0.1], got 0
// REDEFINE: %{options} = damping=0.2
// RUN: %{fails} LARGE
// LARGE: {{.*}}: error: damping: expected a value in (0, 0.1], got 0.2
// REDEFINE: %{options} = column-counts=best
// RUN: %{fails} COUNTS
// COUNTS: {{.*}}: error: column-counts: expected even or ranked, got 'best'
// REDEFINE: %{options} = entry=other
// RUN: %{fails} ENTRY
// ENTRY: {{.*}}: error: entry: expected a function with a body, got 'other'
// RUN: not prune-opt %t/model.mlir --prune-calibrate-masks -o /dev/null 2>&1 | FileCheck %s --check-prefix=NODATA
// NODATA: {{.*}}: error: data: expected an .npz file with examples, which criterion sparsegpt needs, got none
// RUN: not prune-opt %t/model.mlir --prune="criterion=wanda" -o /dev/null 2>&1 | FileCheck %s --check-prefix=PIPELINE
// PIPELINE: {{.*}}: error: data: expected an .npz file with examples, which criterion wanda needs, got none
// REDEFINE: %{options} = data=%t/x.npz padding=mask
// RUN: %{fails} PADDING
// PADDING: {{.*}}: error: padding: expected an input of 'main', got 'mask'
// REDEFINE: %{file} = half
// REDEFINE: %{options} = data=%t/x.npz padding=h
// RUN: %{fails} PADDINGTYPE
// PADDINGTYPE: {{.*}}: error: padding: expected an input of integers or f32, got 'h' of 'f16'
// REDEFINE: %{file} = model

// The data.
// REDEFINE: %{options} = data=%t/none.npz
// RUN: %{fails} ABSENT
// ABSENT: {{.*}}: error: data: {{.*}}none.npz{{.*}}: {{[Nn]}}o such file or directory
// REDEFINE: %{options} = data=%t/empty.npz
// RUN: %{fails} ARRAY
// ARRAY: {{.*}}: error: data: {{.*}}empty.npz: expected an array 'x' of float32[examples, 4], got none among 1 arrays
// REDEFINE: %{options} = data=%t/shape.npz
// RUN: %{fails} SHAPE
// SHAPE: {{.*}}: error: data: {{.*}}shape.npz: array 'x': expected float32[examples, 4], got float32[6, 5]
// REDEFINE: %{options} = data=%t/type.npz
// RUN: %{fails} TYPE
// TYPE: {{.*}}: error: data: {{.*}}type.npz: array 'x': expected float32[examples, 4], got float64[6, 4]
// REDEFINE: %{options} = data=%t/nan.npz
// RUN: %{fails} NAN
// NAN: {{.*}}: error: data: {{.*}}nan.npz: array 'x': expected finite numbers, got nan at index [2, 1]
// REDEFINE: %{options} = data=%t/zero.npz
// RUN: %{fails} ZERO
// ZERO: {{.*}}: error: data: {{.*}}zero.npz: array 'x': expected at least one example, got 0 examples
// REDEFINE: %{file} = two
// REDEFINE: %{options} = data=%t/uneven.npz
// RUN: %{fails} UNEVEN
// UNEVEN: {{.*}}: error: data: {{.*}}uneven.npz: array 'y': expected 6 examples as in 'x', got 5 examples
// REDEFINE: %{file} = batches
// REDEFINE: %{options} = data=%t/uneven.npz
// RUN: %{fails} BATCHES
// BATCHES: {{.*}}: error: data: input 'y' of 'main': expected a batch of 2 as in 'x', got 4
// REDEFINE: %{file} = scalar
// RUN: %{fails} SCALAR
// SCALAR: {{.*}}: error: data: input 'x' of 'main': expected a tensor of static shape whose first dimension is the batch, got tensor<f32>

// Activations.
// REDEFINE: %{file} = model
// REDEFINE: %{options} = data=%t/huge.npz
// RUN: %{fails} HUGE
// HUGE: {{.*}}: error: the input of weight 'w' holds NaN, infinity or numbers whose squares are no f32
// REDEFINE: %{file} = padded
// REDEFINE: %{options} = data=%t/padded.npz padding=m
// RUN: %{fails} ALLPADDED
// ALLPADDED: {{.*}}: error: the input of weight 'w' has no row that counts: padding leaves out all of them

// Masks that are not decided here, and weights whose input cannot be seen.
// RUN: prune-opt %t/refused.mlir --prune-calibrate-masks="data=%t/x.npz" --split-input-file --verify-diagnostics -o /dev/null

//--- data.py
import sys

import numpy as np

folder = sys.argv[1]
x = np.arange(24, dtype=np.float32).reshape(6, 4)
bad, huge = x.copy(), x.copy()
bad[2, 1], huge[3, 0] = np.nan, 1e30
for name, arrays in {
    "x": {"x": x, "h": x.astype(np.float16)}, "empty": {"other": x}, "shape": {"x": np.zeros((6, 5), np.float32)},
    "type": {"x": x.astype(np.float64)}, "nan": {"x": bad}, "huge": {"x": huge}, "zero": {"x": x[:0]},
    "uneven": {"x": x, "y": x[:5]}, "padded": {"x": x, "m": np.zeros((6, 1), np.int64)}}.items():
    np.savez(f"{folder}/{name}.npz", **arrays)

//--- model.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

//--- half.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}, %h: tensor<2x4xf16> {prune.name = "h"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

//--- padded.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}, %r: tensor<2x1xi64> {prune.name = "m"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

//--- two.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}, %y: tensor<2x4xf32> {prune.name = "y"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

//--- batches.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}, %y: tensor<4x4xf32> {prune.name = "y"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

//--- scalar.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%s: tensor<f32> {prune.name = "x"}, %x: tensor<2x4xf32> {prune.name = "y"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

//--- refused.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{mask of 'w' by wanda expects a sparsity, got threshold 0.5}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) threshold(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// -----

func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x4xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  // expected-error @+1 {{mask of 'v' by taylor is not decided, and the network cannot run without it (run prune-evaluate-masks)}}
  %n = prune.mask %w by(#prune.taylor) as(#prune.unstructured) sparsity(0.5) name("v") : tensor<2x4xf32>
  %q = prune.apply %w, %n as(#prune.unstructured) name("v") : tensor<2x4xf32>
  %0 = arith.addf %p, %q : tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}

// -----

func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x4xf32> {
  return %x : tensor<2x4xf32>
}
func.func @helper() -> tensor<2x4xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{mask of 'w' by sparsegpt is not in 'main', which is the function that is run}}
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  return %p : tensor<2x4xf32>
}

// -----

func.func @main(%x: tensor<2x4xf16> {prune.name = "x"}) -> tensor<2x4xf16> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf16>
  // expected-error @+1 {{mask of 'w' by wanda expects a constant weight of f32}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf16>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf16>
  return %p : tensor<2x4xf16>
}

// -----

func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x4xf32> {
  %w = arith.constant dense_resource<__elided__> : tensor<2x4xf32>
  // expected-error @+1 {{mask of 'w' by wanda cannot be decided because the data of its weight is elided}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  return %p : tensor<2x4xf32>
}

// -----

func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x4xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{mask of 'w' by sparsegpt expects a pattern whose units lie within columns, got slice:0}}
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.slice<dim = 0>) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.slice<dim = 0>) name("w") : tensor<2x4xf32>
  return %p : tensor<2x4xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> (tensor<2x2xf32>, tensor<2x4xf32>) {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{mask of 'w' by sparsegpt changes the weight, which func.return uses without that mask}}
  %m = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0, %w : tensor<2x2xf32>, tensor<2x4xf32>
}

// -----

func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x4xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{the input of weight 'w' cannot be observed: expected its uses to be layers of f32 in 'main', got arith.addf (no layer)}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %0 = arith.addf %x, %p : tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}

// -----

func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x4xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{the input of weight 'w' cannot be observed: expected a layer that uses it, got none}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  return %x : tensor<2x4xf32>
}

// -----

func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x4xi1> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{the input of weight 'w' cannot be observed: expected its uses to be layers of f32 in 'main', got func.return (the mask is not only applied)}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  return %m : tensor<2x4xi1>
}

// -----

// Weights as [in, out], and a weight for each sample: no layer in normal form.
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x3xf32> {
  %w = arith.constant dense<[[1., 2., 3.], [5., 6., 7.], [1., 2., 3.], [5., 6., 7.]]> : tensor<4x3xf32>
  // expected-error @+1 {{got linalg.matmul (weight is [in, out], masks need [out, in]; run prune-normalize)}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<4x3xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<4x3xf32>
  %f = arith.constant dense<0.0> : tensor<2x3xf32>
  %0 = linalg.matmul ins(%x, %p : tensor<2x4xf32>, tensor<4x3xf32>) outs(%f : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{got linalg.contract (not in the body of the function itself)}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %0 = scf.for %i = %zero to %one step %one iter_args(%acc = %f) -> tensor<2x2xf32> {
    %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%acc : tensor<2x2xf32>) -> tensor<2x2xf32>
    scf.yield %1 : tensor<2x2xf32>
  }
  return %0 : tensor<2x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 0x7F800000, 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{weight 'w' holds infinity}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func private @relu(%x: tensor<2x4xf32>) -> tensor<2x4xf32>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  // expected-error @+1 {{expected a function without calls to calibrate (inline them first)}}
  %r = func.call @relu(%x) : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}, %h: tensor<2x4xf16> {prune.name = "h"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %half = arith.constant dense<[[1., 2.], [5., 6.]]> : tensor<2x2xf16>
  %known = arith.constant dense<[[true, false], [true, true]]> : tensor<2x2xi1>
  // expected-error @+1 {{expected a constant weight of f32 and a constant mask to calibrate}}
  %q = prune.apply %half, %known as(#prune.unstructured) name("half") : tensor<2x2xf16>
  %f = arith.constant dense<0.0> : tensor<2x4xf32>
  %z = arith.constant dense<0.0> : tensor<2x2xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %wide = arith.extf %q : tensor<2x2xf16> to tensor<2x2xf32>
  %r = linalg.matmul ins(%wide, %x : tensor<2x2xf32>, tensor<2x4xf32>) outs(%f : tensor<2x4xf32>) -> tensor<2x4xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%z : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// -----

// expected-error @+1 {{expected one block in the function to calibrate, got 2}}
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  cf.br ^end
^end:
  return %0 : tensor<2x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %v = arith.constant dense<[[1., 2.], [5., 6.]]> : tensor<2x2xf32>
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %n = prune.mask %v by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("v") : tensor<2x2xf32>
  %q = prune.apply %v, %n as(#prune.unstructured) name("v") : tensor<2x2xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  %first = tensor.extract_slice %x[0, 0] [2, 2] [1, 1] : tensor<2x4xf32> to tensor<2x2xf32>
  // expected-error @+1 {{expected a tensor of static shape to keep for layers behind, got 'tensor<?x2xf32>'}}
  %dynamic = tensor.cast %first : tensor<2x2xf32> to tensor<?x2xf32>
  %other = tensor.cast %0 : tensor<2x2xf32> to tensor<?x2xf32>
  %sum = arith.addf %dynamic, %other : tensor<?x2xf32>
  %1 = tensor.cast %sum : tensor<?x2xf32> to tensor<2x2xf32>
  %2 = linalg.contract indexing_maps = [#x, #w, #y] ins(%1, %q : tensor<2x2xf32>, tensor<2x2xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %2 : tensor<2x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  // expected-error @+1 {{expected a constant whose data is at hand to calibrate}}
  %bias = arith.constant dense_resource<__elided__> : tensor<2x4xf32>
  %r = arith.addf %x, %bias : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main() -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32>
  // expected-error @+1 {{mask of 'w' by wanda needs examples, but 'main' has no inputs}}
  %m = prune.mask %w by(#prune.wanda) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<2x4xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x4xf32>
  %f = arith.constant dense<0.0> : tensor<2x2xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%w, %p : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}
