// Kernels call no library: powers, trigonometric functions and the like are arithmetic; what is left is an instruction.
// RUN: prune-opt %s --split-input-file --pass-pipeline="builtin.module(gpu.module(prune-expand-kernel-math))" --verify-diagnostics | FileCheck %s

gpu.module @kernels {
  // CHECK-LABEL: gpu.func @functions
  // CHECK-NOT: math.{{sin|cos|fpowi|powf|tanh|exp |atan}}
  // CHECK: math.sqrt
  // CHECK-NOT: math.{{sin|cos|fpowi|powf|tanh|exp |atan}}
  // CHECK: gpu.return
  gpu.func @functions(%m: memref<8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %three = arith.constant 3 : i64
    %x = memref.load %m[%c0] : memref<8xf32>
    %cube = math.fpowi %x, %three : f32, i64
    %sin = math.sin %cube : f32
    %cos = math.cos %sin : f32
    %atan = math.atan %cos : f32
    %power = math.powf %atan, %x : f32
    %tanh = math.tanh %power : f32
    %root = math.sqrt %tanh : f32
    memref.store %root, %m[%c0] : memref<8xf32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @f64(%m: memref<8xf64>) kernel {
    %c0 = arith.constant 0 : index
    %x = memref.load %m[%c0] : memref<8xf64>
    // expected-error @below {{'math.exp' op has no form in kernels for 'f64'}}
    %y = math.exp %x : f64
    memref.store %y, %m[%c0] : memref<8xf64>
    gpu.return
  }
}
