// Reductions of every shape: to one number, along rows, down columns, in the middle, of two results (argmax), products,
// integers.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 | FileCheck %s
// CHECK-COUNT-7: out{{[0-6]}}: equal

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
func.func @main(%x: tensor<13x70xf32>, %y: tensor<4x37x6xf32>, %n: tensor<5x64xi32>)
    -> (tensor<f32>, tensor<13xf32>, tensor<70xf32>, tensor<4x6xf32>, tensor<13xf32>, tensor<13xi64>, tensor<5xi32>) {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i64
  %least = arith.constant -2147483648 : i32
  %e0 = tensor.empty() : tensor<f32>
  %s0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %sum = linalg.reduce { arith.addf } ins(%x : tensor<13x70xf32>) outs(%s0 : tensor<f32>) dimensions = [0, 1]
  %e1 = tensor.empty() : tensor<13xf32>
  %s1 = linalg.fill ins(%one : f32) outs(%e1 : tensor<13xf32>) -> tensor<13xf32>
  %product = linalg.reduce { arith.mulf } ins(%x : tensor<13x70xf32>) outs(%s1 : tensor<13xf32>) dimensions = [1]
  %e2 = tensor.empty() : tensor<70xf32>
  %s2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<70xf32>) -> tensor<70xf32>
  %columns = linalg.reduce { arith.addf } ins(%x : tensor<13x70xf32>) outs(%s2 : tensor<70xf32>) dimensions = [0]
  %e3 = tensor.empty() : tensor<4x6xf32>
  %s3 = linalg.fill ins(%lowest : f32) outs(%e3 : tensor<4x6xf32>) -> tensor<4x6xf32>
  %middle = linalg.reduce { arith.maximumf } ins(%y : tensor<4x37x6xf32>) outs(%s3 : tensor<4x6xf32>) dimensions = [1]
  %e5 = tensor.empty() : tensor<13xi64>
  %s4 = linalg.fill ins(%lowest : f32) outs(%e1 : tensor<13xf32>) -> tensor<13xf32>
  %s5 = linalg.fill ins(%none : i64) outs(%e5 : tensor<13xi64>) -> tensor<13xi64>
  %best:2 = linalg.generic {indexing_maps = [#id, #row, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<13x70xf32>) outs(%s4, %s5 : tensor<13xf32>, tensor<13xi64>) {
  ^bb0(%a: f32, %value: f32, %place: i64):
    %i = linalg.index 1 : index
    %j = arith.index_cast %i : index to i64
    %better = arith.cmpf ogt, %a, %value : f32
    %v = arith.select %better, %a, %value : f32
    %p = arith.select %better, %j, %place : i64
    linalg.yield %v, %p : f32, i64
  } -> (tensor<13xf32>, tensor<13xi64>)
  %e6 = tensor.empty() : tensor<5xi32>
  %s6 = linalg.fill ins(%least : i32) outs(%e6 : tensor<5xi32>) -> tensor<5xi32>
  %most = linalg.reduce { arith.maxsi } ins(%n : tensor<5x64xi32>) outs(%s6 : tensor<5xi32>) dimensions = [1]
  return %sum, %product, %columns, %middle, %best#0, %best#1, %most
      : tensor<f32>, tensor<13xf32>, tensor<70xf32>, tensor<4x6xf32>, tensor<13xf32>, tensor<13xi64>, tensor<5xi32>
}
