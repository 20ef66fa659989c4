// Weights share one sparsity: by targets of their own (erk) or by a common ranking of normalised scores (l2, lamp).
// RUN: rm -rf %t && split-file %s %t
// DEFINE: %{options} =
// DEFINE: %{create} = prune-opt %t/model.mlir --prune-create-masks="%{options}"
// DEFINE: %{fails} = not prune-opt %t/model.mlir --prune-create-masks="%{options}" -o /dev/null 2>&1 | FileCheck %t/model.mlir --check-prefix

// Raw densities 8/16, 6/8 and 12/32; at 0.25 the second would exceed 1.
// REDEFINE: %{options} = layer-split=erk sparsity=0.5
// RUN: %{create} | FileCheck %t/model.mlir --check-prefix=ERK
// REDEFINE: %{options} = layer-split=erk sparsity=0.25
// RUN: %{create} | FileCheck %t/model.mlir --check-prefix=DENSE
// An n:m pattern leaves no more than its share.
// REDEFINE: %{options} = layer-split=erk sparsity=0.5 pattern=2:4
// RUN: %{create} | FileCheck %t/model.mlir --check-prefix=NM
// REDEFINE: %{options} = layer-split=lamp
// RUN: %{create} | FileCheck %t/model.mlir --check-prefix=LAMP
// REDEFINE: %{options} = layer-split=l2 sparsity=0.9 scope=global
// RUN: %{create} | FileCheck %t/model.mlir --check-prefix=L2
// REDEFINE: %{options} = recipe=%t/recipe.yaml
// RUN: %{create} | FileCheck %t/model.mlir --check-prefix=RECIPE
// RUN: prune-opt %t/model.mlir --prune="layer-split=lamp sparsity=0.75" | FileCheck %t/model.mlir --check-prefix=PIPELINE
// RUN: prune-opt %t/special.mlir --prune-evaluate-masks --split-input-file --verify-diagnostics | FileCheck %t/special.mlir

// REDEFINE: %{options} = layer-split=even
// RUN: %{fails} WORD
// REDEFINE: %{options} = layer-split=erk threshold=0.1
// RUN: %{fails} THRESHOLD
// REDEFINE: %{options} = layer-split=lamp pattern=2:4
// RUN: %{fails} NONE
// REDEFINE: %{options} = layer-split=erk scope=global
// RUN: %{fails} GLOBAL
// REDEFINE: %{options} = layer-split=lamp scope=layer
// RUN: %{fails} LAYER
// REDEFINE: %{options} = layer-split=erk pattern=2:4 sparsity=0.4
// RUN: %{fails} IMPOSED
// REDEFINE: %{options} = recipe=%t/wrong.yaml
// RUN: %{fails} WRONG

//--- recipe.yaml
sparsity: 0.5
layer-split: erk
layers:
  - match: c
    sparsity: 0.8
  - match: b
    layer-split: lamp
    group: small

//--- wrong.yaml
sparsity: 0.5
layer-split: all

//--- model.mlir
// WORD: error: layer-split: expected uniform, erk, l2 or lamp, got 'even'
// THRESHOLD: error: layer-split: erk splits a sparsity, but 'a' has threshold 0.1
// NONE: error: layer-split: lamp splits a sparsity, but 'a' has none
// GLOBAL: error: layer-split: erk expects scope layer, got global for 'a'
// LAYER: error: layer-split: lamp expects scope global, got layer for 'a'
// IMPOSED: error: layer-split: erk cannot reach sparsity 0.4 in the 3 weights of 'a': their patterns impose more
// WRONG: wrong.yaml:2: key 'layer-split': expected uniform, erk, l2 or lamp, got 'all'

