// Each constraint of the ops in PruneDynamicOps.td.
// RUN: prune-opt %s --split-input-file --verify-diagnostics

func.func @dynamic_mask_c2(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{'prune.dynamic_mask' op expected a dimension from 0 to 1, got 2}}
  %m = prune.dynamic_mask %x along 2 keep(1) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c2_unit(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected units that divide the 8 indices of dimension 1, got 3}}
  %m = prune.dynamic_mask %x along 1 unit(3) keep(1) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c3(%x: tensor<2x8x4xf32>) {
  // expected-error @+1 {{expected whole to list dimensions other than 1 from 0 to 2 in ascending order, got [2, 0]}}
  %m = prune.dynamic_mask %x along 1 whole [2, 0] keep(1) : tensor<2x8x4xf32>
  return
}

// -----

func.func @dynamic_mask_c3_own(%x: tensor<2x8x4xf32>) {
  // expected-error @+1 {{expected whole to list dimensions other than 1 from 0 to 2 in ascending order, got [1]}}
  %m = prune.dynamic_mask %x along 1 whole [1] keep(1) : tensor<2x8x4xf32>
  return
}

// -----

func.func @dynamic_mask_c4(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected keep or a threshold, got both}}
  %m = prune.dynamic_mask %x along 1 threshold(0.5) keep(1) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c4_none(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected a threshold, a sparsity or keep, got none}}
  %m = prune.dynamic_mask %x along 1 : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c5(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected a threshold of 0 or more, got -0.5}}
  %m = prune.dynamic_mask %x along 1 threshold(-0.5) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c5_nan(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected a threshold of 0 or more, got nan}}
  %m = prune.dynamic_mask %x along 1 signed threshold(0x7FF8000000000000) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c6(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected a sparsity in [0, 1], got 1.5}}
  %m = prune.dynamic_mask %x along 1 sparsity(1.5) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c7(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected keep from 1 to the 8 units along the dimension, got 9}}
  %m = prune.dynamic_mask %x along 1 keep(9) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c7_group(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected keep from 1 to the 4 units of a group, got 0}}
  %m = prune.dynamic_mask %x along 1 keep(0) of(4) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c8(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected of to divide the 8 units along dimension 1, got 3}}
  %m = prune.dynamic_mask %x along 1 keep(1) of(3) : tensor<2x8xf32>
  return
}

// -----

func.func @dynamic_mask_c8_alone(%x: tensor<2x8xf32>) {
  // expected-error @+1 {{expected keep with of(4), got none}}
  %m = prune.dynamic_mask %x along 1 threshold(0.5) of(4) : tensor<2x8xf32>
  return
}

// -----

func.func @gate_c1(%x: tensor<2x8xf32>, %m: tensor<8x2xi1>) {
  // expected-note @-1 {{prior use here}}
  // expected-error @+1 {{use of value '%m' expects different type than prior uses: 'tensor<2x8xi1>' vs 'tensor<8x2xi1>'}}
  %g = prune.gate %x, %m : tensor<2x8xf32>
  return
}

// -----

func.func @list_nonzeros_c1(%x: tensor<2x12xf32>, %c: tensor<2x12xi32>, %v: tensor<2x16xf32>, %n: tensor<2xi32>) {
  // expected-error @+1 {{expected columns of [2, 16] 'i32', got 'tensor<2x12xi32>'}}
  %l:3 = prune.list_nonzeros ins(%x : tensor<2x12xf32>) outs(%c, %v, %n : tensor<2x12xi32>, tensor<2x16xf32>, tensor<2xi32>)
           -> tensor<2x12xi32>, tensor<2x16xf32>, tensor<2xi32>
  return
}

// -----

func.func @list_nonzeros_c1_input(%x: tensor<12xf32>, %c: tensor<16xi32>, %v: tensor<16xf32>, %n: tensor<1xi32>) {
  // expected-error @+1 {{expected input to be a matrix of f32 of static shape, got 'tensor<12xf32>'}}
  %l:3 = prune.list_nonzeros ins(%x : tensor<12xf32>) outs(%c, %v, %n : tensor<16xi32>, tensor<16xf32>, tensor<1xi32>)
           -> tensor<16xi32>, tensor<16xf32>, tensor<1xi32>
  return
}

// -----

