// Masks decided at run time become calls of library functions on flat buffers, with scratch of static size; the module
// gets the functions it calls, each once.
// RUN: prune-opt %s --convert-prune-to-loops --canonicalize | FileCheck %s
// The library by itself:
// RUN: prune-opt %S/../../../lib/Conversion/PruneToLoops/MaskLibrary.mlir --prune-lower-to-llvm -o /dev/null

// One weight, one budget.
// CHECK-LABEL: func.func @alone(
// CHECK-SAME: %[[W:.*]]: memref<4x6xf32>, %[[M:.*]]: memref<4x6xi1>, %[[S:.*]]: f64
// CHECK-DAG: %[[KEYS:.*]] = memref.alloc() : memref<24xi32>
// CHECK-DAG: %[[STATES:.*]] = memref.alloc() : memref<24xi8>
// CHECK-DAG: memref.collapse_shape %[[W]] {{.*}} into memref<24xf32>
// CHECK: call @prune_write_keys(
// CHECK: call @prune_open(
// CHECK-NOT: call @prune_constrain
// CHECK: %[[ONE:.*]] = arith.cmpf oge, %[[S]]
// CHECK: arith.select %[[ONE]], %c0, %c1
// CHECK: %[[KEEP:.*]] = call @prune_budget({{.*}}, %[[S]])
// CHECK: %[[CUT:.*]]:2 = call @prune_rank_together({{.*}}, %[[KEEP]])
// CHECK: call @prune_write_mask({{.*}}, %[[CUT]]#0, %[[CUT]]#1,
// CHECK: return
func.func @alone(%w: memref<4x6xf32>, %m: memref<4x6xi1>, %s: f64) {
  prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s)
      ins(%w : memref<4x6xf32>) outs(%m : memref<4x6xi1>)
  return
}

// Weights of one ranking lie one after the other: 6 units of blocks and 3 of the ragged vector of blocks.
// CHECK-LABEL: func.func @ranked(
// CHECK: memref.alloc() : memref<9xi32>
// CHECK: call @prune_write_box_keys({{.*}}, %false, %c1, %c1, %c4, %c3, %c1, %c2, %c1, {{.*}}, %c0)
// CHECK: call @prune_write_box_keys({{.*}}, %false, %c1, %c1, %c5, %c1, %c1, %c2, %c1, {{.*}}, %c6)
// CHECK-COUNT-2: memref.alloc() : memref<6xi32>
// CHECK: memref.alloc() : memref<9xf64>
// CHECK: %[[FIRST:.*]] = call @prune_normalize({{.*}}, %true, {{.*}}, %c0)
// CHECK: %[[SECOND:.*]] = call @prune_normalize({{.*}}, %true, {{.*}}, %[[FIRST]])
// CHECK: call @prune_split_by_rank(
// CHECK: call @prune_find_cut({{.*}}, %c0, %c6,
// CHECK: call @prune_find_cut({{.*}}, %c6, %c9,
func.func @ranked(%a: memref<4x3xf32>, %b: memref<5x1xf32>, %m: memref<4x3xi1>, %n: memref<5x1xi1>, %s: f64) {
  prune.select_masks by(#prune.magnitude<l2>) as(#prune.block<2, 1>) sparsity(%s) normalize(lamp) min_keep [2, 0]
      ins(%a, %b : memref<4x3xf32>, memref<5x1xf32>) outs(%m, %n : memref<4x3xi1>, memref<5x1xi1>)
  return
}

// A threshold is a key: that of the largest float that is not above it, here 0.5 = 0x3F000000.
// CHECK-LABEL: func.func @cut(
// CHECK-DAG: %[[KEY:.*]] = arith.constant 2113929216 : i64
// CHECK: call @prune_constrain({{.*}}, %c0, %c2, %c4, %c2, %c4)
// CHECK: call @prune_cut_at({{.*}}, %[[KEY]], %c1)
func.func @cut(%w: memref<2x4xf32>, %m: memref<2x4xi1>) {
  prune.select_masks by(#prune.magnitude<l1>) as(#prune.n_of_m<2, 4>) threshold(0.5)
      ins(%w : memref<2x4xf32>) outs(%m : memref<2x4xi1>)
  return
}

// CHECK-LABEL: func.func @regrown(
// CHECK: call @prune_write_keys(
// CHECK: %[[KEPT:.*]] = call @prune_read_mask(
// CHECK: %[[LEAVE:.*]] = call @prune_count_share({{.*}}, %[[KEPT]])
// CHECK: %[[STAY:.*]] = arith.subi %[[KEPT]], %[[LEAVE]]
// CHECK: call @prune_find_cut({{.*}}, %[[STAY]])
// CHECK: call @prune_settle(
// CHECK: call @prune_reopen(
// CHECK: call @prune_write_keys(
// CHECK: call @prune_find_cut({{.*}}, %[[LEAVE]])
func.func @regrown(%w: memref<24xf32>, %g: memref<24xf32>, %m: memref<24xi1>, %s: f64) {
  prune.regrow_mask as(#prune.unstructured) share(%s) ins(%w, %g, %m : memref<24xf32>, memref<24xf32>, memref<24xi1>)
      outs(%m : memref<24xi1>)
  return
}

// CHECK: func.func private @prune_find_cut({{.*}}passthrough = ["noinline"]
// CHECK-NOT: func.func private @prune_find_cut(
