// Options of prune-load-weights that lead nowhere; wrong arrays are in test/python/test_load_weights.py.
// RUN: not prune-opt %s --prune-load-weights="file=%t.absent.npz" 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not prune-opt %s --prune-load-weights="file=%s" 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not prune-opt %s --prune-load-weights="file=%s entry=other" 2>&1 | FileCheck %s --check-prefix=ENTRY

// FILE: error: file: {{.*}}.absent.npz{{.*}}: {{[Nn]}}o such file or directory
// FORMAT: error: file: {{.*}}load-weights-invalid.mlir
// ENTRY: error: entry: expected a function with a body, got 'other'
func.func @main(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("w")
  %y = arith.addf %x, %w : tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}
