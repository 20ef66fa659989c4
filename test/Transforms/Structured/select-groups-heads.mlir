// Whole heads where their number allows the ratio, else the same indices of every head.
// DEFINE: %{options} =
// DEFINE: %{select} = prune-opt %s --prune-select-groups="%{options}" --prune-verify-masks --remarks-filter=prune-select-groups --remark-format=emitRemark

// One of two heads, rows 0 to 3 of each projection, and what reads them.
// REDEFINE: %{options} = ratio=0.5
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=HEADS --implicit-check-not=keeps
// HEADS-DAG: 'heads:[[V:[qkv]]]' keeps 1 of 2 units by l2
// HEADS-DAG: prune.record "q:0" as(#prune.slice<dim = 0, group = 4>) keeps 32 of 64
// HEADS-DAG: prune.record "k:0" as(#prune.slice<dim = 0, group = 4>) keeps 32 of 64
// HEADS-DAG: prune.record "v:0" as(#prune.slice<dim = 0, group = 4>) keeps 32 of 64
// HEADS-DAG: prune.record "o:1" as(#prune.slice<dim = 1, group = 4>) keeps 32 of 64

// A quarter of two heads is none; of four indices in each head it is one. Queries and keys lose one, values and what
// reads them another.
// REDEFINE: %{options} = ratio=0.25
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=WIDTH
// WIDTH-NOT: 'heads:{{.*}} keeps
// WIDTH-DAG: prune.record "q:0" as(#prune.slice<dim = 0>) keeps 48 of 64
// WIDTH-DAG: prune.record "k:0" as(#prune.slice<dim = 0>) keeps 48 of 64
// WIDTH-DAG: prune.record "v:0" as(#prune.slice<dim = 0>) keeps 48 of 64
// WIDTH-DAG: prune.record "o:1" as(#prune.slice<dim = 1>) keeps 48 of 64

