// prune.observe becomes a copy of a block of rows, a product in f32 and a sum of blocks in f64. That the numbers are right
// is checked by test/python/test_observe.py.
// RUN: prune-opt %s --prune-expand-observations --split-input-file | FileCheck %s

#rows = affine_map<(g, b, t, k) -> (b, t, k)>

// CHECK-DAG: #[[LEFT:.*]] = affine_map<(d0, d1, d2) -> (d2, d0)>
// CHECK-DAG: #[[RIGHT:.*]] = affine_map<(d0, d1, d2) -> (d2, d1)>

// One block: no loop.
// CHECK-LABEL: @one_block
// CHECK-NOT: scf.for
// CHECK: %[[COPY:.*]] = linalg.generic {{.*}} ins(%arg0 : tensor<8x64x24xf32>)
// CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[COPY]] {{\[\[}}0, 1], [2]] : tensor<8x64x24xf32> into tensor<512x24xf32>
// CHECK: %[[PRODUCT:.*]] = linalg.contract indexing_maps = [#[[LEFT]], #[[RIGHT]], #{{.*}}] ins(%[[ROWS]], %[[ROWS]]
// CHECK: linalg.generic {{.*}} ins(%[[PRODUCT]] : tensor<24x24xf32>) outs(%{{.*}} : tensor<24x24xf64>)
// CHECK: arith.extf
// CHECK: tensor.expand_shape {{.*}} : tensor<24x24xf64> into tensor<1x24x24xf64>
// CHECK-NOT: prune.observe
func.func @one_block(%x: tensor<8x64x24xf32>) -> tensor<1x24x24xf64> {
  %0 = prune.observe gram %x view(#rows) rows [8, 64] columns [24] : tensor<8x64x24xf32> -> tensor<1x24x24xf64>
  return %0 : tensor<1x24x24xf64>
}

// Two samples of 500 rows in each step, and one that is left. Rows that do not count are zeros in the copy.
// CHECK-LABEL: @blocks_and_rest
// CHECK: scf.for %{{.*}} = %c0 to %c4 step %c2
// CHECK:   tensor.extract_slice %arg0{{.*}} : tensor<5x500x24xf32> to tensor<2x500x24xf32>
// CHECK:   tensor.extract_slice %{{.*}} : tensor<5x500xi64> to tensor<2x500xi64>
// CHECK:   arith.cmpi ne
// CHECK:   arith.select
// CHECK:   scf.yield
// CHECK: tensor.extract_slice %arg0{{.*}} : tensor<5x500x24xf32> to tensor<1x500x24xf32>
func.func @blocks_and_rest(%x: tensor<5x500x24xf32>, %m: tensor<2500xi64>) -> tensor<1x24xf64> {
  %0 = prune.observe norms %x view(#rows) rows [5, 500] columns [24] where(%m : tensor<2500xi64>) : tensor<5x500x24xf32> -> tensor<1x24xf64>
  return %0 : tensor<1x24xf64>
}

// A window with a stride: rows of the image in bands, whose slices overlap.
// CHECK-LABEL: @window
// CHECK: scf.for
// CHECK:   scf.for %{{.*}} = %c0{{.*}} to %c32{{.*}} step %c16
// CHECK:     tensor.extract_slice %arg0{{.*}} : tensor<2x3x129x129xf32> to tensor<1x3x33x129xf32>
func.func @window(%x: tensor<2x3x129x129xf32>) -> tensor<1x27x27xf64> {
  %0 = prune.observe gram %x view(affine_map<(g, n, y, x, c, i, j) -> (n, c, y * 2 + i, x * 2 + j)>) rows [2, 32, 64] columns [3, 3, 3] : tensor<2x3x129x129xf32> -> tensor<1x27x27xf64>
  return %0 : tensor<1x27x27xf64>
}

// Groups are a dimension of the product.
// CHECK-LABEL: @groups
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x49x9xf32>, tensor<4x49x9xf32>) outs(%{{.*}} : tensor<4x9x9xf32>)
// CHECK: return %{{.*}} : tensor<4x9x9xf64>
func.func @groups(%x: tensor<4x9x9xf32>) -> tensor<4x9x9xf64> {
  %0 = prune.observe gram %x view(affine_map<(g, y, x, i, j) -> (g, y + i, x + j)>) rows [7, 7] columns [3, 3] : tensor<4x9x9xf32> -> tensor<4x9x9xf64>
  return %0 : tensor<4x9x9xf64>
}
