// Weights that are held as their kept elements: the three products of a layer in training, each with its reason.
// RUN: prune-opt %s --split-input-file --prune-pack=kernel=sparse | FileCheck %s
// RUN: prune-opt %s --split-input-file --prune-pack=kernel=dense --prune-lower-compressed | FileCheck %s --check-prefix=DENSE
// RUN: prune-opt %s --split-input-file --prune-pack --remarks-filter=prune-pack --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK
// RUN: prune-opt %s --split-input-file --prune-pack=kernel=sparsifier --remarks-filter=prune-pack --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=UPSTREAM

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#wt = affine_map<(m, n, k) -> (k, n)>
#dy = affine_map<(n, k, m) -> (m, n)>
#dx = affine_map<(n, k, m) -> (m, k)>
#dw = affine_map<(n, k, m) -> (n, k)>

// Values are gathered from the kept elements, one of the longest row and one of its partner in turn; -1 is padding.
// CHECK-LABEL: @forward
// CHECK-DAG: %[[PLACES:.*]] = arith.constant dense<[1, 0, 2, -1, 3, -1]> : tensor<6xi32>
// CHECK: %[[VALUES:.*]] = linalg.generic {{.*}} ins(%[[PLACES]] : tensor<6xi32>)
// CHECK: arith.cmpi sge
// CHECK: tensor.extract %arg1
// CHECK: sparse_tensor.assemble ({{.*}}), %[[VALUES]]
// CHECK: prune.linear chunked_csr
// DENSE-LABEL: @forward
// DENSE: linalg.generic
// DENSE: tensor.extract
// DENSE: prune.linear dense
// REMARK: remark: {{.*}}fc.weight: chunked_csr, chunk 4, 4 vectors at density 0.50 ({{.*}} us estimated); next dense
// UPSTREAM: remark: {{.*}}not masked, and the sparsifier was asked for
func.func @forward(%x: tensor<64x4xf32>, %v: tensor<4xf32>) -> tensor<64x2xf32> {
  %m = arith.constant dense<[[false, false, false, true], [true, false, true, true]]> : tensor<2x4xi1>
  %w = prune.decompress %v, %m : tensor<4xf32> to tensor<2x4xf32> loc("fc.weight")
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x2xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<64x2xf32>) -> tensor<64x2xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<64x4xf32>, tensor<2x4xf32>) outs(%f : tensor<64x2xf32>) -> tensor<64x2xf32>
  return %r : tensor<64x2xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#wt = affine_map<(m, n, k) -> (k, n)>

