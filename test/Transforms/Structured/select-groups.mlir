// Units with the lowest scores are masked in every constant that has a slice of them, one mask for each dimension and
// one record for each mask; the masks are those that prune-shrink removes.
// DEFINE: %{options} =
// DEFINE: %{select} = prune-opt %s --prune-select-groups="%{options}" --prune-verify-masks

// Neurons 1 and 3 have the smallest rows in fc1 and columns in fc2.
// REDEFINE: %{options} = ratio=0.5
// RUN: %{select} | FileCheck %s
// RUN: %{select} --prune-shrink | FileCheck %s --check-prefix=SHRUNK
// RUN: %{select} -o /dev/null --remarks-filter=prune-select-groups --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK

// CHECK-LABEL: @main
// CHECK-DAG: %[[W1:.*]] = arith.constant dense<{{.*}}> : tensor<4x2xf32>
// CHECK-DAG: %[[B1:.*]] = arith.constant dense<{{.*}}> : tensor<4xf32>
// CHECK-DAG: %[[W2:.*]] = arith.constant dense<{{.*}}> : tensor<3x4xf32>
// CHECK-DAG: %[[M1:.*]] = arith.constant dense<{{\[\[}}true, true], [false, false], [true, true], [false, false]]> : tensor<4x2xi1>
// CHECK-DAG: %[[MB:.*]] = arith.constant dense<[true, false, true, false]> : tensor<4xi1>
// CHECK-DAG: %[[M2:.*]] = arith.constant dense<{{\[\[}}true, false, true, false], [true, false, true, false], [true, false, true, false]]> : tensor<3x4xi1>
// CHECK-DAG: %[[P1:.*]] = prune.apply %[[W1]], %[[M1]] as(#prune.slice<dim = 0>) name("fc1:0") : tensor<4x2xf32>
// CHECK-DAG: %[[PB:.*]] = prune.apply %[[B1]], %[[MB]] as(#prune.slice<dim = 0>) name("bias1:0") : tensor<4xf32>
// CHECK-DAG: %[[P2:.*]] = prune.apply %[[W2]], %[[M2]] as(#prune.slice<dim = 1>) name("fc2:1") : tensor<3x4xf32>
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[P1]] :
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[PB]] :
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[P2]] :
// CHECK-DAG: prune.record "fc1:0" as(#prune.slice<dim = 0>) keeps 4 of 8
// CHECK-DAG: prune.record "bias1:0" as(#prune.slice<dim = 0>) keeps 2 of 4
// CHECK-DAG: prune.record "fc2:1" as(#prune.slice<dim = 1>) keeps 6 of 12

// SHRUNK-DAG: arith.constant dense<{{\[\[}}5.000000e+00, 1.000000e+00], [7.000000e+00, 1.000000e+00]]> : tensor<2x2xf32>
// SHRUNK-DAG: arith.constant dense<[1.000000e+00, 3.000000e+00]> : tensor<2xf32>
// SHRUNK-DAG: linalg.contract {{.*}} -> tensor<1x2xf32>
// SHRUNK-DAG: linalg.contract {{.*}} -> tensor<1x3xf32>

// What is pruned, and what stays and why, at the op that wants it so.
// REMARK-DAG: loc("fc1"): [Passed] Selected {{.*}}'neurons:fc1' keeps 2 of 4 units by l2
// REMARK-DAG: select-groups.mlir:[[@LINE+14]]:1: remark: [Missed] Declined {{.*}}'neurons:fc2' (dimension 0 of 'fc2') stays whole because it is a result of public function 'main' ('func.func')

// A quarter is one of four. The masks can be folded and still be verified.
// REDEFINE: %{options} = ratio=0.25
// RUN: %{select} --prune-fold-masks --prune-verify-masks | FileCheck %s --check-prefix=QUARTER
// QUARTER-NOT: prune.apply
// QUARTER-DAG: prune.record "fc1:0" as(#prune.slice<dim = 0>) keeps 6 of 8 {{.*}} stored "fc1:0.masked"
// QUARTER-DAG: prune.record "fc2:1" as(#prune.slice<dim = 1>) keeps 9 of 12 {{.*}} stored "fc2:1.masked"

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
