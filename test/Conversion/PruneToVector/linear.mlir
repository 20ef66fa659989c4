// Loops of a packed layer: four coordinates by one 64-bit load, accumulators in iter_args, the epilogue in the last chunk.
// RUN: prune-opt %s --convert-prune-to-vector="lanes=8 vectors=4" | FileCheck %s
// RUN: prune-opt %s --convert-prune-to-vector="lanes=8 vectors=4 parallel=true" | FileCheck %s --check-prefix=PARALLEL
// RUN: prune-opt %s --convert-prune-to-vector="lanes=8 vectors=4 registers=8" | FileCheck %s --check-prefix=FEW

// CHECK-LABEL: @pairs
// The columns of a chunk, one after the other.
// CHECK: memref.collapse_shape {{.*}} into memref<128xf32, strided<[1], offset: ?>>
// The next pair's sums are on their way while this one runs.
// CHECK: scf.for
// CHECK-COUNT-4: memref.prefetch
// Four positions: two columns that both rows have.
// CHECK: scf.for
// CHECK: vector.load {{.*}} vector<4xi16>
// Four offsets by one multiplication.
// CHECK: arith.muli %{{.*}}, %c32_i64 : i64
// CHECK: llvm.inline_asm {{.*}}"=r,0"
// CHECK: llvm.inline_asm {{.*}}"=v,0"
// CHECK-COUNT-16: vector.fma
// Two columns of each row.
// CHECK: scf.for
// CHECK-COUNT-16: vector.fma
// CHECK: scf.if
// Two vectors side by side: with sixteen registers more would spill.
// CHECK: arith.addf {{.*}} : vector<2x8xf32>
// CHECK-NOT: prune.linear
// A small layer stays serial.
// PARALLEL-LABEL: @pairs
// PARALLEL-NOT: scf.parallel
// Eight registers leave room for six accumulators: two rows of two vectors.
// FEW-LABEL: @pairs
// FEW: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>) {
func.func @pairs(%pos: memref<9xi32>, %crd: memref<20xi16>, %val: memref<20xf32>, %rows: memref<2x8xi32>,
                 %shared: memref<2x4xi16>, %x: memref<3x8x32xf32>, %bias: memref<8xf32>, %y: memref<3x8x32xf32>) {
  prune.linear chunked_csr rows 2 chunk 4
    storage(%pos, %crd, %val, %rows, %shared : memref<9xi32>, memref<20xi16>, memref<20xf32>, memref<2x8xi32>, memref<2x4xi16>)
    ins(%x : memref<3x8x32xf32>) extras(%bias : memref<8xf32>) outs(%y : memref<3x8x32xf32>) {
  ^bb0(%sum: f32, %b: f32):
    %0 = arith.addf %sum, %b : f32
    prune.yield %0 : f32
  }
  return
}

