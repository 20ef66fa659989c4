// The entry function takes four pointers in the end: arrays of inputs and outputs, weights, workspace.
// RUN: prune-opt %s --prune-finalize-entry | FileCheck %s
// RUN: prune-opt %s --prune-finalize-entry --convert-to-llvm --reconcile-unrealized-casts | FileCheck %s --check-prefix=LLVM

// CHECK: prune.entry @main {{.*}} weights(@weights) workspace(64)
// LLVM: prune.entry @main {{.*}} weights(@weights) workspace(64)
prune.entry @main ("x": tensor<4xf32>, "i": tensor<1xi64>) -> ("y": tensor<4xf32>) weights(@weights) workspace(64)
prune.blob @weights dense<0> : tensor<64xi8>

// CHECK: func.func @main(%[[IN:.*]]: !llvm.ptr {llvm.noalias, llvm.readonly}, %[[OUT:.*]]: !llvm.ptr {llvm.noalias, llvm.readonly},
// CHECK-SAME: %[[W:.*]]: !llvm.ptr {llvm.align = 64 : i64, llvm.noalias, llvm.readonly}, %[[S:.*]]: !llvm.ptr {llvm.align = 64 : i64, llvm.noalias})
// CHECK-NOT: emit_c_interface
// LLVM: llvm.func @main(%{{.*}}: !llvm.ptr {{.*}}, %{{.*}}: !llvm.ptr {{.*}}, %{{.*}}: !llvm.ptr {{.*}}, %{{.*}}: !llvm.ptr {{.*}}) {
// LLVM-NOT: unrealized_conversion_cast
func.func @main(%x: memref<4xf32>, %i: memref<1xi64>, %y: memref<4xf32>, %w: memref<64xi8>, %s: memref<64xi8>)
    attributes {llvm.emit_c_interface} {
  // CHECK: %[[P1:.*]] = llvm.getelementptr %[[IN]][1]
  // CHECK: llvm.load %[[P1]] invariant
  // CHECK: %[[P2:.*]] = llvm.getelementptr %[[OUT]][0]
  // CHECK: llvm.load %[[P2]] invariant
  // CHECK: call @copy
  call @copy(%x, %y) : (memref<4xf32>, memref<4xf32>) -> ()
  return
}
// CHECK: func.func private @copy({{.*}}) attributes {llvm.linkage = #llvm.linkage<internal>}
// LLVM: llvm.func internal @copy
func.func @copy(%x: memref<4xf32>, %y: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %v = memref.load %x[%c0] : memref<4xf32>
  memref.store %v, %y[%c0] : memref<4xf32>
  return
}
