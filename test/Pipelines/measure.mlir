// With measure=true the best candidates of each layer are compiled alone, timed on this machine, and the fastest is taken.
// RUN: prune-opt %s --prune="sparsity=0.75" --prune-to-cpu="measure=true report=%t.json" --remarks-filter=prune-pack \
// RUN:   --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s
// CHECK: Pack {{.*}}main.linear_0: {{.*}} us measured, {{.*}} estimated); next {{.*}} us measured, {{.*}} estimated)
// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json
// JSON: "estimated_us":
// JSON: "measured_us":
// JSON: "measured_us":
// A limit that is over leaves layers to the estimate, and says how many.
// RUN: prune-opt %s --prune="sparsity=0.75" --prune-to-cpu="measure=true measure-limit=1e-9 report=%t.json" --remarks-filter=prune-pack \
// RUN:   --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=LIMIT
// LIMIT: Pack {{.*}}main.linear_0: {{.*}} us estimated); next
// LIMIT-NOT: measured
// LIMIT: [Missed] Pack {{.*}}1 of 1 layers left to the estimate because measure-limit=1e-09 seconds were over
// RUN: prune-opt %s --prune="sparsity=0.75" --prune-to-cpu="measure=true measure-limit=600" --remarks-filter=prune-pack \
// RUN:   --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=WITHIN
// WITHIN-NOT: left to the estimate
// RUN: not prune-opt %s --prune-to-cpu="measure=true measure-limit=-1" 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// NEGATIVE: prune-pack: expected measure-limit of 0 or more seconds, got -1
// Nor can it measure what this machine cannot run.
// RUN: not prune-opt %s --prune-to-cpu="measure=true cpu=diamondrapids" 2>&1 | FileCheck %s --check-prefix=LACKS
// LACKS: prune-pack: cannot measure for cpu 'diamondrapids': this machine lacks {{.*}}amx
// Without it no clock is read, and the same model gives the same report.
// RUN: prune-opt %s --prune="sparsity=0.75" --prune-to-cpu="report=%t.1.json" -o %t.1.mlir
// RUN: prune-opt %s --prune="sparsity=0.75" --prune-to-cpu="report=%t.2.json" -o %t.2.mlir
// RUN: cmp %t.1.json %t.2.json && cmp %t.1.mlir %t.2.mlir

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
