// Loops of the gradient of kept elements: the row of the gradient in registers, four columns by one 64-bit load, four sums
// folded into one vector that is added to the result.
// RUN: prune-opt %s --split-input-file --convert-prune-to-vector="lanes=8 vectors=2" | FileCheck %s
// RUN: prune-opt %s --split-input-file --convert-prune-to-vector="lanes=8 vectors=2 parallel=true" | FileCheck %s --check-prefix=PARALLEL
// RUN: prune-opt %s --split-input-file --convert-prune-to-vector="lanes=16 vectors=1" | FileCheck %s --check-prefix=WIDE

// CHECK-LABEL: @panels
// CHECK: linalg.fill
// CHECK: scf.for
// CHECK-COUNT-2: vector.load %arg2[{{.*}} vector<8xf32>
// CHECK: vector.load %arg1{{.*}} vector<4xi16>
// CHECK: llvm.inline_asm {{.*}}"=r,0"
// CHECK-COUNT-4: vector.fma
// CHECK: %[[BEFORE:.*]] = vector.load %arg4{{.*}} vector<4xf32>
// CHECK: vector.shuffle {{.*}} [0, 8, 1, 9, 4, 12, 5, 13]
// CHECK: %[[TOTAL:.*]] = arith.addf %[[BEFORE]], %{{.*}} : vector<4xf32>
// CHECK: vector.store %[[TOTAL]], %arg4
// CHECK: memref.store
// CHECK-NOT: memref.alloca
// CHECK-NOT: prune.weight_gradient
// PARALLEL-LABEL: @panels
// PARALLEL-NOT: scf.parallel
// WIDE-LABEL: @panels
// WIDE: vector.shuffle {{.*}} [0, 1, 2, 3, 4, 5, 6, 7] : vector<16xf32>
func.func @panels(%p: memref<65xi32>, %k: memref<90xi16>, %dy: memref<3x32x16xf32>, %x: memref<3x8x16xf32>, %r: memref<90xf32>) {
  prune.weight_gradient chunk 4 storage(%p, %k : memref<65xi32>, memref<90xi16>)
      ins(%dy, %x : memref<3x32x16xf32>, memref<3x8x16xf32>) outs(%r : memref<90xf32>)
  return
}

// -----

// Lanes that are no whole tiles: the columns of a chunk are copied, the last vector is masked.
// CHECK-LABEL: @ragged
// CHECK: memref.alloca() {alignment = 64 : i64} : memref<5x16xf32>
// CHECK: vector.store
// CHECK: vector.maskedload
func.func @ragged(%p: memref<5xi32>, %k: memref<9xi16>, %dy: memref<4x27xf32>, %x: memref<5x27xf32>, %r: memref<9xf32>) {
  prune.weight_gradient chunk 5 storage(%p, %k : memref<5xi32>, memref<9xi16>)
      ins(%dy, %x : memref<4x27xf32>, memref<5x27xf32>) outs(%r : memref<9xf32>)
  return
}

// -----

// Threads have shares of the rows, whose boundaries are known.
// CHECK-LABEL: @shares
// CHECK-NOT: scf.parallel
// PARALLEL-LABEL: @shares
// PARALLEL: scf.parallel (%[[SHARE:.*]]) = (%{{.*}}) to (%c2
// PARALLEL: memref.load %arg2[%[[SHARE]]] : memref<3xi32>
// PARALLEL: memref.load %arg2[%{{.*}}] : memref<3xi32>
func.func @shares(%p: memref<65xi32>, %k: memref<90xi16>, %s: memref<3xi32>, %dy: memref<3x32x16xf32>, %x: memref<3x8x16xf32>, %r: memref<90xf32>) {
  prune.weight_gradient chunk 4 storage(%p, %k : memref<65xi32>, memref<90xi16>) shares(%s : memref<3xi32>)
      ins(%dy, %x : memref<3x32x16xf32>, memref<3x8x16xf32>) outs(%r : memref<90xf32>)
  return
}
