// Temporaries get fixed places in one workspace; those that never live together share bytes.
// RUN: prune-opt %s --allow-unregistered-dialect --split-input-file --prune-plan-memory | FileCheck %s
// RUN: prune-opt %s --allow-unregistered-dialect --split-input-file --prune-plan-memory --remarks-filter=plan-memory --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK

// %a and %c never live together, %b does with both.
// CHECK-LABEL: prune.entry @chain
// CHECK-SAME: workspace(192)
// REMARK: remark: [Analysis] Workspace | Category:plan-memory | Buffers=3, LiveBytes=192, Remark="3 temporaries of 320 bytes in a workspace of 192 bytes", TotalBytes=320, WorkspaceBytes=192
prune.entry @chain ("x": tensor<20xf32>) -> ()
// CHECK: func.func @chain(%{{.*}}: memref<20xf32>, %[[W:.*]]: memref<192xi8>)
func.func @chain(%x: memref<20xf32>) {
  // CHECK-NOT: memref.alloc
  // CHECK: %[[O0:.*]] = arith.constant 0 : index
  // CHECK: %[[A:.*]] = memref.view %[[W]][%[[O0]]]
  // CHECK: %[[O1:.*]] = arith.constant 128 : index
  // CHECK: %[[B:.*]] = memref.view %[[W]][%[[O1]]]
  // CHECK: %[[O2:.*]] = arith.constant 0 : index
  // CHECK: %[[C:.*]] = memref.view %[[W]][%[[O2]]]
  %a = memref.alloc() : memref<20xf32>
  %b = memref.alloc() {alignment = 64 : i64} : memref<4xf32>
  %c = memref.alloc() : memref<17xf32>
  // CHECK: fill"(%[[A]])
  "test.fill"(%a) : (memref<20xf32>) -> ()
  %s = memref.subview %a[0] [4] [1] : memref<20xf32> to memref<4xf32, strided<[1]>>
  "test.use"(%s, %b) : (memref<4xf32, strided<[1]>>, memref<4xf32>) -> ()
  memref.dealloc %a : memref<20xf32>
  // CHECK-NOT: memref.dealloc
  "test.use"(%b, %c) : (memref<4xf32>, memref<17xf32>) -> ()
  return
}

// -----

// A buffer used in a loop lives through all of it; one allocated in the loop only within an iteration.
// CHECK-LABEL: prune.entry @loop
// CHECK-SAME: workspace(128)
prune.entry @loop ("x": tensor<16xf32>) -> ()
// CHECK: func.func @loop
func.func @loop(%x: memref<16xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  // Lives only before the loop: shares bytes with %inside and %later.
  %before = memref.alloc() : memref<16xf32>
  "test.use"(%before) : (memref<16xf32>) -> ()
  %around = memref.alloc() : memref<16xf32>
  scf.for %i = %c0 to %c8 step %c1 {
    "test.use"(%around) : (memref<16xf32>) -> ()
    %inside = memref.alloc() : memref<16xf32>
    "test.use"(%inside) : (memref<16xf32>) -> ()
    %later = memref.alloc() : memref<16xf32>
    "test.use"(%later) : (memref<16xf32>) -> ()
  }
  return
}

// -----

