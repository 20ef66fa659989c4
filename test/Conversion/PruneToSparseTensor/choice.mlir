// Which code a layer gets is decided by a cost model, here one whose numbers can be checked by eye: a weight of dense code costs
// 1 us for each tile of 32 tokens, one of sparse code 2 us. The remark gives the winner, its time and the runner-up.
//
// DEFINE: %{model} = cost-model=%S/Inputs/model.json
// DEFINE: %{remarks} = --remarks-filter=prune-pack --remark-format=emitRemark -o /dev/null
// RUN: prune-opt %s --prune="sparsity=0.75" --prune-pack="%{model}" | FileCheck %s --check-prefix=SPARSE
// SPARSE: prune.linear chunked_csr rows 2 chunk 8 vectors 4
// RUN: prune-opt %s --prune="sparsity=0.75" --prune-pack="%{model} report=%t.json" %{remarks} 2>&1 | FileCheck %s --check-prefix=WIN
// WIN: [Passed] Pack {{.*}}main.linear_0: chunked_csr, chunk 8, 4 vectors at density 0.25 (32.0 us estimated); next dense, 4 rows, chunk 8, 2 vectors (64.0 us estimated)
// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json
// JSON: "cost_model": "test"
// JSON: "break_even": 0.5
// JSON: "estimated_us": 32
// JSON-NEXT: "kernel": "chunked_csr"
// JSON: "density": 0.25
// JSON: "pattern": "unstructured"
// JSON: "tokens": 64
//
// RUN: prune-opt %s --prune="sparsity=0.25" --prune-pack="%{model}" | FileCheck %s --check-prefix=DENSE
// DENSE: prune.linear dense rows 4 chunk 8 vectors 2
// RUN: prune-opt %s --prune="sparsity=0.25" --prune-pack="%{model}" %{remarks} 2>&1 | FileCheck %s --check-prefix=LOSE
// LOSE: [Missed] Pack {{.*}}main.linear_0: dense because density 0.75 is above break-even 0.50 for this shape and target: dense, 4 rows, chunk 8, 2 vectors (64.0 us estimated); next chunked_csr, chunk 8, 4 vectors (96.0 us estimated)
//
// What is asked for is done, whatever the model says.
// RUN: prune-opt %s --prune="sparsity=0.25" --prune-pack="%{model} kernel=sparse chunk=4 vectors=2" | FileCheck %s --check-prefix=FORCED
// FORCED: prune.linear chunked_csr rows 2 chunk 4 vectors 2
// A code for few tokens, too: one token's columns are the lanes of linalg.contract.
// RUN: sed s/64x/1x/g %s | prune-opt --prune="sparsity=0.25" --prune-pack="%{model}" | FileCheck %s --check-prefix=ONE
// ONE: linalg.contract
// ONE-NOT: prune.linear
//
// RUN: not prune-opt %s --prune-pack="cost-model=%t.nowhere" 2>&1 | FileCheck %s --check-prefix=NOWHERE
// NOWHERE: prune-pack: cost model '{{.*}}nowhere': {{.*}}, and the built-in ones are x86-64, x86-64-v3, znver4
// RUN: sed 's/: 0/: -1/' %S/Inputs/model.json > %t.bad.json
// RUN: not prune-opt %s --prune-pack="cost-model=%t.bad.json" 2>&1 | FileCheck %s --check-prefix=BAD
// BAD: prune-pack: cost model '{{.*}}.bad.json': expected a number of 0 or more at $.kernels[0].ns.{{[a-z]+}}, got -1
// RUN: not prune-opt %s --prune-pack="%{model} lanes=16" 2>&1 | FileCheck %s --check-prefix=LANES
// LANES: prune-pack: cost model '{{.*}}model.json': expected a model for registers of 16 lanes, got one for 8
// RUN: not prune-opt %s --prune-pack="%{model} report=/nowhere/r.json" 2>&1 | FileCheck %s --check-prefix=REPORT
// REPORT: prune-pack: cannot write report '/nowhere/r.json'
// RUN: not prune-opt %s --prune-pack="measure=true" 2>&1 | FileCheck %s --check-prefix=MEASURE
// MEASURE: prune-pack: expected prune.entry, which says for what processor to measure with measure=true

func.func @main(%x: tensor<64x8xf32>) -> tensor<64x4xf32> {
  %w = arith.constant dense<[[1., 2., 8., 4., 9., 6., 3., 5.], [1., 2., 9., 4., 8., 6., 3., 5.],
                             [8., 2., 1., 4., 3., 6., 9., 5.], [9., 2., 1., 4., 3., 6., 8., 5.]]> : tensor<4x8xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<64x4xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<64x4xf32>) -> tensor<64x4xf32>
  %y = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                                        affine_map<(m, n, k) -> (m, n)>]
    ins(%x, %w : tensor<64x8xf32>, tensor<4x8xf32>) outs(%init : tensor<64x4xf32>) -> tensor<64x4xf32>
  return %y : tensor<64x4xf32>
}
