// A feed-forward block of one token behind gates, by the cost model: what it does on the device is what it does on the
// processor. The bound of the first gate is above what half of the inputs have, the second one keeps 100 of 400.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 --atol=1e-5 | FileCheck %s
// CHECK: out0: equal

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
func.func @main(%x: tensor<1x150xf32>) -> tensor<1x40xf32> {
  %up = arith.constant dense<0.25> : tensor<400x150xf32>
  %down = arith.constant dense<-0.5> : tensor<40x400xf32>
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<1x400xf32>
  %e1 = tensor.empty() : tensor<1x40xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<1x400xf32>) -> tensor<1x400xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x40xf32>) -> tensor<1x40xf32>
  %m0 = prune.dynamic_mask %x along 1 threshold(0.67) sparsity(0.5) : tensor<1x150xf32>
  %g0 = prune.gate %x, %m0 : tensor<1x150xf32>
  %h0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g0, %up : tensor<1x150xf32>, tensor<400x150xf32>) outs(%f0 : tensor<1x400xf32>) -> tensor<1x400xf32>
  %h1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%h0 : tensor<1x400xf32>) outs(%e0 : tensor<1x400xf32>) {
  ^bb0(%in: f32, %out: f32):
    %i = linalg.index 1 : index
    %j = arith.index_cast %i : index to i32
    %k = arith.sitofp %j : i32 to f32
    %s = arith.mulf %in, %k : f32
    %t = math.tanh %s : f32
    %u = arith.mulf %t, %k : f32
    linalg.yield %u : f32
  } -> tensor<1x400xf32>
  %m1 = prune.dynamic_mask %h1 along 1 keep(100) : tensor<1x400xf32>
  %g1 = prune.gate %h1, %m1 : tensor<1x400xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%g1, %down : tensor<1x400xf32>, tensor<40x400xf32>) outs(%f1 : tensor<1x40xf32>) -> tensor<1x40xf32>
  return %y : tensor<1x40xf32>
}
