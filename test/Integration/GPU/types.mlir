// Every element type, through memory and arithmetic.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-3 | FileCheck %s
// CHECK-COUNT-7: out{{[0-6]}}: equal

func.func @main(%a: tensor<9xf16>, %b: tensor<9xf32>, %c: tensor<9xf64>, %d: tensor<9xi8>, %e: tensor<9xi16>, %f: tensor<9xi64>,
                %g: tensor<9xi1>)
    -> (tensor<9xf16>, tensor<9xf32>, tensor<9xf64>, tensor<9xi8>, tensor<9xi16>, tensor<9xi64>, tensor<9xi1>) {
  %0 = arith.mulf %a, %a : tensor<9xf16>
  %half = arith.truncf %b : tensor<9xf32> to tensor<9xf16>
  %1 = arith.extf %half : tensor<9xf16> to tensor<9xf32>
  %2 = arith.divf %c, %c : tensor<9xf64>
  %3 = arith.addi %d, %d : tensor<9xi8>
  %4 = arith.muli %e, %e : tensor<9xi16>
  %5 = arith.subi %f, %f : tensor<9xi64>
  %true = arith.constant dense<true> : tensor<9xi1>
  %6 = arith.xori %g, %true : tensor<9xi1>
  return %0, %1, %2, %3, %4, %5, %6
      : tensor<9xf16>, tensor<9xf32>, tensor<9xf64>, tensor<9xi8>, tensor<9xi16>, tensor<9xi64>, tensor<9xi1>
}
