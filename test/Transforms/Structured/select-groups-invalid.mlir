// Options out of range, names and expressions that fit nothing, and dimensions that cannot shrink: one line each, with
// both values.
// DEFINE: %{options} =
// DEFINE: %{fails} = not prune-opt %S/Inputs/mlp.mlir --prune-select-groups="%{options}" -o /dev/null 2>&1 | FileCheck %s --match-full-lines --implicit-check-not=error: --check-prefix

// REDEFINE: %{options} = ratio=1.0
// RUN: %{fails} RATIO
// RATIO: {{.*}}: error: ratio: expected a value in [0, 1), got 1
// REDEFINE: %{options} = ratio=-0.1
// RUN: %{fails} NEGATIVE
// NEGATIVE: {{.*}}: error: ratio: expected a value in [0, 1), got -0.1
// REDEFINE: %{options} = ratio=0.5 target=params:0.5
// RUN: %{fails} BOTH
// BOTH: {{.*}}: error: ratio and target exclude each other, got 0.5 and 'params:0.5'
// REDEFINE: %{options} = target=memory:0.5
// RUN: %{fails} TARGET
// TARGET: {{.*}}: error: target: expected params:SHARE, flops:SHARE or latency:SHARE, got 'memory:0.5'
// REDEFINE: %{options} = target=flops:1.5
// RUN: %{fails} SHARE
// SHARE: {{.*}}: error: target: expected a share in (0, 1], got 1.5
// REDEFINE: %{options} = target=params:0.1
// RUN: %{fails} UNREACHABLE
// UNREACHABLE: {{.*}}: error: target: params:0.1 cannot be reached: 0.25 is left with all units pruned that may be
// REDEFINE: %{options} = criterion=hessian
// RUN: %{fails} CRITERION
// CRITERION: {{.*}}: error: criterion 'hessian': expected l1, l2, linf, fpgm, taylor, fisher, bn-scale, random, random:SEED or an attribute
// REDEFINE: %{options} = criterion=obs
// RUN: %{fails} FISHER
// FISHER: {{.*}}: error: criterion 'obs': needs activations or Fisher blocks, which groups are not scored by
// REDEFINE: %{options} = criterion=#prune.unstructured
// RUN: %{fails} PATTERN
// PATTERN: {{.*}}: error: criterion '#prune.unstructured': the attribute is no criterion
// REDEFINE: %{options} = criterion=bn-scale
// RUN: %{fails} SCALE
// SCALE: {{.*}}: error: {{.*}}criterion bn-scale: no vector of different values scales group 'neurons:fc1' (prune-normalize folds batch norms into weights unless fold-batch-norm=false)
// REDEFINE: %{options} = criterion=taylor
// RUN: %{fails} GRADIENTS
// GRADIENTS: {{.*}}: error: criterion taylor needs gradients=FILE
// REDEFINE: %{options} = gradients=grad.npz
// RUN: %{fails} UNUSED
// UNUSED: {{.*}}: error: gradients: criterion l2 has no use for 'grad.npz'
// REDEFINE: %{options} = criterion=taylor gradients=%t.absent.npz
// RUN: %{fails} NOFILE
// NOFILE: {{.*}}: error: gradients: {{.*}}.absent.npz{{.*}}: {{[Nn]}}o such file or directory
// REDEFINE: %{options} = scope=model
// RUN: %{fails} SCOPE
// SCOPE: {{.*}}: error: scope: expected local, global or isomorphic, got 'model'
// REDEFINE: %{options} = aggregate=median
// RUN: %{fails} AGGREGATE
// AGGREGATE: {{.*}}: error: aggregate: expected mean, sum or max, got 'median'
// REDEFINE: %{options} = normalize=max
// RUN: %{fails} NORMALIZE
// NORMALIZE: {{.*}}: error: normalize: expected mean or none, got 'max'
// REDEFINE: %{options} = round-to=-8
// RUN: %{fails} ROUND
// ROUND: {{.*}}: error: round-to: expected a value of 0 or more, got -8
// REDEFINE: %{options} = max-ratio=2
// RUN: %{fails} LIMIT
// LIMIT: {{.*}}: error: max-ratio: expected a value in [0, 1], got 2
// REDEFINE: %{options} = statistics=all
// RUN: %{fails} STATISTICS
// STATISTICS: {{.*}}: error: statistics: expected keep or survivors, got 'all'
// REDEFINE: %{options} = kinds=filters
// RUN: %{fails} KINDS
// KINDS: {{.*}}: error: kinds: expected channels, neurons, heads, head-width or width, got 'filters'
// REDEFINE: %{options} = ratios=fc1
// RUN: %{fails} RATIOS
// RATIOS: {{.*}}: error: ratios: expected REGEX=RATIO, got 'fc1'
// REDEFINE: %{options} = ratios=fc1=1
// RUN: %{fails} RATIOSONE
// RATIOSONE: {{.*}}: error: ratios: expected a ratio in [0, 1), got 1 for 'fc1'
// REDEFINE: %{options} = ratios=fc9=0.5
// RUN: %{fails} RATIOSNONE
// RATIOSNONE: {{.*}}: error: ratios: 'fc9' matches none of 3 groups and none of their members
// REDEFINE: %{options} = include=fc(
// RUN: %{fails} REGEX
// REGEX: {{.*}}: error: include: 'fc(' is no regular expression: parentheses not balanced
// REDEFINE: %{options} = include=fc9
// RUN: %{fails} INCLUDE
// INCLUDE: {{.*}}: error: include: 'fc9' matches none of 3 groups and none of their members
// REDEFINE: %{options} = exclude=fc9
// RUN: %{fails} EXCLUDE
// EXCLUDE: {{.*}}: error: exclude: 'fc9' matches none of 3 groups and none of their members
// REDEFINE: %{options} = groups=neurons:fc9
// RUN: %{fails} GROUPS
// GROUPS: {{.*}}: error: groups: 'neurons:fc9' is none of 3 groups (prune-explain-groups prints them)

