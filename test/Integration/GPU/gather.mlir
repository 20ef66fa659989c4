// An embedding: the table is a buffer that the body reads at an index which it computes.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --integers=11 | FileCheck %s
// CHECK: out0: equal

#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
func.func @main(%ids: tensor<2x5xi64>, %table: tensor<11x6xf32>) -> tensor<2x5x6xf32> {
  %e = tensor.empty() : tensor<2x5x6xf32>
  %rows = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1)>, #id],
                          iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%ids : tensor<2x5xi64>) outs(%e : tensor<2x5x6xf32>) {
  ^bb0(%id: i64, %o: f32):
    %row = arith.index_cast %id : i64 to index
    %column = linalg.index 2 : index
    %v = tensor.extract %table[%row, %column] : tensor<11x6xf32>
    linalg.yield %v : f32
  } -> tensor<2x5x6xf32>
  return %rows : tensor<2x5x6xf32>
}
