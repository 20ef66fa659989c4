// Channels change places in every constant that has them, so that n:m masks keep more and the result stays the same.
// DEFINE: %{options} =
// DEFINE: %{permute} = prune-opt %s --split-input-file --prune-permute-channels="%{options}"

// The columns of fc2 are 4 3 | 1 1: 1:2 keeps 4 + 1. As 4 1 | 3 1 it keeps 4 + 3. Rows and bias of fc1 follow.
// REDEFINE: %{options} = pattern=1:2
// RUN: %{permute} | FileCheck %s
// RUN: %{permute} -o /dev/null --remarks-filter=prune-permute-channels --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#n = affine_map<(m, n) -> (n)>

// CHECK-LABEL: @mlp
// CHECK-DAG: arith.constant dense<{{\[\[}}5.000000e+00, 1.000000e+00], [7.000000e+00, 1.000000e+00], [0.000000e+00, 1.000000e+00], [1.000000e+00, 1.000000e+00]]> : tensor<4x2xf32>
// CHECK-DAG: arith.constant dense<[1.000000e+00, 3.000000e+00, 2.000000e+01, 4.000000e+01]> : tensor<4xf32>
// CHECK-DAG: arith.constant dense<{{\[\[}}4.000000e+00, 1.000000e+00, 3.000000e+00, -1.000000e+00]]> : tensor<1x4xf32>
// REMARK-DAG: [Passed] Permuted {{.*}}'neurons:fc1' has its 4 units in a new order
// REMARK-DAG: [Passed] Kept {{.*}}'fc2' keeps 77.78 % of its magnitude as 1:2, 55.56 % before
// REMARK-DAG: [Analysis] Channels {{.*}}1 groups in a new order, 0 as they were; 1 weights read them: they keep 77.78 % of their magnitude as 1:2, 55.56 % before
func.func @mlp(%x: tensor<1x2xf32>) -> tensor<1x1xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[5., 1.], [0., 1.], [7., 1.], [1., 1.]]> : tensor<4x2xf32> loc("fc1")
  %bias1 = arith.constant dense<[1., 20., 3., 40.]> : tensor<4xf32> loc("bias1")
  %fc2 = arith.constant dense<[[4., 3., 1., -1.]]> : tensor<1x4xf32> loc("fc2")
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %r = linalg.generic {indexing_maps = [#id, #n, #id], iterator_types = ["parallel", "parallel"]}
      ins(%h, %bias1 : tensor<1x4xf32>, tensor<4xf32>) outs(%e1 : tensor<1x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %fc2 : tensor<1x4xf32>, tensor<1x4xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// -----

// What a public function returns keeps its order.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// REMARK-DAG: permute-channels.mlir:[[@LINE+3]]:1: remark: [Missed] Declined {{.*}}'neurons:seen' keeps its order because it is a result of public function 'returned' ('func.func')
// CHECK-LABEL: @returned
// CHECK-DAG: dense<{{\[\[}}4.000000e+00, 3.000000e+00, 1.000000e+00, 1.000000e+00]]> : tensor<1x4xf32>
func.func @returned(%x: tensor<1x2xf32>) -> (tensor<1x4xf32>, tensor<1x1xf32>) {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[5., 1.], [0., 1.], [7., 1.], [1., 1.]]> : tensor<4x2xf32> loc("seen")
  %fc2 = arith.constant dense<[[4., 3., 1., 1.]]> : tensor<1x4xf32> loc("reader")
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %fc2 : tensor<1x4xf32>, tensor<1x4xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %h, %y : tensor<1x4xf32>, tensor<1x1xf32>
}

// -----

// Channels that a maximum runs over cannot be removed, but reordered.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// CHECK-LABEL: @reduced
// CHECK-DAG: dense<{{\[\[}}4.000000e+00, 1.000000e+00, 3.000000e+00, 1.000000e+00]]> : tensor<1x4xf32>
func.func @reduced(%x: tensor<1x2xf32>) -> (tensor<1xf32>, tensor<1x1xf32>) {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[5., 1.], [0., 1.], [7., 1.], [1., 1.]]> : tensor<4x2xf32> loc("maximal")
  %fc2 = arith.constant dense<[[4., 3., 1., 1.]]> : tensor<1x4xf32> loc("of.maximal")
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e0 = tensor.empty() : tensor<1xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<1xf32>) -> tensor<1xf32>
  %max = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%h : tensor<1x4xf32>) outs(%f0 : tensor<1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.maximumf %a, %o : f32
    linalg.yield %s : f32
  } -> tensor<1xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %fc2 : tensor<1x4xf32>, tensor<1x4xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %max, %y : tensor<1xf32>, tensor<1x1xf32>
}

// -----

