// Linear layers with int8: what is inserted before and behind, masks that stay, what is left alone and why.
// REQUIRES: python
// RUN: rm -rf %t && mkdir %t
// RUN: %python -c "import numpy as n; x = n.zeros((3, 2, 4), n.float32); x[0, 0, 0] = 3; x[2, 1, 3] = -2.1; n.savez('%t/x.npz', x=x, in1=n.ones((3, 1, 3, 3), n.float32))"
// RUN: prune-opt %s --prune="sparsity=0.5 include=^a$" --prune-quantize="data=%t/x.npz exclude=head" --prune-verify-masks --remarks-filter=quantize --remark-format=emitRemark 2>%t/remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t/remarks
// Layers that read the same activation share its integers; the weight of f32 is gone.
// CHECK-LABEL: @main
// CHECK-DAG: %[[W:.*]] = arith.constant dense<{{\[}}[127, 0, 64, 32], [0, -127, 0, 0]]> : tensor<2x4xi8>
// CHECK-DAG: %[[M:.*]] = arith.constant dense<{{\[}}[true, false, true, true], [false, true, false, false]]>
// CHECK-DAG: %[[P:.*]] = prune.apply %[[W]], %[[M]] as(#prune.unstructured) name("a") : tensor<2x4xi8>
// CHECK: %[[Q:.*]] = linalg.generic {{.*}} ins(%arg0 : tensor<1x2x4xf32>)
// CHECK: arith.divf %{{.*}}, %[[STEP:.*]] : f32
// CHECK: math.roundeven
// CHECK: arith.cmpf ogt
// CHECK: arith.cmpf olt
// CHECK: arith.fptosi
// CHECK: arith.trunci {{.*}} : i32 to i8
// CHECK: %[[SUMS:.*]] = linalg.generic {{.*}} ins(%[[Q]], %[[P]] : tensor<1x2x4xi8>, tensor<2x4xi8>)
// CHECK: arith.extui
// CHECK: arith.extsi
// CHECK: arith.muli
// CHECK: arith.addi
// The zero point 105 stands for -105 times the sums of the rows, 223 and -127.
// CHECK: %[[OFFSETS:.*]] = arith.constant dense<[-23415, 13335]> : tensor<2xi32>
// CHECK: linalg.generic {{.*}} ins(%[[SUMS]], %[[OFFSETS]], %{{.*}} : tensor<1x2x2xi32>, tensor<2xi32>, tensor<2xf32>)
// CHECK: arith.sitofp
// CHECK: linalg.generic {{.*}} ins(%[[Q]], %{{.*}} : tensor<1x2x4xi8>, tensor<3x4xi8>)
// CHECK-NOT: arith.divf
// CHECK: linalg.contract {{.*}} tensor<2x2xf32>
// CHECK: prune.record "a" as(#prune.unstructured) keeps 4 of 8

// REMARK-DAG: [Missed] NotQuantized | Category:quantize | Remark="'head' stays f32 because exclude matches it"
// REMARK-DAG: [Missed] NotQuantized | Category:quantize | Remark="'filter' stays f32 because it is no linear layer"
// REMARK-DAG: [Passed] Quantized | Category:quantize{{.*}}Remark="'a': activations [-2.1, 3] in steps of 0.02 with zero point 105; 4 of 8 weights kept, relative error of the weight 0.00{{[0-9]+}}"
// REMARK-DAG: [Passed] Quantized {{.*}}'b': activations [-2.1, 3] in steps of 0.02 with zero point 105; 12 of 12 weights kept

// With quantiles a single large value does not make the steps longer.
// RUN: %python -c "import numpy as n; x = n.random.default_rng(0).uniform(-1, 1, (1000, 2, 4)).astype(n.float32); x[0, 0, 0] = 100; n.savez('%t/outlier.npz', x=x, in1=n.ones((1000, 1, 3, 3), n.float32))"
// RUN: prune-opt %s --prune="sparsity=0.5 include=^a$" --prune-quantize="data=%t/outlier.npz quantile=0.999 include=^a$" --remarks-filter=quantize --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=QUANTILE
// QUANTILE: [Missed] NotQuantized {{.*}}'b' stays f32 because include does not match it
// QUANTILE: 'a': activations [-{{0.9[0-9]+|1}}, 1{{.*}}] in steps of 0.00{{.*}} with zero point 12{{[0-9]}}

#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
func.func @main(%x: tensor<1x2x4xf32> {prune.name = "x"}, %i: tensor<1x1x3x3xf32>)
    -> (tensor<1x2x2xf32>, tensor<1x2x3xf32>, tensor<1x2x2x2xf32>) {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense<[[2.0, 0.1, 1.0, 0.5], [0.1, -1.0, 0.0, 0.016]]> : tensor<2x4xf32> loc("a")
  %b = arith.constant dense<[[2.0, 0.1, 1.0, 0.5], [0.1, -1.0, 0.0, 0.5], [0.1, -1.0, 0.1, 0.5]]> : tensor<3x4xf32> loc("b")
  %c = arith.constant dense<[[2.0, 0.1], [0.1, -1.0]]> : tensor<2x2xf32> loc("head")
  %f = arith.constant dense<[[[[2.0, 0.1], [1.0, 0.5]]], [[[2.0, 0.1], [1.0, 0.5]]]]> : tensor<2x1x2x2xf32> loc("filter")
  %e2 = tensor.empty() : tensor<1x2x2xf32>
  %z2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x2x2xf32>) -> tensor<1x2x2xf32>
  %e3 = tensor.empty() : tensor<1x2x3xf32>
  %z3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  %e4 = tensor.empty() : tensor<1x2x2x2xf32>
  %z4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
  %ya = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<1x2x4xf32>, tensor<2x4xf32>)
          outs(%z2 : tensor<1x2x2xf32>) -> tensor<1x2x2xf32>
  %yb = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %b : tensor<1x2x4xf32>, tensor<3x4xf32>)
          outs(%z3 : tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  %yc = linalg.contract indexing_maps = [#x, #w, #y] ins(%ya, %c : tensor<1x2x2xf32>, tensor<2x2xf32>)
          outs(%z2 : tensor<1x2x2xf32>) -> tensor<1x2x2xf32>
  %yf = linalg.conv_2d_nchw_fchw ins(%i, %f : tensor<1x1x3x3xf32>, tensor<2x1x2x2xf32>)
          outs(%z4 : tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
  return %yc, %yb, %yf : tensor<1x2x2xf32>, tensor<1x2x3xf32>, tensor<1x2x2x2xf32>
}
