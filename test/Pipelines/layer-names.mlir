// Small weights, which are no resources, are called by their own location or by what normalisation made of their layer's; without
// either they have the name that prune-identify gives them.
// RUN: prune-opt %s --prune-to-cpu="report=%t.json" -o /dev/null
// RUN: FileCheck %s --input-file=%t.json
// CHECK: "name": "fc1.weight"
// CHECK: "name": "encoder.fc2.weight"
// CHECK: "name": "main.linear_1"
// Before normalisation the layer itself may have a name.
// RUN: prune-opt %s --prune-pack="report=%t.json" -o /dev/null
// RUN: FileCheck %s --input-file=%t.json --check-prefix=PACK
// PACK: "name": "fc1.weight"
// PACK: "name": "/encoder/fc2/MatMul"
// PACK: "name": "weight"

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<64x4xf32>) -> tensor<64x2xf32> {
  %w = arith.constant dense<[[1., 2., 8., 4.], [9., 6., 3., 5.], [1., 9., 5., 2.], [4., 3., 2., 1.]]> : tensor<4x4xf32> loc("fc1.weight")
  %v = arith.constant dense<[[2., 2., 8., 4.], [9., 6., 3., 5.], [1., 9., 5., 2.], [4., 3., 2., 1.]]> : tensor<4x4xf32>
  %u = arith.constant dense<[[3., 2., 8., 4.], [9., 6., 3., 5.]]> : tensor<2x4xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x4xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<64x4xf32>) -> tensor<64x4xf32>
  %a = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<64x4xf32>, tensor<4x4xf32>) outs(%i : tensor<64x4xf32>) -> tensor<64x4xf32>
  %b = linalg.contract indexing_maps = [#x, #w, #y] ins(%a, %v : tensor<64x4xf32>, tensor<4x4xf32>) outs(%i : tensor<64x4xf32>) -> tensor<64x4xf32> loc("/encoder/fc2/MatMul")
  %f = tensor.empty() : tensor<64x2xf32>
  %j = linalg.fill ins(%zero : f32) outs(%f : tensor<64x2xf32>) -> tensor<64x2xf32>
  %c = linalg.contract indexing_maps = [#x, #w, #y] ins(%b, %u : tensor<64x4xf32>, tensor<2x4xf32>) outs(%j : tensor<64x2xf32>) -> tensor<64x2xf32>
  return %c : tensor<64x2xf32>
}
