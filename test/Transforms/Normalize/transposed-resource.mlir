// A resource whose elements move keeps its name, and its old bytes are gone.
// RUN: prune-opt %s --prune-normalize="inline-limit=2" | FileCheck %s

// CHECK: arith.constant dense_resource<fc.weight> : tensor<3x2xf32>
func.func @linear(%x: tensor<1x2xf32>, %e: tensor<1x3xf32>) -> tensor<1x3xf32> {
  %w = arith.constant dense_resource<fc.weight> : tensor<2x3xf32>
  // CHECK: linalg.contract
  %r = linalg.matmul ins(%x, %w : tensor<1x2xf32>, tensor<2x3xf32>) outs(%e : tensor<1x3xf32>) -> tensor<1x3xf32>
  return %r : tensor<1x3xf32>
}

// Rows 1 2 3 / 4 5 6 become columns.
// CHECK: fc.weight: "0x100000000000803F00008040000000400000A040000040400000C040"
{-#
  dialect_resources: {
    builtin: {
      fc.weight: "0x040000000000803F0000004000004040000080400000A0400000C040"
    }
  }
#-}
