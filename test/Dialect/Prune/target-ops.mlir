// The ops that describe lowered code print and parse back unchanged, as text and in generic form.
// RUN: prune-opt %s | prune-opt | FileCheck %s
// RUN: prune-opt %s --mlir-print-op-generic | prune-opt | FileCheck %s

// CHECK: prune.entry @main ("x": tensor<2x3xf32>, "a b": tensor<i1>) -> ("y": tensor<2x2xf32>) weights(@weights) workspace(128) cpu("x86-64-v3") features("+avx2,+fma") threads(2)
prune.entry @main ("x": tensor<2x3xf32>, "a b": tensor<i1>) -> ("y": tensor<2x2xf32>) weights(@weights) workspace(128)
  cpu("x86-64-v3") features("+avx2,+fma") threads(2)
// CHECK: prune.entry @lowered () -> () workspace(0){{$}}
prune.entry @lowered () -> () workspace(0) threads(1)
// CHECK: prune.blob @weights dense_resource<bytes> : tensor<4xi8>
prune.blob @weights dense_resource<bytes> : tensor<4xi8>
// CHECK: prune.blob "private" @small dense<[1, 2]> : tensor<2xi8>
prune.blob "private" @small dense<[1, 2]> : tensor<2xi8>

func.func @main(%x: tensor<2x3xf32>, %c: tensor<i1>) -> tensor<2x2xf32> {
  %y = arith.constant dense<0.0> : tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}
llvm.func @lowered(!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr)

{-#
  dialect_resources: { builtin: { bytes: "0x4000000001020304" } }
#-}
