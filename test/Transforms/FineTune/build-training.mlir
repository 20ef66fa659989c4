// A model becomes the functions that train it: weights, masks and optimizer states are arguments and results that share
// their names, and the step differentiates a private loss.
// RUN: prune-opt %s --prune-build-training="optimizer=adamw lr=0.01 weight-decay=0.1 lr-schedule=cosine steps=100 warmup=5" | FileCheck %s
// RUN: prune-opt %s --prune-build-training="optimizer=sgd momentum=0 freeze=bias" | FileCheck %s --check-prefix=SGD

#x = affine_map<(d0, d1, d2) -> (d0, d2)>
#w = affine_map<(d0, d1, d2) -> (d1, d2)>
#y = affine_map<(d0, d1, d2) -> (d0, d1)>
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>

// The mask is written into the weight that training starts from.
// CHECK-LABEL: func.func @init()
// CHECK-SAME: prune.name = "param:fc.weight"
// CHECK-SAME: prune.name = "param:fc.bias"
// CHECK-SAME: prune.name = "mask:fc.weight"
// CHECK-SAME: prune.name = "state:fc.weight:m"
// CHECK-SAME: prune.name = "state:fc.bias:v"
// CHECK-SAME: prune.name = "step"
// CHECK-DAG: dense<{{\[}}[1.000000e+00, 0.000000e+00], [0.000000e+00, 4.000000e+00]]>
// CHECK-DAG: dense<{{\[}}[true, false], [false, true]]>

// CHECK-LABEL: func.func @train_step(
// CHECK-SAME: %[[W:[^:]*]]: tensor<2x2xf32> {prune.name = "param:fc.weight"}
// CHECK-SAME: %[[MASK:[^:]*]]: tensor<2x2xi1> {prune.name = "mask:fc.weight"}
// CHECK-SAME: tensor<3xi64> {prune.name = "labels"}
// CHECK-SAME: -> (tensor<2x2xf32> {prune.name = "param:fc.weight"}
// CHECK-SAME: tensor<f32> {prune.name = "loss"}, tensor<i64> {prune.name = "correct"}
// CHECK-SAME: tensor<f32> {prune.name = "learning_rate"}
// CHECK: prune.gradient @loss({{.*}}) by [0, 1]
// CHECK: math.cos

// One generic updates the weight and its states, and selects by the mask.
// CHECK: linalg.generic
// CHECK: math.sqrt
// CHECK-COUNT-3: arith.select
// CHECK: linalg.yield {{.*}} : f32, f32, f32

// CHECK-LABEL: func.func @eval_step(
// CHECK-SAME: tensor<3x2xf32> {prune.name = "out0"}

// SGD-LABEL: func.func @train_step(
// SGD-NOT: fc.bias
// SGD-NOT: state:
// SGD: prune.gradient @loss({{.*}}) by [0]
func.func @main(%x: tensor<3x2xf32> {prune.name = "x"}) -> tensor<3x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("fc.weight")
  %b = arith.constant dense<[0.5, -0.5]> : tensor<2xf32> loc("fc.bias")
  %m = arith.constant dense<[[true, false], [false, true]]> : tensor<2x2xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) name("fc.weight") : tensor<2x2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x2xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<3x2xf32>) -> tensor<3x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<3x2xf32>, tensor<2x2xf32>)
      outs(%z : tensor<3x2xf32>) -> tensor<3x2xf32>
  %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%y, %b : tensor<3x2xf32>, tensor<2xf32>) outs(%e : tensor<3x2xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %r = arith.addf %a, %c : f32
    linalg.yield %r : f32
  } -> tensor<3x2xf32>
  return %s : tensor<3x2xf32>
}
