// Masks that activations decide: constants, records, new weights under the old names, and what is said about them.
// REQUIRES: python
// RUN: rm -rf %t && split-file %s %t
// RUN: %python -c "import numpy as n; x = n.repeat(n.eye(4, dtype=n.float32), 2, 0); x[:, 1] += x[:, 0]; n.savez('%t/x.npz', x=n.concatenate([x, x]))"
// RUN: prune-opt %t/model.mlir --prune-create-masks="criterion=sparsegpt sparsity=0.5" --prune-calibrate-masks="data=%t/x.npz threads=2" --prune-verify-masks --remarks-filter=calibrate --remark-format=emitRemark 2>%t/remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t/remarks
// RUN: prune-opt %t/model.mlir --prune="criterion=sparsegpt sparsity=0.5 data=%t/x.npz column-counts=ranked refit=true" | FileCheck %s

// Without masks that wait nothing is asked for.
// RUN: prune-opt %t/model.mlir --prune-calibrate-masks="entry=none" -o /dev/null

// What a mask is evaluated by stays as it is for the layers behind; other functions are left alone.
// RUN: prune-opt %t/mixed.mlir --prune-evaluate-masks --prune-calibrate-masks="data=%t/x.npz entry=run" | FileCheck %s --check-prefix=MIXED

// In the third row column 0 is pruned, and column 1, which correlates with it, takes on half of its 1.0.
// CHECK-LABEL: @main
// CHECK: arith.constant dense<{{\[}}{{.*}}, [0.000000e+00, {{3\.49[0-9]+}}, 0.000000e+00, 4.000000e+00], {{.*}}> : tensor<4x4xf32>
// CHECK: arith.constant dense<{{\[}}{{.*}}, [false, true, false, true], {{.*}}> : tensor<4x4xi1>
// CHECK-NOT: prune.mask
// CHECK: prune.record "a" as(#prune.unstructured) keeps 8 of 16
// CHECK: prune.record "b" as(#prune.unstructured) keeps 8 of 16

// REMARK: [Passed] Updated | Category:calibrate | Remark="'a' prunes 8 of 16 units: squared error {{0\.[0-9]+}} by the mask alone, {{0\.[0-9]+}} with the update; damping 0.01, 0 dead columns, 16 rows"
// REMARK: 'b' prunes
// REMARK: 'c' prunes
// Layers with the same input are observed once, and parts that differ in weights only are compiled once.
// REMARK: [Analysis] Calibrated | Category:calibrate | Remark="6 masks decided by 5 inputs on 16 examples; 4 parts of 'main' compiled"

// MIXED-LABEL: @run
// MIXED: prune.record "a" as(#prune.unstructured) keeps 8 of 16
// MIXED: prune.record "b" as(#prune.unstructured) keeps 12 of 16

//--- model.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<4x4xf32> {prune.name = "x"}) -> tensor<4x4xf32> {
  %a = arith.constant dense<[[1.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("a")
  %b = arith.constant dense<[[2.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("b")
  %c = arith.constant dense<[[5.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("c")
  %d = arith.constant dense<[[6.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("d")
  %g = arith.constant dense<[[7.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("g")
  %h = arith.constant dense<[[8.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("h")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %a : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %b : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %2 = linalg.add ins(%0, %1 : tensor<4x4xf32>, tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %3 = linalg.contract indexing_maps = [#x, #w, #y] ins(%2, %c : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %4 = linalg.contract indexing_maps = [#x, #w, #y] ins(%3, %d : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %5 = linalg.contract indexing_maps = [#x, #w, #y] ins(%4, %g : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %6 = linalg.contract indexing_maps = [#x, #w, #y] ins(%5, %h : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %6 : tensor<4x4xf32>
}

//--- mixed.mlir
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @run(%x: tensor<4x4xf32> {prune.name = "x"}) -> tensor<4x4xf32> {
  %a = arith.constant dense<[[1.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("a")
  %b = arith.constant dense<[[2.0, 1.0, 3.0, 0.5], [4.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]> : tensor<4x4xf32> loc("b")
  %ma = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) name("a") : tensor<4x4xf32>
  %mb = prune.mask %b by(#prune.wanda) as(#prune.unstructured) sparsity(0.25) name("b") : tensor<4x4xf32>
  %pa = prune.apply %a, %ma as(#prune.unstructured) name("a") : tensor<4x4xf32>
  %pb = prune.apply %b, %mb as(#prune.unstructured) name("b") : tensor<4x4xf32>
  %f = arith.constant dense<0.0> : tensor<4x4xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %pa : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%0, %pb : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %1 : tensor<4x4xf32>
}
func.func @helper(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
