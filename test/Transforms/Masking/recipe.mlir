// A recipe says for each weight by name how it is pruned; every mistake in it is one line with file, line and key.
// RUN: rm -rf %t && split-file %s %t
// RUN: prune-opt %t/model.mlir --prune-create-masks="recipe=%t/good.yaml sparsity=0.9" | FileCheck %t/model.mlir
// DEFINE: %{recipe} =
// DEFINE: %{fails} = not prune-opt %t/model.mlir --prune-create-masks="recipe=%t/%{recipe}" -o /dev/null 2>&1 | FileCheck %t/%{recipe}
// REDEFINE: %{recipe} = unknown-key.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = unknown-key-at-top.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = no-match.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = no-match-key.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = bad-regex.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = bad-sparsity.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = bad-pattern.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = bad-scope.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = bad-skip.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = both.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = twice.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = nested.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = syntax.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = empty.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = documents.yaml
// RUN: %{fails}
// REDEFINE: %{recipe} = list.yaml
// RUN: %{fails}
// RUN: not prune-opt %t/model.mlir --prune-create-masks="recipe=%t/missing.yaml" 2>&1 | FileCheck %s --check-prefix=MISSING
// MISSING: missing.yaml: cannot read recipe: No such file or directory

//--- model.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// CHECK-DAG: prune.mask {{.*}} by(#prune.magnitude<l1>) as(#prune.n_of_m<2, 4>) sparsity(9.000000e-01) group("attention") name("attention.query")
// CHECK-DAG: prune.mask {{.*}} by(#prune.magnitude<l1>) as(#prune.block<4, 1>) sparsity(8.000000e-01) min_keep(1) name("attention.key")
// CHECK-DAG: prune.mask {{.*}} by(#prune.random<seed = 3>) as(#prune.block<4, 1>) threshold(1.000000e-01) name("ffn")
// CHECK-NOT: name("classifier")
func.func @main(%x: tensor<3x4xf32>, %init: tensor<3x4xf32>) -> tensor<3x4xf32> {
  %q = arith.constant dense<[[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 1., 2., 3.], [4., 5., 6., 7.]]> : tensor<4x4xf32> loc("attention.query")
  %k = arith.constant dense<[[2., 2., 3., 4.], [5., 6., 7., 8.], [9., 1., 2., 3.], [4., 5., 6., 7.]]> : tensor<4x4xf32> loc("attention.key")
  %f = arith.constant dense<[[3., 2., 3., 4.], [5., 6., 7., 8.], [9., 1., 2., 3.], [4., 5., 6., 7.]]> : tensor<4x4xf32> loc("ffn")
  %c = arith.constant dense<[[4., 2., 3., 4.], [5., 6., 7., 8.], [9., 1., 2., 3.], [4., 5., 6., 7.]]> : tensor<4x4xf32> loc("classifier")
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %q : tensor<3x4xf32>, tensor<4x4xf32>) outs(%init : tensor<3x4xf32>) -> tensor<3x4xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%0, %k : tensor<3x4xf32>, tensor<4x4xf32>) outs(%init : tensor<3x4xf32>) -> tensor<3x4xf32>
  %2 = linalg.contract indexing_maps = [#x, #w, #y] ins(%1, %f : tensor<3x4xf32>, tensor<4x4xf32>) outs(%init : tensor<3x4xf32>) -> tensor<3x4xf32>
  %3 = linalg.contract indexing_maps = [#x, #w, #y] ins(%2, %c : tensor<3x4xf32>, tensor<4x4xf32>) outs(%init : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %3 : tensor<3x4xf32>
}

//--- good.yaml
# The first entry that matches decides; what it does not say comes from the top.
pattern: 4x1
sparsity: 0.8
layers:
  - match: query
    pattern: 2:4
    sparsity: 0.9
    scope: global
    group: attention
  - match: ^attention
    min-keep: 1
  - match: ffn
    criterion: random:3
    threshold: 0.1
  - match: classifier
    skip: true

//--- unknown-key.yaml
layers:
  - match: ffn
    sparsty: 0.5
# CHECK: unknown-key.yaml:3: unknown key 'sparsty'

//--- unknown-key-at-top.yaml
skip: true
# CHECK: unknown-key-at-top.yaml:1: unknown key 'skip'

//--- no-match.yaml
layers:
  - match: ffn
  - match: decoder
    sparsity: 0.5
# CHECK: no-match.yaml:3: key 'match': 'decoder' matches none of 4 prunable weights

//--- no-match-key.yaml
layers:
  - sparsity: 0.5
# CHECK: no-match-key.yaml:2: entry of layers has no key 'match'

//--- bad-regex.yaml
layers:
  - match: "a("
# CHECK: bad-regex.yaml:2: key 'match': 'a(' is no regular expression: parentheses not balanced

//--- bad-sparsity.yaml
sparsity: 1.5
# CHECK: bad-sparsity.yaml:1: key 'sparsity': expected a value in [0, 1], got 1.5

//--- bad-pattern.yaml
pattern: 3:2
# CHECK: bad-pattern.yaml:1: key 'pattern': pattern '3:2': expected 0 < n <= m in an n:m pattern, got 3:2

//--- bad-scope.yaml
scope: all
# CHECK: bad-scope.yaml:1: key 'scope': expected layer or global, got 'all'

//--- bad-skip.yaml
layers:
  - match: ffn
    skip: maybe
# CHECK: bad-skip.yaml:3: key 'skip': expected true or false, got 'maybe'

//--- both.yaml
sparsity: 0.5
threshold: 0.1
# CHECK: both.yaml:2: key 'threshold': sparsity and threshold exclude each other

//--- twice.yaml
sparsity: 0.5
sparsity: 0.6
# CHECK: twice.yaml:2: key 'sparsity' appears twice

//--- nested.yaml
pattern: [[[[[4x1]]]]]
# CHECK: nested.yaml:1: key 'pattern': expected a single value

//--- syntax.yaml
layers: [
# CHECK: syntax.yaml:{{[0-9]+}}:

//--- empty.yaml
# CHECK: empty.yaml: recipe is empty

//--- list.yaml
- match: ffn
# CHECK: list.yaml:1: expected the recipe as a mapping of keys to values

//--- documents.yaml
sparsity: 0.5
---
sparsity: 0.7
# CHECK: documents.yaml:3: expected one document, got a second
