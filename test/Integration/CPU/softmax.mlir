// A softmax along the middle dimension, whose exponentials are summed as they are made: NumPy's numbers, and NaN where
// a row holds NaN, an infinity, or nothing but negative infinities.
// REQUIRES: python
// DEFINE: %{cpu} =
// DEFINE: %{run} = prune-opt %s --prune-to-cpu=%{cpu} -o %t.mlir && \
// DEFINE:   prune-run %t.mlir --inputs=%t.x.npz --outputs=%t.y.npz --compare=%t.ref.npz --rtol=2e-6 --atol=1e-37 | FileCheck %s
// RUN: %python %S/Inputs/softmax.py %t.x.npz %t.ref.npz
// RUN: %{run}
// REDEFINE: %{cpu} = cpu=x86-64
// RUN: %{run}
// CHECK: y: equal within
// RUN: prune-opt %s --prune-to-cpu --mlir-print-ir-after=prune-fuse-reductions -o /dev/null 2>&1 | FileCheck %s --check-prefix=FUSED
// FUSED: arith.maximumf {{.*}} fastmath<nsz>
// FUSED: math.exp
// FUSED-NEXT: arith.addf

#all = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#row = affine_map<(d0, d1, d2) -> (d0, d2)>
func.func @main(%x: tensor<12x45x37xf32> {prune.name = "x"}) -> (tensor<12x45x37xf32> {prune.name = "y"}) {
  %lowest = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %row = tensor.empty() : tensor<12x37xf32>
  %all = tensor.empty() : tensor<12x45x37xf32>
  %start = linalg.fill ins(%lowest : f32) outs(%row : tensor<12x37xf32>) -> tensor<12x37xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%x : tensor<12x45x37xf32>) outs(%start : tensor<12x37xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.maximumf %in, %out : f32
    linalg.yield %m : f32
  } -> tensor<12x37xf32>
  %exp = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %max : tensor<12x45x37xf32>, tensor<12x37xf32>) outs(%all : tensor<12x45x37xf32>) {
  ^bb0(%in: f32, %m: f32, %out: f32):
    %d = arith.subf %in, %m : f32
    %e = math.exp %d : f32
    linalg.yield %e : f32
  } -> tensor<12x45x37xf32>
  %none = linalg.fill ins(%zero : f32) outs(%row : tensor<12x37xf32>) -> tensor<12x37xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%exp : tensor<12x45x37xf32>) outs(%none : tensor<12x37xf32>) {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %in, %out : f32
    linalg.yield %s : f32
  } -> tensor<12x37xf32>
  %result = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<12x45x37xf32>, tensor<12x37xf32>) outs(%all : tensor<12x45x37xf32>) {
  ^bb0(%in: f32, %s: f32, %out: f32):
    %q = arith.divf %in, %s : f32
    linalg.yield %q : f32
  } -> tensor<12x45x37xf32>
  return %result : tensor<12x45x37xf32>
}
