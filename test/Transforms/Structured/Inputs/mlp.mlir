#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#n = affine_map<(m, n) -> (n)>
func.func @main(%x: tensor<1x2xf32>) -> tensor<1x3xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[5., 1.], [0., 1.], [7., 1.], [1., 1.]]> : tensor<4x2xf32> loc("fc1")
  %bias1 = arith.constant dense<[1., 20., 3., 40.]> : tensor<4xf32> loc("bias1")
  %fc2 = arith.constant dense<[[4., 1., 3., 1.], [5., 1., 4., 1.], [6., 1., 5., 2.]]> : tensor<3x4xf32> loc("fc2")
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %r = linalg.generic {indexing_maps = [#id, #n, #id], iterator_types = ["parallel", "parallel"]}
      ins(%h, %bias1 : tensor<1x4xf32>, tensor<4xf32>) outs(%e1 : tensor<1x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    %m = arith.maximumf %s, %zero : f32
    linalg.yield %m : f32
  } -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<1x3xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x3xf32>) -> tensor<1x3xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %fc2 : tensor<1x4xf32>, tensor<3x4xf32>) outs(%f2 : tensor<1x3xf32>) -> tensor<1x3xf32>
  return %y : tensor<1x3xf32>
}
