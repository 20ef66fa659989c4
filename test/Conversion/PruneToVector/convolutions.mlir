// Loops of layers with a window.
// RUN: prune-opt %s --convert-prune-to-vector="lanes=8 vectors=4" | FileCheck %s
// RUN: prune-opt %s --convert-prune-to-vector="lanes=16 vectors=4 registers=32" | FileCheck %s --check-prefix=WIDE

// What the window reads is copied under masks into rows of one vector more than the tile; the product reads only that.
// CHECK-LABEL: @window
// CHECK: memref.alloc() {alignment = 64 : i64} : memref<36x24xf32>
// CHECK: scf.while
// CHECK: scf.for
// CHECK-COUNT-9: vector.maskedload
// CHECK: vector.fma
// CHECK-NOT: prune.linear
func.func @window(%v: memref<1x36x4xf32>, %x: memref<1x4x16x16xf32>, %y: memref<1x4x16x16xf32>) {
  prune.linear dense rows 4 chunk 36 lanes 2
      window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      storage(%v : memref<1x36x4xf32>) ins(%x : memref<1x4x16x16xf32>) outs(%y : memref<1x4x16x16xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  }
  return
}

// Each vector that is read feeds three rows. Rows of 14 pixels end with a vector that overlaps the one before, or fill
// one masked vector of 16.
// CHECK-LABEL: @depthwise
// CHECK: arith.minui
// CHECK-NOT: vector.maskedstore
// CHECK: vector.fma
// WIDE-LABEL: @depthwise
// WIDE: scf.for
// WIDE-COUNT-24: vector.maskedload {{.*}} vector<16xf32>
// WIDE: vector.maskedstore
// WIDE-NOT: prune.depthwise
func.func @depthwise(%x: memref<1x8x14x14xf32>, %w: memref<8x3x3xf32>, %b: memref<8xf32>, %y: memref<1x8x14x14xf32>) {
  prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%x, %w : memref<1x8x14x14xf32>, memref<8x3x3xf32>) extras(%b : memref<8xf32>) outs(%y : memref<1x8x14x14xf32>) {
  ^bb0(%s: f32, %e: f32):
    %0 = arith.addf %s, %e : f32
    prune.yield %0 : f32
  }
  return
}

// An image may be some rows of a buffer.
// CHECK-LABEL: @depthwise_rows
// CHECK: memref.collapse_shape {{.*}} into memref<8x84xf32, strided<[196, 1], offset: 28>>
// CHECK-NOT: prune.depthwise
func.func @depthwise_rows(%x: memref<1x8x6x14xf32, strided<[1568, 196, 14, 1], offset: 28>>, %w: memref<8x3x3xf32>,
                          %y: memref<1x8x4x14xf32>) {
  prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [0, 1], high = [0, 1]>
      ins(%x, %w : memref<1x8x6x14xf32, strided<[1568, 196, 14, 1], offset: 28>>, memref<8x3x3xf32>) outs(%y : memref<1x8x4x14xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  }
  return
}