func.func @sum_columns_c2(%w: tensor<12x5xf32>, %c: tensor<2x16xi32>, %v: tensor<2x16xf32>, %n: tensor<3xi32>, %e: tensor<2x5xf32>) {
  // expected-error @+1 {{expected counts of [2] 'i32', got 'tensor<3xi32>'}}
  %y = prune.sum_columns ins(%w, %c, %v, %n : tensor<12x5xf32>, tensor<2x16xi32>, tensor<2x16xf32>, tensor<3xi32>)
         outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @sum_columns_c3(%w: tensor<12x5xf32>, %c: tensor<2x16xi32>, %v: tensor<2x16xf32>, %n: tensor<2xi32>, %e: tensor<2x5xf32>) {
  // expected-error @+1 {{expected 1 to 5 shares, got 6}}
  %y = prune.sum_columns shares 6 ins(%w, %c, %v, %n : tensor<12x5xf32>, tensor<2x16xi32>, tensor<2x16xf32>, tensor<2xi32>)
         outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @keep_largest_c1(%x: tensor<2x5xi32>, %e: tensor<2x5xi1>) {
  // expected-error @+1 {{expected scores of f16, bf16, f32 or f64 of static shape and rank 1 or more, got 'tensor<2x5xi32>'}}
  %m = prune.keep_largest 2 ins(%x : tensor<2x5xi32>) outs(%e : tensor<2x5xi1>) -> tensor<2x5xi1>
  return
}

// -----

func.func @sum_all_columns_c1(%w: tensor<12x5xf32>, %x: tensor<2x5xf32>, %e: tensor<2x5xf32>) {
  // expected-error @+1 {{expected input of [2, 12] 'f32', got 'tensor<2x5xf32>'}}
  %y = prune.sum_all_columns ins(%w, %x : tensor<12x5xf32>, tensor<2x5xf32>) outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @keep_largest_c1_mask(%x: tensor<2x5xf32>, %e: tensor<5x2xi1>) {
  // expected-error @+1 {{expected a mask of i1 of the shape of the scores, got 'tensor<5x2xi1>' for 'tensor<2x5xf32>'}}
  %m = prune.keep_largest 2 ins(%x : tensor<2x5xf32>) outs(%e : tensor<5x2xi1>) -> tensor<5x2xi1>
  return
}

// -----

func.func @sum_all_columns_c2(%w: tensor<12x5xf32>, %x: tensor<2x12xf32>, %e: tensor<2x5xf32>) {
  // expected-error @+1 {{expected 1 to 5 shares, got 0}}
  %y = prune.sum_all_columns shares 0 ins(%w, %x : tensor<12x5xf32>, tensor<2x12xf32>) outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @keep_largest_c2(%x: tensor<2x5xf32>, %e: tensor<2x5xi1>) {
  // expected-error @+1 {{expected keep from 1 to the 5 elements of a row, got 6}}
  %m = prune.keep_largest 6 ins(%x : tensor<2x5xf32>) outs(%e : tensor<2x5xi1>) -> tensor<2x5xi1>
  return
}

// -----

func.func @multiply_rows_c1(%w: tensor<12x5xf32>, %x: tensor<2x5xf32>, %r: tensor<2x12xi32>, %n: tensor<2xi32>, %e: tensor<2x12xf32>) {
  // expected-error @+1 {{expected rows of [2, 16] 'i32', got 'tensor<2x12xi32>'}}
  %y = prune.multiply_rows ins(%w, %x, %r, %n : tensor<12x5xf32>, tensor<2x5xf32>, tensor<2x12xi32>, tensor<2xi32>)
         outs(%e : tensor<2x12xf32>) -> tensor<2x12xf32>
  return
}

// -----

func.func @multiply_rows_c2(%w: tensor<12x5xf32>, %x: tensor<2x5xf32>, %r: tensor<2x16xi32>, %n: tensor<2xi32>, %e: tensor<2x12xf32>) {
  // expected-error @+1 {{expected 1 to 12 shares, got 13}}
  %y = prune.multiply_rows shares 13 ins(%w, %x, %r, %n : tensor<12x5xf32>, tensor<2x5xf32>, tensor<2x16xi32>, tensor<2xi32>)
         outs(%e : tensor<2x12xf32>) -> tensor<2x12xf32>
  return
}
