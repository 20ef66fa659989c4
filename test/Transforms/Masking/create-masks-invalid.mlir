// Options out of range, and expressions that match nothing: one line each, with both values.
// DEFINE: %{options} =
// DEFINE: %{fails} = not prune-opt %s --prune-create-masks="%{options}" -o /dev/null 2>&1 | FileCheck %s --match-full-lines --check-prefix

// REDEFINE: %{options} = sparsity=1.5
// RUN: %{fails} SPARSITY
// SPARSITY: {{.*}}: error: sparsity: expected a value in [0, 1], got 1.5
// REDEFINE: %{options} = sparsity=-0.5
// RUN: %{fails} NEGATIVE
// NEGATIVE: {{.*}}: error: sparsity: expected a value in [0, 1], got -0.5
// REDEFINE: %{options} = sparsity=0.5 threshold=0.1
// RUN: %{fails} BOTH
// BOTH: {{.*}}: error: sparsity and threshold exclude each other, got 0.5 and 0.1
// REDEFINE: %{options} = threshold=-1
// RUN: %{fails} THRESHOLD
// THRESHOLD: {{.*}}: error: threshold: expected a value of 0 or more, got -1
// REDEFINE: %{options} = min-keep=-2
// RUN: %{fails} MINKEEP
// MINKEEP: {{.*}}: error: min-keep: expected a value of 0 or more, got -2
// REDEFINE: %{options} = min-keep=9
// RUN: %{fails} TOOMANY
// TOOMANY: {{.*}}: error: min-keep: 'fc' has 8 units, fewer than 9
// REDEFINE: %{options} = scope=model
// RUN: %{fails} SCOPE
// SCOPE: {{.*}}: error: scope: expected layer or global, got 'model'
// REDEFINE: %{options} = pattern=3:2
// RUN: %{fails} NM
// NM: {{.*}}: error: pattern '3:2': expected 0 < n <= m in an n:m pattern, got 3:2
// REDEFINE: %{options} = pattern=0x4
// RUN: %{fails} BLOCK
// BLOCK: {{.*}}: error: pattern '0x4': expected a block of at least 1x1, got 0x4
// REDEFINE: %{options} = pattern=transposable:2:16
// RUN: %{fails} SQUARES
// SQUARES: {{.*}}: error: pattern 'transposable:2:16': expected 0 < n <= m <= 8 in a transposable n:m pattern, got 2:16
// REDEFINE: %{options} = pattern=transposable:2
// RUN: %{fails} SPELLING
// SPELLING: {{.*}}: error: pattern 'transposable:2': expected unstructured, N:M, V:N:M, transposable:N:M, RxC{{.*}}
// REDEFINE: %{options} = pattern=64:2:3
// RUN: %{fails} VNM
// VNM: {{.*}}: error: pattern '64:2:3': expected v > 0 and 0 < n <= 4 <= m in a v:n:m pattern, got 64:2:3
// REDEFINE: %{options} = pattern=rows
// RUN: %{fails} PATTERN
// PATTERN: {{.*}}: error: pattern 'rows': expected unstructured, N:M, V:N:M, transposable:N:M, RxC, slice:DIM, slice:DIM:GROUP or an attribute
// REDEFINE: %{options} = pattern=#prune.magnitude<l1>
// RUN: %{fails} NOPATTERN
// NOPATTERN: {{.*}}: error: pattern '#prune.magnitude<l1>': the attribute is no pattern
// REDEFINE: %{options} = pattern=2:4 sparsity=0.25
// RUN: %{fails} IMPOSED
// IMPOSED: {{.*}}: error: sparsity: 0.25 prunes 2 of 8 units of 'fc', but pattern 2:4 imposes 4
// REDEFINE: %{options} = criterion=hessian
// RUN: %{fails} CRITERION
// CRITERION: {{.*}}: error: criterion 'hessian': expected magnitude, magnitude:l1, magnitude:l2, magnitude:linf, random, random:SEED, taylor, fisher, obs, obs:DAMPING, wanda, sparsegpt, movement, movement:RATE, soft-movement, soft-movement:RATE, soft-movement:RATE:PENALTY or an attribute
// REDEFINE: %{options} = criterion=movement:0
// RUN: %{fails} SPEED
// SPEED: {{.*}}: error: criterion 'movement:0': expected a positive rate of movement, got 0
// REDEFINE: %{options} = criterion=soft-movement:1:-2
// RUN: %{fails} PENALTY
// PENALTY: {{.*}}: error: criterion 'soft-movement:1:-2': expected a penalty of 0 or more of soft movement, got -2
// REDEFINE: %{options} = criterion=soft-movement:1:0:1
// RUN: %{fails} NUMBERS
// NUMBERS: {{.*}}: error: criterion 'soft-movement:1:0:1': expected magnitude, {{.*}} or an attribute
// REDEFINE: %{options} = criterion=soft-movement threshold=1.5
// RUN: %{fails} SOFT
// SOFT: {{.*}}: error: threshold: expected a value in (0, 1) with soft-movement, got 1.5
// REDEFINE: %{options} = criterion=obs:0
// RUN: %{fails} DAMPING
// DAMPING: {{.*}}: error: criterion 'obs:0': expected a positive damping of obs, got 0
// REDEFINE: %{options} = include=nothing
// RUN: %{fails} INCLUDE
// INCLUDE: {{.*}}: error: include: 'nothing' matches none of 1 prunable weights
// REDEFINE: %{options} = exclude=a(
// RUN: %{fails} REGEX
// REGEX: {{.*}}: error: exclude: 'a(' is no regular expression: parentheses not balanced

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<3x4xf32>, %init: tensor<3x2xf32>) -> tensor<3x2xf32> {
  %fc = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.]]> : tensor<2x4xf32> loc("fc")
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc : tensor<3x4xf32>, tensor<2x4xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %0 : tensor<3x2xf32>
}
