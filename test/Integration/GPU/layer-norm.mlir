// A layer norm with the addition before it and scale and shift after it is one kernel.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 | FileCheck %s
// CHECK: out0: equal
// RUN: prune-opt %s --prune-to-gpu="chip=opencl" --mlir-print-ir-after=convert-prune-to-gpu -o /dev/null 2>&1 | FileCheck %s --check-prefix=ONE
// ONE: gpu.launch_func @kernels::@rows
// ONE-NOT: gpu.launch_func

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#column = affine_map<(d0, d1) -> (d1)>
func.func @main(%x: tensor<40x100xf32>, %residual: tensor<40x100xf32>, %scale: tensor<100xf32>, %shift: tensor<100xf32>)
    -> tensor<40x100xf32> {
  %zero = arith.constant 0.0 : f32
  %size = arith.constant 100.0 : f32
  %epsilon = arith.constant 1.0e-5 : f32
  %all = tensor.empty() : tensor<40x100xf32>
  %one = tensor.empty() : tensor<40xf32>
  %none = linalg.fill ins(%zero : f32) outs(%one : tensor<40xf32>) -> tensor<40xf32>
  %h = arith.addf %x, %residual : tensor<40x100xf32>
  %sum = linalg.reduce ins(%h : tensor<40x100xf32>) outs(%none : tensor<40xf32>) dimensions = [1]
    (%in: f32, %out: f32) { %s = arith.addf %in, %out : f32 linalg.yield %s : f32 }
  %centred = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%h, %sum : tensor<40x100xf32>, tensor<40xf32>) outs(%all : tensor<40x100xf32>) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %mean = arith.divf %s, %size : f32
    %d = arith.subf %a, %mean : f32
    linalg.yield %d : f32
  } -> tensor<40x100xf32>
  %squares = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<40x100xf32>) outs(%none : tensor<40xf32>) {
  ^bb0(%d: f32, %acc: f32):
    %q = arith.mulf %d, %d : f32
    %s = arith.addf %acc, %q : f32
    linalg.yield %s : f32
  } -> tensor<40xf32>
  %result = linalg.generic {indexing_maps = [#id, #row, #column, #column, #id],
                            iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %scale, %shift : tensor<40x100xf32>, tensor<40xf32>, tensor<100xf32>, tensor<100xf32>)
      outs(%all : tensor<40x100xf32>) {
  ^bb0(%d: f32, %q: f32, %g: f32, %b: f32, %o: f32):
    %variance = arith.divf %q, %size : f32
    %v = arith.addf %variance, %epsilon : f32
    %r = math.rsqrt %v : f32
    %n = arith.mulf %d, %r : f32
    %m = arith.mulf %n, %g : f32
    %y = arith.addf %m, %b : f32
    linalg.yield %y : f32
  } -> tensor<40x100xf32>
  return %result : tensor<40x100xf32>
}
