// The pipeline `prune` leaves the weight, its constant mask, prune.apply and a record; in prune-opt by flag and in textual
// pipelines, and in stock mlir-opt through the plugin.
// RUN: prune-opt %s --prune="criterion=magnitude pattern=4x1 sparsity=0.5 scope=layer include=fc threads=1" | FileCheck %s
// RUN: prune-opt %s --pass-pipeline='builtin.module(prune{pattern=4x1})' | FileCheck %s
// RUN: mlir-opt-22 --load-dialect-plugin=%plugin --load-pass-plugin=%plugin %s \
// RUN:   --pass-pipeline='builtin.module(prune{pattern=4x1 sparsity=0.5})' | FileCheck %s
// RUN: prune-opt %s --prune="pattern=4x1" --emit-bytecode | prune-opt --prune-verify-masks | FileCheck %s
// RUN: not prune-opt %s --prune="sparsity=1.5" -o /dev/null 2>&1 | FileCheck %s --check-prefix=ERROR
// RUN: not prune-opt %s --prune="recipe=%t.none" -o /dev/null 2>&1 | FileCheck %s --check-prefix=RECIPE
// ERROR: error: sparsity: expected a value in [0, 1], got 1.5
// RECIPE: cannot read recipe

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// Columns 1 and 3 weigh most in both blocks of rows.
// CHECK-LABEL: @main
// CHECK: %[[WEIGHT:.*]] = arith.constant dense_resource<fc.weight> : tensor<6x4xf32>
// CHECK: %[[MASK:.*]] = arith.constant dense<{{.}}[false, true, false, true], [false, true, false, true], {{.*}}> : tensor<6x4xi1>
// CHECK: %[[PRUNED:.*]] = prune.apply %[[WEIGHT]], %[[MASK]] as(#prune.block<4, 1>) name("fc.weight") : tensor<6x4xf32>
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %[[PRUNED]]
// CHECK: prune.record "fc.weight" as(#prune.block<4, 1>) keeps 12 of 24 digest
func.func @main(%x: tensor<3x4xf32>, %init: tensor<3x6xf32>) -> tensor<3x6xf32> {
  %w = arith.constant dense_resource<fc.weight> : tensor<6x4xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<3x4xf32>, tensor<6x4xf32>) outs(%init : tensor<3x6xf32>) -> tensor<3x6xf32>
  return %0 : tensor<3x6xf32>
}

{-#
  dialect_resources: {
    builtin: {
      fc.weight: "0x040000000000803F0000404000000040000080400000803F0000404000000040000080400000803F0000404000000040000080400000803F0000404000000040000080400000803F0000404000000040000080400000803F000040400000004000008040"
    }
  }
#-}
