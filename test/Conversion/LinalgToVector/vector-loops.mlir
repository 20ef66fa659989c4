// The shape of the generated loops: where the lanes lie, what stays in registers, what the ends look like.
// RUN: prune-opt %s --convert-linalg-to-vector-loops=vector-bits=256 --canonicalize --cse --split-input-file | FileCheck %s

// Contiguous everywhere: four dimensions become one loop of whole vectors.
// CHECK-LABEL: func @merges_contiguous_dimensions
// CHECK: scf.for
// CHECK-NOT: scf.for
// CHECK: %[[X:.*]] = vector.load {{.*}} : memref<768xf32>, vector<8xf32>
// CHECK: %[[R:.*]] = math.exp %[[X]] : vector<8xf32>
// CHECK: vector.store %[[R]]
func.func @merges_contiguous_dimensions(%a: memref<2x3x8x16xf32>, %b: memref<2x3x8x16xf32>) {
  linalg.exp ins(%a : memref<2x3x8x16xf32>) outs(%b : memref<2x3x8x16xf32>)
  return
}

// -----

// Six rows by two vectors of accumulators in registers; each row of the left operand is read once per step.
// CHECK-LABEL: func @keeps_accumulators_in_registers
// CHECK-COUNT-12: vector.load {{.*}} vector<8xf32>
// CHECK: scf.for {{.*}} iter_args
// CHECK-COUNT-12: vector.fma
// CHECK-NOT: vector.fma
// CHECK: scf.yield
// CHECK-COUNT-12: vector.store
func.func @keeps_accumulators_in_registers(%a: memref<12x20xf32>, %b: memref<20x32xf32>, %c: memref<12x32xf32>) {
  linalg.matmul ins(%a, %b : memref<12x20xf32>, memref<20x32xf32>) outs(%c : memref<12x32xf32>)
  return
}

// -----

// Two rows are left after five tiles of six: they would wait for their own sums, so eight become two tiles of four.
// CHECK-LABEL: func @shares_rows_of_last_tile
// CHECK-DAG: %[[LAST:.*]] = arith.constant 24 : index
// CHECK-DAG: %[[SIX:.*]] = arith.constant 6 : index
// CHECK-DAG: %[[FOUR:.*]] = arith.constant 4 : index
// CHECK: scf.for %{{.*}} to %[[LAST]] step %[[SIX]]
// CHECK-COUNT-12: vector.fma
// CHECK: scf.for %{{.*}} = %[[LAST]] to %{{.*}} step %[[FOUR]]
// CHECK-COUNT-8: vector.fma
// CHECK-NOT: vector.fma
func.func @shares_rows_of_last_tile(%a: memref<32x20xf32>, %b: memref<20x16xf32>, %c: memref<32x16xf32>) {
  linalg.matmul ins(%a, %b : memref<32x20xf32>, memref<20x16xf32>) outs(%c : memref<32x16xf32>)
  return
}

// -----

// 13 elements: one vector of 8, one of 4, one scalar; nothing outside the buffer.
// CHECK-LABEL: func @narrows_at_the_end
// CHECK: vector.load %{{.*}}[%c0] {{.*}} vector<8xf32>
// CHECK: vector.load %{{.*}}[%c8] {{.*}} vector<4xf32>
// CHECK: memref.load %{{.*}}[%c12]
func.func @narrows_at_the_end(%a: memref<13xf32>, %b: memref<13xf32>) {
  linalg.exp ins(%a : memref<13xf32>) outs(%b : memref<13xf32>)
  return
}

// -----

// Only the reduction is contiguous: lanes are combined at the end by halves.
// CHECK-LABEL: func @reduces_across_lanes
// CHECK: scf.for {{.*}} iter_args
// CHECK: arith.addf {{.*}} : vector<8xf32>
// CHECK: vector.shuffle {{.*}}[0, 1, 2, 3]
// CHECK: arith.addf {{.*}} : vector<4xf32>
// CHECK: arith.addf {{.*}} : vector<1xf32>
func.func @reduces_across_lanes(%a: memref<4x64xf32>, %b: memref<4xf32>) {
  linalg.reduce ins(%a : memref<4x64xf32>) outs(%b : memref<4xf32>) dimensions = [1]
    (%x: f32, %y: f32) { %s = arith.addf %x, %y : f32 linalg.yield %s : f32 }
  return
}

