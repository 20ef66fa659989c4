// RUN: prune-opt %s --prune-expand-gradients --split-input-file --verify-diagnostics

func.func private @loss(%x: tensor<f32>) -> tensor<f32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  // expected-error @+1 {{'scf.for' op cannot be differentiated: expected an op with a gradient rule, got none}}
  %r = scf.for %i = %zero to %one step %one iter_args(%y = %x) -> tensor<f32> {
    %z = arith.mulf %y, %y : tensor<f32>
    scf.yield %z : tensor<f32>
  }
  return %r : tensor<f32>
}
func.func @main(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  %l, %g = prune.gradient @loss(%x) by [0] : (tensor<f32>) -> (tensor<f32>, tensor<f32>)
  return %l, %g : tensor<f32>, tensor<f32>
}

// -----

func.func private @loss(%x: tensor<4xf32>) -> tensor<f32> {
  %one = arith.constant dense<1.0> : tensor<f32>
  // expected-error @+1 {{cannot be differentiated: expected a reduction by sum, difference, maximum or minimum, got another one in result 0}}
  %r = linalg.reduce ins(%x : tensor<4xf32>) outs(%one : tensor<f32>) dimensions = [0]
    (%a: f32, %o: f32) {
      %t = arith.mulf %a, %o : f32
      linalg.yield %t : f32
    }
  return %r : tensor<f32>
}
func.func @main(%x: tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>) {
  %l, %g = prune.gradient @loss(%x) by [0] : (tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>)
  return %l, %g : tensor<f32>, tensor<4xf32>
}

// -----

func.func private @loss(%x: tensor<f32>) -> tensor<f32> {
  // expected-error @+1 {{cannot be differentiated: expected calls without recursion, got 'loss' within itself}}
  %r = func.call @loss(%x) : (tensor<f32>) -> tensor<f32>
  return %r : tensor<f32>
}
func.func @main(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  %l, %g = prune.gradient @loss(%x) by [0] : (tensor<f32>) -> (tensor<f32>, tensor<f32>)
  return %l, %g : tensor<f32>, tensor<f32>
}

// -----

func.func private @loss(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
func.func @main(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // expected-error @+1 {{expected a float tensor of rank 0 as first result (gradient_c2), got 'tensor<4xf32>'}}
  %l, %g = prune.gradient @loss(%x) by [0] : (tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  return %l, %g : tensor<4xf32>, tensor<4xf32>
}

// -----

func.func @main(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  // expected-error @+1 {{expected a function with a body named 'none' (gradient_c1), got none}}
  %l, %g = prune.gradient @none(%x) by [0] : (tensor<f32>) -> (tensor<f32>, tensor<f32>)
  return %l, %g : tensor<f32>, tensor<f32>
}

// -----

func.func private @loss(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}
func.func @main(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  // expected-error @+1 {{by: expected arguments 0 to 0 (gradient_c3), got 1}}
  %l, %g = prune.gradient @loss(%x) by [1] : (tensor<f32>) -> (tensor<f32>, tensor<f32>)
  return %l, %g : tensor<f32>, tensor<f32>
}
