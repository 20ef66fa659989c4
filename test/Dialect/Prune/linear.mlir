// A packed layer prints and parses back, on tensors and on memrefs, with and without an epilogue of its own.
// RUN: prune-opt %s | prune-opt | FileCheck %s
// RUN: prune-opt %s --mlir-print-op-generic | prune-opt | FileCheck %s
// RUN: prune-opt %s --emit-bytecode | prune-opt | FileCheck %s

// CHECK-LABEL: @tensors
// CHECK: prune.linear dense rows 4 chunk 8 storage(%{{.*}} : tensor<8x8x4xf32>) ins(%{{.*}} : tensor<4x8x32xf32>)
// CHECK-SAME: extras(%{{.*}} : tensor<32xf32>) outs(%{{.*}} : tensor<4x32x32xf32>) {
// CHECK: prune.yield %{{.*}} : f32
// CHECK: } -> tensor<4x32x32xf32>
func.func @tensors(%v: tensor<8x8x4xf32>, %x: tensor<4x8x32xf32>, %b: tensor<32xf32>, %i: tensor<4x32x32xf32>) -> tensor<4x32x32xf32> {
  %y = prune.linear dense rows 4 chunk 8 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<4x8x32xf32>)
      extras(%b : tensor<32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32, %e: f32):
    %0 = arith.addf %s, %e : f32
    prune.yield %0 : f32
  } -> tensor<4x32x32xf32>
  return %y : tensor<4x32x32xf32>
}

// Words of int8 weights: the sum is i32, the result what the epilogue makes of it.
// CHECK-LABEL: @words
// CHECK: prune.linear dense rows 4 chunk 4 word_columns 2 storage(%{{.*}} : tensor<8x4x4xi32>) ins(%{{.*}} : tensor<4x7x32xi8>)
func.func @words(%v: tensor<8x4x4xi32>, %x: tensor<4x7x32xi8>, %i: tensor<4x32x32xf32>) -> tensor<4x32x32xf32> {
  %y = prune.linear dense rows 4 chunk 4 word_columns 2 storage(%v : tensor<8x4x4xi32>) ins(%x : tensor<4x7x32xi8>)
      outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: i32):
    %0 = arith.sitofp %s : i32 to f32
    prune.yield %0 : f32
  } -> tensor<4x32x32xf32>
  return %y : tensor<4x32x32xf32>
}

// Boundaries of the groups of rows that each of two threads has, for both chunks.
// CHECK-LABEL: @shares
// CHECK: prune.linear dense rows 4 chunk 4 storage(%{{.*}} : tensor<8x8x4xf32>) shares(%{{.*}} : tensor<2x3xi32>) ins(
func.func @shares(%v: tensor<8x8x4xf32>, %t: tensor<2x3xi32>, %x: tensor<4x8x32xf32>, %i: tensor<4x32x32xf32>) -> tensor<4x32x32xf32> {
  %y = prune.linear dense rows 4 chunk 4 storage(%v : tensor<8x8x4xf32>) shares(%t : tensor<2x3xi32>)
      ins(%x : tensor<4x8x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return %y : tensor<4x32x32xf32>
}

// Pixels are two dimensions of lanes.
// CHECK-LABEL: @pixels
// CHECK: prune.linear block_rows rows 2 chunk 4 lanes 2 storage
func.func @pixels(%pos: memref<3xi32>, %crd: memref<2xi16>, %val: memref<4xf32>, %rows: memref<1x2xi32>,
                  %x: memref<1x4x6x6xf32>, %y: memref<1x4x6x6xf32>) {
  prune.linear block_rows rows 2 chunk 4 lanes 2
      storage(%pos, %crd, %val, %rows : memref<3xi32>, memref<2xi16>, memref<4xf32>, memref<1x2xi32>)
      ins(%x : memref<1x4x6x6xf32>) outs(%y : memref<1x4x6x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  }
  return
}

// A convolution: the columns of the weight are channels times elements of the kernel.
// CHECK-LABEL: @window
// CHECK: prune.linear dense rows 4 chunk 18 lanes 2
// CHECK-SAME: window <kernel = [3, 3], strides = [2, 1], dilations = [1, 1], low = [1, 1], high = [0, 1]>
func.func @window(%v: tensor<1x36x4xf32>, %x: tensor<1x4x6x6xf32>, %i: tensor<1x4x3x6xf32>) -> tensor<1x4x3x6xf32> {
  %y = prune.linear dense rows 4 chunk 18 lanes 2
      window <kernel = [3, 3], strides = [2, 1], dilations = [1, 1], low = [1, 1], high = [0, 1]>
      storage(%v : tensor<1x36x4xf32>) ins(%x : tensor<1x4x6x6xf32>) outs(%i : tensor<1x4x3x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x4x3x6xf32>
  return %y : tensor<1x4x3x6xf32>
}

// CHECK-LABEL: @depthwise
// CHECK: prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
// CHECK-SAME: ins(%{{.*}}, %{{.*}} : tensor<1x8x14x14xf32>, tensor<8x3x3xf32>) extras(%{{.*}} : tensor<8xf32>)
func.func @depthwise(%x: tensor<1x8x14x14xf32>, %w: tensor<8x3x3xf32>, %b: tensor<8xf32>, %i: tensor<1x8x14x14xf32>) -> tensor<1x8x14x14xf32> {
  %y = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%x, %w : tensor<1x8x14x14xf32>, tensor<8x3x3xf32>) extras(%b : tensor<8xf32>) outs(%i : tensor<1x8x14x14xf32>) {
  ^bb0(%s: f32, %e: f32):
    %0 = arith.addf %s, %e : f32
    prune.yield %0 : f32
  } -> tensor<1x8x14x14xf32>
  return %y : tensor<1x8x14x14xf32>
}

// Whole numbers: tokens of i8 with a scale for each token, and one for each row.
// CHECK-LABEL: @quantized
// CHECK: prune.linear tiles rows 16 chunk 128 lanes 0 storage(%{{.*}} : tensor<2048xi8>) ins(%{{.*}} : tensor<2x5x128xi8>)
// CHECK-SAME: extras(%{{.*}}, %{{.*}} : tensor<16xf32>, tensor<2x5x1xf32>) outs(%{{.*}} : tensor<2x5x16xf32>) {
func.func @quantized(%w: tensor<2048xi8>, %x: tensor<2x5x128xi8>, %r: tensor<16xf32>, %t: tensor<2x5x1xf32>, %i: tensor<2x5x16xf32>) -> tensor<2x5x16xf32> {
  %y = prune.linear tiles rows 16 chunk 128 lanes 0 storage(%w : tensor<2048xi8>) ins(%x : tensor<2x5x128xi8>)
      extras(%r, %t : tensor<16xf32>, tensor<2x5x1xf32>) outs(%i : tensor<2x5x16xf32>) {
  ^bb0(%s: f32, %row: f32, %token: f32):
    %0 = arith.mulf %row, %token : f32
    %1 = arith.mulf %s, %0 : f32
    prune.yield %1 : f32
  } -> tensor<2x5x16xf32>
  return %y : tensor<2x5x16xf32>
}
