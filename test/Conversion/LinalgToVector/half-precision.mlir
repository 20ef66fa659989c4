// Half precision and mixed types run on vectors and give exact results on small integers.
// DEFINE: %{run} = mlir-runner -e main -entry-point-result=void -O2 -shared-libs=%llvm_libs/libmlir_c_runner_utils.so
// RUN: prune-opt %s --convert-linalg-to-vector-loops --prune-lower-to-llvm | %{run} | FileCheck %s
// RUN: prune-opt %s --convert-linalg-to-vector-loops=vector-bits=512 --prune-lower-to-llvm | %{run} | FileCheck %s
// RUN: prune-opt %s --convert-linalg-to-vector-loops | FileCheck %s --check-prefix=IR

// IR-LABEL: func @product_f16
// IR: arith.addf {{.*}} : vector<16xf16>
func.func @product_f16(%a: memref<3x5xf16>, %b: memref<5x17xf16>, %c: memref<3x17xf16>) {
  linalg.matmul ins(%a, %b : memref<3x5xf16>, memref<5x17xf16>) outs(%c : memref<3x17xf16>)
  return
}
// IR-LABEL: func @product_mixed
// IR: arith.extf {{.*}} : vector<8xbf16> to vector<8xf32>
// IR: vector.fma {{.*}} : vector<8xf32>
func.func @product_mixed(%a: memref<3x5xbf16>, %b: memref<5x17xbf16>, %c: memref<3x17xf32>) {
  linalg.matmul ins(%a, %b : memref<3x5xbf16>, memref<5x17xbf16>) outs(%c : memref<3x17xf32>)
  return
}
func.func @main() {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c16 = arith.constant 16 : index
  %two16 = arith.constant 2.0 : f16
  %three16 = arith.constant 3.0 : f16
  %a = memref.alloc() : memref<3x5xf16>
  %b = memref.alloc() : memref<5x17xf16>
  %c = memref.alloc() : memref<3x17xf16>
  linalg.fill ins(%two16 : f16) outs(%a : memref<3x5xf16>)
  linalg.fill ins(%three16 : f16) outs(%b : memref<5x17xf16>)
  linalg.fill ins(%two16 : f16) outs(%c : memref<3x17xf16>)
  call @product_f16(%a, %b, %c) : (memref<3x5xf16>, memref<5x17xf16>, memref<3x17xf16>) -> ()
  %x = memref.load %c[%c2, %c16] : memref<3x17xf16>
  %x32 = arith.extf %x : f16 to f32
  // CHECK: 32
  vector.print %x32 : f32
  %two = arith.constant 2.0 : bf16
  %zero = arith.constant 0.0 : f32
  %d = memref.alloc() : memref<3x5xbf16>
  %e = memref.alloc() : memref<5x17xbf16>
  %f = memref.alloc() : memref<3x17xf32>
  linalg.fill ins(%two : bf16) outs(%d : memref<3x5xbf16>)
  linalg.fill ins(%two : bf16) outs(%e : memref<5x17xbf16>)
  linalg.fill ins(%zero : f32) outs(%f : memref<3x17xf32>)
  call @product_mixed(%d, %e, %f) : (memref<3x5xbf16>, memref<5x17xbf16>, memref<3x17xf32>) -> ()
  %y = memref.load %f[%c2, %c16] : memref<3x17xf32>
  // CHECK: 20
  vector.print %y : f32
  // Functions without a polynomial go to libm, element by element.
  %s = memref.alloc() : memref<17xf32>
  %half = arith.constant 0.5 : f32
  linalg.fill ins(%half : f32) outs(%s : memref<17xf32>)
  linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} outs(%s : memref<17xf32>) {
  ^bb0(%o: f32):
    %sin = math.sin %o : f32
    %pow = math.powf %sin, %o : f32
    %floor = math.floor %pow : f32
    %atan = math.atan %pow : f32
    %round = math.roundeven %atan : f32
    %cosh = math.cosh %floor : f32
    %sum = arith.addf %round, %cosh : f32
    linalg.yield %sum : f32
  }
  %z = memref.load %s[%c16] : memref<17xf32>
  // CHECK: 2
  vector.print %z : f32
  return
}
