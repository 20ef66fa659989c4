// Buffers become plain pointers to the device's memory; shared memory is CUDA's dynamic one, for OpenCL one more argument;
// truth values are bytes in memory; functions of the math dialect are instructions, not calls of libdevice.
// RUN: prune-opt %s --pass-pipeline="builtin.module(gpu.module(prune-lower-kernels{chip=sm_80},canonicalize))" | FileCheck %s --check-prefixes=CHECK,CUDA
// RUN: prune-opt %s --pass-pipeline="builtin.module(gpu.module(prune-lower-kernels{chip=opencl},canonicalize))" | FileCheck %s --check-prefixes=CHECK,OPENCL
// RUN: not prune-opt %s --pass-pipeline="builtin.module(gpu.module(prune-lower-kernels{chip=sm_1}))" 2>&1 | FileCheck %s --check-prefix=CHIP
// CHIP: error: expected chip sm_80, sm_86, sm_89, sm_90 or opencl, got 'sm_1'

gpu.module @kernels {
  // CUDA: llvm.mlir.global external @[[SHARED:.*]]() {addr_space = 3 : i32, alignment = 1024 : i64
  // CUDA: llvm.func @k(%[[IN:.*]]: !llvm.ptr<1>, %[[TRUTH:.*]]: !llvm.ptr<1>)
  // OPENCL: llvm.func spir_kernelcc @k(%[[IN:.*]]: !llvm.ptr<1>, %[[TRUTH:.*]]: !llvm.ptr<1>, %{{.*}}: !llvm.ptr<3>)
  // CHECK: %[[X:.*]] = llvm.load %{{.*}} : !llvm.ptr<1> -> f32
  // CHECK: llvm.intr.sqrt(%[[X]])
  // CHECK: llvm.store %{{.*}}, %{{.*}} : f32, !llvm.ptr<3>
  // CUDA: nvvm.barrier
  // OPENCL: llvm.call spir_funccc @_Z7barrierj
  // CHECK: %[[BYTE:.*]] = llvm.zext %{{.*}} : i1 to i8
  // CHECK: llvm.store %[[BYTE]], %{{.*}} : i8, !llvm.ptr<1>
  gpu.func @k(%in: memref<64xf32>, %truth: memref<64xi1>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %global = memref.memory_space_cast %in : memref<64xf32> to memref<64xf32, #gpu.address_space<global>>
    %truths = memref.memory_space_cast %truth : memref<64xi1> to memref<64xi1, #gpu.address_space<global>>
    %bytes = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
    %shared = memref.view %bytes[%c0][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<64xf32, #gpu.address_space<workgroup>>
    %t = gpu.thread_id x
    %x = memref.load %global[%t] : memref<64xf32, #gpu.address_space<global>>
    %root = math.sqrt %x : f32
    memref.store %root, %shared[%t] : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    %first = memref.load %shared[%c0] : memref<64xf32, #gpu.address_space<workgroup>>
    %larger = arith.cmpf ogt, %root, %first : f32
    memref.store %larger, %truths[%t] : memref<64xi1, #gpu.address_space<global>>
    gpu.return
  }
}
