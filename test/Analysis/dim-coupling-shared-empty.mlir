// Importers give all results of one shape the same tensor.empty. That ties nothing: what starts from two fills of it is
// pruned apart.
// RUN: prune-opt %s --split-input-file --prune-explain-groups=text=stdout -o /dev/null | FileCheck %s

// CHECK-DAG: neurons:a: 8 neurons
// CHECK-DAG: neurons:b: 8 neurons
#x = affine_map<(d0, d1, d2) -> (d0, d2)>
#w = affine_map<(d0, d1, d2) -> (d1, d2)>
#y = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @main(%x: tensor<3x4xf32>) -> (tensor<3x5xf32>, tensor<3x5xf32>) {
  %a = arith.constant dense_resource<a> : tensor<8x4xf32>
  %b = arith.constant dense_resource<b> : tensor<8x4xf32>
  %c = arith.constant dense_resource<c> : tensor<5x8xf32>
  %d = arith.constant dense_resource<d> : tensor<5x8xf32>
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<3x8xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e : tensor<3x8xf32>) -> tensor<3x8xf32>
  %f1 = linalg.fill ins(%one : f32) outs(%e : tensor<3x8xf32>) -> tensor<3x8xf32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<3x4xf32>, tensor<8x4xf32>)
      outs(%f0 : tensor<3x8xf32>) -> tensor<3x8xf32>
  %q = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %b : tensor<3x4xf32>, tensor<8x4xf32>)
      outs(%f1 : tensor<3x8xf32>) -> tensor<3x8xf32>
  %e1 = tensor.empty() : tensor<3x5xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x5xf32>) -> tensor<3x5xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%p, %c : tensor<3x8xf32>, tensor<5x8xf32>)
      outs(%f2 : tensor<3x5xf32>) -> tensor<3x5xf32>
  %s = linalg.contract indexing_maps = [#x, #w, #y] ins(%q, %d : tensor<3x8xf32>, tensor<5x8xf32>)
      outs(%f2 : tensor<3x5xf32>) -> tensor<3x5xf32>
  return %r, %s : tensor<3x5xf32>, tensor<3x5xf32>
}

// -----

// The same where the empty tensor is reshaped, as for grouped convolutions.
// CHECK-DAG: channels:r: 8 channels
// CHECK-DAG: channels:s: 8 channels
#x = affine_map<(d0, d1, d2, d3) -> (d0, d3)>
#w = affine_map<(d0, d1, d2, d3) -> (d1, d2, d3)>
#y = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#v = affine_map<(d0, d1, d2, d3) -> (d1, d2, d3)>
#h = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#z = affine_map<(d0, d1, d2, d3) -> (d0, d1)>
func.func @main(%x: tensor<3x4xf32>) -> (tensor<3x5xf32>, tensor<3x5xf32>) {
  %a = arith.constant dense_resource<r> : tensor<8x2x4xf32>
  %b = arith.constant dense_resource<s> : tensor<8x2x4xf32>
  %c = arith.constant dense_resource<t> : tensor<5x8x2xf32>
  %d = arith.constant dense_resource<u> : tensor<5x8x2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x16xf32>
  %e0 = tensor.expand_shape %e [[0], [1, 2]] output_shape [3, 8, 2] : tensor<3x16xf32> into tensor<3x8x2xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<3x8x2xf32>) -> tensor<3x8x2xf32>
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<3x4xf32>, tensor<8x2x4xf32>)
      outs(%f0 : tensor<3x8x2xf32>) -> tensor<3x8x2xf32>
  %q = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %b : tensor<3x4xf32>, tensor<8x2x4xf32>)
      outs(%f0 : tensor<3x8x2xf32>) -> tensor<3x8x2xf32>
  %e1 = tensor.empty() : tensor<3x5xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x5xf32>) -> tensor<3x5xf32>
  %r = linalg.contract indexing_maps = [#h, #v, #z] ins(%p, %c : tensor<3x8x2xf32>, tensor<5x8x2xf32>)
      outs(%f2 : tensor<3x5xf32>) -> tensor<3x5xf32>
  %s = linalg.contract indexing_maps = [#h, #v, #z] ins(%q, %d : tensor<3x8x2xf32>, tensor<5x8x2xf32>)
      outs(%f2 : tensor<3x5xf32>) -> tensor<3x5xf32>
  return %r, %s : tensor<3x5xf32>, tensor<3x5xf32>
}
