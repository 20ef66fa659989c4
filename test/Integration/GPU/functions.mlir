// Functions that are expanded in kernels against those of libm.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-4 --atol=1e-6 | FileCheck %s
// CHECK-COUNT-4: out{{[0-3]}}: equal

func.func @main(%x: tensor<50xf32>) -> (tensor<50xf32>, tensor<50xf32>, tensor<50xf32>, tensor<50xf32>) {
  %sin = math.sin %x : tensor<50xf32>
  %cos = math.cos %x : tensor<50xf32>
  %three = arith.constant dense<3> : tensor<50xi64>
  %cube = math.fpowi %x, %three : tensor<50xf32>, tensor<50xi64>
  %abs = math.absf %x : tensor<50xf32>
  %power = math.powf %abs, %x : tensor<50xf32>
  return %sin, %cos, %cube, %power : tensor<50xf32>, tensor<50xf32>, tensor<50xf32>, tensor<50xf32>
}
