// Operations on buffers become launches; equal kernels are merged, whatever buffers they are given; a reduction takes its
// fill along.
// RUN: prune-opt %s --split-input-file --convert-prune-to-gpu="chip=sm_80" --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func.func @equal_kernels_are_one
// CHECK: gpu.launch_func @kernels::@exp blocks in (%{{.*}}) threads in (%{{.*}}) args(%arg0 : memref<300xf32>, %arg1 : memref<300xf32>)
// CHECK: gpu.launch_func @kernels::@exp blocks in (%{{.*}}) threads in (%{{.*}}) args(%arg1 : memref<300xf32>, %arg2 : memref<300xf32>)
// CHECK: gpu.launch_func @kernels::@exp_{{[0-9]+}} {{.*}} args(%arg3 : memref<256xf32>, %arg4 : memref<256xf32>)
// CHECK: gpu.module @kernels
// CHECK: gpu.func @exp(%{{.*}}: memref<300xf32>, %{{.*}}: memref<300xf32>) kernel attributes {known_block_size = array<i32: 128, 1, 1>}
// Beyond the last element nothing is done.
// CHECK: arith.cmpi ult
// CHECK-NEXT: scf.if
// CHECK: gpu.func @exp_{{[0-9]+}}
// CHECK-NOT: scf.if
// CHECK-NOT: gpu.func
func.func @equal_kernels_are_one(%a: memref<300xf32>, %b: memref<300xf32>, %c: memref<300xf32>, %d: memref<256xf32>,
                                 %e: memref<256xf32>) {
  linalg.exp ins(%a : memref<300xf32>) outs(%b : memref<300xf32>)
  linalg.exp ins(%b : memref<300xf32>) outs(%c : memref<300xf32>)
  linalg.exp ins(%d : memref<256xf32>) outs(%e : memref<256xf32>)
  return
}

// -----

// CHECK-LABEL: func.func @short_rows_are_loops_of_a_thread
// CHECK-COUNT-1: gpu.launch_func
// CHECK-NOT: gpu.launch_func
// CHECK: gpu.func
// CHECK: scf.for {{.*}} iter_args(%{{.*}} = %{{cst.*}}) -> (f32)
// CHECK-NOT: gpu.barrier
func.func @short_rows_are_loops_of_a_thread(%a: memref<300x8xf32>, %b: memref<300xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%b : memref<300xf32>)
  linalg.reduce { arith.addf } ins(%a : memref<300x8xf32>) outs(%b : memref<300xf32>) dimensions = [1]
  return
}

// -----

// Softmax: the two temporaries are one row in shared memory each.
// CHECK-LABEL: func.func @rows_stay_in_one_block
// CHECK-NOT: memref.alloc
// CHECK: %[[BYTES:.*]] = arith.constant 912 : i32
// CHECK-COUNT-1: gpu.launch_func {{.*}} dynamic_shared_memory_size %[[BYTES]] args(%arg0 : memref<64x96xf32>, %arg1 : memref<64x96xf32>)
// CHECK-NOT: gpu.launch_func
// CHECK: gpu.func
// CHECK: gpu.dynamic_shared_memory
// CHECK: gpu.barrier
func.func @rows_stay_in_one_block(%a: memref<64x96xf32>, %r: memref<64x96xf32>) {
  %zero = arith.constant 0.0 : f32
  %exp = memref.alloc() : memref<64x96xf32>
  %sum = memref.alloc() : memref<64xf32>
  linalg.exp ins(%a : memref<64x96xf32>) outs(%exp : memref<64x96xf32>)
  linalg.fill ins(%zero : f32) outs(%sum : memref<64xf32>)
  linalg.reduce { arith.addf } ins(%exp : memref<64x96xf32>) outs(%sum : memref<64xf32>) dimensions = [1]
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
                  iterator_types = ["parallel", "parallel"]}
      ins(%exp, %sum : memref<64x96xf32>, memref<64xf32>) outs(%r : memref<64x96xf32>) {
  ^bb0(%e: f32, %s: f32, %o: f32):
    %q = arith.divf %e, %s : f32
    linalg.yield %q : f32
  }
  return
}

// -----

// The last operation reads another row of what the first one wrote: no block has both.
// CHECK-LABEL: func.func @other_rows_are_another_kernel
// CHECK-COUNT-2: gpu.launch_func
// CHECK-NOT: gpu.launch_func
// CHECK: gpu.module
func.func @other_rows_are_another_kernel(%a: memref<64x64xf32>, %b: memref<64x64xf32>, %s: memref<64xf32>, %r: memref<64x64xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.exp ins(%a : memref<64x64xf32>) outs(%b : memref<64x64xf32>)
  linalg.fill ins(%zero : f32) outs(%s : memref<64xf32>)
  linalg.reduce { arith.addf } ins(%b : memref<64x64xf32>) outs(%s : memref<64xf32>) dimensions = [1]
  linalg.transpose ins(%b : memref<64x64xf32>) outs(%r : memref<64x64xf32>) permutation = [1, 0]
  return
}

// -----

// A slice is the buffer it is of, at a place that the kernel knows.
// CHECK-LABEL: func.func @slices_are_places
// CHECK: gpu.launch_func {{.*}} args(%arg0 : memref<8x8xf32>, %arg1 : memref<4x4xf32>)
// CHECK: memref.reinterpret_cast %{{.*}} to offset: [18], sizes: [4, 4], strides: [8, 1]
func.func @slices_are_places(%a: memref<8x8xf32>, %b: memref<4x4xf32>) {
  %slice = memref.subview %a[2, 2] [4, 4] [1, 1] : memref<8x8xf32> to memref<4x4xf32, strided<[8, 1], offset: 18>>
  memref.copy %slice, %b : memref<4x4xf32, strided<[8, 1], offset: 18>> to memref<4x4xf32>
  return
}
