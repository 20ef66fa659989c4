// Columns of a layer with few tokens are split where the chip's cost model finds that it pays: 64 blocks of 128 rows become four
// times as many, two for each of 132 processors. With many tokens they are enough, and for little work a second kernel costs more than it saves.
// RUN: prune-opt %s --convert-prune-to-gpu="chip=sm_90" | FileCheck %s
// RUN: prune-opt %s --convert-prune-to-gpu="chip=sm_90 column-splits=1" | FileCheck %s --check-prefix=WHOLE --implicit-check-not=add_parts
// WHOLE: func.func @few

// CHECK-LABEL: func.func @few
// CHECK: %[[SUMS:.*]] = memref.alloc() : memref<4x64x4096xf32>
// CHECK: gpu.launch_func @kernels::@dense_warps blocks in (%c2{{[_0-9]*}}, %c32{{[_0-9]*}}, %c4{{[_0-9]*}})
// CHECK: gpu.launch_func @kernels::@add_parts {{.*}} args(%[[SUMS]] :
func.func @few(%w: memref<33554432xi8>, %x: memref<64x4096xf16>, %y: memref<64x4096xf32>) {
  prune.linear tiles rows 16 chunk 64 lanes 0 storage(%w : memref<33554432xi8>) ins(%x : memref<64x4096xf16>)
    outs(%y : memref<64x4096xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}

// CHECK-LABEL: func.func @many
// CHECK-NOT: add_parts
// CHECK-LABEL: func.func @little
// CHECK-NOT: add_parts
// CHECK: gpu.module
func.func @many(%w: memref<33554432xi8>, %x: memref<8192x4096xf16>, %y: memref<8192x4096xf32>) {
  prune.linear tiles rows 16 chunk 64 lanes 0 storage(%w : memref<33554432xi8>) ins(%x : memref<8192x4096xf16>)
    outs(%y : memref<8192x4096xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}
func.func @little(%w: memref<131072xi8>, %x: memref<64x256xf16>, %y: memref<64x256xf32>) {
  prune.linear tiles rows 16 chunk 64 lanes 0 storage(%w : memref<131072xi8>) ins(%x : memref<64x256xf16>)
    outs(%y : memref<64x256xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}
