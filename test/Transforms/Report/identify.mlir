// The report names every layer, its share, and why a weight is not prunable.
// RUN: prune-opt %s --prune-identify="table=stdout json=%t.json" -o /dev/null | FileCheck %s
// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json

// CHECK: layer {{ *}}kind {{ *}}op {{ *}}shape {{ *}}parameters {{ *}}% {{ *}}MFLOP {{ *}}% {{ *}}zeros % {{ *}}prunable
// JSON: "flops": 808
// JSON: "layers": [

#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#wt = affine_map<(b, m, n, k) -> (k, n)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#last = affine_map<(d0, d1, d2) -> (d2)>

// CHECK: fc1 {{ *}}linear {{ *}}linalg.contract {{ *}}2x4 {{ *}}8 {{.*}} - yes
func.func @linear(%x: tensor<1x3x4xf32>) -> tensor<1x3x2xf32> {
  %weight = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32> loc("fc1")
  %init = tensor.empty() : tensor<1x3x2xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %weight : tensor<1x3x4xf32>, tensor<2x4xf32>)
      outs(%init : tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
  return %r : tensor<1x3x2xf32>
}

// A mask is looked through, and its zeros are counted.
// CHECK: fc2 {{ *}}linear {{ *}}linalg.contract {{ *}}2x4 {{ *}}8 {{.*}} 75.0 yes
// JSON: "kept": 2,
// JSON-NEXT: "kind": "linear",
// JSON-NEXT: "name": "fc2",
// JSON: "sparsity": 0.75
func.func @masked(%x: tensor<1x3x4xf32>) -> tensor<1x3x2xf32> {
  %weight = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32> loc("fc2")
  %mask = arith.constant dense<[[0, 0, 0, 1], [0, 0, 0, 1]]> : tensor<2x4xi1>
  %masked = prune.apply %weight, %mask as(#prune.unstructured) : tensor<2x4xf32>
  %init = tensor.empty() : tensor<1x3x2xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %masked : tensor<1x3x4xf32>, tensor<2x4xf32>)
      outs(%init : tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
  return %r : tensor<1x3x2xf32>
}

// Orientation matters to masks, and names without a source are made from function and kind.
// CHECK: in_out.linear_0 {{.*}} no: weight is [in, out], masks need [out, in]; run prune-normalize
func.func @in_out(%x: tensor<1x3x4xf32>) -> tensor<1x3x2xf32> {
  %weight = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32>
  %init = tensor.empty() : tensor<1x3x2xf32>
  %r = linalg.contract indexing_maps = [#x, #wt, #y] ins(%x, %weight : tensor<1x3x4xf32>, tensor<4x2xf32>)
      outs(%init : tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
  return %r : tensor<1x3x2xf32>
}

// CHECK: behind_transpose.linear_0 {{.*}} no: weight is reached through linalg.transpose; run prune-normalize
func.func @behind_transpose(%x: tensor<3x4xf32>) -> tensor<3x2xf32> {
  %weight = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  %empty = tensor.empty() : tensor<4x2xf32>
  %t = linalg.transpose ins(%weight : tensor<2x4xf32>) outs(%empty : tensor<4x2xf32>) permutation = [1, 0]
  %init = tensor.empty() : tensor<3x2xf32>
  %r = linalg.matmul ins(%x, %t : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %r : tensor<3x2xf32>
}

// CHECK: attention.attention_0 {{ *}}attention {{ *}}linalg.batch_matmul {{.*}} no: product of two activations
func.func @attention(%q: tensor<2x3x4xf32>, %k: tensor<2x4x3xf32>) -> tensor<2x3x3xf32> {
  %init = tensor.empty() : tensor<2x3x3xf32>
  %r = linalg.batch_matmul ins(%q, %k : tensor<2x3x4xf32>, tensor<2x4x3xf32>) outs(%init : tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
  return %r : tensor<2x3x3xf32>
}

// CHECK: conv.bias_0 {{ *}}bias {{ *}}linalg.broadcast {{.*}} no: a vector
// CHECK: conv.conv_0 {{ *}}conv {{ *}}linalg.conv_2d_nchw_fchw {{ *}}2x1x2x2 {{ *}}8 {{.*}} yes
// CHECK: conv.depthwise-conv_0 {{ *}}depthwise-conv {{.*}} yes
func.func @conv(%x: tensor<1x1x5x5xf32>) -> tensor<1x2x3x3xf32> {
  %weight = arith.constant dense<[[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]> : tensor<2x1x2x2xf32>
  %depthwise = arith.constant dense<[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]> : tensor<2x2x2xf32>
  %bias = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %empty = tensor.empty() : tensor<1x2x4x4xf32>
  %init = linalg.broadcast ins(%bias : tensor<2xf32>) outs(%empty : tensor<1x2x4x4xf32>) dimensions = [0, 2, 3]
  %r = linalg.conv_2d_nchw_fchw ins(%x, %weight : tensor<1x1x5x5xf32>, tensor<2x1x2x2xf32>)
      outs(%init : tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %init2 = tensor.empty() : tensor<1x2x3x3xf32>
  %d = linalg.depthwise_conv_2d_nchw_chw ins(%r, %depthwise : tensor<1x2x4x4xf32>, tensor<2x2x2xf32>)
      outs(%init2 : tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  return %d : tensor<1x2x3x3xf32>
}

// CHECK: grouped.grouped-conv_0 {{ *}}grouped-conv {{ *}}linalg.conv_2d_ngchw_gfchw {{ *}}4x1x1x1 {{.*}} yes
func.func @grouped(%x: tensor<1x2x1x3x3xf32>) -> tensor<1x2x2x3x3xf32> {
  %weight = arith.constant dense<[[[[1.0]]], [[[2.0]]], [[[3.0]]], [[[4.0]]]]> : tensor<4x1x1x1xf32>
  %groups = tensor.expand_shape %weight [[0, 1], [2], [3], [4]] output_shape [2, 2, 1, 1, 1]
      : tensor<4x1x1x1xf32> into tensor<2x2x1x1x1xf32>
  %init = tensor.empty() : tensor<1x2x2x3x3xf32>
  %r = linalg.conv_2d_ngchw_gfchw ins(%x, %groups : tensor<1x2x1x3x3xf32>, tensor<2x2x1x1x1xf32>)
      outs(%init : tensor<1x2x2x3x3xf32>) -> tensor<1x2x2x3x3xf32>
  return %r : tensor<1x2x2x3x3xf32>
}

// CHECK: embedding.embedding_0 {{ *}}embedding {{.*}} no: rows are gathered, not multiplied
// CHECK: embedding.norm_0 {{ *}}norm {{.*}} no: a vector
func.func @embedding(%ids: tensor<1x2xi64>) -> tensor<1x2x2xf32> {
  %table = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %gamma = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %init = tensor.empty() : tensor<1x2x2xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1)>, #id],
                       iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%ids : tensor<1x2xi64>) outs(%init : tensor<1x2x2xf32>) {
  ^bb0(%id: i64, %out: f32):
    %row = arith.index_cast %id : i64 to index
    %column = linalg.index 2 : index
    %e = tensor.extract %table[%row, %column] : tensor<2x2xf32>
    linalg.yield %e : f32
  } -> tensor<1x2x2xf32>
  %s = linalg.generic {indexing_maps = [#id, #last, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%r, %gamma : tensor<1x2x2xf32>, tensor<2xf32>) outs(%init : tensor<1x2x2xf32>) {
  ^bb0(%a: f32, %g: f32, %out: f32):
    %p = arith.mulf %a, %g : f32
    linalg.yield %p : f32
  } -> tensor<1x2x2xf32>
  return %s : tensor<1x2x2xf32>
}

// CHECK: prunable (5 layers)
