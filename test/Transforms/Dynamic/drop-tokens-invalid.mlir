// What knows tokens apart cannot do without some, and wrong options.
// RUN: prune-opt %s --split-input-file --verify-diagnostics --prune-drop-tokens="before=w"
// DEFINE: %{options} =
// DEFINE: %{check} = | not prune-opt --prune-drop-tokens="%{options}" -o /dev/null 2>&1 | FileCheck %s --check-prefix
//
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=NONE
// NONE: error: before: expected a regular expression for the weight before whose product tokens go, got none
// REDEFINE: %{options} = before=v
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=NOTHING
// NOTHING: error: before: 'v' matches none of 1 linear layers
// REDEFINE: %{options} = before=w keep=5
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=KEEP
// KEEP: error: keep: expected 1 to the 4 tokens before 'w', got 5
// REDEFINE: %{options} = before=w sparsity=1
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=RANGE
// RANGE: error: sparsity: expected a value in [0, 1), got 1
// REDEFINE: %{options} = before=w sparsity=0.5 keep=2
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=BOTH
// BOTH: error: sparsity and keep exclude each other, got 0.5 and 2
// REDEFINE: %{options} = before=w padding=in0
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=PADDING
// PADDING: error: padding: expected an element for each of 4 tokens, got 'tensor<1x4x2xf32>'
// REDEFINE: %{options} = before=w score=median
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=SCORE
// SCORE: error: score: expected magnitude or attention, got 'median'
// REDEFINE: %{options} = before=w score=attention
// RUN: sed '/^\/\/ -----/,$d' %s %{check}=ATTENTION
// ATTENTION: error: score: expected a softmax over 4 tokens before 'w', got none

#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
func.func @sliced(%x: tensor<1x4x2xf32>) -> tensor<1x1x2xf32> {
  %w = arith.constant dense<[[1., 2.], [3., 4.]]> : tensor<2x2xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<1x4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  // expected-error @+1 {{'tensor.extract_slice' op cannot do with fewer tokens: no rule says what becomes of it}}
  %c = tensor.extract_slice %h[0, 0, 0] [1, 1, 2] [1, 1, 1] : tensor<1x4x2xf32> to tensor<1x1x2xf32>
  return %c : tensor<1x1x2xf32>
}

// -----

#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
func.func @joined(%x: tensor<1x4x2xf32>) -> tensor<8xf32> {
  %w = arith.constant dense<[[1., 2.], [3., 4.]]> : tensor<2x2xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<1x4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  // expected-error @+1 {{'tensor.collapse_shape' op cannot do with fewer tokens: it splits or joins the dimension of tokens}}
  %c = tensor.collapse_shape %h [[0, 1, 2]] : tensor<1x4x2xf32> into tensor<8xf32>
  return %c : tensor<8xf32>
}

// -----

#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
#i = affine_map<(b, m, n) -> (b, m, n)>
func.func @positions(%x: tensor<1x4x2xf32>) -> tensor<1x4x2xf32> {
  %w = arith.constant dense<[[1., 2.], [3., 4.]]> : tensor<2x2xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<1x4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
  // expected-error @+1 {{'linalg.generic' op cannot do with fewer tokens: it computes with their positions}}
  %p = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel", "parallel", "parallel"]} ins(%h : tensor<1x4x2xf32>) outs(%e : tensor<1x4x2xf32>) {
  ^bb0(%a: f32, %out: f32):
    %t = linalg.index 1 : index
    %n = arith.index_cast %t : index to i32
    %v = arith.sitofp %n : i32 to f32
    %s = arith.addf %a, %v : f32
    linalg.yield %s : f32
  } -> tensor<1x4x2xf32>
  return %p : tensor<1x4x2xf32>
}

// -----

#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
func.func @other_shape(%x: tensor<1x4x2xf32>) -> tensor<1x4x3xf32> {
  %w = arith.constant dense<[[1., 2.], [3., 4.], [5., 6.]]> : tensor<3x2xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x3xf32>) -> tensor<1x4x3xf32>
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<1x4x2xf32>, tensor<3x2xf32>) outs(%f : tensor<1x4x3xf32>) -> tensor<1x4x3xf32>
  // expected-error @+1 {{'func.return' op result 0: expected 'tensor<1x4x2xf32>', whose tokens can be filled in, got 'tensor<1x4x3xf32>'}}
  return %h : tensor<1x4x3xf32>
}

// -----

#x = affine_map<(b, m, n, k) -> (b, m, k)>
#w = affine_map<(b, m, n, k) -> (n, k)>
#y = affine_map<(b, m, n, k) -> (b, m, n)>
func.func @batch(%x: tensor<2x4x2xf32>) -> tensor<2x4x2xf32> {
  %w = arith.constant dense<[[1., 2.], [3., 4.]]> : tensor<2x2xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4x2xf32>) -> tensor<2x4x2xf32>
  // expected-error @+1 {{'linalg.contract' op before: expected activations [1, tokens, columns] of f32, got 'tensor<2x4x2xf32>'}}
  %h = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<2x4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<2x4x2xf32>) -> tensor<2x4x2xf32>
  return %h : tensor<2x4x2xf32>
}