// Asking for one kind only leaves no choice.
// REDEFINE: %{options} = ratio=0.25 kinds=heads
// RUN: %{select} -o /dev/null 2>&1 | FileCheck %s --check-prefix=NONE --implicit-check-not=keeps
// NONE-DAG: 'heads:{{.*}} stays whole because a share of 0.25 of its 2 units rounds to none
// NONE-DAG: warning: nothing is pruned
// REDEFINE: %{options} = ratio=0.5 kinds=head-width
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=HALF
// HALF-NOT: 'heads:{{.*}} keeps
// HALF: prune.record "q:0" as(#prune.slice<dim = 0>) keeps 32 of 64

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#q = affine_map<(h, i, j, d) -> (i, h, d)>
#k = affine_map<(h, i, j, d) -> (j, h, d)>
#s = affine_map<(h, i, j, d) -> (h, i, j)>
#id = affine_map<(h, i, j) -> (h, i, j)>
func.func @main(%x: tensor<3x8xf32>) -> tensor<3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %q = arith.constant dense<[[-5., 9., -7., -1., -6., 6., 5., 6.], [3., -3., -6., 6., -9., 3., 4., -9.], [5., -1., -2., 9., -6., 1., -9., -9.], [-9., 8., -9., 3., -3., 4., -9., 7.], [3., 10., 11., 13., 3., 7., 3., 3.], [10., 5., -4., 9., 13., -1., 1., 5.], [-1., 6., 12., 9., 12., 2., 5., 5.], [14., 11., 12., 8., 14., -3., 11., 3.]]> : tensor<8x8xf32> loc("q")
  %k = arith.constant dense<[[3., 4., -4., 2., 8., 2., -7., 5.], [7., -6., -4., 7., 3., 2., 6., -9.], [6., -8., 0., 9., 9., 3., -4., -4.], [7., -2., -9., -3., 8., 8., -2., 3.], [12., 7., 14., 7., 10., 4., 13., -4.], [8., 12., 0., 12., 13., 2., 9., -3.], [11., 7., 14., 13., 2., 12., 9., 11.], [7., 9., 7., -4., 13., 13., 6., 10.]]> : tensor<8x8xf32> loc("k")
  %v = arith.constant dense<[[-9., -2., -4., 8., 9., -4., -7., 8.], [-1., -8., -7., -7., -9., 5., -9., -1.], [-2., -1., -6., -4., 2., 0., -7., -4.], [-4., -1., 7., -4., -1., 0., 5., 1.], [11., 11., -1., -4., 5., 8., 6., 9.], [2., 4., -1., 4., 12., 2., 9., -4.], [3., -4., 8., 0., -3., 1., 10., 12.], [9., 13., 3., 12., 10., 3., 12., -4.]]> : tensor<8x8xf32> loc("v")
  %o = arith.constant dense<[[3., 9., 1., 4., -8., 0., -5., -3.], [-8., 0., -7., -7., 0., 0., -4., 4.], [9., -1., -5., -9., 8., -8., 9., -3.], [9., 5., -4., 7., -8., 3., -3., 2.], [-6., -3., 9., 4., 9., -3., 6., -6.], [3., 0., 7., 6., -9., 1., 3., 0.], [-9., -4., -3., 1., 9., -5., 1., 4.], [-3., -1., -6., 3., 8., 2., 8., 6.]]> : tensor<8x8xf32> loc("o")
  %eq = tensor.empty() : tensor<3x8xf32>
  %fq = linalg.fill ins(%zero : f32) outs(%eq : tensor<3x8xf32>) -> tensor<3x8xf32>
  %pq = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %q : tensor<3x8xf32>, tensor<8x8xf32>) outs(%fq : tensor<3x8xf32>) -> tensor<3x8xf32>
  %hq = tensor.expand_shape %pq [[0], [1, 2]] output_shape [3, 2, 4] : tensor<3x8xf32> into tensor<3x2x4xf32>
  %ek = tensor.empty() : tensor<3x8xf32>
  %fk = linalg.fill ins(%zero : f32) outs(%ek : tensor<3x8xf32>) -> tensor<3x8xf32>
  %pk = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %k : tensor<3x8xf32>, tensor<8x8xf32>) outs(%fk : tensor<3x8xf32>) -> tensor<3x8xf32>
  %hk = tensor.expand_shape %pk [[0], [1, 2]] output_shape [3, 2, 4] : tensor<3x8xf32> into tensor<3x2x4xf32>
  %ev = tensor.empty() : tensor<3x8xf32>
  %fv = linalg.fill ins(%zero : f32) outs(%ev : tensor<3x8xf32>) -> tensor<3x8xf32>
  %pv = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %v : tensor<3x8xf32>, tensor<8x8xf32>) outs(%fv : tensor<3x8xf32>) -> tensor<3x8xf32>
  %hv = tensor.expand_shape %pv [[0], [1, 2]] output_shape [3, 2, 4] : tensor<3x8xf32> into tensor<3x2x4xf32>
  %es = tensor.empty() : tensor<2x3x3xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
  %s = linalg.contract indexing_maps = [#q, #k, #s] ins(%hq, %hk : tensor<3x2x4xf32>, tensor<3x2x4xf32>) outs(%fs : tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
  %et = tensor.empty() : tensor<2x3x3xf32>
  %t = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%s : tensor<2x3x3xf32>) outs(%et : tensor<2x3x3xf32>) {
  ^bb0(%a: f32, %o1: f32):
    %b = math.exp %a : f32
    linalg.yield %b : f32
  } -> tensor<2x3x3xf32>
  %ec = tensor.empty() : tensor<3x2x4xf32>
  %fc = linalg.fill ins(%zero : f32) outs(%ec : tensor<3x2x4xf32>) -> tensor<3x2x4xf32>
  %c = linalg.contract indexing_maps = [#s, #k, #q] ins(%t, %hv : tensor<2x3x3xf32>, tensor<3x2x4xf32>) outs(%fc : tensor<3x2x4xf32>) -> tensor<3x2x4xf32>
  %flat = tensor.collapse_shape %c [[0], [1, 2]] : tensor<3x2x4xf32> into tensor<3x8xf32>
  %eo = tensor.empty() : tensor<3x8xf32>
  %fo = linalg.fill ins(%zero : f32) outs(%eo : tensor<3x8xf32>) -> tensor<3x8xf32>
  %r = linalg.contract indexing_maps = [#x, #w, #y] ins(%flat, %o : tensor<3x8xf32>, tensor<8x8xf32>) outs(%fo : tensor<3x8xf32>) -> tensor<3x8xf32>
  return %r : tensor<3x8xf32>
}
