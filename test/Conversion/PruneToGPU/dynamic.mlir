// Products that skip zeros, and the choice of the largest elements of rows.
// RUN: prune-opt %s --split-input-file --convert-prune-to-gpu="chip=sm_90" --canonicalize --cse | FileCheck %s

// One chunk is one kernel, epilogue and all: a block lists what it has to read, and adds up 128 results.
// CHECK-LABEL: func.func @one_chunk
// CHECK-NOT: memref.alloc
// CHECK-COUNT-1: gpu.launch_func @kernels::@columns blocks in (%c3, %c1, %c1) threads in (%c256, %c1, %c1)
// CHECK-NOT: gpu.launch_func
// CHECK: gpu.func @columns
// The list of columns is read four at a time, rows of the weight likewise.
// CHECK: vector.load {{.*}} : memref<2056xi32, #gpu.address_space<workgroup>>, vector<4xi32>
// CHECK: vector.load {{.*}} : memref<500x300xf32, #gpu.address_space<global>>, vector<4xf32>
// CHECK: math.fma
// CHECK: arith.maximumf
func.func @one_chunk(%w: memref<500x300xf32>, %x: memref<1x500xf32>, %b: memref<300xf32>, %y: memref<1x300xf32>) {
  %zero = arith.constant 0.0 : f32
  prune.linear columns rows 128 chunk 500 lanes 0 storage(%w : memref<500x300xf32>) ins(%x : memref<1x500xf32>) extras(%b : memref<300xf32>) outs(%y : memref<1x300xf32>) {
  ^bb0(%sum: f32, %bias: f32):
    %0 = arith.addf %sum, %bias : f32
    %1 = arith.maximumf %0, %zero : f32
    prune.yield %1 : f32
  }
  return
}

// -----

// Chunks of columns are added up by a second kernel, which has the epilogue.
// CHECK-LABEL: func.func @chunks
// CHECK: %[[SUMS:.*]] = memref.alloc() : memref<3x2x70xf32>
// CHECK: gpu.launch_func @kernels::@columns blocks in (%c1, %c3, %c1) {{.*}} args(%arg0 : memref<500x72xf16>, %arg1 : memref<2x500xf32>, %[[SUMS]] : memref<3x2x70xf32>)
// CHECK: gpu.launch_func @kernels::@add_parts {{.*}} args(%[[SUMS]] : memref<3x2x70xf32>, %arg1 : memref<2x500xf32>, %arg2 : memref<2x70xf32>)
// CHECK: gpu.func @columns
// CHECK-NOT: math.tanh
// CHECK: vector.load {{.*}} : memref<500x72xf16, #gpu.address_space<global>>, vector<8xf16>
// CHECK: gpu.func @add_parts
// CHECK: math.tanh
func.func @chunks(%w: memref<500x72xf16>, %x: memref<2x500xf32>, %y: memref<2x70xf32>) {
  prune.linear columns rows 256 chunk 192 lanes 0 storage(%w : memref<500x72xf16>) ins(%x : memref<2x500xf32>) outs(%y : memref<2x70xf32>) {
  ^bb0(%sum: f32):
    %0 = math.tanh %sum : f32
    prune.yield %0 : f32
  }
  return
}

// -----

// A block for each row, whose integers lie in shared memory: two bits of the bound in each turn of the loop.
// CHECK-LABEL: func.func @largest
// CHECK: gpu.launch_func @kernels::@keep_largest blocks in (%c6, %c1, %c1) threads in (%c256, %c1, %c1)
// CHECK: gpu.func @keep_largest
// CHECK: math.absf
// CHECK: memref.store {{.*}} : memref<700xi32, #gpu.address_space<workgroup>>
// CHECK: scf.for {{.*}} = %c0 to %c32 step %c2
// CHECK-COUNT-3: arith.cmpi sge
// CHECK: memref.store {{.*}} : memref<2x3x700xi1, #gpu.address_space<global>>
// A row that does not fit is read again each time.
// CHECK: gpu.func @keep_largest_{{[0-9]+}}
// CHECK-NOT: memref<20000xi64
// CHECK: scf.for {{.*}} = %c0 to %c64 step %c2
func.func @largest(%x: memref<2x3x700xf16>, %m: memref<2x3x700xi1>, %z: memref<20000xf64>, %n: memref<20000xi1>) {
  prune.keep_largest 70 magnitude ins(%x : memref<2x3x700xf16>) outs(%m : memref<2x3x700xi1>)
  prune.keep_largest 70 ins(%z : memref<20000xf64>) outs(%n : memref<20000xi1>)
  return
}
