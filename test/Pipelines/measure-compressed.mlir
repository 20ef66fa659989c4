// A layer whose values come at run time is timed with others in their place.
// RUN: prune-opt %s --prune-to-cpu="measure=true" --remarks-filter=prune-pack --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s
// CHECK: fc.weight: {{.*}} us measured,
func.func @main(%x: tensor<64x8xf32>, %v: tensor<4xf32>) -> tensor<64x4xf32> {
  %m = arith.constant dense<[[true, false, false, false, false, false, false, false],
                             [false, true, false, false, false, false, false, false],
                             [false, false, false, false, false, false, true, false],
                             [false, false, false, false, true, false, false, false]]> : tensor<4x8xi1>
  %w = prune.decompress %v, %m : tensor<4xf32> to tensor<4x8xf32> loc("fc.weight")
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x4xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<64x4xf32>) -> tensor<64x4xf32>
  %r = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %w : tensor<64x8xf32>, tensor<4x8xf32>) outs(%f : tensor<64x4xf32>) -> tensor<64x4xf32>
  return %r : tensor<64x4xf32>
}
