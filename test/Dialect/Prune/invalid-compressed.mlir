// The constraints of prune.decompress, prune.compress and prune.weight_gradient, by their labels.
// RUN: prune-opt %s --split-input-file --verify-diagnostics

func.func @decompress_c1_shape(%v: tensor<3xf32>, %m: tensor<4xi1>) {
  // expected-error @+1 {{mask is an i1 tensor of the shape of result}}
  %w = "prune.decompress"(%v, %m) : (tensor<3xf32>, tensor<4xi1>) -> tensor<2x2xf32>
  return
}

// -----

func.func @decompress_c1_type(%v: tensor<3xf64>, %m: tensor<2x2xi1>) {
  // expected-error @+1 {{all of {values, result} have same element type}}
  %w = prune.decompress %v, %m : tensor<3xf64> to tensor<2x2xf32>
  return
}

// -----

func.func @decompress_c2(%v: tensor<3xf32>) {
  %m = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
  // expected-error @+1 {{expected values for the 2 elements that the mask keeps, got 3}}
  %w = prune.decompress %v, %m : tensor<3xf32> to tensor<2x2xf32>
  return
}

// -----

func.func @decompress_rank(%v: tensor<3x1xf32>, %m: tensor<2x2xi1>) {
  // expected-error @+1 {{must be statically shaped tensor of f16, bf16, f32 or f64 of rank 1}}
  %w = prune.decompress %v, %m : tensor<3x1xf32> to tensor<2x2xf32>
  return
}

// -----

func.func @compress_c2(%w: tensor<2x2xf32>) {
  %m = arith.constant dense_resource<mask> : tensor<2x2xi1>
  // expected-error @+1 {{expected values for the 1 elements that the mask keeps, got 0}}
  %v = prune.compress %w, %m : tensor<2x2xf32> to tensor<0xf32>
  return
}

{-# dialect_resources: { builtin: { mask: "0x0100000000010000" } } #-}

// -----

func.func @weight_gradient_c1_rank(%p: tensor<5xi32>, %k: tensor<6xi16>, %dy: tensor<4x8xf32>, %x: tensor<3x5x8xf32>, %i: tensor<6xf32>) {
  // expected-error @+1 {{expected gradient and input of one rank and element type, got 'tensor<4x8xf32>' and 'tensor<3x5x8xf32>'}}
  %r = prune.weight_gradient chunk 5 storage(%p, %k : tensor<5xi32>, tensor<6xi16>) ins(%dy, %x : tensor<4x8xf32>, tensor<3x5x8xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return
}

// -----

func.func @weight_gradient_c1_sizes(%p: tensor<5xi32>, %k: tensor<6xi16>, %dy: tensor<3x4x8xf32>, %x: tensor<3x5x7xf32>, %i: tensor<6xf32>) {
  // expected-error @+1 {{expected dimension 2 of gradient and input to be equal, got 8 and 7}}
  %r = prune.weight_gradient chunk 5 storage(%p, %k : tensor<5xi32>, tensor<6xi16>) ins(%dy, %x : tensor<3x4x8xf32>, tensor<3x5x7xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return
}

// -----

func.func @weight_gradient_c1_lanes(%p: tensor<5xi32>, %k: tensor<6xi16>, %dy: tensor<4x8xf32>, %x: tensor<5x8xf32>, %i: tensor<6xf32>) {
  // expected-error @+1 {{expected between 1 and 1 lane dimensions, got 2}}
  %r = prune.weight_gradient chunk 5 lanes 2 storage(%p, %k : tensor<5xi32>, tensor<6xi16>) ins(%dy, %x : tensor<4x8xf32>, tensor<5x8xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return
}

// -----

func.func @weight_gradient_c2_positions(%p: tensor<5xi32>, %k: tensor<6xi16>, %dy: tensor<4x8xf32>, %x: tensor<5x8xf32>, %i: tensor<6xf32>) {
  // expected-error @+1 {{expected 9 numbers of 'i32' as positions, got 'tensor<5xi32>'}}
  %r = prune.weight_gradient chunk 3 storage(%p, %k : tensor<5xi32>, tensor<6xi16>) ins(%dy, %x : tensor<4x8xf32>, tensor<5x8xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return
}

// -----

func.func @weight_gradient_c2_coordinates(%p: tensor<5xi32>, %k: tensor<7xi16>, %dy: tensor<4x8xf32>, %x: tensor<5x8xf32>, %i: tensor<6xf32>) {
  // expected-error @+1 {{expected 6 numbers of 'i16' as coordinates, got 'tensor<7xi16>'}}
  %r = prune.weight_gradient chunk 5 storage(%p, %k : tensor<5xi32>, tensor<7xi16>) ins(%dy, %x : tensor<4x8xf32>, tensor<5x8xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return
}

// -----

func.func @weight_gradient_c2_init(%p: tensor<5xi32>, %k: tensor<6xi16>, %dy: tensor<4x8xf32>, %x: tensor<5x8xf32>, %i: tensor<6xf64>) {
  // expected-error @+1 {{expected 6 numbers of 'f32' as init, got 'tensor<6xf64>'}}
  %r = prune.weight_gradient chunk 5 storage(%p, %k : tensor<5xi32>, tensor<6xi16>) ins(%dy, %x : tensor<4x8xf32>, tensor<5x8xf32>) outs(%i : tensor<6xf64>) -> tensor<6xf64>
  return
}

// -----

func.func @weight_gradient_c3(%p: tensor<5xi32>, %k: tensor<6xi16>, %dy: tensor<4x8xf32>, %x: tensor<5x8xf32>, %i: tensor<6xf32>) {
  // expected-error @+1 {{expected a chunk of 1 to 65536 columns, got 0}}
  %r = prune.weight_gradient chunk 0 storage(%p, %k : tensor<5xi32>, tensor<6xi16>) ins(%dy, %x : tensor<4x8xf32>, tensor<5x8xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return
}

// -----

func.func @weight_gradient_c4(%p: tensor<5xi32>, %k: tensor<6xi16>, %s: tensor<1xi32>, %dy: tensor<4x8xf32>, %x: tensor<5x8xf32>, %i: tensor<6xf32>) {
  // expected-error @+1 {{expected shares of two or more i32, got 'tensor<1xi32>'}}
  %r = prune.weight_gradient chunk 5 storage(%p, %k : tensor<5xi32>, tensor<6xi16>) shares(%s : tensor<1xi32>) ins(%dy, %x : tensor<4x8xf32>, tensor<5x8xf32>) outs(%i : tensor<6xf32>) -> tensor<6xf32>
  return
}
