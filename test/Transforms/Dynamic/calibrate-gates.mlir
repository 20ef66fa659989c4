// Thresholds are exact quantiles: of the scores |x| of four examples, 0 to 15, half are 7 or less. The second mask sees what
// the first one's layer gives without any mask.
// REQUIRES: python
// RUN: %python -c "import numpy; numpy.savez('%t.npz', x=numpy.arange(16, dtype='f4').reshape(4, 4) * numpy.array([1, -1, 1, -1], 'f4'), mask=numpy.array([[1], [1], [0], [1]]))"
// RUN: prune-opt %s --prune-insert-gates="sparsity=0.5" --prune-calibrate-gates="data=%t.npz" | FileCheck %s
// CHECK: prune.dynamic_mask %arg0 along 1 threshold(7.000000e+00) sparsity(5.000000e-01) name("fc")
// The results of fc are twice its inputs, in another order.
// CHECK: prune.dynamic_mask %{{.*}} along 1 threshold(1.400000e+01) sparsity(5.000000e-01) name("out")
//
// RUN: prune-opt %s --prune-insert-gates="sparsity=0.5" --prune-calibrate-gates="data=%t.npz threads=1" --remarks-filter=dynamic --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// REMARK: [Analysis] Threshold {{.*}}'fc': sparsity 0.500, threshold 7 prunes 8 of 16 scores
// REMARK: [Analysis] Threshold {{.*}}'out': sparsity 0.500, threshold 14 prunes 8 of 16 scores
//
// Rows of padding do not count: 0 to 7 and 12 to 15 are left.
// RUN: prune-opt %s --prune-insert-gates="sparsity=0.75" --prune-calibrate-gates="data=%t.npz padding=mask" | FileCheck %s --check-prefix=PADDING
// PADDING: prune.dynamic_mask %arg0 along 1 threshold(1.200000e+01)
//
// What is given stays, and nothing needs data then. A sparsity of 0 prunes zeros, which changes nothing.
// RUN: prune-opt %s --prune-dynamic="threshold=3" | FileCheck %s --check-prefix=GIVEN
// GIVEN-COUNT-2: threshold(3.000000e+00) name
// RUN: prune-opt %s --prune-dynamic="sparsity=0 calibration=%t.npz" | FileCheck %s --check-prefix=ZERO
// ZERO-COUNT-2: threshold(0.000000e+00) sparsity(0.000000e+00)
// RUN: prune-opt %s --prune-dynamic="sparsity=1 calibration=%t.npz" | FileCheck %s --check-prefix=ONE
// ONE: threshold(1.500000e+01)
//
// Greedy: 0.8 of the 16 multiply-adds of fc and 0.5 of the 8 of out are 0.7 of all. What fc prunes makes zeros of the same
// elements before out, so that equal steps of both cost what one does.
// RUN: prune-opt %s --prune-dynamic="sparsity=0.7 calibration=%t.npz allocation=greedy" --remarks-filter=dynamic --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=GREEDY
// GREEDY: [Analysis] Allocation {{.*}}error 3.88e-01 by steps, 3.88e-01 as given: sparsities by steps
// GREEDY: 'fc': sparsity 0.800, threshold 12 prunes 13 of 16 scores
// GREEDY: 'out': sparsity 0.500, threshold 14 prunes 8 of 16 scores
// RUN: not prune-opt %s --prune-dynamic="sparsity=0.95 calibration=%t.npz allocation=greedy" -o /dev/null 2>&1 | FileCheck %s --check-prefix=MUCH
// MUCH: error: allocation: greedy expects a sparsity of at most 0.9, got 0.95
//
// RUN: %python -c "import numpy; numpy.savez('%t.bad.npz', x=numpy.full((4, 4), 3e38, 'f4'), mask=numpy.ones((4, 1), 'i8'))"
// RUN: not prune-opt %s --prune-dynamic="sparsity=0.5 calibration=%t.bad.npz" -o /dev/null 2>&1 | FileCheck %s --check-prefix=FINITE
// FINITE: error: 'prune.dynamic_mask' op expected finite scores on the examples, got infinity or NaN

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<1x4xf32> {prune.name = "x"}, %mask: tensor<1x1xi64> {prune.name = "mask"}) -> tensor<1x2xf32> {
  %fc = arith.constant dense<[[0., 2., 0., 0.], [2., 0., 0., 0.], [0., 0., 0., 2.], [0., 0., 2., 0.]]> : tensor<4x4xf32> loc("fc")
  %out = arith.constant dense<[[1., 0., 0., 0.], [2., 0., 0., 0.]]> : tensor<2x4xf32> loc("out")
  %zero = arith.constant 0.0 : f32
  %e4 = tensor.empty() : tensor<1x4xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<1x2xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc : tensor<1x4xf32>, tensor<4x4xf32>) outs(%f4 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %out : tensor<1x4xf32>, tensor<2x4xf32>) outs(%f2 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}
