// A group without a scale stays whole under bn-scale, with a remark; the others are pruned by theirs.
// RUN: prune-opt %s --prune-select-groups="ratio=0.5 round-to=1 criterion=bn-scale" --remarks-filter=prune-select-groups -o /dev/null 2>&1 \
// RUN:   | FileCheck %s

// CHECK-DAG: 'neurons:fc1' keeps 1 of 2 units by bn-scale
// CHECK-DAG: 'neurons:fc2' (dimension 0 of 'fc2') stays whole because criterion bn-scale finds no scale of different values for it
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (n)>
func.func @main(%x: tensor<3x2xf32>) -> tensor<3x4xf32> {
  %fc1 = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("fc1")
  %gamma = arith.constant dense<[3.0, 1.0]> : tensor<2xf32> loc("gamma")
  %fc2 = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("fc2")
  %fc3 = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32> loc("fc3")
  %z = arith.constant dense<0.0> : tensor<3x2xf32>
  %h1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<3x2xf32>, tensor<2x2xf32>)
      outs(%z : tensor<3x2xf32>) -> tensor<3x2xf32>
  %e = tensor.empty() : tensor<3x2xf32>
  %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%h1, %gamma : tensor<3x2xf32>, tensor<2xf32>) outs(%e : tensor<3x2xf32>) {
  ^bb0(%a: f32, %g: f32, %out: f32):
    %m = arith.mulf %a, %g : f32
    linalg.yield %m : f32
  } -> tensor<3x2xf32>
  %h2 = linalg.contract indexing_maps = [#x, #w, #y] ins(%s, %fc2 : tensor<3x2xf32>, tensor<2x2xf32>)
      outs(%z : tensor<3x2xf32>) -> tensor<3x2xf32>
  %z3 = arith.constant dense<0.0> : tensor<3x4xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h2, %fc3 : tensor<3x2xf32>, tensor<4x2xf32>)
      outs(%z3 : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}
