// Equal kernels share a function, so that equal layers compile once; different ones do not.
// RUN: prune-opt %s --prune-outline-kernels --split-input-file | FileCheck %s

// CHECK-LABEL: func @shares_equal_kernels
// CHECK-NEXT: call @[[EXP:kernel_linalg_exp]](%arg0, %arg1)
// CHECK-NEXT: call @[[EXP]](%arg1, %arg2)
// CHECK-NEXT: call @[[OTHER:kernel_linalg_exp.+]](%arg3)
// CHECK-NEXT: return
// CHECK: func private @[[EXP]](%{{.*}}: memref<8xf32>, %{{.*}}: memref<8xf32>) attributes {passthrough = ["noinline"]}
// CHECK: linalg.exp
// CHECK: func private @[[OTHER]](%{{.*}}: memref<9xf32>)
func.func @shares_equal_kernels(%a: memref<8xf32>, %b: memref<8xf32>, %c: memref<8xf32>, %d: memref<9xf32>) {
  linalg.exp ins(%a : memref<8xf32>) outs(%b : memref<8xf32>)
  linalg.exp ins(%b : memref<8xf32>) outs(%c : memref<8xf32>)
  linalg.exp ins(%d : memref<9xf32>) outs(%d : memref<9xf32>)
  return
}

// -----

// Constants of a region tell kernels apart; the place of a view in its buffer does not.
// CHECK-LABEL: func @looks_at_constants_not_offsets
// CHECK: call @[[FILL:kernel_linalg_fill]](%{{.*}}) : (memref<4xf32, strided<[2], offset: ?>>) -> ()
// CHECK: call @[[FILL]](%{{.*}}) : (memref<4xf32, strided<[2], offset: ?>>) -> ()
// CHECK: call @kernel_linalg_fill_0(%{{.*}})
// CHECK: func private @[[FILL]]
// CHECK: arith.constant 1.0
// CHECK: func private @kernel_linalg_fill_0
// CHECK: arith.constant 2.0
func.func @looks_at_constants_not_offsets(%a: memref<16xf32>) {
  %one = arith.constant 1.0 : f32
  %two = arith.constant 2.0 : f32
  %x = memref.subview %a[0][4][2] : memref<16xf32> to memref<4xf32, strided<[2]>>
  %y = memref.subview %a[1][4][2] : memref<16xf32> to memref<4xf32, strided<[2], offset: 1>>
  linalg.fill ins(%one : f32) outs(%x : memref<4xf32, strided<[2]>>)
  linalg.fill ins(%one : f32) outs(%y : memref<4xf32, strided<[2], offset: 1>>)
  linalg.fill ins(%two : f32) outs(%y : memref<4xf32, strided<[2], offset: 1>>)
  return
}

// -----

// A region that reads a table of its own takes it as an argument.
// CHECK-LABEL: func @passes_captured_buffers
// CHECK: call @kernel_linalg_generic(%arg0, %arg1, %arg2)
func.func @passes_captured_buffers(%i: memref<4xindex>, %o: memref<4xf32>, %t: memref<9xf32>) {
  linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%i : memref<4xindex>) outs(%o : memref<4xf32>) {
  ^bb0(%k: index, %x: f32):
    %v = memref.load %t[%k] : memref<9xf32>
    linalg.yield %v : f32
  }
  return
}

// -----

// CHECK-LABEL: func @leaves_tensors_alone
// CHECK: linalg.exp
func.func @leaves_tensors_alone(%a: tensor<8xf32>, %b: tensor<8xf32>) -> tensor<8xf32> {
  %r = linalg.exp ins(%a : tensor<8xf32>) outs(%b : tensor<8xf32>) -> tensor<8xf32>
  return %r : tensor<8xf32>
}