// An output of the model cannot be pruned, whoever asks for it.
// REDEFINE: %{options} = groups=neurons:fc2
// RUN: %{fails} OUTPUT
// OUTPUT: {{.*}}: error: groups: 'neurons:fc2' cannot be pruned: it is a result of public function 'main' ('func.func')
// REDEFINE: %{options} = include=^neurons:fc2$
// RUN: %{fails} INCLUDEOUTPUT
// INCLUDEOUTPUT: {{.*}}: error: include: '^neurons:fc2$' matches no group that can be pruned: 'neurons:fc2' stays whole because it is a result of public function 'main' ('func.func')
// A protected name that is asked for.
// REDEFINE: %{options} = groups=neurons:fc1 exclude=fc1
// RUN: %{fails} PROTECTED
// PROTECTED: {{.*}}: error: groups: 'neurons:fc1' cannot be pruned: exclude matches it

// Weights that hold no numbers to compare by.
// RUN: not prune-opt %s --prune-select-groups -o /dev/null 2>&1 | FileCheck %s --check-prefix=NAN
// NAN: error: {{.*}}weight 'fc2' holds NaN at index [1, 2]
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[1., 2.], [3., 4.], [5., 6.]]> : tensor<3x2xf32> loc("fc1")
  %fc2 = arith.constant dense<[[1., 2., 3.], [4., 5., 0x7FC00000]]> : tensor<2x3xf32> loc("fc2")
  %e1 = tensor.empty() : tensor<1x3xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x3xf32>) -> tensor<1x3xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<3x2xf32>) outs(%f1 : tensor<1x3xf32>) -> tensor<1x3xf32>
  %e2 = tensor.empty() : tensor<1x2xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %fc2 : tensor<1x3xf32>, tensor<2x3xf32>) outs(%f2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}
