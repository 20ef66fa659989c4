// Ops that decide masks at run time, by the label of the constraint that is broken.
// RUN: prune-opt %s --split-input-file --verify-diagnostics

func.func @f(%w: tensor<2x4xf32>, %s: f64) {
  // expected-error @+1 {{expected one or more scores and as many destinations (select_masks_c1), got 1 and 0}}
  "prune.select_masks"(%w, %s) <{criterion = #prune.magnitude<l1>, operandSegmentSizes = array<i32: 1, 1, 0>, pattern = #prune.unstructured}> : (tensor<2x4xf32>, f64) -> ()
  return
}

// -----

func.func @f(%w: tensor<2x?xf32>, %m: tensor<2x?xi1>, %s: f64) {
  // expected-error @+1 {{expected operands of static shape (select_masks_c1), got 'tensor<2x?xf32>'}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) ins(%w : tensor<2x?xf32>) outs(%m : tensor<2x?xi1>) -> tensor<2x?xi1>
  return
}

// -----

func.func @f(%w: memref<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected tensors only or buffers only (select_masks_c1), got both}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) ins(%w : memref<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected a result of the type of each destination (select_masks_c1)}}
  prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>)
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<4x2xi1>, %s: f64) {
  // expected-error @+1 {{expected destination 0 of the shape of its scores 'tensor<2x4xf32>' (select_masks_c1), got 'tensor<4x2xi1>'}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) ins(%w : tensor<2x4xf32>) outs(%m : tensor<4x2xi1>) -> tensor<4x2xi1>
  return
}

// -----

func.func @f(%w: tensor<8xf32>, %m: tensor<8xi1>, %s: f64) {
  // expected-error @+1 {{pattern #prune.block<2, 2> needs a weight of rank 2 or more, got rank 1}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.block<2, 2>) sparsity(%s) ins(%w : tensor<8xf32>) outs(%m : tensor<8xi1>) -> tensor<8xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected a sparsity or a threshold (select_masks_c3), got both}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) threshold(0.5) ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>) {
  // expected-error @+1 {{expected a sparsity or a threshold (select_masks_c3): pattern #prune.unstructured alone prunes nothing}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>) {
  // expected-error @+1 {{expected normalize(l2) with a sparsity (select_masks_c4), got none}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) threshold(0.5) normalize(l2) ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected 1 numbers in min_keep (select_masks_c5), got 2}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) min_keep [1, 1] ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected a min_keep of -1 to the 4 units of weight 0 (select_masks_c5), got 5}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.block<2, 1>) sparsity(%s) min_keep [5] ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>) {
  // expected-error @+1 {{expected a number as threshold (select_masks_c6), got NaN}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) threshold(0x7FF8000000000000) ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected a criterion whose scores compare between rows and whose weights stay (select_masks_c7), got #prune.wanda}}
  %0 = prune.select_masks by(#prune.wanda) as(#prune.unstructured) sparsity(%s) ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %g: tensor<4x2xf32>, %s: f64) {
  // expected-error @+1 {{expected operands of the shape of the weight 'tensor<2x4xf32>' (regrow_mask_c1), got 'tensor<4x2xf32>'}}
  %0 = prune.regrow_mask as(#prune.unstructured) share(%s) ins(%w, %g, %m : tensor<2x4xf32>, tensor<4x2xf32>, tensor<2x4xi1>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}

// -----

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected a pattern without groups (regrow_mask_c2), got #prune.n_of_m<2, 4>}}
  %0 = prune.regrow_mask as(#prune.n_of_m<2, 4>) share(%s) ins(%w, %w, %m : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xi1>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return
}
