// Kernels read whole vectors across the rows of an image, so that lanes and rows have to be contiguous.
// RUN: prune-opt %s --split-input-file --convert-prune-to-vector --verify-diagnostics

func.func @linear(%w: memref<1x4x6xf32>, %x: memref<4x8xf32, strided<[16, 2]>>, %y: memref<6x8xf32>) {
  // expected-error @+1 {{expected operands of static memref type with contiguous lanes, got 'memref<4x8xf32, strided<[16, 2]>>'}}
  prune.linear dense rows 6 chunk 4 storage(%w : memref<1x4x6xf32>) ins(%x : memref<4x8xf32, strided<[16, 2]>>)
      outs(%y : memref<6x8xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  }
  return
}

// -----

func.func @depthwise(%x: memref<1x8x9x9xf32, strided<[810, 90, 10, 1]>>, %f: memref<8x3x3xf32>, %y: memref<1x8x7x7xf32>) {
  // expected-error @+1 {{expected operands of static memref type, images as planes of contiguous pixels, got 'memref<1x8x9x9xf32, strided<[810, 90, 10, 1]>>'}}
  prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [0, 0], high = [0, 0]>
      ins(%x, %f : memref<1x8x9x9xf32, strided<[810, 90, 10, 1]>>, memref<8x3x3xf32>) outs(%y : memref<1x8x7x7xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  }
  return
}
