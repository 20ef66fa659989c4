// Masks that are not decided get a function that decides them and one that says when; decided masks stay constants.
// RUN: prune-opt %s --prune-build-training="loss=mse optimizer=sgd schedule=polynomial:begin=10:end=50:every=10" --remarks-filter=fine-tune -o %t 2>%t.remarks
// RUN: FileCheck %s < %t
// RUN: FileCheck %s --check-prefix=REMARK < %t.remarks
// RUN: prune-opt %s --prune-build-training="loss=mse optimizer=sgd schedule='#prune.schedule<polynomial, begin = 10, end = 50, every = 10>'" | FileCheck %s
// RUN: prune-opt %s --prune-build-training="loss=mse optimizer=sgd update=straight-through" | FileCheck %s --check-prefix=DENSE
// RUN: sed -e 's/prune.magnitude<l1>/prune.movement/' %s | prune-opt --prune-build-training="loss=mse optimizer=sgd update=straight-through schedule=constant:begin=5" | FileCheck %s --check-prefix=MOVE
// RUN: sed -e 's/prune.magnitude<l1>/prune.soft_movement<penalty = 0.25>/; s/sparsity(0.5)/threshold(0.1)/; s/ normalize(lamp)//' %s | prune-opt --prune-build-training="loss=mse optimizer=sgd update=straight-through schedule=constant:begin=5" | FileCheck %s --check-prefix=SOFT
// RUN: prune-opt %s --prune-evaluate-masks --prune-build-training="loss=mse optimizer=sgd" | FileCheck %s --check-prefix=DECIDED
// RUN: prune-opt %s --prune-evaluate-masks --prune-build-training="loss=mse optimizer=sgd regrow=0.3 schedule=constant:begin=5:end=21:every=5" --remarks-filter=fine-tune -o %t 2>%t.remarks
// RUN: FileCheck %s --check-prefix=REGROW < %t
// RUN: FileCheck %s --check-prefix=EXCHANGE < %t.remarks

// Weights of a group are ranked together, in the order of their masks.
// REMARK: 'b' and 1 more decided in training by magnitude as unstructured, sparsity 0 to 0.5: 5 updates, steps 10 to 50
// REMARK: 3 parameters, 3 of them masked, 0 held as their kept elements, 2 by masks that change, and 0 statistics of batch norms

// EXCHANGE: masks exchange a share of 0.3 at first: 5 updates, steps 5 to 21

// Nothing is pruned before the first update.
// CHECK-LABEL: func.func @init()
// CHECK-COUNT-2: arith.constant dense<true> : tensor<2x2xi1>
// CHECK: arith.constant dense<{{\[}}[true, false], [false, true]]>

// CHECK-LABEL: func.func @train_step(
// CHECK: prune.gradient
// CHECK-COUNT-2: arith.select

// CHECK-LABEL: func.func @schedule(
// CHECK-SAME: tensor<i64> {prune.name = "step"}
// CHECK-SAME: -> (tensor<i1> {prune.name = "update"}, tensor<f32> {prune.name = "sparsity"})
// CHECK: math.powf

// CHECK-LABEL: func.func @update_masks(
// CHECK-SAME: %[[A:[^:]*]]: tensor<2x2xf32> {prune.name = "param:a"}
// CHECK-SAME: %[[B:[^:]*]]: tensor<2x2xf32> {prune.name = "param:b"}
// CHECK-SAME: %[[FIXED:[^:]*]]: tensor<2x2xi1> {prune.name = "mask:c"}
// CHECK-SAME: -> (tensor<2x2xf32> {prune.name = "param:a"}, tensor<2x2xf32> {prune.name = "param:b"}, tensor<2x2xi1> {prune.name = "mask:a"}, tensor<2x2xi1> {prune.name = "mask:b"}, tensor<2x2xf32> {prune.name = "state:a:momentum"}, tensor<2x2xf32> {prune.name = "state:b:momentum"}, tensor<f32> {prune.name = "sparsity"})
// CHECK: %[[S:.*]] = arith.select {{.*}} : f64
// CHECK: %[[M:.*]]:2 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%[[S]]) normalize(lamp) min_keep [2, -1] ins(%[[B]], %[[A]] :
// A weight and its state are selected by one op.
// CHECK: linalg.generic {{.*}} ins(%[[A]], %{{.*}}, %[[M]]#1 :
// CHECK-COUNT-2: arith.select
// CHECK: linalg.generic {{.*}} ins(%[[B]], %{{.*}}, %[[M]]#0 :
// CHECK: linalg.generic {{.*}} ins(%[[FIXED]] :
// CHECK-NOT: prune.mask

