// With sparse=true a weight with a mask and its states are the kept elements; the mask is a constant of the functions and a
// result of @init alone.
// RUN: prune-opt %s --prune-build-training="optimizer=adam sparse=true" | FileCheck %s
// RUN: prune-opt %s --prune-train="optimizer=adam sparse=true" | FileCheck %s --check-prefix=STEP
// RUN: prune-opt %s --prune-build-training="sparse=true" --remarks-filter=fine-tune --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK
// RUN: not prune-opt %s --prune-create-masks=sparsity=0.5 --prune-build-training="sparse=true entry=open" 2>&1 | FileCheck %s --check-prefix=OPEN
// RUN: not prune-opt %s --prune-build-training="optimizer=sgd sparse=true regrow=0.3 schedule=constant:begin=0:end=9:every=3" 2>&1 | FileCheck %s --check-prefix=REGROW
// RUN: not prune-opt %s --prune-build-training="optimizer=sgd sparse=true update=straight-through" 2>&1 | FileCheck %s --check-prefix=THROUGH

// CHECK-LABEL: func.func private @forward(
// CHECK-SAME: %[[KEPT:.*]]: tensor<3xf32>
// CHECK: arith.constant dense<{{\[}}[true, false], [true, true]]>
// CHECK: prune.decompress %[[KEPT]], %{{.*}} : tensor<3xf32> to tensor<2x2xf32>
// CHECK-NOT: prune.apply

// CHECK-LABEL: func.func @init()
// CHECK-SAME: tensor<3xf32> {prune.name = "param:fc.weight"}
// CHECK-SAME: tensor<2xf32> {prune.name = "param:fc.bias"}
// CHECK-SAME: tensor<2x2xi1> {prune.name = "mask:fc.weight"}
// CHECK-SAME: tensor<3xf32> {prune.name = "state:fc.weight:m"}
// CHECK-DAG: dense<[1.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<3xf32>

// CHECK-LABEL: func.func @train_step(
// CHECK-NOT: mask:
// CHECK: prune.gradient @loss({{.*}}) by [0, 1]
// CHECK-LABEL: func.func @eval_step(

// The step has no mask to apply: it computes with the kept elements of the gradient.
// STEP-LABEL: func.func @train_step(
// STEP: prune.decompress %arg0
// STEP: %[[DW:.*]] = prune.compress {{.*}} : tensor<2x2xf32> to tensor<3xf32>
// STEP: linalg.generic {{.*}} ins(%arg0, %[[DW]],

// REMARK: remark: {{.*}}2 parameters, 1 of them masked, 1 held as their kept elements
// REGROW: error: sparse: expected masks that stay, got regrow=0.3
// THROUGH: error: sparse: expected update=masked, got straight-through
// OPEN: error: {{.*}}sparse: expected a mask of 'open.weight' that is decided, got one that is not (run prune-evaluate-masks)
func.func @main(%x: tensor<3x2xf32> {prune.name = "x"}) -> tensor<3x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("fc.weight")
  %b = arith.constant dense<[0.5, -0.5]> : tensor<2xf32> loc("fc.bias")
  %m = arith.constant dense<[[true, false], [true, true]]> : tensor<2x2xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) name("fc.weight") : tensor<2x2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x2xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<3x2xf32>) -> tensor<3x2xf32>
  %y = linalg.contract indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>,
                                        affine_map<(d0, d1, d2) -> (d0, d1)>]
      ins(%x, %p : tensor<3x2xf32>, tensor<2x2xf32>) outs(%z : tensor<3x2xf32>) -> tensor<3x2xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>,
                                        affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
      ins(%y, %b : tensor<3x2xf32>, tensor<2xf32>) outs(%e : tensor<3x2xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %r = arith.addf %a, %c : f32
    linalg.yield %r : f32
  } -> tensor<3x2xf32>
  return %s : tensor<3x2xf32>
}

func.func @open(%x: tensor<3x2xf32>) -> tensor<3x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("open.weight")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x2xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<3x2xf32>) -> tensor<3x2xf32>
  %y = linalg.contract indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>,
                                        affine_map<(d0, d1, d2) -> (d0, d1)>]
      ins(%x, %w : tensor<3x2xf32>, tensor<2x2xf32>) outs(%z : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}
