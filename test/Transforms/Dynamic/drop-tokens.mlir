// Everything behind an activation runs on fewer tokens: shapes are smaller, a mask is gathered, the result has all tokens again.
// RUN: prune-opt %s --prune-drop-tokens="before=second sparsity=0.25 padding=in1" | FileCheck %s
// RUN: prune-opt %s --prune-drop-tokens="before=second keep=3" --remarks-filter=dynamic --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// REMARK: [Passed] Tokens {{.*}}3 of 4 tokens are kept before 'second'

// CHECK-LABEL: func.func @main(
// CHECK-SAME: %[[X:.*]]: tensor<1x4x2xf32>, %[[MARKS:.*]]: tensor<1x4xi64>) -> (tensor<1x4x2xf32>, tensor<1x2xf32>)
// The first layer sees all tokens.
// CHECK: %[[H:.*]] = linalg.contract {{.*}} ins(%[[X]], {{.*}} -> tensor<1x4x2xf32>
// CHECK: %[[MASK:.*]] = prune.dynamic_mask %{{.*}} along 0 signed keep(3) name("second") : tensor<4xf32>
// CHECK: scf.for
// CHECK: tensor.extract %[[MASK]]
// CHECK: %[[KEPT:.*]] = scf.for
// CHECK: tensor.extract_slice %[[H]][0, %{{.*}}, 0] [1, 1, 2] [1, 1, 1]
// CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[0, %{{.*}}, 0] [1, 1, 2] [1, 1, 1]
// CHECK: %[[Y:.*]] = linalg.contract {{.*}} ins(%[[KEPT]], %{{.*}} : tensor<1x3x2xf32>, {{.*}} -> tensor<1x3x2xf32>
// The products of each token with each, with a mask that is gathered.
// CHECK: linalg.generic {{.*}} ins(%[[Y]], %[[Y]] : {{.*}} outs(%{{.*}} : tensor<1x3x3xf32>)
// CHECK: tensor.extract_slice %{{.*}}[0, %{{.*}}] [1, 1] [1, 1] : tensor<1x4xf32>
// CHECK: tensor.insert_slice %{{.*}} into %{{.*}} : tensor<1x1xf32> into tensor<1x3xf32>
// CHECK: %[[MASKED:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<1x3x3xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[MASKED]], %[[Y]] : {{.*}} outs(%{{.*}} : tensor<1x3x2xf32>)
// The mean has no tokens.
// CHECK: %[[MEAN:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<1x2xf32>)
// CHECK: %[[ALL:.*]] = scf.for {{.*}} iter_args(%{{.*}} = %[[H]]) -> (tensor<1x4x2xf32>)
// CHECK: return %[[ALL]], %[[MEAN]]
#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
#i = affine_map<(b, m, n) -> (b, m, n)>
func.func @main(%x: tensor<1x4x2xf32>, %marks: tensor<1x4xi64>) -> (tensor<1x4x2xf32>, tensor<1x2xf32>) {
  %first = arith.constant dense<[[1., 2.], [3., 4.]]> : tensor<2x2xf32> loc("first")
  %second = arith.constant dense<[[5., 6.], [7., 8.]]> : tensor<2x2xf32> loc("second")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %first : tensor<1x4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %second : tensor<1x4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %es = tensor.empty() : tensor<1x4x4xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<1x4x4xf32>) -> tensor<1x4x4xf32>
  %scores = linalg.generic {indexing_maps = [affine_map<(b, m, n, k) -> (b, m, k)>, affine_map<(b, m, n, k) -> (b, n, k)>, affine_map<(b, m, n, k) -> (b, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%y, %y : tensor<1x4x2xf32>, tensor<1x4x2xf32>) outs(%fs : tensor<1x4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<1x4x4xf32>
  %em = tensor.empty() : tensor<1x4xf32>
  %numbers = linalg.generic {indexing_maps = [affine_map<(b, m) -> (b, m)>, affine_map<(b, m) -> (b, m)>], iterator_types = ["parallel", "parallel"]}
      ins(%marks : tensor<1x4xi64>) outs(%em : tensor<1x4xf32>) {
  ^bb0(%a: i64, %out: f32):
    %0 = arith.sitofp %a : i64 to f32
    linalg.yield %0 : f32
  } -> tensor<1x4xf32>
  %masked = linalg.generic {indexing_maps = [#i, affine_map<(b, m, n) -> (b, n)>, #i], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%scores, %numbers : tensor<1x4x4xf32>, tensor<1x4xf32>) outs(%es : tensor<1x4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.mulf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<1x4x4xf32>
  %z = linalg.generic {indexing_maps = [affine_map<(b, m, n, k) -> (b, m, n)>, affine_map<(b, m, n, k) -> (b, n, k)>, affine_map<(b, m, n, k) -> (b, m, k)>],
      iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%masked, %y : tensor<1x4x4xf32>, tensor<1x4x2xf32>) outs(%f : tensor<1x4x2xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<1x4x2xf32>
  %e2 = tensor.empty() : tensor<1x2xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  %mean = linalg.generic {indexing_maps = [#i, affine_map<(b, m, n) -> (b, n)>], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%z : tensor<1x4x2xf32>) outs(%f2 : tensor<1x2xf32>) {
  ^bb0(%a: f32, %out: f32):
    %0 = arith.addf %out, %a : f32
    linalg.yield %0 : f32
  } -> tensor<1x2xf32>
  return %z, %mean : tensor<1x4x2xf32>, tensor<1x2xf32>
}
