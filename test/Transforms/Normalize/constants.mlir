// Constants are evaluated through moves and arithmetic, in the arithmetic of their type.
// RUN: prune-opt %s --prune-normalize --split-input-file | FileCheck %s
// RUN: prune-opt %s --prune-normalize="evaluation-limit=2" --split-input-file | FileCheck %s --check-prefix=LIMIT

// CHECK-LABEL: @moves
func.func @moves() -> (tensor<3x2xi32>, tensor<1x3xi32>, tensor<4x3xi32>) {
  %c = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>
  %e = tensor.empty() : tensor<3x2xi32>
  // CHECK-DAG: %[[T:.*]] = arith.constant dense<{{\[}}[1, 4], [2, 5], [3, 6]]> : tensor<3x2xi32>
  %t = linalg.transpose ins(%c : tensor<2x3xi32>) outs(%e : tensor<3x2xi32>) permutation = [1, 0]
  // CHECK-DAG: %[[S:.*]] = arith.constant dense<{{\[}}[4, 5, 6]]> : tensor<1x3xi32>
  %s = tensor.extract_slice %c[1, 0] [1, 3] [1, 1] : tensor<2x3xi32> to tensor<1x3xi32>
  // CHECK-DAG: %[[J:.*]] = arith.constant dense<{{\[}}[1, 2, 3], [4, 5, 6], [1, 2, 3], [4, 5, 6]]> : tensor<4x3xi32>
  %j = tensor.concat dim(0) %c, %c : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<4x3xi32>
  // CHECK: return %[[T]], %[[S]], %[[J]]
  return %t, %s, %j : tensor<3x2xi32>, tensor<1x3xi32>, tensor<4x3xi32>
}

// -----

// The fix-up of negative indices, and the gather behind it: position embeddings become one table.
// CHECK-LABEL: @positions
// LIMIT-LABEL: @positions
#v = affine_map<(d0) -> (d0)>
#row = affine_map<(d0, d1) -> (d0)>
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @positions() -> tensor<3x2xf32> {
  // CHECK: %[[R:.*]] = arith.constant dense<{{\[}}[1.000000e+00, 2.000000e+00], [5.000000e+00, 6.000000e+00], [3.000000e+00, 4.000000e+00]]>
  %ids = arith.constant dense<[0, -1, 1]> : tensor<3xi64>
  %table = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %zero = arith.constant 0 : i64
  %three = arith.constant 3 : i64
  %eb = tensor.empty() : tensor<3xi1>
  %ei = tensor.empty() : tensor<3xi64>
  %ef = tensor.empty() : tensor<3x2xf32>
  %negative = linalg.generic {indexing_maps = [#v, #v], iterator_types = ["parallel"]}
      ins(%ids : tensor<3xi64>) outs(%eb : tensor<3xi1>) {
  ^bb0(%i: i64, %out: i1):
    %n = arith.cmpi slt, %i, %zero : i64
    linalg.yield %n : i1
  } -> tensor<3xi1>
  %fixed = linalg.generic {indexing_maps = [#v, #v, #v], iterator_types = ["parallel"]}
      ins(%negative, %ids : tensor<3xi1>, tensor<3xi64>) outs(%ei : tensor<3xi64>) {
  ^bb0(%n: i1, %i: i64, %out: i64):
    %p = arith.addi %i, %three : i64
    %s = arith.select %n, %p, %i : i64
    linalg.yield %s : i64
  } -> tensor<3xi64>
  // LIMIT: tensor.extract
  %r = linalg.generic {indexing_maps = [#row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%fixed : tensor<3xi64>) outs(%ef : tensor<3x2xf32>) {
  ^bb0(%i: i64, %out: f32):
    %row = arith.index_cast %i : i64 to index
    %column = linalg.index 1 : index
    %e = tensor.extract %table[%row, %column] : tensor<3x2xf32>
    linalg.yield %e : f32
  } -> tensor<3x2xf32>
  // CHECK: return %[[R]]
  return %r : tensor<3x2xf32>
}

// -----

// Arithmetic rounds as f32 does: (1 + 2^-24) - 1 is 0, and 1 / 3 is the nearest f32. Sums run in the order of the loops.
// CHECK-LABEL: @arithmetic
#id = affine_map<(d0) -> (d0)>
#none = affine_map<(d0) -> ()>
func.func @arithmetic() -> (tensor<2xf32>, tensor<f32>) {
  // CHECK-DAG: %[[Q:.*]] = arith.constant dense<[0.000000e+00, 0.333333343]>
  // CHECK-DAG: %[[S:.*]] = arith.constant dense<2.000000e+00> : tensor<f32>
  %c = arith.constant dense<[5.9604644775390625e-08, 1.0]> : tensor<2xf32>
  %d = arith.constant dense<[1.0, 3.0]> : tensor<2xf32>
  %one = arith.constant 1.0 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2xf32>
  %s = tensor.empty() : tensor<f32>
  %q = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%c, %d : tensor<2xf32>, tensor<2xf32>) outs(%e : tensor<2xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.addf %a, %one : f32
    %1 = arith.subf %0, %one : f32
    %2 = arith.divf %1, %b : f32
    linalg.yield %2 : f32
  } -> tensor<2xf32>
  %start = linalg.fill ins(%one : f32) outs(%s : tensor<f32>) -> tensor<f32>
  %sum = linalg.generic {indexing_maps = [#id, #none], iterator_types = ["reduction"]}
      ins(%c : tensor<2xf32>) outs(%start : tensor<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.addf %acc, %a : f32
    linalg.yield %0 : f32
  } -> tensor<f32>
  // CHECK: return %[[Q]], %[[S]]
  return %q, %sum : tensor<2xf32>, tensor<f32>
}

// -----

// Activations in, nothing to evaluate.
// CHECK-LABEL: @not_constant
#id = affine_map<(d0) -> (d0)>
func.func @not_constant(%x: tensor<2xf32>) -> tensor<2xf32> {
  %d = arith.constant dense<[1.0, 3.0]> : tensor<2xf32>
  %e = tensor.empty() : tensor<2xf32>
  // CHECK: linalg.generic
  %q = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%x, %d : tensor<2xf32>, tensor<2xf32>) outs(%e : tensor<2xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %2 = arith.divf %a, %b : f32
    linalg.yield %2 : f32
  } -> tensor<2xf32>
  return %q : tensor<2xf32>
}
