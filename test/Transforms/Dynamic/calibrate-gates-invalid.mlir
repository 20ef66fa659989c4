// Masks that cannot be calibrated: elements that are not f32, masks in loops, uses that are no gates, functions with calls.
// REQUIRES: python
// RUN: %python -c "import numpy; numpy.savez('%t.npz', in0=numpy.zeros((4, 4), 'f4'))"
// RUN: prune-opt %s --split-input-file --verify-diagnostics --prune-calibrate-gates="data=%t.npz"

func.func @main(%x: tensor<1x4xf64>) -> tensor<1x4xf64> {
  // expected-error @+1 {{'prune.dynamic_mask' op expected scores of f32 to calibrate, got 'f64'}}
  %m = prune.dynamic_mask %x along 1 sparsity(0.5) : tensor<1x4xf64>
  %y = prune.gate %x, %m : tensor<1x4xf64>
  return %y : tensor<1x4xf64>
}

// -----

func.func @main(%x: tensor<1x4xf32>) -> tensor<1x4xi1> {
  // expected-error @+1 {{'prune.dynamic_mask' op expected to be used by prune.gate only, got func.return}}
  %m = prune.dynamic_mask %x along 1 sparsity(0.5) : tensor<1x4xf32>
  return %m : tensor<1x4xi1>
}

// -----

func.func @main(%x: tensor<1x4xf32>) -> tensor<1x4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %c1 step %c1 iter_args(%y = %x) -> tensor<1x4xf32> {
    // expected-error @+1 {{'prune.dynamic_mask' op expected to be in the body of 'main', which is the function that is run}}
    %m = prune.dynamic_mask %y along 1 sparsity(0.5) : tensor<1x4xf32>
    %z = prune.gate %y, %m : tensor<1x4xf32>
    scf.yield %z : tensor<1x4xf32>
  }
  return %r : tensor<1x4xf32>
}

// -----

// expected-error @below {{entry: expected a function without calls, got 'main'}}
module {
  func.func private @f(tensor<1x4xf32>) -> tensor<1x4xf32>
  func.func @main(%x: tensor<1x4xf32>) -> tensor<1x4xf32> {
    %c = call @f(%x) : (tensor<1x4xf32>) -> tensor<1x4xf32>
    %m = prune.dynamic_mask %c along 1 sparsity(0.5) : tensor<1x4xf32>
    %y = prune.gate %c, %m : tensor<1x4xf32>
    return %y : tensor<1x4xf32>
  }
}