// The gradient by the input has the transposed weight, as the first operand of a generic. Equal columns of the mask make
// blocks: no pattern needs to say so.
// CHECK-LABEL: @by_input
// CHECK-DAG: arith.constant dense<[0, 1, 3]> : tensor<3xi16>
// CHECK: tensor.extract %arg1
// CHECK: prune.linear block_rows rows 2
// DENSE-LABEL: @by_input
// DENSE: prune.linear dense
// REMARK: remark: {{.*}}fc.weight transposed: {{.*}}
func.func @by_input(%dy: tensor<64x4xf32>, %v: tensor<6xf32>) -> tensor<64x2xf32> {
  %m = arith.constant dense<[[true, true], [true, true], [false, false], [true, true]]> : tensor<4x2xi1>
  %w = prune.decompress %v, %m : tensor<6xf32> to tensor<4x2xf32> loc("fc.weight")
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x2xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<64x2xf32>) -> tensor<64x2xf32>
  %r = linalg.generic {indexing_maps = [#wt, #x, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%w, %dy : tensor<4x2xf32>, tensor<64x4xf32>) outs(%f : tensor<64x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %b, %a : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<64x2xf32>
  return %r : tensor<64x2xf32>
}

// -----

#dy = affine_map<(n, k, m) -> (m, n)>
#dx = affine_map<(n, k, m) -> (m, k)>
#dw = affine_map<(n, k, m) -> (n, k)>

// Row 1 keeps nothing; columns are counted within chunks.
// CHECK-LABEL: @by_weight
// CHECK-DAG: arith.constant dense<[0, 2, 2, 3]> : tensor<4xi32>
// CHECK-DAG: arith.constant dense<[0, 2, 1]> : tensor<3xi16>
// CHECK-DAG: linalg.transpose ins(%{{.*}} : tensor<2x32x3xf32>)
// CHECK-DAG: linalg.transpose ins(%{{.*}} : tensor<2x32x4xf32>)
// CHECK: prune.weight_gradient chunk 4 storage({{.*}}) ins(%{{.*}}, %{{.*}} : tensor<2x3x32xf32>, tensor<2x4x32xf32>)
// CHECK: return
// DENSE-LABEL: @by_weight
// DENSE: arith.mulf
// DENSE: tensor.collapse_shape
// DENSE: arith.constant dense<[0, 2, 9]> : tensor<3xi32>
// DENSE: tensor.extract
// REMARK: remark: {{.*}}fc.weight: gradient of the kept elements alone at density 0.25, chunk 4
// UPSTREAM: remark: {{.*}}fc.weight: dense gradient because the sparsifier gets no gradients
func.func @by_weight(%dy: tensor<64x3xf32>, %x: tensor<64x4xf32>) -> tensor<3xf32> {
  %m = arith.constant dense<[[true, false, true, false], [false, false, false, false], [false, true, false, false]]> : tensor<3x4xi1>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<3x4xf32>) -> tensor<3x4xf32>
  %r = linalg.generic {indexing_maps = [#dx, #dy, #dw], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %dy : tensor<64x4xf32>, tensor<64x3xf32>) outs(%f : tensor<3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %b, %a : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<3x4xf32>
  %c = prune.compress %r, %m : tensor<3x4xf32> to tensor<3xf32> loc("fc.weight")
  return %c : tensor<3xf32>
}

// -----

#dy = affine_map<(n, k, m) -> (m, n)>
#dx = affine_map<(n, k, m) -> (m, k)>
#dw = affine_map<(n, k, m) -> (n, k)>

// Few tokens, a mask that keeps most, a gradient that others read, and a sum that starts elsewhere stay dense.
// REMARK: remark: {{.*}}few: dense gradient because 4 tokens or pixels are fewer than the 8 of a vector
// REMARK: remark: {{.*}}most: dense gradient because density 0.75 is above break-even 0.60
// REMARK: remark: {{.*}}shared: dense gradient because other ops need the dense gradient
// REMARK: remark: {{.*}}argument: dense gradient because it is no product of two tensors
func.func @declined(%dy: tensor<4x2xf32>, %x: tensor<4x2xf32>, %dY: tensor<8x2xf32>, %X: tensor<8x2xf32>, %g: tensor<2x2xf32>)
    -> (tensor<1xf32>, tensor<3xf32>, tensor<1xf32>, tensor<2x2xf32>, tensor<1xf32>) {
  %m = arith.constant dense<[[true, false], [false, false]]> : tensor<2x2xi1>
  %n = arith.constant dense<[[true, true], [true, false]]> : tensor<2x2xi1>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x2xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  %a = linalg.contract indexing_maps = [#dy, #dx, #dw] ins(%dy, %x : tensor<4x2xf32>, tensor<4x2xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  %few = prune.compress %a, %m : tensor<2x2xf32> to tensor<1xf32> loc("few")
  %b = linalg.contract indexing_maps = [#dy, #dx, #dw] ins(%dY, %X : tensor<8x2xf32>, tensor<8x2xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  %most = prune.compress %b, %n : tensor<2x2xf32> to tensor<3xf32> loc("most")
  %c = linalg.contract indexing_maps = [#dy, #dx, #dw] ins(%dY, %X : tensor<8x2xf32>, tensor<8x2xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  %shared = prune.compress %c, %m : tensor<2x2xf32> to tensor<1xf32> loc("shared")
  %argument = prune.compress %g, %m : tensor<2x2xf32> to tensor<1xf32> loc("argument")
  return %few, %most, %shared, %c, %argument : tensor<1xf32>, tensor<3xf32>, tensor<1xf32>, tensor<2x2xf32>, tensor<1xf32>
}