// The default schedule decides before the first step. Straight-through: weights are not touched by masks.
// DENSE-LABEL: func.func @train_step(
// DENSE: prune.gradient
// DENSE-NOT: arith.select
// DENSE-LABEL: func.func @eval_step(
// DENSE-COUNT-3: arith.select
// DENSE-LABEL: func.func @update_masks(
// DENSE-SAME: -> (tensor<2x2xi1> {prune.name = "mask:a"}, tensor<2x2xi1> {prune.name = "mask:b"}, tensor<f32> {prune.name = "sparsity"})
// DENSE: %[[S:.*]] = arith.constant 5.000000e-01 : f64
// DENSE: prune.select_masks {{.*}} sparsity(%[[S]])

// A criterion whose scores add up has them as states.
// MOVE-LABEL: func.func @init()
// MOVE-SAME: prune.name = "state:a:score"
// MOVE-LABEL: func.func @train_step(
// MOVE-SAME: %[[SCORE:[^:]*]]: tensor<2x2xf32> {prune.name = "state:a:score"}
// MOVE-SAME: -> ({{.*}}tensor<2x2xf32> {prune.name = "state:b:score"}
// MOVE: linalg.generic {{.*}} ins(%[[SCORE]],
// MOVE: %[[P:.*]] = arith.mulf
// MOVE: %[[R:.*]] = arith.mulf %{{.*}}, %[[P]]
// MOVE: arith.subf %{{.*}}, %[[R]]
// MOVE-LABEL: func.func @update_masks(
// MOVE-SAME: %[[A:[^:]*]]: tensor<2x2xf32> {prune.name = "state:a:score"}, %[[B:[^:]*]]: tensor<2x2xf32> {prune.name = "state:b:score"}
// MOVE: prune.select_masks by(#prune.movement) {{.*}} ins(%[[B]], %[[A]] :

// The slope of a sigmoid, and the score at which it is the threshold: log(0.1 / 0.9).
// SOFT-LABEL: func.func @train_step(
// SOFT: %[[E:.*]] = math.exp
// SOFT: arith.divf %[[E]],
// SOFT-LABEL: func.func @update_masks(
// SOFT: prune.select_masks by(#prune.soft_movement<penalty = 2.500000e-01>) as(#prune.unstructured) threshold(-2.197

// DECIDED-LABEL: func.func @eval_step(
// DECIDED-NOT: func.func @update_masks
// DECIDED-NOT: func.func @schedule

// Regrowing needs the gradient of a batch.
// REGROW-LABEL: func.func @update_masks(
// REGROW-SAME: %[[B:[^:]*]]: tensor<2x2xf32> {prune.name = "param:b"}
// REGROW-SAME: tensor<2x2xf32> {prune.name = "x"}, %{{.*}}: tensor<2x2xf32> {prune.name = "target"}
// REGROW: %[[G:.*]]:4 = prune.gradient @loss({{.*}}) by [0, 1, 2]
// REGROW: math.cos
// REGROW: prune.regrow_mask as(#prune.unstructured) share(%{{.*}}) ins(%{{.*}}, %[[G]]#1, %{{.*}} :
// REGROW: prune.regrow_mask as(#prune.unstructured) share(%{{.*}}) ins(%[[B]], %[[G]]#2, %{{.*}} :
func.func @main(%x: tensor<2x2xf32> {prune.name = "x"}) -> tensor<2x2xf32> {
  %a = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("a")
  %b = arith.constant dense<[[5.0, 6.0], [7.0, 8.0]]> : tensor<2x2xf32> loc("b")
  %c = arith.constant dense<[[9.0, 1.0], [1.0, 9.0]]> : tensor<2x2xf32> loc("c")
  %mb = prune.mask %b by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) min_keep(2) group("g") normalize(lamp) : tensor<2x2xf32>
  %ma = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("g") normalize(lamp) : tensor<2x2xf32>
  %mc = arith.constant dense<[[true, false], [false, true]]> : tensor<2x2xi1>
  %pa = prune.apply %a, %ma as(#prune.unstructured) : tensor<2x2xf32>
  %pb = prune.apply %b, %mb as(#prune.unstructured) : tensor<2x2xf32>
  %pc = prune.apply %c, %mc as(#prune.unstructured) : tensor<2x2xf32>
  %e = tensor.empty() : tensor<2x2xf32>
  %0 = linalg.mul ins(%x, %pa : tensor<2x2xf32>, tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  %1 = linalg.mul ins(%0, %pb : tensor<2x2xf32>, tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  %2 = linalg.mul ins(%1, %pc : tensor<2x2xf32>, tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %2 : tensor<2x2xf32>
}
