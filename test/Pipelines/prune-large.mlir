// Masks of more than 1024 elements are resources; they pass through bytecode and text unharmed.
// RUN: prune-opt %s --prune="pattern=unstructured sparsity=0.75" | FileCheck %s
// RUN: prune-opt %s --prune="pattern=unstructured sparsity=0.75" --emit-bytecode \
// RUN:   | prune-opt --prune-verify-masks | FileCheck %s

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// CHECK: %[[MASK:.*]] = arith.constant dense_resource<[[NAME:.*]].mask> : tensor<64x32xi1>
// CHECK: prune.apply %{{.*}}, %[[MASK]] as(#prune.unstructured) name("[[NAME]]") : tensor<64x32xf32>
// CHECK: prune.record "[[NAME]]" as(#prune.unstructured) keeps 512 of 2048
// CHECK: [[NAME]].mask: "0x10000000{{(00)+(01)+(00)+}}"
func.func @main(%x: tensor<3x32xf32>, %init: tensor<3x64xf32>) -> tensor<3x64xf32> {
  // Among equals the lower indices live: the first quarter of the ones, once the halves are taken.
  %ones = arith.constant dense<1.0> : tensor<32x32xf32>
  %halves = arith.constant dense<0.5> : tensor<32x32xf32>
  %w = tensor.concat dim(0) %halves, %ones : (tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<64x32xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<3x32xf32>, tensor<64x32xf32>) outs(%init : tensor<3x64xf32>) -> tensor<3x64xf32>
  return %0 : tensor<3x64xf32>
}
