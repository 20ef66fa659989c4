// What a chip's kernels cannot compute with is an error at its place.
// RUN: not prune-opt %s --pass-pipeline="builtin.module(gpu.module(prune-lower-kernels{chip=opencl}))" 2>&1 | FileCheck %s

gpu.module @kernels {
  gpu.func @widens(%x: memref<4xbf16>, %y: memref<4xf64>) kernel {
    %i = gpu.thread_id x
    %value = memref.load %x[%i] : memref<4xbf16>
    // CHECK: lower-kernels-invalid.mlir:[[#@LINE+1]]:{{.*}}: error: 'arith.extf' op has no form in kernels for opencl and bf16
    %wide = arith.extf %value : bf16 to f64
    memref.store %wide, %y[%i] : memref<4xf64>
    gpu.return
  }
}
