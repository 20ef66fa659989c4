// A module without prunable weights is not an error, but nobody should think it was pruned.
// RUN: prune-opt %s --prune -o /dev/null 2>&1 | FileCheck %s
// CHECK: warning: nothing is pruned: the module has no prunable weight (see prune-identify)
func.func @main(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  return %x : tensor<3x4xf32>
}
