// Batch norm scales judge channels, so the pipeline folds batch norms behind the decision, not before.
// RUN: prune-opt %s --prune-structured="ratio=0.5 criterion=bn-scale check-equivalence=true" | FileCheck %s
// RUN: prune-opt %s --prune-structured="ratio=0.5 criterion=l1" | FileCheck %s --check-prefix=MAGNITUDE

// Channels 0 and 3 have the small scales, 1 and 2 the small filters. What is left is scaled: 1 * 7, 2 * -8.
// CHECK: arith.constant dense<{{\[\[}}7.000000e+00, 7.000000e+00], [-1.600000e+01, -8.000000e+00]]> : tensor<2x2xf32>
// CHECK-NOT: dense<[7.0{{.*}}> : tensor<2xf32>
// MAGNITUDE: arith.constant dense<{{\[\[}}8.000000e+00, 8.000000e+00], [2.000000e+01, 1.800000e+01]]> : tensor<2x2xf32>
#id = affine_map<(n, c, h, w) -> (n, c, h, w)>
#c = affine_map<(n, c, h, w) -> (c)>
func.func @main(%x: tensor<1x2x4x4xf32>) -> tensor<1x3x4x4xf32> {
  %zero = arith.constant 0.0 : f32
  %conv1 = arith.constant dense<[[[[8.]], [[8.]]], [[[1.]], [[1.]]], [[[2.]], [[1.]]], [[[10.]], [[9.]]]]> : tensor<4x2x1x1xf32> loc("conv1")
  %gamma = arith.constant dense<[1., 7., -8., 2.]> : tensor<4xf32> loc("gamma")
  %beta = arith.constant dense<[1., 2., 3., 4.]> : tensor<4xf32> loc("beta")
  %conv2 = arith.constant dense<[[[[8.]], [[1.]], [[2.]], [[9.]]], [[[8.]], [[1.]], [[2.]], [[9.]]], [[[9.]], [[1.]], [[2.]], [[9.]]]]> : tensor<3x4x1x1xf32> loc("conv2")
  %e1 = tensor.empty() : tensor<1x4x4x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4x4x4xf32>) -> tensor<1x4x4x4xf32>
  %h = linalg.conv_2d_nchw_fchw ins(%x, %conv1 : tensor<1x2x4x4xf32>, tensor<4x2x1x1xf32>) outs(%f1 : tensor<1x4x4x4xf32>) -> tensor<1x4x4x4xf32>
  %e2 = tensor.empty() : tensor<1x4x4x4xf32>
  %bn = linalg.generic {indexing_maps = [#id, #c, #c, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%h, %gamma, %beta : tensor<1x4x4x4xf32>, tensor<4xf32>, tensor<4xf32>) outs(%e2 : tensor<1x4x4x4xf32>) {
  ^bb0(%a: f32, %g: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %g : f32
    %s = arith.addf %m, %b : f32
    linalg.yield %s : f32
  } -> tensor<1x4x4x4xf32>
  %e3 = tensor.empty() : tensor<1x4x4x4xf32>
  %relu = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%bn : tensor<1x4x4x4xf32>) outs(%e3 : tensor<1x4x4x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %zero : f32
    linalg.yield %r : f32
  } -> tensor<1x4x4x4xf32>
  %e4 = tensor.empty() : tensor<1x3x4x4xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<1x3x4x4xf32>) -> tensor<1x3x4x4xf32>
  %y = linalg.conv_2d_nchw_fchw ins(%relu, %conv2 : tensor<1x4x4x4xf32>, tensor<3x4x1x1xf32>) outs(%f4 : tensor<1x3x4x4xf32>) -> tensor<1x3x4x4xf32>
  return %y : tensor<1x3x4x4xf32>
}
