// Storage for GPUs is chosen by the cost model of the chip, and a remark says why, and why not the others.
//
// DEFINE: %{options} = chip=sm_80
// DEFINE: %{mask} = sparsity=0.75
// DEFINE: %{pack} = prune-opt %s --prune="%{mask}" --prune-pack-gpu="%{options}" --remarks-filter=prune-pack-gpu --remark-format=emitRemark
//
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=DENSE
// DENSE: [Missed] Pack {{.*}}main.linear_0: matrix in f32 at density 0.25 ({{[0-9.]+}} us estimated); csr declined at 75 %: dense multiply-adds are faster ({{[0-9.]+}} us estimated)
// DENSE: %[[W:[^ ]*]] = arith.constant dense<{{\[\[}}0.000000e+00, 0.000000e+00, 8.000000e+00, 0.000000e+00, 9.000000e+00, 0.000000e+00
// DENSE: prune.linear matrix rows 1 chunk 8 lanes 0 storage(%[[W]] : tensor<4x8xf32>) ins(%{{.*}} : tensor<64x8xf32>)
// DENSE-NOT: linalg.contract
//
// What is asked for is done where the mask allows it. A step of CSR is four entries for each of 16 rows, and four more are loaded ahead.
// REDEFINE: %{options} = chip=sm_80 kernel=csr
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=CSR
// CSR: [Passed] Pack {{.*}}main.linear_0: csr in f32, groups of 64 rows x 8 tokens, chunk 8 at density 0.25 ({{[0-9.]+}} us estimated, as asked); matrix in f32 declined: slower
// CSR: prune.linear csr rows 64 chunk 8 vectors 2 lanes 0 storage(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<5xi32>, tensor<320xi16>, tensor<320xf32>, tensor<64xi32>)
// REDEFINE: %{options} = chip=sm_80 kernel=block
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=NOBLOCKS
// NOBLOCKS: [Missed] {{.*}}matrix in f32 at density 0.25 ({{[0-9.]+}} us estimated); block_csr declined: the pattern has no blocks
// NOBLOCKS: prune.linear matrix
//
// In f16 the activations are rounded before the layer; its result stays f32.
// REDEFINE: %{options} = chip=sm_90 kernel=block precision=f16
// REDEFINE: %{mask} = pattern=2x4 sparsity=0.5
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=BLOCKS
// BLOCKS: [Passed] {{.*}}main.linear_0: block_csr in f16 at density 0.50
// BLOCKS: %[[X:.*]] = arith.truncf %arg0 : tensor<64x8xf32> to tensor<64x8xf16>
// BLOCKS: prune.linear block_csr rows 2 chunk 4 lanes 0 storage(%{{.*}}, %{{.*}}, %{{.*}} : tensor<3xi32>, tensor<2xi16>, tensor<2x2x4xf16>) ins(%[[X]] : tensor<64x8xf16>) outs(%{{.*}} : tensor<64x4xf32>)
//
// Rounding costs a launch: so few multiply-adds are done in f32 with what the mask keeps.
// REDEFINE: %{options} = chip=sm_80 precision=f16 report=%t.json
// REDEFINE: %{mask} = pattern=2:4
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=FEW
// FEW: [Passed] {{.*}}main.linear_0: csr in f32, {{.*}}; matrix in f16 declined: slower ({{[0-9.]+}} us estimated); 2:4 declined: M = 64 < 1024
// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json
// JSON: "cost_model": "sm_80"
// JSON: "estimated_us":
// JSON-NEXT: "kernel": "csr"
// JSON-NEXT: "precision": "f32"
// JSON: "declined": "the pattern has no blocks"
// JSON-NEXT: "kernel": "block_csr"
// JSON: "declined": "M = 64 < 1024"
// JSON-NEXT: "kernel": "two_of_four"
// JSON: "density": 0.5
// JSON: "pattern": "2:4"
// JSON: "tokens": 64
// REDEFINE: %{options} = chip=sm_80 precision=f16 kernel=two_of_four
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=ASKED
// ASKED: [Missed] {{.*}}main.linear_0: matrix in f16 at density 0.50 ({{[0-9.]+}} us estimated); 2:4 declined: M = 64 < 1024
// REDEFINE: %{options} = chip=sm_90 precision=tf32
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=TF32
// TF32: 2:4 declined: tensor cores skip one of two in tf32, and row {{[0-9]+}} keeps columns {{[0-9]+}} and {{[0-9]+}}
// REDEFINE: %{options} = chip=opencl precision=tf32 kernel=two_of_four
// REDEFINE: %{mask} = pattern=1:2
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=ONEOFTWO
// ONEOFTWO: [Passed] {{.*}}main.linear_0: two_of_four in tf32 at density 0.50 ({{[0-9.]+}} us estimated, as asked)
// ONEOFTWO: prune.linear two_of_four rows 16 chunk 32 lanes 0 storage(%{{.*}} : tensor<1152xi8>) ins(%arg0 : tensor<64x8xf32>)
//
// In i8 each token is divided by its largest magnitude; the epilogue multiplies by it and by the row's scale.
// REDEFINE: %{options} = chip=sm_80 precision=i8 kernel=dense
// REDEFINE: %{mask} = sparsity=0.75
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=I8
// I8: [Missed] Pack {{.*}}main.linear_0: matrix in i8 at density 0.25
// I8: %[[ROWS:.*]] = arith.constant dense<5.58{{.*}}E-4> : tensor<4xf32>
// I8: %[[MOST:.*]] = linalg.generic {{.*}}"reduction"]} ins(%arg0 : tensor<64x8xf32>)
// I8: math.absf
// I8: arith.maximumf
// I8: %[[X:.*]] = linalg.generic {{.*}} ins(%arg0, %[[MOST]] : tensor<64x8xf32>, tensor<64xf32>) outs(%{{.*}} : tensor<64x8xi8>)
// I8: math.roundeven
// I8: %[[TOKENS:.*]] = tensor.expand_shape %[[MOST]] {{.*}} into tensor<64x1xf32>
// I8: prune.linear tiles rows 16 chunk 128 lanes 0 storage(%{{.*}} : tensor<2048xi8>) ins(%[[X]] : tensor<64x8xi8>) extras(%[[ROWS]], %[[TOKENS]] : tensor<4xf32>, tensor<64x1xf32>)
// I8: ^bb0(%[[SUM:.*]]: f32, %[[ROW:.*]]: f32, %[[TOKEN:.*]]: f32):
// I8-NEXT: %[[SCALE:.*]] = arith.mulf %[[ROW]], %[[TOKEN]]
// I8-NEXT: %[[Y:.*]] = arith.mulf %[[SUM]], %[[SCALE]]
// I8-NEXT: prune.yield %[[Y]]
//
// A library gets the masked weight in its own form, or says why it does not; remarks name it.
// REDEFINE: %{options} = chip=sm_80 kernel=csr libraries=cusparse
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=CUSPARSE
// CUSPARSE: [Passed] Pack {{.*}}csr in f32, {{.*}}; by cusparse
// CUSPARSE: prune.linear csr {{.*}} storage(%{{.*}}, %{{.*}}, %{{.*}} : tensor<5xi32>, tensor<8xi32>, tensor<8xf32>)
// REDEFINE: %{options} = chip=sm_80 precision=i8 kernel=dense libraries=cublas
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=NOCUBLAS
// NOCUBLAS: [Missed] Pack {{.*}}matrix in i8 {{.*}}; cublas declined: i8 has no form for it
// NOCUBLAS: prune.linear tiles
// REDEFINE: %{mask} = pattern=2:4
//
// REDEFINE: %{options} = chip=sm_90
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=F32
// F32: 2:4 declined: f32 has no tensor cores
//

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
