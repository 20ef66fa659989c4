// Lists of nonzeros grow without branches, and eight rows of the transposed weight are added up at a time.
// RUN: prune-opt %s --convert-prune-to-vector | FileCheck %s
// RUN: prune-opt %s --convert-prune-to-vector="parallel=true" | FileCheck %s --check-prefix=PARALLEL
// RUN: prune-opt %s --convert-prune-to-vector="lanes=4" | FileCheck %s --check-prefix=LANES

// CHECK-LABEL: @lists
// CHECK: scf.for %[[TOKEN:.*]] =
// CHECK: %[[ENDS:.*]]:2 = scf.for %[[COLUMN:.*]] = {{.*}} iter_args(%[[END:.*]] = %{{.*}}, %{{.*}} = %{{.*}})
// CHECK: %[[VALUE:.*]] = memref.load %arg0[%[[TOKEN]], %[[COLUMN]]]
// CHECK: memref.store %{{.*}}, %arg1[%[[TOKEN]], %[[END]]]
// CHECK: memref.store %[[VALUE]], %arg2[%[[TOKEN]], %[[END]]]
// CHECK: %[[KEPT:.*]] = arith.cmpf une, %[[VALUE]]
// CHECK: arith.select %[[KEPT]]
// CHECK-NOT: scf.if
// What fills the last eight are zeros.
// CHECK: scf.for %{{.*}} = %[[ENDS]]#0 to
// CHECK: memref.store %{{.*}}, %arg3[%[[TOKEN]]]
// PARALLEL-LABEL: @lists
// PARALLEL-NOT: scf.parallel
// PARALLEL-LABEL: @sums
func.func @lists(%x: memref<2x12xf32>, %c: memref<2x16xi32>, %v: memref<2x16xf32>, %n: memref<2xi32>) {
  prune.list_nonzeros ins(%x : memref<2x12xf32>) outs(%c, %v, %n : memref<2x16xi32>, memref<2x16xf32>, memref<2xi32>)
  return
}

// Tokens take turns until the longest list is done.
// CHECK-LABEL: @sums
// CHECK: vector.store %{{.*}}, %arg4[{{.*}}] : memref<2x20xf32>, vector<8xf32>
// CHECK: arith.maxui
// CHECK: scf.for %[[ENTRY:.*]] =
// CHECK: scf.for %[[TOKEN:.*]] =
// CHECK: memref.load %arg3[%[[TOKEN]]]
// CHECK: arith.cmpi ult, %[[ENTRY]]
// CHECK: scf.if
// CHECK-COUNT-8: memref.load %arg2[
// CHECK: vector.load %arg4[{{.*}}] : memref<2x20xf32>, vector<8xf32>
// CHECK-COUNT-8: vector.fma {{.*}} : vector<8xf32>
// CHECK: vector.store
// Columns that fill no vector.
// CHECK-COUNT-8: vector.fma {{.*}} : vector<1xf32>
// CHECK-NOT: vector.fma
// CHECK: return
// PARALLEL: scf.parallel
// PARALLEL: arith.minui
// LANES-LABEL: @sums
// LANES: vector.fma {{.*}} : vector<4xf32>
func.func @sums(%w: memref<12x20xf32>, %c: memref<2x16xi32>, %v: memref<2x16xf32>, %n: memref<2xi32>, %y: memref<2x20xf32>) {
  prune.sum_columns shares 2 ins(%w, %c, %v, %n : memref<12x20xf32>, memref<2x16xi32>, memref<2x16xf32>, memref<2xi32>)
    outs(%y : memref<2x20xf32>)
  return
}

// Up to three tokens share eight rows that stream past.
// CHECK-LABEL: @streams
// CHECK-COUNT-8: vector.load %arg0[{{.*}}] : memref<12x20xf32>, vector<8xf32>
// CHECK: vector.load %arg2[
// CHECK-COUNT-8: vector.fma {{.*}} : vector<8xf32>
// CHECK: vector.store
// CHECK: vector.load %arg2[
// CHECK-COUNT-8: vector.fma {{.*}} : vector<8xf32>
// CHECK: vector.store
// The last four rows.
// CHECK: vector.load %arg2[
// CHECK-COUNT-4: vector.fma {{.*}} : vector<8xf32>
// CHECK: vector.store
// CHECK-NOT: memref.prefetch
// CHECK: return
// PARALLEL-LABEL: @streams
// PARALLEL: scf.parallel
func.func @streams(%w: memref<12x20xf32>, %x: memref<2x12xf32>, %y: memref<2x20xf32>) {
  prune.sum_all_columns shares 2 ins(%w, %x : memref<12x20xf32>, memref<2x12xf32>) outs(%y : memref<2x20xf32>)
  return
}

// More tokens: sums of up to six and two vectors stay in registers over 256 rows; 7 tokens are groups of 4 and 3.
// CHECK-LABEL: @tiles
// CHECK: scf.for %[[FIRST:.*]] = %c0{{.*}} to %c600{{.*}} step %c256
// CHECK: scf.for {{.*}} iter_args({{(%[^,]*, ){7}[^,]*}}) -> (vector<8xf32>,
// CHECK: memref.prefetch %arg0
// CHECK: scf.for {{.*}} iter_args({{(%[^,]*, ){5}[^,]*}}) -> (vector<8xf32>,
// CHECK-NOT: memref.prefetch
// CHECK: return
func.func @tiles(%w: memref<600x20xf32>, %x: memref<7x600xf32>, %y: memref<7x20xf32>) {
  prune.sum_all_columns ins(%w, %x : memref<600x20xf32>, memref<7x600xf32>) outs(%y : memref<7x20xf32>)
  return
}

// Eight listed rows at a time; four columns fill no vector.
// CHECK-LABEL: @rows
// CHECK: vector.store %{{.*}}, %arg4
// CHECK-COUNT-8: memref.load %arg2[
// CHECK-COUNT-8: vector.fma {{.*}} : vector<8xf32>
// CHECK-COUNT-8: vector.reduction <add>
// CHECK-COUNT-8: vector.fma {{.*}} : vector<1xf32>
// CHECK-COUNT-8: memref.store %{{.*}}, %arg4[
// PARALLEL-LABEL: @rows
// PARALLEL: scf.parallel
// LANES-LABEL: @rows
// LANES: vector.fma {{.*}} : vector<4xf32>
func.func @rows(%w: memref<12x20xf32>, %x: memref<1x20xf32>, %r: memref<1x16xi32>, %n: memref<1xi32>, %y: memref<1x12xf32>) {
  prune.multiply_rows shares 2 ins(%w, %x, %r, %n : memref<12x20xf32>, memref<1x20xf32>, memref<1x16xi32>, memref<1xi32>)
    outs(%y : memref<1x12xf32>)
  return
}
