// Loops of a packed layer: four coordinates by one 64-bit load, accumulators in iter_args, the epilogue in the last chunk.
// RUN: prune-opt %s --convert-prune-to-vector="lanes=8 vectors=4" | FileCheck %s
// RUN: prune-opt %s --convert-prune-to-vector="lanes=8 vectors=4 parallel=true" | FileCheck %s --check-prefix=PARALLEL
// RUN: prune-opt %s --convert-prune-to-vector="lanes=8 vectors=4 registers=8" | FileCheck %s --check-prefix=FEW

// CHECK-LABEL: @pairs
// CHECK: scf.for
// CHECK: vector.load {{.*}} vector<4xi16>
// CHECK: llvm.inline_asm {{.*}}"=r,0"
// CHECK: llvm.inline_asm {{.*}}"=v,0"
// CHECK-COUNT-8: vector.fma
// CHECK: scf.if
// Two vectors side by side: with sixteen registers more would spill.
// CHECK: arith.addf {{.*}} : vector<2x8xf32>
// CHECK-NOT: prune.linear
// PARALLEL-LABEL: @pairs
// PARALLEL: scf.parallel
// Eight registers leave room for six accumulators: two rows of two vectors.
// FEW-LABEL: @pairs
// FEW: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>) {
func.func @pairs(%pos: memref<17xi32>, %crd: memref<20xi16>, %val: memref<20xf32>, %rows: memref<2x8xi32>,
                 %shared: memref<2x4xi16>, %x: memref<3x8x32xf32>, %bias: memref<8xf32>, %y: memref<3x8x32xf32>) {
  prune.linear chunked_csr rows 2 chunk 4
    storage(%pos, %crd, %val, %rows, %shared : memref<17xi32>, memref<20xi16>, memref<20xf32>, memref<2x8xi32>, memref<2x4xi16>)
    ins(%x : memref<3x8x32xf32>) extras(%bias : memref<8xf32>) outs(%y : memref<3x8x32xf32>) {
  ^bb0(%sum: f32, %b: f32):
    %0 = arith.addf %sum, %b : f32
    prune.yield %0 : f32
  }
  return
}

// Seven lanes more than a register: the last vector is masked, and the chunk is copied to contiguous memory first.
// CHECK-LABEL: @ragged
// CHECK: memref.alloc() {alignment = 64 : i64} : memref<4x16xf32>
// CHECK: vector.maskedload
// CHECK: vector.maskedstore
func.func @ragged(%val: memref<2x4x4xf32>, %x: memref<4x15xf32>, %y: memref<8x15xf32>) {
  prune.linear dense rows 4 chunk 4 storage(%val : memref<2x4x4xf32>) ins(%x : memref<4x15xf32>) outs(%y : memref<8x15xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}
