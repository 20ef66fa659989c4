// Masks on activations keep their settings through printing and parsing, and gates that do nothing fold away.
// RUN: prune-opt %s | prune-opt | FileCheck %s
// RUN: prune-opt %s --mlir-print-op-generic | prune-opt | FileCheck %s
// RUN: prune-opt %s --canonicalize | FileCheck %s --check-prefix=FOLD

// CHECK-LABEL: @settings
// FOLD-LABEL: @settings
func.func @settings(%x: tensor<2x6x8xf32>) -> (tensor<2x6x8xf32>, tensor<2x6x8xi1>, tensor<2x6x8xi1>, tensor<2x6x8xi1>) {
  // CHECK: %[[MASK:mask.*]] = prune.dynamic_mask %arg0 along 2 threshold(5.000000e-01) sparsity(2.500000e-01) name("fc.weight") : tensor<2x6x8xf32>
  %t = prune.dynamic_mask %x along 2 threshold(0.5) sparsity(0.25) name("fc.weight") : tensor<2x6x8xf32>
  // CHECK: prune.gate %arg0, %[[MASK]] : tensor<2x6x8xf32>
  // FOLD: prune.gate
  %g = prune.gate %x, %t : tensor<2x6x8xf32>
  // CHECK: prune.dynamic_mask %arg0 along 2 unit(4) whole [0, 1] keep(1)
  %h = prune.dynamic_mask %x along 2 unit(4) whole [0, 1] keep(1) : tensor<2x6x8xf32>
  // CHECK: prune.dynamic_mask %arg0 along 1 signed keep(1) of(3)
  %n = prune.dynamic_mask %x along 1 signed keep(1) of(3) : tensor<2x6x8xf32>
  // CHECK: prune.dynamic_mask %arg0 along 0 signed threshold(-1.000000e+00)
  %s = prune.dynamic_mask %x along 0 signed threshold(-1.0) : tensor<2x6x8xf32>
  return %g, %h, %n, %s : tensor<2x6x8xf32>, tensor<2x6x8xi1>, tensor<2x6x8xi1>, tensor<2x6x8xi1>
}

// CHECK-LABEL: @lists
func.func @lists(%x: tensor<2x12xf32>, %w: tensor<12x5xf32>) -> tensor<2x5xf32> {
  %c = tensor.empty() : tensor<2x16xi32>
  %v = tensor.empty() : tensor<2x16xf32>
  %n = tensor.empty() : tensor<2xi32>
  // CHECK: %[[LISTS:.*]]:3 = prune.list_nonzeros ins(%arg0 : tensor<2x12xf32>)
  %lists:3 = prune.list_nonzeros ins(%x : tensor<2x12xf32>) outs(%c, %v, %n : tensor<2x16xi32>, tensor<2x16xf32>, tensor<2xi32>)
               -> tensor<2x16xi32>, tensor<2x16xf32>, tensor<2xi32>
  %e = tensor.empty() : tensor<2x5xf32>
  // CHECK: prune.sum_columns shares 2 ins(%arg1, %[[LISTS]]#0, %[[LISTS]]#1, %[[LISTS]]#2
  %y = prune.sum_columns shares 2 ins(%w, %lists#0, %lists#1, %lists#2 : tensor<12x5xf32>, tensor<2x16xi32>, tensor<2x16xf32>, tensor<2xi32>)
         outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  return %y : tensor<2x5xf32>
}

// CHECK-LABEL: @products_of_few_tokens
func.func @products_of_few_tokens(%w: tensor<12x5xf32>, %x: tensor<2x12xf32>, %r: tensor<12x8xf32>, %z: tensor<2x8xf32>,
                                  %l: tensor<2x16xi32>, %n: tensor<2xi32>) -> (tensor<2x5xf32>, tensor<2x12xf32>) {
  %e = tensor.empty() : tensor<2x5xf32>
  // CHECK: prune.sum_all_columns ins(%arg0, %arg1 : tensor<12x5xf32>, tensor<2x12xf32>) outs(%{{.*}} : tensor<2x5xf32>) -> tensor<2x5xf32>
  %y = prune.sum_all_columns ins(%w, %x : tensor<12x5xf32>, tensor<2x12xf32>) outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  %f = tensor.empty() : tensor<2x12xf32>
  // CHECK: prune.multiply_rows shares 3 ins(%arg2, %arg3, %arg4, %arg5 :
  %k = prune.multiply_rows shares 3 ins(%r, %z, %l, %n : tensor<12x8xf32>, tensor<2x8xf32>, tensor<2x16xi32>, tensor<2xi32>)
         outs(%f : tensor<2x12xf32>) -> tensor<2x12xf32>
  return %y, %k : tensor<2x5xf32>, tensor<2x12xf32>
}

// FOLD-LABEL: @folds_what_keeps_all
// FOLD-NEXT: return %arg0, %arg0, %arg0
func.func @folds_what_keeps_all(%x: tensor<1x8xf32>) -> (tensor<1x8xf32>, tensor<1x8xf32>, tensor<1x8xf32>) {
  %k = prune.dynamic_mask %x along 1 keep(8) : tensor<1x8xf32>
  %n = prune.dynamic_mask %x along 1 keep(4) of(4) : tensor<1x8xf32>
  %c = arith.constant dense<true> : tensor<1x8xi1>
  %0 = prune.gate %x, %k : tensor<1x8xf32>
  %1 = prune.gate %x, %n : tensor<1x8xf32>
  %2 = prune.gate %x, %c : tensor<1x8xf32>
  return %0, %1, %2 : tensor<1x8xf32>, tensor<1x8xf32>, tensor<1x8xf32>
}

// A second gate with the same mask goes, one with another stays.
// FOLD-LABEL: @folds_twice_the_same
// FOLD-COUNT-2: prune.gate
// FOLD-NOT: prune.gate
// FOLD: return
func.func @folds_twice_the_same(%x: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %a = prune.dynamic_mask %x along 1 keep(6) : tensor<1x8xf32>
  %b = prune.dynamic_mask %x along 1 keep(4) : tensor<1x8xf32>
  %0 = prune.gate %x, %a : tensor<1x8xf32>
  %1 = prune.gate %0, %a : tensor<1x8xf32>
  %2 = prune.gate %1, %b : tensor<1x8xf32>
  return %2 : tensor<1x8xf32>
}

// CHECK-LABEL: @keep_largest
// CHECK: prune.keep_largest 3 magnitude ins(%{{.*}} : tensor<2x5xf16>) outs(%{{.*}} : tensor<2x5xi1>) -> tensor<2x5xi1>
// CHECK: prune.keep_largest 1 ins(%{{.*}} : tensor<4xf64>) outs(%{{.*}} : tensor<4xi1>) -> tensor<4xi1>
func.func @keep_largest(%x: tensor<2x5xf16>, %e: tensor<2x5xi1>, %y: tensor<4xf64>, %f: tensor<4xi1>) -> (tensor<2x5xi1>, tensor<4xi1>) {
  %a = prune.keep_largest 3 magnitude ins(%x : tensor<2x5xf16>) outs(%e : tensor<2x5xi1>) -> tensor<2x5xi1>
  %b = prune.keep_largest 1 ins(%y : tensor<4xf64>) outs(%f : tensor<4xi1>) -> tensor<4xi1>
  return %a, %b : tensor<2x5xi1>, tensor<4xi1>
}
