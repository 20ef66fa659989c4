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

// CHECK-LABEL: @sums
// CHECK: vector.store %{{.*}}, %arg4[{{.*}}] : memref<2x20xf32>, vector<8xf32>
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
