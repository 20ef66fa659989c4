// Wrong options: one line that names the option, the rule and the value.
// DEFINE: %{options} =
// DEFINE: %{check} = not prune-opt %s --prune-dynamic="%{options}" -o /dev/null 2>&1 | FileCheck %s --check-prefix
//
// REDEFINE: %{options} = kind=median
// RUN: %{check}=KIND
// KIND: error: kind: expected threshold, top-k or N:M, got 'median'
// REDEFINE: %{options} = kind=3:2
// RUN: %{check}=ORDER
// ORDER: error: kind: expected N:M with N from 1 to M, got '3:2'
// REDEFINE: %{options} = kind=2:4 sparsity=0.5
// RUN: %{check}=BOTH
// BOTH: error: sparsity: 2:4 says what is pruned, got 0.5 too
// REDEFINE: %{options} = sparsity=1.5
// RUN: %{check}=RANGE
// RANGE: error: sparsity: expected a value in [0, 1], got 1.5
// REDEFINE: %{options} = threshold=-1
// RUN: %{check}=NEGATIVE
// NEGATIVE: error: threshold: expected a value of 0 or more, got -1
// REDEFINE: %{options} = kind=top-k threshold=1
// RUN: %{check}=THRESHOLD
// THRESHOLD: error: threshold: expected with kind=threshold, got it with kind=top-k
// REDEFINE: %{options} = threshold=1 sparsity=0.5
// RUN: %{check}=TWO
// TWO: error: sparsity and threshold exclude each other, got 0.5 and 1
// REDEFINE: %{options} = keep=2
// RUN: %{check}=KEEP
// KEEP: error: keep: expected with kind=top-k, got it with kind=threshold
// REDEFINE: %{options} = kind=top-k keep=2 sparsity=0.5
// RUN: %{check}=SHARE
// SHARE: error: sparsity and keep exclude each other, got 0.5 and 2
// REDEFINE: %{options} = kind=top-k keep=0
// RUN: %{check}=ZERO
// ZERO: error: keep: expected 1 or more columns, got 0
// REDEFINE: %{options} = kind=top-k keep=9
// RUN: %{check}=LARGE
// LARGE: error: keep: expected at most the 4 columns of 'fc', got 9
// REDEFINE: %{options} = scores=-2
// RUN: %{check}=NUMBER
// NUMBER: error: scores: expected the number of a result, or -1, got -2
// REDEFINE: %{options} = kind=top-k scores=1
// RUN: %{check}=RESULT
// RESULT: error: 'linalg.contract' op scores: expected the number of a result, from 0 to 0, got 1
// REDEFINE: %{options} = kind=top-k scores=0
// RUN: %{check}=SHAPE
// SHAPE: error: 'linalg.contract' op scores: expected result 0 to be of 'tensor<2x4xf32>' as what is gated before 'fc', got 'tensor<2x2xf32>'
// REDEFINE: %{options} = include=nothing
// RUN: %{check}=NOTHING
// NOTHING: error: include: 'nothing' matches none of 1 linear layers
// REDEFINE: %{options} = include=(
// RUN: %{check}=REGEX
// REGEX: error: include: '(' is no regular expression
// REDEFINE: %{options} = sparsity=0.5
// RUN: %{check}=DATA
// DATA: error: data: expected an .npz file with examples, which thresholds for a sparsity need, got none
// REDEFINE: %{options} = sparsity=0.5 calibration=x.npz entry=start
// RUN: %{check}=ENTRY
// ENTRY: error: entry: expected a function with a body, got 'start'
// REDEFINE: %{options} = sparsity=0.5 calibration=x.npz allocation=fair
// RUN: %{check}=ALLOCATION
// ALLOCATION: error: allocation: expected uniform or greedy, got 'fair'
// REDEFINE: %{options} = sparsity=0.5 calibration=x.npz search-examples=0
// RUN: %{check}=SEARCH
// SEARCH: error: search-examples: expected 1 or more, got 0
// REDEFINE: %{options} = sparsity=0.5 calibration=x.npz padding=mask
// RUN: %{check}=PADDING
// PADDING: error: padding: expected an input of 'main', got 'mask'
// REDEFINE: %{options} = sparsity=0.5 calibration=%t.nowhere.npz
// RUN: %{check}=FILE
// FILE: error: data: {{.*}}nowhere.npz

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<2x4xf32>) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32> loc("fc")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<2x4xf32>, tensor<2x4xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}
