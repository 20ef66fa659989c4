// What prune-permute-channels refuses, and what it says.
// DEFINE: %{options} =
// DEFINE: %{fails} = not prune-opt %s --prune-permute-channels="%{options}" 2>&1 | FileCheck %s --check-prefix

// REDEFINE: %{options} = pattern=rows
// RUN: %{fails} PATTERN
// PATTERN: error: pattern 'rows': expected unstructured, N:M, V:N:M, transposable:N:M, RxC, slice:DIM, slice:DIM:GROUP or an attribute
// REDEFINE: %{options} = pattern=4x1
// RUN: %{fails} BLOCK
// BLOCK: error: pattern: expected N:M with M of at most 32, got '4x1'
// REDEFINE: %{options} = pattern=2:33
// RUN: %{fails} LONG
// LONG: error: pattern: expected N:M with M of at most 32, got '2:33'
// REDEFINE: %{options} = effort=0
// RUN: %{fails} EFFORT
// EFFORT: error: effort: expected a value in (0, 1000], got 0
// REDEFINE: %{options} = include=(
// RUN: %{fails} REGEX
// REGEX: error: include: '(' is no regular expression: parentheses not balanced
// REDEFINE: %{options} = exclude=(
// RUN: %{fails} EXCLUDE
// EXCLUDE: error: exclude: '(' is no regular expression: parentheses not balanced
// REDEFINE: %{options} = include=encoder
// RUN: %{fails} INCLUDE
// INCLUDE: error: include: 'encoder' matches none of 2 prunable weights
// REDEFINE: %{options} =
// RUN: %{fails} FINITE
// FINITE: error: loc("fc2"): weight 'fc2': expected finite numbers, got inf at index [0, 2]
// A weight that does not count may hold what it likes.
// RUN: prune-opt %s --prune-permute-channels="exclude=fc2" --prune-create-masks -o %t.mlir
// RUN: not prune-opt %t.mlir --prune-permute-channels="exclude=fc2" 2>&1 | FileCheck %s --check-prefix=MASKS
// MASKS: error: expected a module without masks, whose order would change, got 'prune.mask' (permute channels before masks are put on weights)

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<1x2xf32>) -> tensor<1x1xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[5., 1.], [0., 1.], [7., 1.], [1., 1.]]> : tensor<4x2xf32> loc("fc1")
  %fc2 = arith.constant dense<[[4., 3., 0x7F800000, 1.]]> : tensor<1x4xf32> loc("fc2")
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %fc2 : tensor<1x4xf32>, tensor<1x4xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}