// Four channels in each of two rows, and a slice that begins at the second: no order is kept by both.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// REMARK-DAG: permute-channels.mlir:[[@LINE+10]]:8: remark: [Missed] Declined {{.*}} keeps its order because 'tensor.extract_slice' ties its units in another order
// CHECK-LABEL: @shifted
// CHECK-DAG: dense<{{\[\[}}4.000000e+00, 3.000000e+00, 1.000000e+00, 1.000000e+00]]> : tensor<1x4xf32>
func.func @shifted(%x: tensor<1x2xf32>) -> (tensor<1x2xf32>, tensor<1x1xf32>) {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[1., 2.], [2., 3.], [3., 4.], [4., 5.], [5., 6.], [6., 7.], [7., 8.], [8., 9.]]> : tensor<8x2xf32> loc("rows")
  %fc2 = arith.constant dense<[[4., 3., 1., 1.]]> : tensor<1x4xf32> loc("of.slice")
  %e1 = tensor.empty() : tensor<1x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<8x2xf32>) outs(%f1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %s = tensor.extract_slice %h[0, 1] [1, 4] [1, 1] : tensor<1x8xf32> to tensor<1x4xf32>
  %rows = tensor.expand_shape %h [[0], [1, 2]] output_shape [1, 2, 4] : tensor<1x8xf32> into tensor<1x2x4xf32>
  %e0 = tensor.empty() : tensor<1x2xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<1x2xf32>) -> tensor<1x2xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(m, a, b) -> (m, a, b)>, affine_map<(m, a, b) -> (m, a)>], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%rows : tensor<1x2x4xf32>) outs(%f0 : tensor<1x2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.addf %a, %o : f32
    linalg.yield %0 : f32
  } -> tensor<1x2xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%s, %fc2 : tensor<1x4xf32>, tensor<1x4xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %sum, %y : tensor<1x2xf32>, tensor<1x1xf32>
}

// -----

// The width of two heads: their indices change places in the same way in both.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// CHECK-LABEL: @heads
// CHECK-DAG: dense<{{\[\[}}4.000000e+00, 1.000000e+00, 3.000000e+00, 1.000000e+00, 4.000000e+00, 1.000000e+00, 3.000000e+00, 1.000000e+00]]> : tensor<1x8xf32>
func.func @heads(%x: tensor<1x2xf32>, %p: tensor<2xf32>) -> tensor<1x1xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[1., 2.], [2., 3.], [3., 4.], [4., 5.], [5., 6.], [6., 7.], [7., 8.], [8., 9.]]> : tensor<8x2xf32> loc("value")
  %fc2 = arith.constant dense<[[4., 3., 1., 1., 4., 3., 1., 1.]]> : tensor<1x8xf32> loc("output")
  %e1 = tensor.empty() : tensor<1x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<8x2xf32>) outs(%f1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %rows = tensor.expand_shape %h [[0], [1, 2]] output_shape [1, 2, 4] : tensor<1x8xf32> into tensor<1x2x4xf32>
  %e0 = tensor.empty() : tensor<1x2x4xf32>
  %scaled = linalg.generic {indexing_maps = [affine_map<(m, a, b) -> (m, a, b)>, affine_map<(m, a, b) -> (a)>, affine_map<(m, a, b) -> (m, a, b)>], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%rows, %p : tensor<1x2x4xf32>, tensor<2xf32>) outs(%e0 : tensor<1x2x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<1x2x4xf32>
  %flat = tensor.collapse_shape %scaled [[0], [1, 2]] : tensor<1x2x4xf32> into tensor<1x8xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%flat, %fc2 : tensor<1x8xf32>, tensor<1x8xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// -----

// Whole heads of four columns: no group of two columns has columns of two heads.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// REMARK-DAG: [Missed] Declined {{.*}} keeps its order because no group of 2 columns has columns of two of its units
// CHECK-LABEL: @whole_heads
// CHECK-DAG: dense<{{\[\[}}4.000000e+00, 3.000000e+00, 1.000000e+00, 1.000000e+00, 4.000000e+00, 3.000000e+00, 1.000000e+00, 1.000000e+00]]> : tensor<1x8xf32>
func.func @whole_heads(%x: tensor<1x2xf32>, %p: tensor<4xf32>) -> tensor<1x1xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[1., 2.], [2., 3.], [3., 4.], [4., 5.], [5., 6.], [6., 7.], [7., 8.], [8., 9.]]> : tensor<8x2xf32> loc("whole.value")
  %fc2 = arith.constant dense<[[4., 3., 1., 1., 4., 3., 1., 1.]]> : tensor<1x8xf32> loc("whole.output")
  %e1 = tensor.empty() : tensor<1x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<8x2xf32>) outs(%f1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %rows = tensor.expand_shape %h [[0], [1, 2]] output_shape [1, 2, 4] : tensor<1x8xf32> into tensor<1x2x4xf32>
  %e0 = tensor.empty() : tensor<1x2x4xf32>
  %scaled = linalg.generic {indexing_maps = [affine_map<(m, a, b) -> (m, a, b)>, affine_map<(m, a, b) -> (b)>, affine_map<(m, a, b) -> (m, a, b)>], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%rows, %p : tensor<1x2x4xf32>, tensor<4xf32>) outs(%e0 : tensor<1x2x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<1x2x4xf32>
  %flat = tensor.collapse_shape %scaled [[0], [1, 2]] : tensor<1x2x4xf32> into tensor<1x8xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%flat, %fc2 : tensor<1x8xf32>, tensor<1x8xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// -----

// Nothing to gain, and nothing that counts.
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// REMARK-DAG: [Missed] Declined {{.*}}'neurons:alike' keeps its order because no order was found that keeps more
// CHECK-LABEL: @alike
func.func @alike(%x: tensor<1x2xf32>) -> tensor<1x1xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[1., 2.], [2., 3.], [3., 4.], [4., 5.]]> : tensor<4x2xf32> loc("alike")
  %fc2 = arith.constant dense<[[2., 1., 2., 1.]]> : tensor<1x4xf32> loc("of.alike")
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %fc2 : tensor<1x4xf32>, tensor<1x4xf32>) outs(%f2 : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}
