// Masks of constant weights become constants: exact counts, lower index first among equals, and one record each.
// RUN: prune-opt %s --split-input-file --prune-evaluate-masks --verify-diagnostics | FileCheck %s
// RUN: prune-opt %s --split-input-file --prune-evaluate-masks=threads=1 > %t.1
// RUN: prune-opt %s --split-input-file --prune-evaluate-masks=threads=5 > %t.5
// RUN: cmp %t.1 %t.5
// RUN: prune-opt %s --split-input-file --prune-evaluate-masks --remarks-filter=masks --remark-format=emitRemark \
// RUN:   -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK

// Half of five is two (round half to even); of the ties the lower indices live; -0 is 0.
// CHECK-LABEL: @ties
// CHECK: arith.constant dense<[true, true, true, false, false]> : tensor<5xi1>
// CHECK-NOT: prune.mask
// CHECK: prune.record "w" as(#prune.unstructured) keeps 3 of 5 digest "{{[0-9a-f]+}}"
// REMARK-DAG: 'w' keeps 3 of 5 weights as unstructured by magnitude
// REMARK-DAG: 1 masks decided, 2 of 5 weights pruned, 0 masks left undecided
func.func @ties() -> tensor<5xf32> {
  %w = arith.constant dense<[1.0, -1.0, 1.0, 0.0, -0.0]> : tensor<5xf32>
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) name("w") : tensor<5xf32>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<5xf32>
  return %p : tensor<5xf32>
}

// -----

// The name of the weight comes from its resource. f16, bf16 and f64 rank as f32.
// CHECK-LABEL: @element_types
// CHECK-DAG: arith.constant dense<{{\[\[}}false, true], [true, false]]> : tensor<2x2xi1>
// CHECK: prune.record "fc.weight" as(#prune.n_of_m<1, 2>) keeps 2 of 4
// CHECK: prune.record "half" as(#prune.n_of_m<1, 2>) keeps 2 of 4
// CHECK: prune.record "brain" as(#prune.n_of_m<1, 2>) keeps 2 of 4
// CHECK: prune.record "double" as(#prune.n_of_m<1, 2>) keeps 2 of 4
func.func @element_types() -> (tensor<2x2xf32>, tensor<2x2xf16>, tensor<2x2xbf16>, tensor<2x2xf64>) {
  %w = arith.constant dense_resource<fc.weight> : tensor<2x2xf32>
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.n_of_m<1, 2>) : tensor<2x2xf32>
  %p = prune.apply %w, %m as(#prune.n_of_m<1, 2>) : tensor<2x2xf32>
  %w16 = arith.constant dense<[[1.0, 2.0], [4.0, 3.0]]> : tensor<2x2xf16> loc("half")
  %m16 = prune.mask %w16 by(#prune.magnitude<l1>) as(#prune.n_of_m<1, 2>) : tensor<2x2xf16>
  %p16 = prune.apply %w16, %m16 as(#prune.n_of_m<1, 2>) : tensor<2x2xf16>
  %wb = arith.constant dense<[[1.0, 2.0], [4.0, 3.0]]> : tensor<2x2xbf16> loc("brain")
  %mb = prune.mask %wb by(#prune.magnitude<l1>) as(#prune.n_of_m<1, 2>) : tensor<2x2xbf16>
  %pb = prune.apply %wb, %mb as(#prune.n_of_m<1, 2>) : tensor<2x2xbf16>
  %w64 = arith.constant dense<[[1.0, 2.0], [4.0, 3.0]]> : tensor<2x2xf64> loc("double")
  %m64 = prune.mask %w64 by(#prune.magnitude<l1>) as(#prune.n_of_m<1, 2>) : tensor<2x2xf64>
  %p64 = prune.apply %w64, %m64 as(#prune.n_of_m<1, 2>) : tensor<2x2xf64>
  return %p, %p16, %pb, %p64 : tensor<2x2xf32>, tensor<2x2xf16>, tensor<2x2xbf16>, tensor<2x2xf64>
}
// 1, -2, -4, 3
{-# dialect_resources: { builtin: { fc.weight: "0x040000000000803F000000C0000080C000004040" } } #-}

// -----

// One budget for both: the second weight is larger everywhere, but one of the first has to stay.
// CHECK-LABEL: @global
// CHECK: arith.constant dense<{{\[}}[false, false], [false, true]]> : tensor<2x2xi1>
// CHECK: arith.constant dense<{{\[}}[true, true], [true, false]]> : tensor<2x2xi1>
func.func @global() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %a = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = arith.constant dense<[[8.0, 7.0], [6.0, 5.0]]> : tensor<2x2xf32>
  %ma = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("all") name("a") : tensor<2x2xf32>
  %mb = prune.mask %b by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("all") name("b") : tensor<2x2xf32>
  %pa = prune.apply %a, %ma as(#prune.unstructured) : tensor<2x2xf32>
  %pb = prune.apply %b, %mb as(#prune.unstructured) : tensor<2x2xf32>
  return %pa, %pb : tensor<2x2xf32>, tensor<2x2xf32>
}

// -----

// Random masks depend on seed and name, not on the machine: this is the mask of seed 7.
// CHECK-LABEL: @random
// CHECK: %[[A:.*]] = arith.constant dense<[{{.*}}]> : tensor<8xi1>
// CHECK: prune.record "a" as(#prune.unstructured) keeps 4 of 8 digest "[[A:[0-9a-f]+]]"
// CHECK-NOT: digest "[[A]]"
// CHECK: prune.record "b" as(#prune.unstructured) keeps 4 of 8
func.func @random() -> (tensor<8xf32>, tensor<8xf32>) {
  %w = arith.constant dense<1.0> : tensor<8xf32>
  %ma = prune.mask %w by(#prune.random<seed = 7>) as(#prune.unstructured) sparsity(0.5) name("a") : tensor<8xf32>
  %mb = prune.mask %w by(#prune.random<seed = 7>) as(#prune.unstructured) sparsity(0.5) name("b") : tensor<8xf32>
  %pa = prune.apply %w, %ma as(#prune.unstructured) name("a") : tensor<8xf32>
  %pb = prune.apply %w, %mb as(#prune.unstructured) name("b") : tensor<8xf32>
  return %pa, %pb : tensor<8xf32>, tensor<8xf32>
}

// -----

// What is no constant waits, and so does its whole group.
// CHECK-LABEL: @undecided
// CHECK-COUNT-2: prune.mask
// CHECK-NOT: prune.record
// REMARK-DAG: mask of 'x' left undecided because its weight is not a constant
// REMARK-DAG: mask of 'w' left undecided because it shares a group with 'x', and its weight is not a constant
func.func @undecided(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %w = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %mx = prune.mask %x by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("g") name("x") : tensor<4xf32>
  %mw = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("g") name("w") : tensor<4xf32>
  %px = prune.apply %x, %mx as(#prune.unstructured) : tensor<4xf32>
  %pw = prune.apply %w, %mw as(#prune.unstructured) : tensor<4xf32>
  return %px, %pw : tensor<4xf32>, tensor<4xf32>
}
