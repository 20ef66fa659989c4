// The kernels of tools/dense-bench: the dense work of an encoder of 128 tokens and of a convolution net.

// C[n][m] += W[n][k] * X[k][m], tokens innermost.
func.func @linear(%w: memref<1536x384xf32>, %x: memref<384x128xf32>, %c: memref<1536x128xf32>) {
  linalg.matmul ins(%w, %x : memref<1536x384xf32>, memref<384x128xf32>) outs(%c : memref<1536x128xf32>)
  return
}
// The same with a long reduction.
func.func @linear_long(%w: memref<384x1536xf32>, %x: memref<1536x128xf32>, %c: memref<384x128xf32>) {
  linalg.matmul ins(%w, %x : memref<384x1536xf32>, memref<1536x128xf32>) outs(%c : memref<384x128xf32>)
  return
}
// PyTorch's orientation: y[m][n] += x[m][k] * w[n][k]; nothing is contiguous where lanes would like to be.
func.func @linear_rows(%w: memref<1536x384xf32>, %x: memref<128x384xf32>, %c: memref<128x1536xf32>) {
  linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
    ins(%x, %w : memref<128x384xf32>, memref<1536x384xf32>) outs(%c : memref<128x1536xf32>)
  return
}
// Scores of 12 heads, S[j][i] += K[d][j] * Q[d][i].
func.func @scores(%k: memref<12x32x128xf32>, %q: memref<12x32x128xf32>, %s: memref<12x128x128xf32>) {
  linalg.contract indexing_maps = [affine_map<(h, j, i, d) -> (h, d, j)>, affine_map<(h, j, i, d) -> (h, d, i)>, affine_map<(h, j, i, d) -> (h, j, i)>]
    ins(%k, %q : memref<12x32x128xf32>, memref<12x32x128xf32>) outs(%s : memref<12x128x128xf32>)
  return
}
// O[d][i] += V[d][j] * S[j][i].
func.func @values(%v: memref<12x32x128xf32>, %s: memref<12x128x128xf32>, %o: memref<12x32x128xf32>) {
  linalg.batch_matmul ins(%v, %s : memref<12x32x128xf32>, memref<12x128x128xf32>) outs(%o : memref<12x32x128xf32>)
  return
}
// Heads as ONNX has them: 128x32 by 32x128 and 128x128 by 128x32.
func.func @scores_rows(%k: memref<12x128x32xf32>, %q: memref<12x32x128xf32>, %s: memref<12x128x128xf32>) {
  linalg.batch_matmul ins(%k, %q : memref<12x128x32xf32>, memref<12x32x128xf32>) outs(%s : memref<12x128x128xf32>)
  return
}
func.func @values_rows(%v: memref<12x128x128xf32>, %s: memref<12x128x32xf32>, %o: memref<12x128x32xf32>) {
  linalg.batch_matmul ins(%v, %s : memref<12x128x128xf32>, memref<12x128x32xf32>) outs(%o : memref<12x128x32xf32>)
  return
}
func.func @conv3x3(%w: memref<64x64x3x3xf32>, %x: memref<1x64x58x58xf32>, %c: memref<1x64x56x56xf32>) {
  linalg.conv_2d_nchw_fchw {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
    ins(%x, %w : memref<1x64x58x58xf32>, memref<64x64x3x3xf32>) outs(%c : memref<1x64x56x56xf32>)
  return
}
func.func @conv3x3_small(%w: memref<256x256x3x3xf32>, %x: memref<1x256x9x9xf32>, %c: memref<1x256x7x7xf32>) {
  linalg.conv_2d_nchw_fchw {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
    ins(%x, %w : memref<1x256x9x9xf32>, memref<256x256x3x3xf32>) outs(%c : memref<1x256x7x7xf32>)
  return
}
func.func @conv1x1(%w: memref<256x64xf32>, %x: memref<64x784xf32>, %c: memref<256x784xf32>) {
  linalg.matmul ins(%w, %x : memref<256x64xf32>, memref<64x784xf32>) outs(%c : memref<256x784xf32>)
  return
}
func.func @depthwise3x3(%w: memref<144x3x3xf32>, %x: memref<1x144x58x58xf32>, %c: memref<1x144x56x56xf32>) {
  linalg.depthwise_conv_2d_nchw_chw {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
    ins(%x, %w : memref<1x144x58x58xf32>, memref<144x3x3xf32>) outs(%c : memref<1x144x56x56xf32>)
  return
}
// GELU by erf.
func.func @gelu(%x: memref<1536x128xf32>, %u: memref<1xf32>, %y: memref<1536x128xf32>) {
  %half = arith.constant 0.5 : f32
  %one = arith.constant 1.0 : f32
  %root = arith.constant 0.70710678 : f32
  linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<1536x128xf32>) outs(%y : memref<1536x128xf32>) {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %root : f32
    %e = math.erf %s : f32
    %p = arith.addf %e, %one : f32
    %h = arith.mulf %a, %half : f32
    %r = arith.mulf %h, %p : f32
    linalg.yield %r : f32
  }
  return
}
// exp(x - m), as inside softmax.
func.func @exp(%x: memref<1536x128xf32>, %m: memref<128xf32>, %y: memref<1536x128xf32>) {
  linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %m : memref<1536x128xf32>, memref<128xf32>) outs(%y : memref<1536x128xf32>) {
  ^bb0(%a: f32, %c: f32, %b: f32):
    %s = arith.subf %a, %c : f32
    %e = math.exp %s : f32
    linalg.yield %e : f32
  }
  return
}
// Sums over rows and over columns.
func.func @sum_rows(%x: memref<1536x128xf32>, %u: memref<1xf32>, %y: memref<1536xf32>) {
  linalg.reduce ins(%x : memref<1536x128xf32>) outs(%y : memref<1536xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %s = arith.addf %a, %b : f32 linalg.yield %s : f32 }
  return
}
func.func @sum_columns(%x: memref<1536x128xf32>, %u: memref<1xf32>, %y: memref<128xf32>) {
  linalg.reduce ins(%x : memref<1536x128xf32>) outs(%y : memref<128xf32>) dimensions = [0]
    (%a: f32, %b: f32) { %s = arith.addf %a, %b : f32 linalg.yield %s : f32 }
  return
}
func.func @transpose(%x: memref<128x384xf32>, %u: memref<1xf32>, %y: memref<384x128xf32>) {
  linalg.transpose ins(%x : memref<128x384xf32>) outs(%y : memref<384x128xf32>) permutation = [1, 0]
  return
}
func.func @maxpool(%x: memref<1x64x114x114xf32>, %w: memref<3x3xf32>, %y: memref<1x64x56x56xf32>) {
  linalg.pooling_nchw_max {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>}
    ins(%x, %w : memref<1x64x114x114xf32>, memref<3x3xf32>) outs(%y : memref<1x64x56x56xf32>)
  return
}
