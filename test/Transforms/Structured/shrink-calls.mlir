// Types change across calls, loops and branches: one private function called twice, a loop that carries the hidden state,
// and a branch. What crosses the public boundary keeps its type.
// RUN: prune-opt %s --prune-structured="ratio=0.5 round-to=1" | FileCheck %s

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>

// CHECK-LABEL: func.func private @layer
// CHECK-SAME: (%{{.*}}: tensor<1x2xf32>) -> tensor<1x2xf32>
func.func private @layer(%h: tensor<1x4xf32>) -> tensor<1x4xf32> {
  %w = arith.constant dense<[[1.0, 0.2, 0.1, 0.0], [0.3, 2.0, 0.1, 0.2], [0.1, 0.0, 0.2, 0.1], [0.1, 0.2, 0.0, 0.1]]> : tensor<4x4xf32> loc("layer")
  %z = arith.constant dense<0.0> : tensor<1x4xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %w : tensor<1x4xf32>, tensor<4x4xf32>)
      outs(%z : tensor<1x4xf32>) -> tensor<1x4xf32>
  return %y : tensor<1x4xf32>
}

// CHECK-LABEL: func.func @main
// CHECK-SAME: (%{{.*}}: tensor<1x3xf32>) -> tensor<1x2xf32>
// CHECK: call @layer(%{{.*}}) : (tensor<1x2xf32>) -> tensor<1x2xf32>
// CHECK: scf.for {{.*}} -> (tensor<1x2xf32>)
// CHECK: scf.if {{.*}} -> (tensor<1x2xf32>)
// CHECK: linalg.contract {{.*}} : tensor<1x2xf32>, tensor<2x2xf32>)
func.func @main(%x: tensor<1x3xf32>) -> tensor<1x2xf32> {
  %in = arith.constant dense<[[1.0, 2.0, 3.0], [3.0, 4.0, 1.0], [0.5, 0.6, 0.1], [0.7, 0.8, 0.1]]> : tensor<4x3xf32> loc("in")
  %out = arith.constant dense<[[1.0, 2.0, 0.3, 0.4], [5.0, 6.0, 0.7, 0.8]]> : tensor<2x4xf32> loc("out")
  %z = arith.constant dense<0.0> : tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %in : tensor<1x3xf32>, tensor<4x3xf32>)
      outs(%z : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h1 = call @layer(%h) : (tensor<1x4xf32>) -> tensor<1x4xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %h2 = scf.for %i = %c0 to %c3 step %c1 iter_args(%state = %h1) -> (tensor<1x4xf32>) {
    %next = func.call @layer(%state) : (tensor<1x4xf32>) -> tensor<1x4xf32>
    scf.yield %next : tensor<1x4xf32>
  }
  %first = tensor.extract %x[%c0, %c0] : tensor<1x3xf32>
  %zero = arith.constant 0.0 : f32
  %positive = arith.cmpf ogt, %first, %zero : f32
  %h3 = scf.if %positive -> (tensor<1x4xf32>) {
    scf.yield %h2 : tensor<1x4xf32>
  } else {
    scf.yield %h1 : tensor<1x4xf32>
  }
  %z2 = arith.constant dense<0.0> : tensor<1x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h3, %out : tensor<1x4xf32>, tensor<2x4xf32>)
      outs(%z2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}
