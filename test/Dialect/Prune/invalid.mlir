// Every rule of the verifiers, by the label of its constraint in PruneOps.td, with rule, both values and place.
// RUN: prune-opt %s --split-input-file --verify-diagnostics

func.func @apply_c1_shape(%w: tensor<4x4xf32>, %m: tensor<4x2xi1>) -> tensor<4x4xf32> {
  // expected-error @+1 {{mask is an i1 tensor of the shape of weight}}
  %r = "prune.apply"(%w, %m) <{pattern = #prune.unstructured}> : (tensor<4x4xf32>, tensor<4x2xi1>) -> tensor<4x4xf32>
  return %r : tensor<4x4xf32>
}

// -----

func.func @apply_c1_element_type(%w: tensor<4x4xf32>, %m: tensor<4x4xi8>) -> tensor<4x4xf32> {
  // expected-error @+1 {{operand #1 must be statically shaped tensor of i1}}
  %r = "prune.apply"(%w, %m) <{pattern = #prune.unstructured}> : (tensor<4x4xf32>, tensor<4x4xi8>) -> tensor<4x4xf32>
  return %r : tensor<4x4xf32>
}

// -----

func.func @apply_weight_of_integers(%w: tensor<4x4xi32>, %m: tensor<4x4xi1>) {
  // expected-error @+1 {{'weight' must be statically shaped, nonempty tensor of f16, bf16, f32, f64 or i8 of rank 1 or more}}
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<4x4xi32>
  return
}

// -----

func.func @apply_weight_of_dynamic_shape(%w: tensor<?x4xf32>, %m: tensor<?x4xi1>) {
  // expected-error @+1 {{'weight' must be statically shaped}}
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<?x4xf32>
  return
}

// -----

func.func @apply_c2_rank(%w: tensor<4xf32>, %m: tensor<4xi1>) {
  // expected-error @+1 {{pattern #prune.block<4, 1> needs a weight of rank 2 or more, got rank 1}}
  %r = prune.apply %w, %m as(#prune.block<4, 1>) : tensor<4xf32>
  return
}

// -----

func.func @apply_c2_slice_dim(%w: tensor<4x6xf32>, %m: tensor<4x6xi1>) {
  // expected-error @+1 {{pattern slices dimension 2, but the weight 4x6 has rank 2}}
  %r = prune.apply %w, %m as(#prune.slice<dim = 2>) : tensor<4x6xf32>
  return
}

// -----

func.func @apply_c3_n_of_m(%w: tensor<2x4xf32>) {
  %m = arith.constant dense<[[true, false, false, true], [true, true, false, true]]> : tensor<2x4xi1>
  // expected-error @+1 {{expected at most 2 kept in each 4 along the columns, got 3 in row 1 from column 0}}
  %r = prune.apply %w, %m as(#prune.n_of_m<2, 4>) : tensor<2x4xf32>
  return
}

// -----

// The tail of a row is a group of its own: three of the last three columns are one too many.
func.func @apply_c3_n_of_m_tail(%w: tensor<1x7xf32>) {
  %m = arith.constant dense<[[true, false, false, true, true, true, true]]> : tensor<1x7xi1>
  // expected-error @+1 {{expected at most 2 kept in each 4 along the columns, got 3 in row 0 from column 4}}
  %r = prune.apply %w, %m as(#prune.n_of_m<2, 4>) : tensor<1x7xf32>
  return
}

// -----

// Legal along the rows, not along the columns.
func.func @apply_c3_transposable(%w: tensor<4x2xf32>) {
  %m = arith.constant dense<[[true, false], [true, false], [false, true], [true, false]]> : tensor<4x2xi1>
  // expected-error @+1 {{expected at most 2 kept in each 4 along the rows, got 3 in column 0 from row 0}}
  %r = prune.apply %w, %m as(#prune.transposable<2, 4>) : tensor<4x2xf32>
  return
}

// -----

func.func @apply_c3_transposable_rows(%w: tensor<1x4xf32>) {
  %m = arith.constant dense<[[true, true, false, true]]> : tensor<1x4xi1>
  // expected-error @+1 {{expected at most 2 kept in each 4 along the columns, got 3 in row 0 from column 0}}
  %r = prune.apply %w, %m as(#prune.transposable<2, 4>) : tensor<1x4xf32>
  return
}

// -----

// Each row is 2:5, but five columns are in use.
func.func @apply_c3_v_n_m(%w: tensor<4x5xf32>) {
  %m = arith.constant dense<[[true, false, false, false, true], [true, false, false, false, true], [true, true, false, false, false], [false, false, true, true, false]]> : tensor<4x5xi1>
  // expected-error @+1 {{expected kept weights in at most 4 columns of each 4x5 block, got 5 at row 0, column 0}}
  %r = prune.apply %w, %m as(#prune.v_n_m<4, 2, 5>) : tensor<4x5xf32>
  return
}

// -----

func.func @apply_c3_v_n_m_rows(%w: tensor<1x5xf32>) {
  %m = arith.constant dense<[[true, true, false, true, false]]> : tensor<1x5xi1>
  // expected-error @+1 {{expected at most 2 kept in each 5 along the columns, got 3 in row 0 from column 0}}
  %r = prune.apply %w, %m as(#prune.v_n_m<4, 2, 5>) : tensor<1x5xf32>
  return
}

// -----

func.func @apply_c3_block(%w: tensor<4x2xf32>) {
  %m = arith.constant dense<[[true, false], [true, false], [true, true], [true, false]]> : tensor<4x2xi1>
  // expected-error @+1 {{expected each 4x1 block kept or pruned whole, got 1 of 4 kept at row 0, column 1}}
  %r = prune.apply %w, %m as(#prune.block<4, 1>) : tensor<4x2xf32>
  return
}

// -----

// Six rows in blocks of four: the last block has two rows, and must still be whole.
func.func @apply_c3_block_ragged(%w: tensor<6x1xf32>) {
  %m = arith.constant dense<[[true], [true], [true], [true], [true], [false]]> : tensor<6x1xi1>
  // expected-error @+1 {{expected each 4x1 block kept or pruned whole, got 1 of 2 kept at row 4, column 0}}
  %r = prune.apply %w, %m as(#prune.block<4, 1>) : tensor<6x1xf32>
  return
}

// -----

func.func @apply_c3_slice(%w: tensor<2x2x2xf32>) {
  %m = arith.constant dense<[[[true, true], [true, false]], [[true, true], [false, false]]]> : tensor<2x2x2xi1>
  // expected-error @+1 {{expected each slice of 1 along dimension 1 kept or pruned whole, got 1 of 4 kept from index 1}}
  %r = prune.apply %w, %m as(#prune.slice<dim = 1>) : tensor<2x2x2xf32>
  return
}

// -----

func.func @apply_c4_empty(%w: tensor<4x4xf32>) {
  %m = arith.constant dense<false> : tensor<4x4xi1>
  // expected-error @+1 {{mask keeps none of 16 weights, and allow_empty is not set}}
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<4x4xf32>
  return
}

// -----

func.func @apply_c5_size(%w: tensor<2x4xf32>) {
  %m = arith.constant dense_resource<short> : tensor<2x4xi1>
  // expected-error @+1 {{resource 'short' holds 4 bytes, its type needs 8}}
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<2x4xf32>
  return
}
{-# dialect_resources: { builtin: { short: "0x0100000001000000" } } #-}

// -----

func.func @apply_c5_byte(%w: tensor<1x4xf32>) {
  %m = arith.constant dense_resource<bytes> : tensor<1x4xi1>
  // expected-error @+1 {{expected mask bytes of 0 or 1, got 255 at index 2}}
  %r = prune.apply %w, %m as(#prune.unstructured) : tensor<1x4xf32>
  return
}
{-# dialect_resources: { builtin: { bytes: "0x010000000100FF00" } } #-}

// -----

func.func @mask_c1_above_one(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{expected a target sparsity in [0, 1], got 1.5}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(1.5) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c1_below_zero(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{expected a target sparsity in [0, 1], got -0.1}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(-0.1) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c1_nan(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{expected a target sparsity in [0, 1], got nan}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0x7FF8000000000000) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c2_nan(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{expected a number as threshold, got NaN}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) threshold(0x7FF8000000000000) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c3_both(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{expected a target sparsity or a threshold, got both}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) threshold(0.1) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c3_neither(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{expected a target sparsity or a threshold: pattern #prune.block<4, 1> alone prunes nothing}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.block<4, 1>) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c8(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{threshold: expected a value in (0, 1) with soft-movement, got 0}}
  %0 = prune.mask %w by(#prune.soft_movement) as(#prune.unstructured) threshold(0.0) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c7_no_group(%w: tensor<4x4xf32>) {
  // expected-error@+1 {{normalize(lamp) expects a target sparsity and a group, got no group}}
  %0 = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) normalize(lamp) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c7_threshold(%w: tensor<4x4xf32>) {
  // expected-error@+1 {{normalize(l2) expects a target sparsity and a group, got no target sparsity}}
  %0 = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) threshold(0.5) group("all") normalize(l2) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c4_min_keep(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{min_keep of 5 exceeds the 4 units of the weight}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.block<4, 1>) sparsity(0.5) min_keep(5) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c4_negative(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{attribute 'min_keep' failed to satisfy constraint}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.block<4, 1>) sparsity(0.5) min_keep(-1) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_c5_rank(%w: tensor<4xf32>) {
  // expected-error @+1 {{pattern #prune.n_of_m<2, 4> needs a weight of rank 2 or more, got rank 1}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.n_of_m<2, 4>) : tensor<4xf32>
  return
}

// -----

func.func @mask_c5_rank_transposable(%w: tensor<4xf32>) {
  // expected-error @+1 {{pattern #prune.transposable<2, 4> needs a weight of rank 2 or more, got rank 1}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.transposable<2, 4>) : tensor<4xf32>
  return
}

// -----

func.func @mask_c5_rank_v_n_m(%w: tensor<4xf32>) {
  // expected-error @+1 {{pattern #prune.v_n_m<64, 2, 8> needs a weight of rank 2 or more, got rank 1}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.v_n_m<64, 2, 8>) : tensor<4xf32>
  return
}

// -----

// A tail of two rows or columns keeps two of each.
func.func @mask_c6_below_transposable(%w: tensor<6x6xf32>) {
  // expected-error @+1 {{target sparsity 0.25 prunes 9 of 36 units, but pattern #prune.transposable<2, 4> imposes 16}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.transposable<2, 4>) sparsity(0.25) : tensor<6x6xf32>
  return
}

// -----

func.func @mask_c6_below_v_n_m(%w: tensor<4x8xf32>) {
  // expected-error @+1 {{target sparsity 0.5 prunes 16 of 32 units, but pattern #prune.v_n_m<64, 2, 8> imposes 24}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.v_n_m<64, 2, 8>) sparsity(0.5) : tensor<4x8xf32>
  return
}

// -----

func.func @mask_c6_below_pattern(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{target sparsity 0.25 prunes 4 of 16 units, but pattern #prune.n_of_m<2, 4> imposes 8}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.n_of_m<2, 4>) sparsity(0.25) : tensor<4x4xf32>
  return
}

// -----

func.func @mask_pattern_is_no_pattern(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{invalid kind of attribute specified}}
  %m = prune.mask %w by(#prune.magnitude<l1>) as(#prune.magnitude<l1>) sparsity(0.5) : tensor<4x4xf32>
  return
}

// -----

// expected-error @+1 {{expected a kept count in [0, 4], got 5}}
prune.record "record_c1" as(#prune.unstructured) keeps 5 of 4 digest "0123456789abcdef"

// -----

// expected-error @+1 {{expected a digest of 16 hexadecimal digits, got "xyz"}}
prune.record "record_c2" as(#prune.unstructured) keeps 1 of 4 digest "xyz"

// -----

// expected-error @+1 {{expected a digest of 16 hexadecimal digits, got "1"}}
prune.record "record_c2" as(#prune.unstructured) keeps 1 of 4 digest "0123456789abcdef" stored "w" digest "1"

// -----

// expected-error @+1 {{expected the name and the digest of the stored weight together, got only one}}
"prune.record"() <{weight = "record_c3", pattern = #prune.unstructured, kept = 1 : i64, total = 4 : i64, digest = "0123456789abcdef", stored = "w"}> : () -> ()

// -----

func.func @record_parent() {
  // expected-error @+1 {{expects parent op 'builtin.module'}}
  prune.record "inside" as(#prune.unstructured) keeps 1 of 4 digest "0123456789abcdef"
  return
}

// -----

func.func @observe_c1_empty(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{rows: expected positive sizes (observe_c1), got []}}
  %0 = prune.observe norms %x view(affine_map<(g, k) -> (0, k)>) rows [] columns [3] : tensor<2x3xf32> -> tensor<1x3xf64>
  return
}

// -----

func.func @observe_c1_size(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{columns: expected positive sizes (observe_c1), got [0]}}
  %0 = prune.observe norms %x view(affine_map<(g, m, k) -> (m, k)>) rows [2] columns [0] : tensor<2x3xf32> -> tensor<1x3xf64>
  return
}

// -----

func.func @observe_c1_result(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected a result of rank 3 with 3 elements in each dimension behind the groups (observe_c1), got 'tensor<1x3xf64>'}}
  %0 = prune.observe gram %x view(affine_map<(g, m, k) -> (m, k)>) rows [2] columns [3] : tensor<2x3xf32> -> tensor<1x3xf64>
  return
}

// -----

func.func @observe_c2_dims(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{view: expected 3 dimensions and 2 results (observe_c2), got affine_map<(d0, d1) -> (d0, d1)>}}
  %0 = prune.observe norms %x view(affine_map<(m, k) -> (m, k)>) rows [2] columns [3] : tensor<2x3xf32> -> tensor<1x3xf64>
  return
}

// -----

func.func @observe_c2_form(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{view: expected sums of dimensions with positive factors (observe_c2), got affine_map<(d0, d1, d2) -> (d1 mod 2)>}}
  %0 = prune.observe norms %x view(affine_map<(g, m, k) -> (m mod 2, k)>) rows [2] columns [3] : tensor<2x3xf32> -> tensor<1x3xf64>
  return
}

// -----

func.func @observe_c3(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{view: expected indices 0 to 1 in dimension 0 (observe_c3), got 0 to 2}}
  %0 = prune.observe norms %x view(affine_map<(g, m, k) -> (m * 2, k)>) rows [2] columns [3] : tensor<2x3xf32> -> tensor<1x3xf64>
  return
}

// -----

func.func @observe_c4(%x: tensor<2x3xf32>, %rows: tensor<3xi64>) {
  // expected-error @+1 {{where: expected an element for each of 2 rows (observe_c4), got 3}}
  %0 = prune.observe norms %x view(affine_map<(g, m, k) -> (m, k)>) rows [2] columns [3] where(%rows : tensor<3xi64>) : tensor<2x3xf32> -> tensor<1x3xf64>
  return
}
