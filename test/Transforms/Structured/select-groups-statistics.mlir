// Dimensions that a normalisation takes statistics over stay whole unless the user says that statistics may be taken over
// the survivors.
// DEFINE: %{options} =
// DEFINE: %{select} = prune-opt %s --prune-select-groups="%{options}" --prune-verify-masks --remarks-filter=prune-select-groups --remark-format=emitRemark

// REDEFINE: %{options} = ratio=0.5
// RUN: %{select} 2>&1 -o /dev/null | FileCheck %s --check-prefix=KEEP
// KEEP: 'width:fc1' (dimension 0 of 'fc1') stays whole because normalisations take statistics over it (statistics=survivors prunes it nevertheless)
// REDEFINE: %{options} = ratio=0.5 statistics=survivors
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=SURVIVORS
// SURVIVORS: 'width:fc1' keeps 2 of 4 units by l2
// SURVIVORS: prune.record "fc1:0" as(#prune.slice<dim = 0>) keeps 4 of 8
// REDEFINE: %{options} = groups=width:fc1
// RUN: not %{select} 2>&1 -o /dev/null | FileCheck %s --check-prefix=NAMED
// NAMED: error: groups: 'width:fc1' cannot be pruned: normalisations take statistics over it (statistics=survivors prunes it nevertheless)

// The scales of the norm judge alone: 1 and 2 are the smallest, though the rows of these units are not.
// REDEFINE: %{options} = ratio=0.5 statistics=survivors criterion=bn-scale
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=SCALE
// SCALE: arith.constant dense<{{\[\[}}false, false], [true, true], [true, true], [false, false]]> : tensor<4x2xi1>
// SCALE: prune.record "gamma:0" as(#prune.slice<dim = 0>) keeps 2 of 4

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#m = affine_map<(m, n) -> (m)>
#n = affine_map<(m, n) -> (n)>
func.func @main(%x: tensor<1x2xf32>) -> tensor<1x3xf32> {
  %zero = arith.constant 0.0 : f32
  %four = arith.constant 4.0 : f32
  %fc1 = arith.constant dense<[[8., 1.], [1., 1.], [2., 1.], [9., 1.]]> : tensor<4x2xf32> loc("fc1")
  %gamma = arith.constant dense<[1., -5., 3., 2.]> : tensor<4xf32> loc("gamma")
  %fc2 = arith.constant dense<[[8., 1., 2., 9.], [8., 1., 2., 9.], [8., 1., 2., 9.5]]> : tensor<3x4xf32> loc("fc2")
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1xf32>) -> tensor<1xf32>
  %squares = linalg.generic {indexing_maps = [#id, #m], iterator_types = ["parallel", "reduction"]}
      ins(%h : tensor<1x4xf32>) outs(%f2 : tensor<1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.mulf %a, %a : f32
    %s = arith.addf %o, %q : f32
    linalg.yield %s : f32
  } -> tensor<1xf32>
  %e3 = tensor.empty() : tensor<1x4xf32>
  %scaled = linalg.generic {indexing_maps = [#id, #m, #n, #id], iterator_types = ["parallel", "parallel"]}
      ins(%h, %squares, %gamma : tensor<1x4xf32>, tensor<1xf32>, tensor<4xf32>) outs(%e3 : tensor<1x4xf32>) {
  ^bb0(%a: f32, %b: f32, %g: f32, %o: f32):
    %mean = arith.divf %b, %four : f32
    %r = math.rsqrt %mean : f32
    %n = arith.mulf %a, %r : f32
    %s = arith.mulf %n, %g : f32
    linalg.yield %s : f32
  } -> tensor<1x4xf32>
  %e4 = tensor.empty() : tensor<1x3xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<1x3xf32>) -> tensor<1x3xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%scaled, %fc2 : tensor<1x4xf32>, tensor<3x4xf32>) outs(%f4 : tensor<1x3xf32>) -> tensor<1x3xf32>
  return %y : tensor<1x3xf32>
}
