// RUN: prune-opt %s --split-input-file --verify-diagnostics --convert-prune-to-loops

func.func @f(%w: tensor<2x4xf32>, %m: tensor<2x4xi1>, %s: f64) -> tensor<2x4xi1> {
  // expected-error @+1 {{expected buffers, got tensors: bufferize before generating loops}}
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) ins(%w : tensor<2x4xf32>) outs(%m : tensor<2x4xi1>) -> tensor<2x4xi1>
  return %0 : tensor<2x4xi1>
}

// -----

func.func @f(%w: memref<2x4xf32, strided<[8, 1]>>, %m: memref<2x4xi1>, %s: f64) {
  // expected-error @+1 {{expected buffers of row-major layout, got 'memref<2x4xf32, strided<[8, 1]>>'}}
  prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s) ins(%w : memref<2x4xf32, strided<[8, 1]>>) outs(%m : memref<2x4xi1>)
  return
}

// -----

func.func @f(%w: memref<8xf32>, %m: memref<8xi1>, %s: f64) {
  prune.regrow_mask as(#prune.unstructured) share(%s) ins(%w, %w, %m : memref<8xf32>, memref<8xf32>, memref<8xi1>) outs(%m : memref<8xi1>)
  return
}
// expected-error @+1 {{expected no symbol 'prune_open' in the module: a function that decides masks is called so}}
func.func private @prune_open()