// Through branches and loop-carried buffers: all three live together.
// CHECK-LABEL: prune.entry @flow
// CHECK-SAME: workspace(192)
prune.entry @flow ("c": tensor<i1>) -> ()
func.func @flow(%p: memref<i1>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c = memref.load %p[] : memref<i1>
  %r = scf.if %c -> memref<16xf32> {
    %a = memref.alloc() : memref<16xf32>
    "test.use"(%a) : (memref<16xf32>) -> ()
    scf.yield %a : memref<16xf32>
  } else {
    %b = memref.alloc() : memref<16xf32>
    scf.yield %b : memref<16xf32>
  }
  %d = memref.alloc() : memref<16xf32>
  %e:2 = scf.for %i = %c0 to %c1 step %c1 iter_args(%s = %d, %t = %r) -> (memref<16xf32>, memref<16xf32>) {
    "test.use"(%s, %t) : (memref<16xf32>, memref<16xf32>) -> ()
    scf.yield %t, %s : memref<16xf32>, memref<16xf32>
  }
  "test.use"(%e#0) : (memref<16xf32>) -> ()
  return
}

// -----

// Two calls of one function use the same bytes; it gets them from its caller.
// CHECK-LABEL: prune.entry @calls
// CHECK-SAME: workspace(128)
prune.entry @calls () -> ()
// CHECK: func.func @calls(%[[W:.*]]: memref<128xi8>)
func.func @calls() {
  %a = memref.alloc() : memref<16xf32>
  // CHECK: %[[A:.*]] = memref.view %[[W]]{{.*}} to memref<16xf32>
  // CHECK: %[[FIRST:.*]] = memref.view %[[W]]{{.*}} to memref<64xi8>
  // CHECK: %[[SECOND:.*]] = memref.view %[[W]]{{.*}} to memref<64xi8>
  // CHECK: call @work(%[[A]], %[[FIRST]])
  // CHECK: call @work(%[[A]], %[[SECOND]])
  call @work(%a) : (memref<16xf32>) -> ()
  call @work(%a) : (memref<16xf32>) -> ()
  return
}
// CHECK: func.func private @work(%{{.*}}: memref<16xf32>, %{{.*}}: memref<64xi8>)
func.func private @work(%x: memref<16xf32>) {
  %t = memref.alloc() : memref<3xf64>
  "test.use"(%t, %x) : (memref<3xf64>, memref<16xf32>) -> ()
  return
}

// -----

// Nothing to place: no argument.
// CHECK-LABEL: prune.entry @empty () -> (){{$}}
prune.entry @empty () -> ()
// CHECK: func.func @empty()
func.func @empty() { return }

// -----

// Temporaries of a parallel loop lie on each thread's stack, %a and %c in the same bytes.
// CHECK-LABEL: prune.entry @parallel
// CHECK-NOT: workspace
prune.entry @parallel () -> ()
// CHECK: func.func @parallel()
func.func @parallel() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  // CHECK: scf.parallel
  scf.parallel (%i) = (%c0) to (%c8) step (%c1) {
    // CHECK: %[[STACK:.*]] = memref.alloca() {alignment = 64 : i64} : memref<128xi8>
    // CHECK: %[[A:.*]] = memref.view %[[STACK]]
    // CHECK: %[[B:.*]] = memref.view %[[STACK]]
    // CHECK: %[[C:.*]] = memref.view %[[STACK]]
    %a = memref.alloc() : memref<16xf32>
    %b = memref.alloc() : memref<16xf32>
    %c = memref.alloc() : memref<16xf32>
    // CHECK: "test.use"(%[[A]], %[[B]])
    "test.use"(%a, %b) : (memref<16xf32>, memref<16xf32>) -> ()
    // CHECK: "test.use"(%[[B]], %[[C]])
    "test.use"(%b, %c) : (memref<16xf32>, memref<16xf32>) -> ()
  }
  return
}

// -----

// Too much for a stack: each of two iterations has its own bytes of the workspace.
// CHECK-LABEL: prune.entry @large_shares
// CHECK-SAME: workspace(8388608)
prune.entry @large_shares () -> ()
// CHECK: func.func @large_shares(%[[W:.*]]: memref<8388608xi8>)
func.func @large_shares() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  // CHECK: %[[ALL:.*]] = memref.view %[[W]]
  // CHECK: scf.parallel (%[[I:.*]]) =
  scf.parallel (%i) = (%c0) to (%c2) step (%c1) {
    // CHECK: %[[OFFSET:.*]] = arith.muli %[[I]], %{{.*}} : index
    // CHECK: %[[OWN:.*]] = memref.view %[[ALL]][%[[OFFSET]]][] : {{.*}} to memref<4194304xi8>
    // CHECK: memref.view %[[OWN]]{{.*}} to memref<1048576xf32>
    %a = memref.alloc() : memref<1048576xf32>
    "test.use"(%a) : (memref<1048576xf32>) -> ()
  }
  return
}
