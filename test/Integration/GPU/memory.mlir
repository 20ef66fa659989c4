// More memory than the device has is an error with the bytes that were wanted.
// REQUIRES: opencl
// RUN: prune-opt %s --prune-to-gpu="chip=opencl" -o %t.mlir
// RUN: sed -e 's/llvm.mlir.constant(1024 : i64)/llvm.mlir.constant(9000000000000 : i64)/' %t.mlir > %t.large.mlir
// RUN: not prune-run %t.large.mlir --benchmark=1 2>&1 | FileCheck %s
// CHECK: prune-run: error: '{{.*}}': clSVMAlloc: CL_MEM_OBJECT_ALLOCATION_FAILURE (9000000000000 bytes for inputs)

func.func @main(%x: tensor<256xf32>) -> tensor<256xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<256xf32>
  %exp = linalg.exp ins(%x : tensor<256xf32>) outs(%e : tensor<256xf32>) -> tensor<256xf32>
  %reversed = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      outs(%e : tensor<256xf32>) {
  ^bb0(%o: f32):
    %last = arith.constant 255 : index
    %i = linalg.index 0 : index
    %j = arith.subi %last, %i : index
    %v = tensor.extract %exp[%j] : tensor<256xf32>
    linalg.yield %v : f32
  } -> tensor<256xf32>
  return %reversed : tensor<256xf32>
}
