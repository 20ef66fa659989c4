// Of loops in one another only one runs in parallel.
// RUN: prune-opt %s --prune-forall-to-loops | FileCheck %s --check-prefix=ONE
// RUN: prune-opt %s --prune-forall-to-loops=threads=2 | FileCheck %s
// RUN: prune-opt %s --prune-forall-to-loops=threads=4 | FileCheck %s --check-prefix=FOUR

// ONE-NOT: scf.forall
// ONE-NOT: scf.parallel

// CHECK-LABEL: func @tiles
// CHECK: scf.parallel (%{{.*}}, %{{.*}}) =
func.func @tiles(%x: memref<6x4xf32>, %v: f32) {
  scf.forall (%i, %j) in (6, 4) {
    memref.store %v, %x[%i, %j] : memref<6x4xf32>
  }
  return
}

// Six samples: three for each of two threads. Four threads would wait for two of them, so tiles are shared instead.
// CHECK-LABEL: func @samples
// CHECK-DAG: %[[SIX:.*]] = arith.constant 6 : index
// CHECK-DAG: %[[TWO:.*]] = arith.constant 2 : index
// CHECK: scf.parallel (%[[T:.*]]) = (%{{.*}}) to (%[[TWO]])
// CHECK: %[[SCALED:.*]] = arith.muli %[[T]], %[[SIX]]
// CHECK: %[[BEGIN:.*]] = arith.divui %[[SCALED]], %[[TWO]]
// CHECK: scf.for %[[I:.*]] = %[[BEGIN]] to
// CHECK-NOT: scf.parallel
// CHECK: scf.for %[[J:.*]] =
// CHECK: memref.store %{{.*}}, %{{.*}}[%[[I]], %[[J]]]
// FOUR-LABEL: func @samples
// FOUR: scf.for %[[I:.*]] =
// FOUR: scf.parallel (%[[J:.*]]) =
// FOUR: memref.store %{{.*}}, %{{.*}}[%[[I]], %[[J]]]
func.func @samples(%x: memref<6x4xf32>, %v: f32) {
  scf.forall (%i) in (6) {
    scf.forall (%j) in (4) {
      memref.store %v, %x[%i, %j] : memref<6x4xf32>
    }
  }
  return
}
