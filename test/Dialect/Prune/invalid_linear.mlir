// The constraints of prune.linear, by their labels in its description.
// RUN: prune-opt %s -split-input-file -verify-diagnostics

func.func @linear_c1_rank(%v: tensor<8x8x4xf32>, %x: tensor<8x32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected input and init of one rank and element type}}
  %y = prune.linear dense rows 4 chunk 8 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<8x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c1_sizes(%v: tensor<8x8x4xf32>, %x: tensor<4x8x16xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected dimension 2 of input and init to be equal, got 16 and 32}}
  %y = prune.linear dense rows 4 chunk 8 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<4x8x16xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c1_lanes(%v: tensor<8x8x4xf32>, %x: tensor<4x8x32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected between 1 and 2 lane dimensions, got 3}}
  %y = prune.linear dense rows 4 chunk 8 lanes 3 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<4x8x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c2(%v: tensor<8x8x4xf32>, %x: tensor<4x8x32xf32>, %b: tensor<31xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected an extra of shape [32] or of init's shape, got 'tensor<31xf32>'}}
  %y = prune.linear dense rows 4 chunk 8 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<4x8x32xf32>) extras(%b : tensor<31xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32, %e: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c3_arguments(%v: tensor<8x8x4xf32>, %x: tensor<4x8x32xf32>, %b: tensor<32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected 2 epilogue arguments, got 1}}
  %y = prune.linear dense rows 4 chunk 8 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<4x8x32xf32>) extras(%b : tensor<32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c3_yield(%v: tensor<8x8x4xf32>, %x: tensor<4x8x32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected the epilogue to yield one 'f32'}}
  %y = prune.linear dense rows 4 chunk 8 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<4x8x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c4(%v: tensor<8x8x4xf32>, %x: tensor<4x8x32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected 2 rows for chunked_csr, got 4}}
  %y = prune.linear chunked_csr rows 4 chunk 8 storage(%v : tensor<8x8x4xf32>) ins(%x : tensor<4x8x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return
}
