// Elementwise operations become one thread for each element: fused chains, broadcasts, sizes that no block divides, truth
// values in memory, other types.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 | FileCheck %s
// CHECK: out0: equal
// CHECK: out1: equal
// CHECK: out2: equal
// CHECK: out3: equal

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>
func.func @main(%x: tensor<7x33xf32>, %bias: tensor<33xf32>, %keep: tensor<7x33xi1>, %n: tensor<7x33xi32>)
    -> (tensor<7x33xf32>, tensor<7x33xi1>, tensor<7x33xi64>, tensor<7x33xf32>) {
  %e = tensor.empty() : tensor<7x33xf32>
  %sum = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %bias : tensor<7x33xf32>, tensor<33xf32>) outs(%e : tensor<7x33xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    %t = math.tanh %s : f32
    %u = math.exp %t : f32
    linalg.yield %u : f32
  } -> tensor<7x33xf32>
  %zero = arith.constant dense<0.0> : tensor<7x33xf32>
  %chosen = arith.select %keep, %sum, %zero : tensor<7x33xi1>, tensor<7x33xf32>
  %larger = arith.cmpf ogt, %chosen, %x : tensor<7x33xf32>
  %wide = arith.extsi %n : tensor<7x33xi32> to tensor<7x33xi64>
  %square = arith.muli %wide, %wide : tensor<7x33xi64>
  %abs = math.absf %x : tensor<7x33xf32>
  %root = math.sqrt %abs : tensor<7x33xf32>
  %erf = math.erf %x : tensor<7x33xf32>
  %inverse = math.rsqrt %sum : tensor<7x33xf32>
  %log = math.log %sum : tensor<7x33xf32>
  %mix0 = arith.addf %root, %erf : tensor<7x33xf32>
  %mix1 = arith.divf %mix0, %inverse : tensor<7x33xf32>
  %mix = arith.maximumf %mix1, %log : tensor<7x33xf32>
  return %chosen, %larger, %square, %mix : tensor<7x33xf32>, tensor<7x33xi1>, tensor<7x33xi64>, tensor<7x33xf32>
}