// Columns that do not follow each other are copied first; offsets beyond 16 bits take a multiplication each.
// CHECK-LABEL: @columns_apart
// CHECK: memref.alloc() {alignment = 64 : i64} : memref<4096x32xf32>
// CHECK: vector.load {{.*}} vector<4xi16>
// CHECK-NOT: %c32_i64
// CHECK: llvm.inline_asm {{.*}}"=r,0"
// CHECK-COUNT-4: arith.muli %{{.*}}, %c32{{(_[0-9]+)?}} : index
func.func @columns_apart(%pos: memref<2xi32>, %crd: memref<20xi16>, %val: memref<20xf32>, %rows: memref<1x2xi32>,
                         %shared: memref<1x1xi16>, %x: memref<3x4096x32xf32, strided<[262144, 64, 1]>>, %y: memref<3x2x32xf32>) {
  prune.linear chunked_csr rows 2 chunk 4096
    storage(%pos, %crd, %val, %rows, %shared : memref<2xi32>, memref<20xi16>, memref<20xf32>, memref<1x2xi32>, memref<1x1xi16>)
    ins(%x : memref<3x4096x32xf32, strided<[262144, 64, 1]>>) outs(%y : memref<3x2x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
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

// Extras that the second-level cache cannot hold, or parts of such, are fetched some groups of rows ahead, in the last chunk;
// a bias and small ones are not.
// CHECK-LABEL: @large_extras
// CHECK: memref.prefetch %arg8[
// CHECK: %[[AHEAD:.*]] = arith.minui
// CHECK: %[[ROW:.*]] = memref.load %arg3[%{{.*}}] : memref<2x1024xi32>
// CHECK: memref.prefetch %arg7[%{{.*}}], read, locality<3>, data : memref<16x1024x32xf32>
// PARALLEL-LABEL: @large_extras
// PARALLEL: scf.parallel (%{{.*}}, %{{.*}}) = (%{{.*}}, %{{.*}}) to (%c16, %c1)
// CHECK-LABEL: @part_of_large_extras
// CHECK: memref.prefetch %{{.*}} : memref<1x8x32xf32, strided
// CHECK-LABEL: @small_extras
// CHECK-NOT: memref.prefetch %arg6
func.func @large_extras(%pos: memref<1025xi32>, %crd: memref<4096xi16>, %val: memref<4096xf32>, %rows: memref<2x1024xi32>,
                        %shared: memref<2x512xi16>, %x: memref<16x8x32xf32>, %bias: memref<1024xf32>, %r: memref<16x1024x32xf32>,
                        %y: memref<16x1024x32xf32>) {
  prune.linear chunked_csr rows 2 chunk 4
    storage(%pos, %crd, %val, %rows, %shared : memref<1025xi32>, memref<4096xi16>, memref<4096xf32>, memref<2x1024xi32>, memref<2x512xi16>)
    ins(%x : memref<16x8x32xf32>) extras(%bias, %r : memref<1024xf32>, memref<16x1024x32xf32>) outs(%y : memref<16x1024x32xf32>) {
  ^bb0(%sum: f32, %b: f32, %e: f32):
    %0 = arith.addf %sum, %b : f32
    %1 = arith.addf %0, %e : f32
    prune.yield %1 : f32
  }
  return
}
func.func @part_of_large_extras(%val: memref<2x8x4xf32>, %pos: memref<3xi32>, %crd: memref<8xi16>, %rows: memref<1x2xi32>, %x: memref<1x8x32xf32>,
                                %r: memref<2048x8x32xf32>, %y: memref<1x8x32xf32>, %i: index) {
  %part = memref.subview %r[%i, 0, 0] [1, 8, 32] [1, 1, 1] : memref<2048x8x32xf32> to memref<1x8x32xf32, strided<[256, 32, 1], offset: ?>>
  %flat = memref.collapse_shape %val [[0, 1, 2]] : memref<2x8x4xf32> into memref<64xf32>
  prune.linear block_rows rows 4 chunk 8
    storage(%pos, %crd, %flat, %rows : memref<3xi32>, memref<8xi16>, memref<64xf32>, memref<1x2xi32>)
    ins(%x : memref<1x8x32xf32>) extras(%part : memref<1x8x32xf32, strided<[256, 32, 1], offset: ?>>) outs(%y : memref<1x8x32xf32>) {
  ^bb0(%sum: f32, %e: f32):
    %0 = arith.addf %sum, %e : f32
    prune.yield %0 : f32
  }
  return
}
func.func @small_extras(%pos: memref<9xi32>, %crd: memref<20xi16>, %val: memref<20xf32>, %rows: memref<2x8xi32>,
                        %shared: memref<2x4xi16>, %x: memref<3x8x32xf32>, %r: memref<3x8x32xf32>, %y: memref<3x8x32xf32>) {
  prune.linear chunked_csr rows 2 chunk 4
    storage(%pos, %crd, %val, %rows, %shared : memref<9xi32>, memref<20xi16>, memref<20xf32>, memref<2x8xi32>, memref<2x4xi16>)
    ins(%x : memref<3x8x32xf32>) extras(%r : memref<3x8x32xf32>) outs(%y : memref<3x8x32xf32>) {
  ^bb0(%sum: f32, %e: f32):
    %0 = arith.addf %sum, %e : f32
    prune.yield %0 : f32
  }
  return
}

// Threads share the groups of rows of each chunk: boundaries are loaded, each thread copies its activations for itself, and
// sums of the first chunk wait in the result. Rows that fill no group belong to the last share.
// CHECK-LABEL: @shares
// CHECK-NOT: scf.parallel
// CHECK-NOT: memref.load %arg1
// PARALLEL-LABEL: @shares
// PARALLEL: scf.for %[[CHUNK:.*]] = %{{.*}} to %c2{{.*}} {
// PARALLEL: scf.parallel (%[[SHARE:.*]]) = (%{{.*}}) to (%c3
// PARALLEL: memref.load %arg1[%[[CHUNK]], %[[SHARE]]] : memref<2x4xi32>
// PARALLEL: memref.load %arg1[%[[CHUNK]], %{{.*}}] : memref<2x4xi32>
// PARALLEL: %[[LAST:.*]] = arith.cmpi eq, %[[SHARE]]
// PARALLEL: memref.alloca() {alignment = 64 : i64} : memref<4x16xf32>
// PARALLEL: scf.if %[[LAST]] {
// PARALLEL-NOT: memref<{{.*}}x16xf32>{{$}}
func.func @shares(%val: memref<3x8x4xf32>, %s: memref<2x4xi32>, %x: memref<8x15xf32>, %y: memref<10x15xf32>) {
  prune.linear dense rows 4 chunk 4 storage(%val : memref<3x8x4xf32>) shares(%s : memref<2x4xi32>) ins(%x : memref<8x15xf32>) outs(%y : memref<10x15xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}
