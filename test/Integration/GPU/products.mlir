// Products of two activations run in tiles, batched, with either operand transposed and sizes that no tile divides: the scores
// and the context of attention, a plain product, and one that adds to what is there.
// REQUIRES: opencl, python
// RUN: %check_gpu %s --rtol=1e-5 --atol=2e-5 | FileCheck %s
// CHECK: out0: equal
// CHECK: out1: equal
// CHECK: out2: equal
// CHECK: out3: equal
// RUN: prune-opt %s --prune-to-gpu="chip=opencl" --mlir-print-ir-after=convert-prune-to-gpu -o /dev/null 2>&1 | FileCheck %s --check-prefix=TILES
// TILES-COUNT-4: gpu.launch_func @kernels::@product

#query = affine_map<(b, h, i, j, d) -> (b, i, h, d)>
#key = affine_map<(b, h, i, j, d) -> (b, j, h, d)>
#score = affine_map<(b, h, i, j, d) -> (b, h, i, j)>
#left = affine_map<(b, h, i, d, j) -> (b, h, i, j)>
#value = affine_map<(b, h, i, d, j) -> (b, j, h, d)>
#context = affine_map<(b, h, i, d, j) -> (b, i, h, d)>
func.func @main(%q: tensor<2x50x3x16xf32>, %k: tensor<2x50x3x16xf32>, %v: tensor<2x50x3x20xf32>, %a: tensor<70x33xf32>,
                %b: tensor<33x65xf32>, %c: tensor<70x65xf32>)
    -> (tensor<2x3x50x50xf32>, tensor<2x50x3x20xf32>, tensor<70x65xf32>, tensor<70x65xf32>) {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<2x3x50x50xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<2x3x50x50xf32>) -> tensor<2x3x50x50xf32>
  %scores = linalg.contract indexing_maps = [#query, #key, #score]
    ins(%q, %k : tensor<2x50x3x16xf32>, tensor<2x50x3x16xf32>) outs(%f0 : tensor<2x3x50x50xf32>) -> tensor<2x3x50x50xf32>
  %e1 = tensor.empty() : tensor<2x50x3x20xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x50x3x20xf32>) -> tensor<2x50x3x20xf32>
  %out = linalg.contract indexing_maps = [#left, #value, #context]
    ins(%scores, %v : tensor<2x3x50x50xf32>, tensor<2x50x3x20xf32>) outs(%f1 : tensor<2x50x3x20xf32>) -> tensor<2x50x3x20xf32>
  %e2 = tensor.empty() : tensor<70x65xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<70x65xf32>) -> tensor<70x65xf32>
  %plain = linalg.matmul ins(%a, %b : tensor<70x33xf32>, tensor<33x65xf32>) outs(%f2 : tensor<70x65xf32>) -> tensor<70x65xf32>
  %added = linalg.matmul ins(%a, %b : tensor<70x33xf32>, tensor<33x65xf32>) outs(%c : tensor<70x65xf32>) -> tensor<70x65xf32>
  return %scores, %out, %plain, %added : tensor<2x3x50x50xf32>, tensor<2x50x3x20xf32>, tensor<70x65xf32>, tensor<70x65xf32>
}