// 28 of 56 by raw densities that sum up to 26.
// ERK-DAG: sparsity(0.46153846153846{{[0-9]+}}) name("a")
// ERK-DAG: sparsity(0.192307692307692{{[0-9]+}}) name("b")
// ERK-DAG: sparsity(0.5961538461538{{[0-9]+}}) name("c")
// DENSE-DAG: sparsity(0.15{{[0-9]*}}) name("a")
// DENSE-DAG: sparsity(0.000000e+00) name("b")
// DENSE-DAG: sparsity(0.36{{[0-9]*}}) name("c")
// NM-COUNT-3: as(#prune.n_of_m<2, 4>) sparsity(5.000000e-01) name
// LAMP-COUNT-3: sparsity(5.000000e-01) group("global") normalize(lamp) name
// L2-COUNT-3: sparsity(9.000000e-01) group("global") normalize(l2) name
// A weight alone with its sparsity gets just that.
// RECIPE-DAG: sparsity(5.000000e-01) name("a")
// RECIPE-DAG: sparsity(5.000000e-01) group("small") normalize(lamp) name("b")
// RECIPE-DAG: sparsity({{0.8|8.000000e-01|0.80*[0-9]|0.79+[0-9]*}}) name("c")
// PIPELINE-COUNT-3: prune.record
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<3x4xf32>, %y: tensor<3x4xf32>, %z: tensor<3x2xf32>, %u: tensor<3x8xf32>) -> (tensor<3x4xf32>, tensor<3x2xf32>, tensor<3x8xf32>) {
  %a = arith.constant dense<[[1., 2., 3., 4.], [2., 2., 3., 4.], [3., 2., 3., 4.], [4., 2., 3., 4.]]> : tensor<4x4xf32> loc("a")
  %b = arith.constant dense<[[1., 2., 3., 4.], [2., 2., 3., 4.]]> : tensor<2x4xf32> loc("b")
  %c = arith.constant dense<[[1., 2., 3., 4.], [2., 2., 3., 4.], [3., 2., 3., 4.], [4., 2., 3., 4.], [5., 2., 3., 4.], [6., 2., 3., 4.], [7., 2., 3., 4.], [8., 2., 3., 4.]]> : tensor<8x4xf32> loc("c")
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<3x4xf32>, tensor<4x4xf32>) outs(%y : tensor<3x4xf32>) -> tensor<3x4xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %b : tensor<3x4xf32>, tensor<2x4xf32>) outs(%z : tensor<3x2xf32>) -> tensor<3x2xf32>
  %2 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %c : tensor<3x4xf32>, tensor<8x4xf32>) outs(%u : tensor<3x8xf32>) -> tensor<3x8xf32>
  return %0, %1, %2 : tensor<3x4xf32>, tensor<3x2xf32>, tensor<3x8xf32>
}

//--- special.mlir
// Scores by LAMP: 16/16, 9/25, 4/29, 1/30 and the same for the tenfold weight; of equal ones the earlier weight lives.
// CHECK-LABEL: @scaled
// CHECK: arith.constant dense<[true, true, false, true]> : tensor<4xi1>
// CHECK: arith.constant dense<[true, true, false, false]> : tensor<4xi1>
func.func @scaled() -> (tensor<4xf32>, tensor<4xf32>) {
  %a = arith.constant dense<[2.0, 3.0, 1.0, -4.0]> : tensor<4xf32>
  %b = arith.constant dense<[40.0, 30.0, 20.0, 10.0]> : tensor<4xf32>
  %ma = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.375) group("all") normalize(lamp) name("a") : tensor<4xf32>
  %mb = prune.mask %b by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.375) group("all") normalize(lamp) name("b") : tensor<4xf32>
  %pa = prune.apply %a, %ma as(#prune.unstructured) : tensor<4xf32>
  %pb = prune.apply %b, %mb as(#prune.unstructured) : tensor<4xf32>
  return %pa, %pb : tensor<4xf32>, tensor<4xf32>
}

// -----

// Zeros are worth nothing but their minimum; infinities are numbers.
// CHECK-LABEL: @zeros_and_infinities
// CHECK: arith.constant dense<[true, false, false]> : tensor<3xi1>
// CHECK: arith.constant dense<[false, true, true]> : tensor<3xi1>
func.func @zeros_and_infinities() -> (tensor<3xf32>, tensor<3xf32>) {
  %a = arith.constant dense<0.0> : tensor<3xf32>
  %b = arith.constant dense<[1.0, 0x7F800000, 2.0]> : tensor<3xf32>
  %ma = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("all") normalize(lamp) name("a") : tensor<3xf32>
  %mb = prune.mask %b by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("all") normalize(lamp) name("b") : tensor<3xf32>
  %pa = prune.apply %a, %ma as(#prune.unstructured) : tensor<3xf32>
  %pb = prune.apply %b, %mb as(#prune.unstructured) : tensor<3xf32>
  return %pa, %pb : tensor<3xf32>, tensor<3xf32>
}

// -----

func.func @disagree() -> (tensor<3xf32>, tensor<3xf32>) {
  %a = arith.constant dense<1.0> : tensor<3xf32>
  // expected-note@+1 {{'a' is here}}
  %ma = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("all") normalize(lamp) name("a") : tensor<3xf32>
  // expected-error@+1 {{masks of group 'all' must agree in criterion, pattern, target and normalization: 'b' differs from 'a'}}
  %mb = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("all") normalize(l2) name("b") : tensor<3xf32>
  %pa = prune.apply %a, %ma as(#prune.unstructured) : tensor<3xf32>
  %pb = prune.apply %a, %mb as(#prune.unstructured) : tensor<3xf32>
  return %pa, %pb : tensor<3xf32>, tensor<3xf32>
}
