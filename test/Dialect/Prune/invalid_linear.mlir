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

// -----

func.func @linear_c1_pixels(%v: tensor<1x36x4xf32>, %x: tensor<1x4x6x6xf32>, %i: tensor<1x4x6x5xf32>) {
  // expected-error @below {{expected 6 pixels along spatial dimension 1 of init, got 5}}
  %y = prune.linear dense rows 4 chunk 18 lanes 2 window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      storage(%v : tensor<1x36x4xf32>) ins(%x : tensor<1x4x6x6xf32>) outs(%i : tensor<1x4x6x5xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x4x6x5xf32>
  return
}

// -----

func.func @linear_c5_lanes(%v: tensor<1x36x4xf32>, %x: tensor<1x4x6x6xf32>, %i: tensor<1x4x6x6xf32>) {
  // expected-error @below {{expected 2 lane dimensions for a window, got 1}}
  %y = prune.linear dense rows 4 chunk 18 lanes 1 window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      storage(%v : tensor<1x36x4xf32>) ins(%x : tensor<1x4x6x6xf32>) outs(%i : tensor<1x4x6x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x4x6x6xf32>
  return
}

// -----

func.func @linear_c5_chunk(%v: tensor<1x36x4xf32>, %x: tensor<1x4x6x6xf32>, %i: tensor<1x4x6x6xf32>) {
  // expected-error @below {{expected a chunk of whole channels of 9 columns, got 20}}
  %y = prune.linear dense rows 4 chunk 20 lanes 2 window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      storage(%v : tensor<1x36x4xf32>) ins(%x : tensor<1x4x6x6xf32>) outs(%i : tensor<1x4x6x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x4x6x6xf32>
  return
}

// -----

func.func @linear_c5_words(%v: tensor<1x18x4xi32>, %x: tensor<1x4x6x6xi8>, %i: tensor<1x4x6x6xi32>) {
  // expected-error @below {{expected word_columns of 1 with a window, got 2}}
  %y = prune.linear dense rows 4 chunk 18 lanes 2 word_columns 2 window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      storage(%v : tensor<1x18x4xi32>) ins(%x : tensor<1x4x6x6xi8>) outs(%i : tensor<1x4x6x6xi32>) {
  ^bb0(%s: i32):
    prune.yield %s : i32
  } -> tensor<1x4x6x6xi32>
  return
}

// -----

func.func @linear_c8(%v: tensor<8x8x4xi32>, %x: tensor<4x24x32xi8>, %i: tensor<4x32x32xi32>) {
  // expected-error @below {{expected word_columns of 1, 2 or 4, got 3}}
  %y = prune.linear dense rows 4 chunk 8 word_columns 3 storage(%v : tensor<8x8x4xi32>) ins(%x : tensor<4x24x32xi8>) outs(%i : tensor<4x32x32xi32>) {
  ^bb0(%s: i32):
    prune.yield %s : i32
  } -> tensor<4x32x32xi32>
  return
}

// -----

func.func @linear_c8_types(%v: tensor<8x8x4xi32>, %x: tensor<4x16x32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected an input of i8 and init of i32, f32 or i8 and one rank with words, got 'tensor<4x16x32xf32>' and 'tensor<4x32x32xf32>'}}
  %y = prune.linear dense rows 4 chunk 8 word_columns 2 storage(%v : tensor<8x8x4xi32>) ins(%x : tensor<4x16x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: i32):
    %0 = arith.sitofp %s : i32 to f32
    prune.yield %0 : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c8_shares(%v: tensor<8x8x4xi32>, %t: tensor<1x3xi32>, %x: tensor<4x16x32xi8>, %i: tensor<4x32x32xi8>) {
  // expected-error @below {{expected init of i32 or f32 with words and shares, got 'tensor<4x32x32xi8>'}}
  %y = prune.linear dense rows 4 chunk 8 word_columns 2 storage(%v : tensor<8x8x4xi32>) shares(%t : tensor<1x3xi32>)
      ins(%x : tensor<4x16x32xi8>) outs(%i : tensor<4x32x32xi8>) {
  ^bb0(%s: i32):
    %0 = arith.trunci %s : i32 to i8
    prune.yield %0 : i8
  } -> tensor<4x32x32xi8>
  return
}

// -----

func.func @linear_c8_format(%v: tensor<8x8xi32>, %x: tensor<4x32xi8>, %i: tensor<4x8xi32>) {
  // expected-error @below {{expected word_columns of 1 for matrix, got 4}}
  %y = prune.linear matrix rows 1 chunk 8 lanes 0 word_columns 4 storage(%v : tensor<8x8xi32>) ins(%x : tensor<4x32xi8>) outs(%i : tensor<4x8xi32>) {
  ^bb0(%s: i32):
    prune.yield %s : i32
  } -> tensor<4x8xi32>
  return
}

// -----

func.func @linear_c3_words(%v: tensor<8x8x4xi32>, %x: tensor<4x16x32xi8>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected the first epilogue argument to be 'i32', got 'f32'}}
  %y = prune.linear dense rows 4 chunk 8 word_columns 2 storage(%v : tensor<8x8x4xi32>) ins(%x : tensor<4x16x32xi8>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

// expected-error @below {{expected two numbers for kernel, got 1}}
func.func private @window_c1() attributes {w = #prune.window<kernel = [3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>}

// -----

// expected-error @below {{expected strides of at least 1, got 0}}
func.func private @window_c2() attributes {w = #prune.window<kernel = [3, 3], strides = [1, 0], dilations = [1, 1], low = [1, 1], high = [1, 1]>}

// -----

func.func @depthwise_c1_rank(%x: tensor<8x6x6xf32>, %w: tensor<8x3x3xf32>, %i: tensor<1x8x6x6xf32>) {
  // expected-error @below {{expected input and init of rank 4 and one element type with the filter}}
  %y = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%x, %w : tensor<8x6x6xf32>, tensor<8x3x3xf32>) outs(%i : tensor<1x8x6x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x6x6xf32>
  return
}

// -----

func.func @depthwise_c1_channels(%x: tensor<1x4x6x6xf32>, %w: tensor<8x3x3xf32>, %i: tensor<1x8x6x6xf32>) {
  // expected-error @below {{expected the images and channels of input and init to be equal}}
  %y = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%x, %w : tensor<1x4x6x6xf32>, tensor<8x3x3xf32>) outs(%i : tensor<1x8x6x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x6x6xf32>
  return
}

// -----

func.func @depthwise_c1_filter(%x: tensor<1x8x6x6xf32>, %w: tensor<8x3x2xf32>, %i: tensor<1x8x6x6xf32>) {
  // expected-error @below {{expected a filter of shape [8, 3, 3]}}
  %y = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%x, %w : tensor<1x8x6x6xf32>, tensor<8x3x2xf32>) outs(%i : tensor<1x8x6x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x6x6xf32>
  return
}

// -----

func.func @depthwise_c1_pixels(%x: tensor<1x8x6x6xf32>, %w: tensor<8x3x3xf32>, %i: tensor<1x8x7x6xf32>) {
  // expected-error @below {{expected 6 pixels along spatial dimension 0 of init, got 7}}
  %y = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%x, %w : tensor<1x8x6x6xf32>, tensor<8x3x3xf32>) outs(%i : tensor<1x8x7x6xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x7x6xf32>
  return
}

// -----

func.func @linear_c6_chunks(%v: tensor<8x8x4xf32>, %s: tensor<1x3xi32>, %x: tensor<4x8x32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected shares of 2 rows of two or more i32, got 'tensor<1x3xi32>'}}
  %y = prune.linear dense rows 4 chunk 4 storage(%v : tensor<8x8x4xf32>) shares(%s : tensor<1x3xi32>) ins(%x : tensor<4x8x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c6_type(%v: tensor<8x8x4xf32>, %s: tensor<2x3xi64>, %x: tensor<4x8x32xf32>, %i: tensor<4x32x32xf32>) {
  // expected-error @below {{expected shares of 2 rows of two or more i32, got 'tensor<2x3xi64>'}}
  %y = prune.linear dense rows 4 chunk 4 storage(%v : tensor<8x8x4xf32>) shares(%s : tensor<2x3xi64>) ins(%x : tensor<4x8x32xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<4x32x32xf32>
  return
}

// -----

func.func @linear_c7(%w: tensor<32x8xf32>, %x: tensor<4x8x1xf32>, %i: tensor<4x32x1xf32>) {
  // expected-error @below {{expected no lane dimensions, window or shares for matrix, got 1 lane dimensions}}
  %0 = prune.linear matrix rows 1 chunk 8 storage(%w : tensor<32x8xf32>) ins(%x : tensor<4x8x1xf32>) outs(%i : tensor<4x32x1xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<4x32x1xf32>
  return
}

// -----

func.func @linear_c1_integers(%w: tensor<32x8xf32>, %x: tensor<4x8xi8>, %i: tensor<4x32xf32>) {
  // expected-error @below {{expected input and init of floats, or both of integers, got 'tensor<4x8xi8>' and 'tensor<4x32xf32>'}}
  %0 = prune.linear matrix rows 1 chunk 8 lanes 0 storage(%w : tensor<32x8xf32>) ins(%x : tensor<4x8xi8>) outs(%i : tensor<4x32xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  } -> tensor<4x32xf32>
  return
}

// -----

// A number for each token is for formats without lanes.
func.func @linear_c2_token(%w: tensor<1x8x32xf32>, %x: tensor<4x8x32xf32>, %i: tensor<4x32x32xf32>, %t: tensor<4x32x1xf32>) {
  // expected-error @below {{expected an extra of shape [32] or of init's shape, got 'tensor<4x32x1xf32>'}}
  %0 = prune.linear dense rows 32 chunk 8 storage(%w : tensor<1x8x32xf32>) ins(%x : tensor<4x8x32xf32>)
         extras(%t : tensor<4x32x1xf32>) outs(%i : tensor<4x32x32xf32>) {
  ^bb0(%sum: f32, %scale: f32):
    prune.yield %sum : f32
  } -> tensor<4x32x32xf32>
  return
}
