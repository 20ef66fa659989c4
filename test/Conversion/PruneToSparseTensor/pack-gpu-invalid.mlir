// Wrong options, masks and shapes end in one line, and what cannot be packed stays with a remark.
//
// RUN: not prune-opt %s --prune-pack-gpu="chip=sm_70" 2>&1 | FileCheck %s --check-prefix=CHIP
// CHIP: prune-pack-gpu: expected chip sm_80, sm_86, sm_89, sm_90 or opencl, got 'sm_70'
// RUN: not prune-opt %s --prune-pack-gpu="precision=f64" 2>&1 | FileCheck %s --check-prefix=PRECISION
// PRECISION: prune-pack-gpu: expected precision f32, tf32, f16, bf16 or i8, got 'f64'
// RUN: not prune-opt %s --prune-pack-gpu="kernel=sparse" 2>&1 | FileCheck %s --check-prefix=KERNEL
// KERNEL: prune-pack-gpu: expected kernel auto, dense, csr, block, two_of_four or columns, got 'sparse'
// RUN: not prune-opt %s --prune-pack-gpu="cost-model=%t.nowhere" 2>&1 | FileCheck %s --check-prefix=NOWHERE
// NOWHERE: prune-pack-gpu: cost model '{{.*}}nowhere': {{.*}}, and the built-in ones are sm_80, sm_86, sm_89, sm_90, opencl
// RUN: not prune-opt %s --prune-pack-gpu="chip=sm_80 cost-model=sm_90" 2>&1 | FileCheck %s --check-prefix=OTHER
// OTHER: prune-pack-gpu: cost model 'sm_90': expected one of sm_80, got one of sm_90
// RUN: not prune-opt %s --prune-pack-gpu="report=/nowhere/r.json" 2>&1 | FileCheck %s --check-prefix=REPORT
// REPORT: prune-pack-gpu: cannot write report '/nowhere/r.json'
// RUN: not prune-opt %s --prune-pack-gpu="kernel=two_of_four precision=f16" 2>&1 | FileCheck %s --check-prefix=ODD
// ODD: pack-gpu-invalid.mlir:[[#@LINE+21]]:{{.*}}: error: 'linalg.contract' op expected columns in a multiple of 8 for two_of_four, got 6 in 'odd'
//
// RUN: prune-opt %s --prune-pack-gpu --remarks-filter=prune-pack-gpu --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=STAYS
// STAYS: [Missed] Pack {{.*}}columns are not the last dimension of the activations
// STAYS: [Missed] Pack {{.*}}the values of the weight come at run time
// STAYS: func.func @odd
// STAYS: prune.linear matrix
// STAYS: func.func @channels
// STAYS: linalg.contract
// STAYS: func.func @values
// STAYS: linalg.contract

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @odd(%x: tensor<5x6xf32>, %e: tensor<5x2xf32>) -> tensor<5x2xf32> {
  %c = arith.constant dense<1.5> : tensor<2x6xf32> loc("odd")
  %mask = arith.constant dense<[[true, true, false, false, true, false], [false, true, false, true, false, true]]> : tensor<2x6xi1>
  %w = prune.apply %c, %mask as(#prune.n_of_m<2, 4>) : tensor<2x6xf32>
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x2xf32>) -> tensor<5x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<5x6xf32>, tensor<2x6xf32>)
         outs(%f : tensor<5x2xf32>) -> tensor<5x2xf32>
  return %y : tensor<5x2xf32>
}
func.func @channels(%x: tensor<6x5xf32>, %e: tensor<2x5xf32>) -> tensor<2x5xf32> {
  %w = arith.constant dense<1.5> : tensor<2x6xf32>
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  %y = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (k, m)>, #w, affine_map<(m, n, k) -> (n, m)>]
         ins(%x, %w : tensor<6x5xf32>, tensor<2x6xf32>) outs(%f : tensor<2x5xf32>) -> tensor<2x5xf32>
  return %y : tensor<2x5xf32>
}
func.func @values(%x: tensor<5x6xf32>, %v: tensor<6xf32>, %e: tensor<5x2xf32>) -> tensor<5x2xf32> {
  %mask = arith.constant dense<[[true, false, true, false, true, false], [false, true, false, true, false, true]]> : tensor<2x6xi1>
  %w = prune.decompress %v, %mask : tensor<6xf32> to tensor<2x6xf32>
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x2xf32>) -> tensor<5x2xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<5x6xf32>, tensor<2x6xf32>)
         outs(%f : tensor<5x2xf32>) -> tensor<5x2xf32>
  return %y : tensor<5x2xf32>
}
