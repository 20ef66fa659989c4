// What prune-quantize refuses: one line each, with the rule and both values.
// REQUIRES: python
// RUN: rm -rf %t && split-file %s %t
// RUN: %python -c "import numpy as n; n.savez('%t/x.npz', x=n.ones((2, 4), n.float32)); n.savez('%t/huge.npz', x=n.full((1, 4), 3e38, n.float32)); n.savez('%t/shape.npz', x=n.ones((2, 5), n.float32))"
// DEFINE: %{file} = model
// DEFINE: %{options} =
// DEFINE: %{fails} = not prune-opt %t/%{file}.mlir --prune-quantize="%{options}" -o /dev/null 2>&1 | FileCheck %s --match-full-lines --check-prefix

// RUN: not prune-opt %t/model.mlir --prune-quantize -o /dev/null 2>&1 | FileCheck %s --match-full-lines --check-prefix=NODATA
// NODATA: {{.*}}: error: data: expected an .npz file with examples, got none
// REDEFINE: %{options} = data=%t/shape.npz
// RUN: %{fails} SHAPE
// SHAPE: {{.*}}: error: data: {{.*}}shape.npz: array 'x': expected float32[examples, 4], got float32[2, 5]
// REDEFINE: %{options} = data=%t/x.npz quantile=0.5
// RUN: %{fails} QUANTILE
// QUANTILE: {{.*}}: error: quantile: expected a value in (0.5, 1], got 0.5
// REDEFINE: %{options} = data=%t/x.npz entry=other
// RUN: %{fails} ENTRY
// ENTRY: {{.*}}: error: entry: expected a function with a body, got 'other'
// REDEFINE: %{options} = data=%t/x.npz include=[
// RUN: %{fails} REGEX
// REGEX: {{.*}}: error: include: '[' is no regular expression: {{.*}}
// REDEFINE: %{options} = data=%t/x.npz include=none
// RUN: %{fails} INCLUDE
// INCLUDE: {{.*}}: error: include: 'none' matches none of 2 linear layers
// REDEFINE: %{options} = data=%t/x.npz exclude=none
// RUN: %{fails} EXCLUDE
// EXCLUDE: {{.*}}: error: exclude: 'none' matches none of 2 linear layers
// REDEFINE: %{options} = data=%t/huge.npz
// RUN: %{fails} FINITE
// FINITE: {{.*}}: error: expected finite activations on the examples, got {{-?}}inf
// REDEFINE: %{options} = data=%t/x.npz
// REDEFINE: %{file} = undecided
// RUN: %{fails} UNDECIDED
// UNDECIDED: {{.*}}: error: mask of 'a' is not decided (run prune-evaluate-masks)
// REDEFINE: %{file} = infinite
// RUN: %{fails} WEIGHT
// WEIGHT: {{.*}}: error: weight 'a': expected finite elements, got inf in row 1

//--- model.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<1x4xf32> {prune.name = "x"}) -> tensor<1x4xf32> {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense<[[2.0, 0.1, 1.0, 0.5], [0.1, 0.0, 1.0, 0.5], [0.1, -1.0, 0.0, 9.0], [0.1, -1.0, 0.0, 9.0]]> : tensor<4x4xf32> loc("a")
  %e = tensor.empty() : tensor<1x4xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4xf32>) -> tensor<1x4xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<1x4xf32>, tensor<4x4xf32>) outs(%z : tensor<1x4xf32>) -> tensor<1x4xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%y, %a : tensor<1x4xf32>, tensor<4x4xf32>) outs(%z : tensor<1x4xf32>) -> tensor<1x4xf32>
  return %r : tensor<1x4xf32>
}

//--- undecided.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<1x4xf32> {prune.name = "x"}) -> tensor<1x2xf32> {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense<[[2.0, 0.1, 1.0, 0.5], [0.1, 0.0, 1.0, 0.5]]> : tensor<2x4xf32> loc("a")
  %m = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) name("a") : tensor<2x4xf32>
  %p = prune.apply %a, %m as(#prune.unstructured) name("a") : tensor<2x4xf32>
  %e = tensor.empty() : tensor<1x2xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<1x4xf32>, tensor<2x4xf32>) outs(%z : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}

//--- infinite.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<1x4xf32> {prune.name = "x"}) -> tensor<1x2xf32> {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense<[[2.0, 0.1, 1.0, 0.5], [0.1, 0.0, 0x7F800000, 0.5]]> : tensor<2x4xf32> loc("a")
  %e = tensor.empty() : tensor<1x2xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<1x4xf32>, tensor<2x4xf32>) outs(%z : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}
