// Constants leave the code: one blob, aligned, equal contents once, reached through an argument.
// RUN: prune-opt %s --allow-unregistered-dialect --split-input-file --prune-constants-to-blob | FileCheck %s
// RUN: prune-opt %s --allow-unregistered-dialect --split-input-file --prune-constants-to-blob=inline-elements=1000 | FileCheck %s --check-prefix=INLINE

// Order of first use: @b at 0 (72 bytes), @a at 128, @twin as @b. @tiny and @mutable stay.
// CHECK-LABEL: prune.entry @main
// CHECK-SAME: weights(@weights)
// CHECK-NEXT: prune.blob @weights dense_resource<prune_weights> : tensor<192xi8>
prune.entry @main ("x": tensor<18xf32>) -> ()
// INLINE-NOT: prune.blob
// INLINE: memref.global "private" constant @a
memref.global "private" constant @a : memref<5x5xi16> = dense<7>
memref.global "private" constant @b : memref<18xf32> = dense_resource<eighteen>
memref.global "private" constant @twin : memref<18xf32> = dense<[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0]>
// CHECK: memref.global "private" constant @tiny
memref.global "private" constant @tiny : memref<16xf32> = dense<1.0>
// CHECK: memref.global "private" @mutable
memref.global "private" @mutable : memref<18xf32> = dense<1.0>
// CHECK-NOT: memref.global

// CHECK: func.func @main(%[[X:.*]]: memref<18xf32>, %[[W:.*]]: memref<192xi8>)
func.func @main(%x: memref<18xf32>) {
  // CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
  // CHECK-DAG: %[[B:.*]] = memref.view %[[W]][%[[C0]]][] : memref<192xi8> to memref<18xf32>
  // CHECK-DAG: %[[C128:.*]] = arith.constant 128 : index
  // CHECK-DAG: %[[A:.*]] = memref.view %[[W]][%[[C128]]][] : memref<192xi8> to memref<5x5xi16>
  // CHECK: memref.copy %[[B]], %[[X]]
  %b = memref.get_global @b : memref<18xf32>
  memref.copy %b, %x : memref<18xf32> to memref<18xf32>
  %a = memref.get_global @a : memref<5x5xi16>
  // CHECK: use"(%[[A]])
  "test.use"(%a) : (memref<5x5xi16>) -> ()
  %t = memref.get_global @twin : memref<18xf32>
  "test.use"(%t) : (memref<18xf32>) -> ()
  // CHECK: memref.get_global @tiny
  %s = memref.get_global @tiny : memref<16xf32>
  // CHECK: memref.get_global @mutable
  %m = memref.get_global @mutable : memref<18xf32>
  "test.use"(%s, %m) : (memref<16xf32>, memref<18xf32>) -> ()
  return
}
// CHECK: prune_weights: "0x40000000{{((0000803F){17})}}00000040{{((00){56}(0700){25}0*)}}"
{-#
  dialect_resources: { builtin: { eighteen: "0x040000000000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F00000040" } }
#-}

// -----

// A private function is handed the weights by its callers, also through a function that has none itself.
// CHECK-LABEL: prune.entry @calls
prune.entry @calls () -> ()
memref.global "private" constant @bits : memref<20xi1> = dense<true>
// CHECK: func.func @calls(%[[W:.*]]: memref<64xi8>)
func.func @calls() {
  // CHECK: call @outer(%[[W]])
  call @outer() : () -> ()
  // CHECK: call @none()
  call @none() : () -> ()
  return
}
// CHECK: func.func private @outer(%[[W:.*]]: memref<64xi8>)
func.func private @outer() {
  // CHECK: call @inner(%[[W]])
  call @inner() : () -> ()
  return
}
// CHECK: func.func private @inner(%[[W:.*]]: memref<64xi8>)
func.func private @inner() {
  // CHECK: memref.view %[[W]]{{.*}} to memref<20xi1>
  %b = memref.get_global @bits : memref<20xi1>
  "test.use"(%b) : (memref<20xi1>) -> ()
  return
}
// CHECK: func.func private @none()
func.func private @none() { return }
// CHECK: prune_weights: "0x40000000{{((01){20}(00){44})}}"
