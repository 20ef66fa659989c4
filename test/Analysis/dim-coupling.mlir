// Groups of one small attention block: heads tie queries, keys, values and the output projection; neurons tie what makes
// and what reads them. The width is frozen, and the report says by what.
// RUN: prune-opt %s --prune-explain-groups="text=%t.txt json=%t.json dot=%t.dot" -o /dev/null
// RUN: FileCheck %s < %t.txt
// RUN: FileCheck %s --check-prefix=JSON < %t.json
// RUN: FileCheck %s --check-prefix=DOT < %t.dot
// RUN: not prune-opt %s --prune-explain-groups="text=none json=%t.none/x.json" -o /dev/null 2>&1 | FileCheck %s --check-prefix=FILE

// CHECK: heads:wq: 3 heads
// CHECK-NEXT: makes wq dim 0 of tensor<12x6xf32>
// CHECK-NEXT: makes wk dim 0 of tensor<12x6xf32>
// CHECK-NEXT: reads wo dim 1 of tensor<6x12xf32>
// CHECK: wq dim 0 of tensor<12x6xf32> -- same index, linalg.contract at
// CHECK: -- factor, tensor.expand_shape at
// CHECK: head-width:wq: 4 head-width
// CHECK: neurons:wo: frozen, it is a result of public function 'main' ('func.func' at

// JSON: "choice": "outermost"
// JSON: "kind": "heads"
// JSON: "role": "output"
// JSON: "frozen": {
// JSON: "op": "func.func"

// DOT: graph groups {
// DOT: label="heads:wq"
// DOT: -- {{.*}} [label="tensor.expand_shape"]

// FILE: error: cannot write groups '

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#q = affine_map<(h, i, j, d) -> (i, h, d)>
#k = affine_map<(h, i, j, d) -> (j, h, d)>
#s = affine_map<(h, i, j, d) -> (h, i, j)>
#p = affine_map<(i, h, d, j) -> (h, i, j)>
#v = affine_map<(i, h, d, j) -> (j, h, d)>
#o = affine_map<(i, h, d, j) -> (i, h, d)>
func.func @main(%x: tensor<5x6xf32>) -> tensor<5x6xf32> {
  %wq = arith.constant dense_resource<wq> : tensor<12x6xf32>
  %wk = arith.constant dense_resource<wk> : tensor<12x6xf32>
  %wo = arith.constant dense_resource<wo> : tensor<6x12xf32>
  %z = arith.constant dense<0.0> : tensor<5x12xf32>
  %q0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %wq : tensor<5x6xf32>, tensor<12x6xf32>)
      outs(%z : tensor<5x12xf32>) -> tensor<5x12xf32>
  %k0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %wk : tensor<5x6xf32>, tensor<12x6xf32>)
      outs(%z : tensor<5x12xf32>) -> tensor<5x12xf32>
  %q = tensor.expand_shape %q0 [[0], [1, 2]] output_shape [5, 3, 4] : tensor<5x12xf32> into tensor<5x3x4xf32>
  %k = tensor.expand_shape %k0 [[0], [1, 2]] output_shape [5, 3, 4] : tensor<5x12xf32> into tensor<5x3x4xf32>
  %zs = arith.constant dense<0.0> : tensor<3x5x5xf32>
  %s = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<5x3x4xf32>, tensor<5x3x4xf32>)
      outs(%zs : tensor<3x5x5xf32>) -> tensor<3x5x5xf32>
  %zo = arith.constant dense<0.0> : tensor<5x3x4xf32>
  %o = linalg.contract indexing_maps = [#p, #v, #o] ins(%s, %k : tensor<3x5x5xf32>, tensor<5x3x4xf32>)
      outs(%zo : tensor<5x3x4xf32>) -> tensor<5x3x4xf32>
  %o0 = tensor.collapse_shape %o [[0], [1, 2]] : tensor<5x3x4xf32> into tensor<5x12xf32>
  %zy = arith.constant dense<0.0> : tensor<5x6xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%o0, %wo : tensor<5x12xf32>, tensor<6x12xf32>)
      outs(%zy : tensor<5x6xf32>) -> tensor<5x6xf32>
  return %r : tensor<5x6xf32>
}
