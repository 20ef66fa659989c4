// A softmax is one kernel, a block for each row: maximum, exponentials with their sum, division. The temporaries lie in
// shared memory.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 | FileCheck %s
// CHECK: out0: equal
// RUN: prune-opt %s --prune-to-gpu="chip=opencl" --mlir-print-ir-after=convert-prune-to-gpu -o /dev/null 2>&1 | FileCheck %s --check-prefix=ONE
// ONE: gpu.launch_func @kernels::@rows
// ONE-NOT: gpu.launch_func

#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
func.func @main(%x: tensor<3x17x45xf32>) -> tensor<3x17x45xf32> {
  %lowest = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %row = tensor.empty() : tensor<3x17xf32>
  %all = tensor.empty() : tensor<3x17x45xf32>
  %start = linalg.fill ins(%lowest : f32) outs(%row : tensor<3x17xf32>) -> tensor<3x17xf32>
  %max = linalg.reduce ins(%x : tensor<3x17x45xf32>) outs(%start : tensor<3x17xf32>) dimensions = [2]
    (%in: f32, %out: f32) { %m = arith.maximumf %in, %out : f32 linalg.yield %m : f32 }
  %exp = linalg.generic {indexing_maps = [#id, affine_map<(d0, d1, d2) -> (d0, d1)>, #id],
                         iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %max : tensor<3x17x45xf32>, tensor<3x17xf32>) outs(%all : tensor<3x17x45xf32>) {
  ^bb0(%a: f32, %m: f32, %o: f32):
    %d = arith.subf %a, %m : f32
    %e = math.exp %d : f32
    linalg.yield %e : f32
  } -> tensor<3x17x45xf32>
  %none = linalg.fill ins(%zero : f32) outs(%row : tensor<3x17xf32>) -> tensor<3x17xf32>
  %sum = linalg.reduce ins(%exp : tensor<3x17x45xf32>) outs(%none : tensor<3x17xf32>) dimensions = [2]
    (%in: f32, %out: f32) { %s = arith.addf %in, %out : f32 linalg.yield %s : f32 }
  %result = linalg.generic {indexing_maps = [#id, affine_map<(d0, d1, d2) -> (d0, d1)>, #id],
                            iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<3x17x45xf32>, tensor<3x17xf32>) outs(%all : tensor<3x17x45xf32>) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %q = arith.divf %a, %s : f32
    linalg.yield %q : f32
  } -> tensor<3x17x45xf32>
  return %result : tensor<3x17x45xf32>
}
