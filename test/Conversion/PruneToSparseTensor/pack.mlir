// Masked weights become constants held together by sparse_tensor.assemble; nothing is converted at run time.
// RUN: prune-opt %s -split-input-file --prune-pack=kernel=sparse | FileCheck %s
// RUN: prune-opt %s -split-input-file --prune-pack=kernel=dense | FileCheck %s --check-prefix=DENSE
// RUN: prune-opt %s -split-input-file --prune-pack=kernel=sparsifier | FileCheck %s --check-prefix=UPSTREAM
// RUN: prune-opt %s -split-input-file --prune-pack=min-lanes=128 | FileCheck %s --check-prefix=FEW
// RUN: prune-opt %s -split-input-file --prune-pack=kernel=sparse --prune-expand-storage | FileCheck %s --check-prefix=EXPAND
// RUN: not prune-opt %s -split-input-file --prune-pack=kernel=fast 2>&1 | FileCheck %s --check-prefix=KERNEL
// KERNEL: prune-pack: expected kernel auto, contract, sparse, sparsifier or dense, got 'fast'

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// Rows 0 and 2 keep the same columns and are paired first; the longest pair leads. Entries alternate between the rows.
// CHECK-LABEL: @unstructured
// CHECK-DAG: %[[POSITIONS:.*]] = arith.constant dense<[0, 4, 6]> : tensor<3xi32>
// CHECK-DAG: %[[COLUMNS:.*]] = arith.constant dense<[0, 0, 3, 3, 0, 0]> : tensor<6xi16>
// CHECK-DAG: %[[VALUES:.*]] = arith.constant dense<[1.000000e+00, 1.000000e+00, 4.000000e+00, 4.000000e+00, 5.000000e+00, 9.000000e+00]>
// CHECK: %[[W:.*]] = sparse_tensor.assemble (%[[POSITIONS]], %[[COLUMNS]]), %[[VALUES]]
// CHECK: %[[ROWS:.*]] = arith.constant dense<{{\[}}[0, 2, 1, 3]]> : tensor<1x4xi32>
// CHECK: prune.linear chunked_csr rows 2 chunk 4 {{.*}}storage(%[[W]], %[[ROWS]],
// CHECK-NOT: sparse_tensor.convert
// DENSE-LABEL: @unstructured
// DENSE: prune.linear dense rows 4
// DENSE-NOT: sparse_tensor
// UPSTREAM-LABEL: @unstructured
// UPSTREAM: %[[W:.*]] = sparse_tensor.assemble
// UPSTREAM: linalg.contract {{.*}} ins(%{{.*}}, %[[W]]
// FEW-LABEL: @unstructured
// FEW: linalg.contract
// FEW-NOT: prune.linear
// EXPAND-LABEL: @unstructured
// EXPAND-NOT: sparse_tensor.assemble
// EXPAND: prune.linear chunked_csr {{.*}} : tensor<3xi32>, tensor<6xi16>, tensor<6xf32>, tensor<1x4xi32>, tensor<1x2xi16>)
func.func @unstructured(%x: tensor<64x4xf32>) -> tensor<64x4xf32> {
  %w = arith.constant dense<[[1.,2.,3.,4.],[5.,6.,7.,8.],[1.,0.,3.,4.],[9.,9.,3.,4.]]> : tensor<4x4xf32>
  %m = arith.constant dense<[[true,false,false,true],[true,false,false,false],[true,false,false,true],[true,false,false,false]]> : tensor<4x4xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) : tensor<4x4xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x4xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<64x4xf32>) -> tensor<64x4xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<64x4xf32>, tensor<4x4xf32>) outs(%f : tensor<64x4xf32>) -> tensor<64x4xf32>
  return %r : tensor<64x4xf32>
}

// -----

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// A 4x1 block is one coordinate and four values.
// CHECK-LABEL: @blocks
// CHECK-DAG: arith.constant dense<[0, 1]> : tensor<2xi32>
// CHECK-DAG: arith.constant dense<2> : tensor<1xi16>
// CHECK-DAG: arith.constant dense<[3.000000e+00, 7.000000e+00, 3.000000e+00, 3.000000e+00]> : tensor<4xf32>
// CHECK: prune.linear block_rows rows 4
// An unmasked weight is dense: no storage of its own would be faster.
// CHECK: prune.linear dense rows 4
func.func @blocks(%x: tensor<64x4xf32>) -> tensor<64x4xf32> {
  %w = arith.constant dense<[[1.,2.,3.,4.],[5.,6.,7.,8.],[1.,0.,3.,4.],[9.,9.,3.,4.]]> : tensor<4x4xf32>
  %m = arith.constant dense<[[false,false,true,false],[false,false,true,false],[false,false,true,false],[false,false,true,false]]> : tensor<4x4xi1>
  %p = prune.apply %w, %m as(#prune.block<4, 1>) : tensor<4x4xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x4xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<64x4xf32>) -> tensor<64x4xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %p : tensor<64x4xf32>, tensor<4x4xf32>) outs(%f : tensor<64x4xf32>) -> tensor<64x4xf32>
  %s = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %w : tensor<64x4xf32>, tensor<4x4xf32>) outs(%f : tensor<64x4xf32>) -> tensor<64x4xf32>
  return %s : tensor<64x4xf32>
}

// -----

// Seventy sequences of one token are seventy tokens: attention that keeps the sequence first.
// CHECK-LABEL: func @sequence_first
// CHECK: prune.linear {{.*}} ins(%{{.*}} : tensor<8x70xf32>)
// CHECK: tensor.expand_shape {{.*}} : tensor<70x4xf32> into tensor<70x1x4xf32>
func.func @sequence_first(%x: tensor<70x1x8xf32>) -> tensor<70x1x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<2.0> : tensor<4x8xf32>
  %e = tensor.empty() : tensor<70x1x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<70x1x4xf32>) -> tensor<70x1x4xf32>
  %y = linalg.contract indexing_maps = [affine_map<(a, b, n, k) -> (a, b, k)>, affine_map<(a, b, n, k) -> (n, k)>,
                                        affine_map<(a, b, n, k) -> (a, b, n)>]
      ins(%x, %w : tensor<70x1x8xf32>, tensor<4x8xf32>) outs(%f : tensor<70x1x4xf32>) -> tensor<70x1x4xf32>
  return %y : tensor<70x1x4xf32>
}
