// What the generator refuses, and what it says about scalar loops.
// RUN: prune-opt %s --convert-linalg-to-vector-loops --split-input-file --verify-diagnostics
// RUN: not prune-opt %s --convert-linalg-to-vector-loops=vector-bits=96 2>&1 | FileCheck %s --check-prefix=BITS
// BITS: expected vector-bits 128, 256 or 512, got 96

func.func @tensors(%a: tensor<8xf32>, %b: tensor<8xf32>) -> tensor<8xf32> {
  // expected-error@+1 {{expected buffers, got tensors: bufferize before generating loops}}
  %r = linalg.exp ins(%a : tensor<8xf32>) outs(%b : tensor<8xf32>) -> tensor<8xf32>
  return %r : tensor<8xf32>
}

// -----

func.func @no_strides(%a: memref<8xf32, affine_map<(d0) -> (d0 floordiv 2)>>, %b: memref<8xf32>) {
  // expected-error@+1 {{cannot become loops: operand 0 has a layout without strides}}
  linalg.exp ins(%a : memref<8xf32, affine_map<(d0) -> (d0 floordiv 2)>>) outs(%b : memref<8xf32>)
  return
}
