// A nest that runs on scalars says why.
// RUN: prune-opt %s --convert-linalg-to-vector-loops --remarks-filter-missed=codegen --remark-format=emitRemark \
// RUN:   2>&1 >/dev/null | FileCheck %s
// CHECK: remark: [Missed] ScalarLoops
// CHECK-SAME: linalg.copy runs on scalars: operand 0 has an element type that vectors cannot hold
func.func @complex_elements(%a: memref<9xcomplex<f32>>, %b: memref<9xcomplex<f32>>) {
  linalg.copy ins(%a : memref<9xcomplex<f32>>) outs(%b : memref<9xcomplex<f32>>)
  return
}
// CHECK: linalg.generic runs on scalars: its region holds scf.if, which has no vector form
func.func @control_flow(%a: memref<9xf32>) {
  linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} outs(%a : memref<9xf32>) {
  ^bb0(%x: f32):
    %i = linalg.index 0 : index
    %four = arith.constant 4 : index
    %zero = arith.constant 0.0 : f32
    %c = arith.cmpi ult, %i, %four : index
    %r = scf.if %c -> f32 {
      scf.yield %x : f32
    } else {
      scf.yield %zero : f32
    }
    linalg.yield %r : f32
  }
  return
}
