// Rows that no kept id reads go; ids stay what callers know.
// RUN: echo 3 > %t.ids
// RUN: echo 1 >> %t.ids
// RUN: prune-opt %s --prune-shrink-vocabulary="table=wte keep=%t.ids unknown=1" | FileCheck %s
// RUN: not prune-opt %s --prune-shrink-vocabulary="table=wte keep=%t.ids unknown=2" 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not prune-opt %s --prune-shrink-vocabulary="table=nothing keep=%t.ids unknown=1" 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not prune-opt %s --prune-shrink-vocabulary="table=wte" 2>&1 | FileCheck %s --check-prefix=KEEP
// RUN: not prune-opt %s --prune-shrink-vocabulary="table=wte keep=%t.none" 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: echo 4 >> %t.ids
// RUN: not prune-opt %s --prune-shrink-vocabulary="table=wte keep=%t.ids unknown=1" 2>&1 | FileCheck %s --check-prefix=RANGE

// UNKNOWN: error: prune-shrink-vocabulary: unknown: expected an id among those kept, got 2
// NONE: error: prune-shrink-vocabulary: table: expected 'nothing' to be found in the name of one table that is looked up by ids, got 0
// KEEP: error: prune-shrink-vocabulary: expected keep=FILE with the ids to keep, one on each line
// FILE: error: prune-shrink-vocabulary: cannot read '{{.*}}.none': No such file or directory
// RANGE: error: prune-shrink-vocabulary: {{.*}}.ids:3: expected an id from 0 to 3, the last row of the table, got '4'

#ids = affine_map<(t, d) -> (t)>
#out = affine_map<(t, d) -> (t, d)>

// CHECK-LABEL: @main
// CHECK-DAG: %[[TABLE:.*]] = arith.constant dense<{{\[\[}}3.000000e+00, 4.000000e+00], [7.000000e+00, 8.000000e+00]]> : tensor<2x2xf32>
// CHECK-DAG: %[[IDS:.*]] = arith.constant dense<[0, 0, 0, 1]> : tensor<4xi64>
// CHECK: %[[OLD:.*]] = arith.index_cast
// CHECK: %[[NEW:.*]] = tensor.extract %[[IDS]][%[[OLD]]] : tensor<4xi64>
// CHECK: %[[ROW:.*]] = arith.index_cast %[[NEW]]
// CHECK: tensor.extract %[[TABLE]][%[[ROW]], %{{.*}}] : tensor<2x2xf32>
func.func @main(%ids: tensor<3xi64>) -> tensor<3x2xf32> {
  %table = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32> loc("wte.weight")
  %e = tensor.empty() : tensor<3x2xf32>
  %y = linalg.generic {indexing_maps = [#ids, #out], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<3xi64>) outs(%e : tensor<3x2xf32>) {
  ^bb0(%id: i64, %out: f32):
    %row = arith.index_cast %id : i64 to index
    %column = linalg.index 1 : index
    %value = tensor.extract %table[%row, %column] : tensor<4x2xf32>
    linalg.yield %value : f32
  } -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}
