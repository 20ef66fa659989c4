// Convolution with padding and stride, depthwise convolution and pooling: one thread for each result, loops over the
// window.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 | FileCheck %s
// CHECK: out0: equal

func.func @main(%x: tensor<1x3x11x9xf32>, %w: tensor<4x3x3x3xf32>, %d: tensor<4x3x3xf32>) -> tensor<1x4x2x1xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %padded = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x3x11x9xf32> to tensor<1x3x13x11xf32>
  %e = tensor.empty() : tensor<1x4x6x5xf32>
  %start = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x6x5xf32>) -> tensor<1x4x6x5xf32>
  %c = linalg.conv_2d_nchw_fchw {strides = dense<2> : vector<2xi64>}
      ins(%padded, %w : tensor<1x3x13x11xf32>, tensor<4x3x3x3xf32>) outs(%start : tensor<1x4x6x5xf32>)
      -> tensor<1x4x6x5xf32>
  %f = tensor.empty() : tensor<1x4x4x3xf32>
  %again = linalg.fill ins(%zero : f32) outs(%f : tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
  %g = linalg.depthwise_conv_2d_nchw_chw ins(%c, %d : tensor<1x4x6x5xf32>, tensor<4x3x3xf32>)
      outs(%again : tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
  %h = tensor.empty() : tensor<1x4x2x1xf32>
  %low = linalg.fill ins(%lowest : f32) outs(%h : tensor<1x4x2x1xf32>) -> tensor<1x4x2x1xf32>
  %window = tensor.empty() : tensor<2x2xf32>
  %p = linalg.pooling_nchw_max {strides = dense<2> : vector<2xi64>}
      ins(%g, %window : tensor<1x4x4x3xf32>, tensor<2x2xf32>) outs(%low : tensor<1x4x2x1xf32>) -> tensor<1x4x2x1xf32>
  return %p : tensor<1x4x2x1xf32>
}
