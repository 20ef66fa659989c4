// What has no kernel is named with its place.
// RUN: prune-opt %s --split-input-file --convert-prune-to-gpu="chip=sm_86" --verify-diagnostics
// RUN: not prune-opt %s --convert-prune-to-gpu="chip=sm_70" 2>&1 | FileCheck %s --check-prefix=CHIP
// RUN: not prune-opt %s --split-input-file --convert-prune-to-gpu="chip=opencl cublas" 2>&1 | FileCheck %s --check-prefix=LIBRARY
// LIBRARY: has no kernel for opencl: cublas needs an NVIDIA chip
// CHIP: error: expected chip sm_80, sm_86, sm_89, sm_90 or opencl, got 'sm_70'

func.func @other_operation(%a: memref<4xf32>, %i: index) -> f32 {
  // expected-error @below {{'memref.load' op has no kernel for sm_86}}
  %v = memref.load %a[%i] : memref<4xf32>
  return %v : f32
}

// -----

func.func @dynamic_shape(%a: memref<?xf32>, %b: memref<?xf32>) {
  // expected-error @below {{has no kernel: expected operands that are buffers of static shape or constants, got 'memref<?xf32>'}}
  linalg.exp ins(%a : memref<?xf32>) outs(%b : memref<?xf32>)
  return
}

// -----

func.func @dynamic_copy(%a: memref<?xf32>, %b: memref<?xf32>) {
  // expected-error @below {{has no kernel: expected buffers of static shape, got 'memref<?xf32>'}}
  memref.copy %a, %b : memref<?xf32> to memref<?xf32>
  return
}

// -----

func.func @unknown_place(%a: memref<8xf32>, %b: memref<4xf32>, %i: index) {
  %slice = memref.subview %a[%i] [4] [1] : memref<8xf32> to memref<4xf32, strided<[1], offset: ?>>
  // expected-error @below {{has no kernel for sm_86: expected buffers whose place is known at compile time}}
  linalg.exp ins(%slice : memref<4xf32, strided<[1], offset: ?>>) outs(%b : memref<4xf32>)
  return
}

// -----

func.func @format_of_processors(%w: memref<1x4x4xf32>, %x: memref<4x8xf32>, %y: memref<4x8xf32>) {
  // expected-error @below {{has no kernel for sm_86: format dense is one of processors}}
  prune.linear dense rows 4 chunk 4 storage(%w : memref<1x4x4xf32>) ins(%x : memref<4x8xf32>) outs(%y : memref<4x8xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}

// -----

func.func @two_of_four_in_i8_by_warp_groups(%w: memref<10240xi8>, %x: memref<64x128xi8>, %y: memref<64x128xf32>) {
  // expected-error @below {{has no kernel for sm_86: 2:4 in i8 wants tiles of 16 x 128, got 128 x 128}}
  prune.linear two_of_four rows 128 chunk 128 lanes 0 storage(%w : memref<10240xi8>) ins(%x : memref<64x128xi8>)
    outs(%y : memref<64x128xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}

// -----

// expected-error @below {{has no kernels for sm_86: expected a body without branches}}
func.func @branches(%a: memref<4xf32>) {
  cf.br ^bb1
^bb1:
  return
}

// -----

func.func @columns_tile(%w: memref<4x4xf32>, %x: memref<1x4xf32>, %y: memref<1x4xf32>) {
  // expected-error @below {{expected 128 or 256 rows for columns, got 96}}
  prune.linear columns rows 96 chunk 4 lanes 0 storage(%w : memref<4x4xf32>) ins(%x : memref<1x4xf32>) outs(%y : memref<1x4xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}

// -----

func.func @columns_tokens(%w: memref<4x8xf32>, %x: memref<9x4xf32>, %y: memref<9x4xf32>) {
  // expected-error @below {{expected 1 to 8 tokens for columns in tiles of 256 rows, got 9}}
  prune.linear columns rows 256 chunk 4 lanes 0 storage(%w : memref<4x8xf32>) ins(%x : memref<9x4xf32>) outs(%y : memref<9x4xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}

// -----

func.func @columns_storage(%w: memref<4x6xf32>, %x: memref<1x4xf32>, %y: memref<1x6xf32>) {
  // expected-error @below {{expected values [4, 8] as storage of columns, got 'memref<4x6xf32>'}}
  prune.linear columns rows 128 chunk 4 lanes 0 storage(%w : memref<4x6xf32>) ins(%x : memref<1x4xf32>) outs(%y : memref<1x6xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}

// -----

func.func @matrix_of_a_library(%w: memref<16x8xf32>, %x: memref<4x8xf32>, %y: memref<4x16xf32>) {
  prune.linear matrix rows 1 chunk 8 lanes 0 storage(%w : memref<16x8xf32>) ins(%x : memref<4x8xf32>) outs(%y : memref<4x16xf32>) {
  ^bb0(%sum: f32):
    prune.yield %sum : f32
  }
  return
}

// -----

func.func @csr_of_half_a_bundle(%p: memref<3xi32>, %c: memref<16xi16>, %v: memref<16xf32>, %r: memref<4xi32>, %x: memref<64x8xf32>, %y: memref<64x4xf32>) {
  // expected-error @below {{expected positions, coordinates, values and rows in groups of whole bundles as storage of csr, got 4 operands and groups of 6 rows with 8 vectors}}
  prune.linear csr rows 6 chunk 8 vectors 8 lanes 0 storage(%p, %c, %v, %r : memref<3xi32>, memref<16xi16>, memref<16xf32>, memref<4xi32>) ins(%x : memref<64x8xf32>) outs(%y : memref<64x4xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  }
  return
}

// -----

func.func @fragments_without_rows(%p: memref<3xi32>, %c: memref<1xi16>, %w: memref<1x256xf16>, %x: memref<64x64xf16>,
                                  %y: memref<64x32xf16>) {
  // expected-error @below {{expected 4 operands as storage of block_csr in groups of 16 rows or a multiple, got 3 and groups of 32 rows}}
  prune.linear block_csr rows 32 chunk 64 vectors 2 lanes 0 storage(%p, %c, %w : memref<3xi32>, memref<1xi16>, memref<1x256xf16>)
    ins(%x : memref<64x64xf16>) outs(%y : memref<64x32xf16>) {
  ^bb0(%sum: f16):
    prune.yield %sum : f16
  }
  return
}
