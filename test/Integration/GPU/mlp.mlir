// Two layers with constant weights, which lie on the device from the first call on.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 | FileCheck %s
// CHECK: out0: equal

#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @main(%x: tensor<5x20xf32>, %w0: tensor<20x48xf32>) -> tensor<5x7xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<0.03125> : tensor<48x7xf32>
  %bias = arith.constant dense<[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]> : tensor<7xf32>
  %e = tensor.empty() : tensor<5x48xf32>
  %s = linalg.fill ins(%zero : f32) outs(%e : tensor<5x48xf32>) -> tensor<5x48xf32>
  %h = linalg.matmul ins(%x, %w0 : tensor<5x20xf32>, tensor<20x48xf32>) outs(%s : tensor<5x48xf32>) -> tensor<5x48xf32>
  %z = arith.constant dense<0.0> : tensor<5x48xf32>
  %relu = arith.maximumf %h, %z : tensor<5x48xf32>
  %f = tensor.empty() : tensor<5x7xf32>
  %b = linalg.broadcast ins(%bias : tensor<7xf32>) outs(%f : tensor<5x7xf32>) dimensions = [0]
  %y = linalg.matmul ins(%relu, %w : tensor<5x48xf32>, tensor<48x7xf32>) outs(%b : tensor<5x7xf32>) -> tensor<5x7xf32>
  return %y : tensor<5x7xf32>
}
