// A mask, a batch norm, a matrix: two outputs, of which the second has the channels of each row.
#x = affine_map<(b, o, i) -> (b, i)>
#w = affine_map<(b, o, i) -> (o, i)>
#y = affine_map<(b, o, i) -> (b, o)>
#id = affine_map<(b, o) -> (b, o)>
#row = affine_map<(b, o) -> (o)>

func.func @main(%x: tensor<6x3xf32> {prune.name = "x"}, %weights: tensor<6xi64> {prune.name = "weights"})
    -> (tensor<6x3xf32> {prune.name = "y"}, tensor<6x4xf32> {prune.name = "hidden"}) {
  %w1 = arith.constant dense<[[0.5, -0.25, 1.0], [0.75, 0.5, -1.5], [-0.5, 1.25, 0.25], [1.0, 0.5, 0.75]]>
      : tensor<4x3xf32> loc("first.weight")
  %m1 = arith.constant dense<[[true, true, false], [true, false, true], [true, true, true], [false, true, true]]>
      : tensor<4x3xi1>
  %p1 = prune.apply %w1, %m1 as(#prune.unstructured) name("first.weight") : tensor<4x3xf32>
  %gamma = arith.constant dense<[1.5, 0.5, 2.0, 1.0]> : tensor<4xf32> loc("norm.weight")
  %beta = arith.constant dense<[0.5, -0.5, 0.25, 0.0]> : tensor<4xf32> loc("norm.bias")
  %mean = arith.constant dense<[0.125, 0.25, -0.25, 0.5]> : tensor<4xf32> loc("norm.running_mean")
  %variance = arith.constant dense<[1.0, 2.0, 0.5, 1.5]> : tensor<4xf32> loc("norm.running_var")
  %w2 = arith.constant dense<[[1.0, -0.5, 0.25, 0.5], [0.5, 1.5, -1.0, 0.25], [-0.75, 0.5, 1.0, -1.25]]>
      : tensor<3x4xf32> loc("second.weight")
  %zero = arith.constant 0.0 : f32
  %epsilon = arith.constant 1.0e-5 : f32
  %e4 = tensor.empty() : tensor<6x4xf32>
  %e3 = tensor.empty() : tensor<6x3xf32>
  %z4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<6x4xf32>) -> tensor<6x4xf32>
  %z3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<6x3xf32>) -> tensor<6x3xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p1 : tensor<6x3xf32>, tensor<4x3xf32>)
      outs(%z4 : tensor<6x4xf32>) -> tensor<6x4xf32>
  %n = linalg.generic {indexing_maps = [#id, #row, #row, #row, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%h, %gamma, %beta, %mean, %variance
          : tensor<6x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
      outs(%e4 : tensor<6x4xf32>) {
  ^bb0(%a: f32, %g: f32, %b: f32, %m: f32, %v: f32, %o: f32):
    %s = arith.addf %v, %epsilon : f32
    %r = math.rsqrt %s : f32
    %d = arith.subf %a, %m : f32
    %q = arith.mulf %d, %r : f32
    %t = arith.mulf %q, %g : f32
    %u = arith.addf %t, %b : f32
    linalg.yield %u : f32
  } -> tensor<6x4xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%n, %w2 : tensor<6x4xf32>, tensor<3x4xf32>)
      outs(%z3 : tensor<6x3xf32>) -> tensor<6x3xf32>
  return %y, %n : tensor<6x3xf32>, tensor<6x4xf32>
}