// -----

// A transpose moves 8 x 8 blocks through registers.
// CHECK-LABEL: func @transposes_blocks
// CHECK-COUNT-8: vector.load {{.*}} vector<8xf32>
// CHECK-COUNT-24: vector.shuffle
// CHECK-COUNT-8: vector.store {{.*}} vector<8xf32>
func.func @transposes_blocks(%a: memref<16x24xf32>, %b: memref<24x16xf32>) {
  linalg.transpose ins(%a : memref<16x24xf32>) outs(%b : memref<24x16xf32>) permutation = [1, 0]
  return
}

// -----

// What does not change along the lanes is computed before their loop.
// CHECK-LABEL: func @hoists_invariants
// CHECK: scf.for
// CHECK: %[[S:.*]] = memref.load
// CHECK: %[[R:.*]] = math.rsqrt %[[S]] : f32
// CHECK: scf.for
// CHECK-NOT: math.rsqrt
// CHECK: arith.mulf {{.*}} : vector<8xf32>
func.func @hoists_invariants(%x: memref<4x64xf32>, %v: memref<4xf32>, %y: memref<4x64xf32>) {
  linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0)>,
                                   affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %v : memref<4x64xf32>, memref<4xf32>) outs(%y : memref<4x64xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %r = math.rsqrt %b : f32
    %m = arith.mulf %a, %r : f32
    linalg.yield %m : f32
  }
  return
}

// -----

// A copy between layouts would otherwise be a call of a run-time library.
// CHECK-LABEL: func @copies_strided_buffers
// CHECK-NOT: memref.copy
// CHECK: vector.load {{.*}} vector<8xf32>
func.func @copies_strided_buffers(%a: memref<4x8xf32, strided<[16, 1], offset: 3>>, %b: memref<4x8xf32>) {
  memref.copy %a, %b : memref<4x8xf32, strided<[16, 1], offset: 3>> to memref<4x8xf32>
  return
}

// -----

// Both operands are contiguous along the reduction only: a panel of the second is transposed into a buffer on the stack,
// then every row passes over it.
// CHECK-LABEL: func @packs_a_panel
// CHECK: memref.alloca() {alignment = 64 : i64{{.*}}} : memref<{{.*}}xi8>
// CHECK: vector.shuffle
// CHECK: vector.store
// CHECK: vector.fma
func.func @packs_a_panel(%x: memref<32x96xf32>, %w: memref<64x96xf32>, %y: memref<32x64xf32>) {
  linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                                   affine_map<(m, n, k) -> (m, n)>]
    ins(%x, %w : memref<32x96xf32>, memref<64x96xf32>) outs(%y : memref<32x64xf32>)
  return
}

// -----

// A reduction over one element is none: what the result held before must not be added.
// CHECK-LABEL: func @reduction_over_one
// CHECK: %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : vector<8xf32>
// CHECK: vector.store %[[ZERO]], %{{.*}} : memref<32xf32>, vector<8xf32>
// CHECK: vector.load {{.*}} : memref<32xf32>, vector<8xf32>
// CHECK: vector.store
func.func @reduction_over_one(%g: memref<1x4xf32>, %x: memref<1x8xf32>, %dw: memref<4x8xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%dw : memref<4x8xf32>)
  linalg.generic {indexing_maps = [affine_map<(m, i, j) -> (m, i)>, affine_map<(m, i, j) -> (m, j)>, affine_map<(m, i, j) -> (i, j)>],
                  iterator_types = ["reduction", "parallel", "parallel"]}
      ins(%g, %x : memref<1x4xf32>, memref<1x8xf32>) outs(%dw : memref<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %sum: f32):
    %product = arith.mulf %p, %q : f32
    %next = arith.addf %sum, %product : f32
    linalg.yield %next : f32
  }
  return
}
