// What moves data: transpose, concatenation, slices with steps, padding, reshapes. Slices are places in buffers, which
// kernels know at compile time.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=0 --atol=0 | FileCheck %s
// CHECK: out0: equal
// CHECK: out1: equal

func.func @main(%x: tensor<4x6xf32>, %y: tensor<3x6xf32>) -> (tensor<6x9xf32>, tensor<2x3x2xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<7x6xf32>
  %a = tensor.insert_slice %x into %e[0, 0] [4, 6] [1, 1] : tensor<4x6xf32> into tensor<7x6xf32>
  %b = tensor.insert_slice %y into %a[4, 0] [3, 6] [1, 1] : tensor<3x6xf32> into tensor<7x6xf32>
  %t = tensor.empty() : tensor<6x7xf32>
  %c = linalg.transpose ins(%b : tensor<7x6xf32>) outs(%t : tensor<6x7xf32>) permutation = [1, 0]
  %d = tensor.pad %c low[0, 2] high[0, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<6x7xf32> to tensor<6x9xf32>
  %s = tensor.extract_slice %x[0, 1] [2, 3] [2, 2] : tensor<4x6xf32> to tensor<2x3xf32>
  %n = arith.negf %s : tensor<2x3xf32>
  %f = tensor.empty() : tensor<2x6xf32>
  %g = tensor.insert_slice %n into %f[0, 0] [2, 3] [1, 2] : tensor<2x3xf32> into tensor<2x6xf32>
  %h = tensor.insert_slice %s into %g[0, 1] [2, 3] [1, 2] : tensor<2x3xf32> into tensor<2x6xf32>
  %r = tensor.expand_shape %h [[0], [1, 2]] output_shape [2, 3, 2] : tensor<2x6xf32> into tensor<2x3x2xf32>
  return %d, %r : tensor<6x9xf32>, tensor<2x3x2xf32>
}
