// A reduction runs in the loops of the elementwise op that makes its values, which are stored and added up at once.
// RUN: prune-opt %s --prune-fuse-reductions --split-input-file | FileCheck %s
// RUN: prune-opt %s --prune-fuse-reductions --convert-linalg-to-vector-loops=vector-bits=256 --canonicalize --cse \
// RUN:   --split-input-file | FileCheck %s --check-prefix=LOOPS
// RUN: prune-opt %s --prune-fuse-reductions --convert-linalg-to-vector-loops=vector-bits=512 --canonicalize --cse \
// RUN:   --split-input-file | FileCheck %s --check-prefix=WIDE

#all = affine_map<(i, j) -> (j, i)>
#stored = affine_map<(j, i) -> (j, i)>
#lanes = affine_map<(j, i) -> (i)>
#sum = affine_map<(i, j) -> (i)>

// CHECK-LABEL: func @sum_of_exponentials
// CHECK-SAME: %[[X:.*]]: memref<8x32xf32>, %[[M:.*]]: memref<32xf32>, %[[E:.*]]: memref<8x32xf32>
// CHECK: %[[S:.*]] = memref.alloc
// CHECK: linalg.fill {{.*}} outs(%[[S]]
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]} ins(%[[X]], %[[M]] {{.*}} outs(%[[E]], %[[S]]
// CHECK: %[[D:.*]] = arith.subf
// CHECK: %[[P:.*]] = math.exp %[[D]]
// CHECK: %[[NEXT:.*]] = arith.addf %{{.*}}, %[[P]]
// CHECK: linalg.yield %[[P]], %[[NEXT]]
// CHECK-NOT: linalg.generic
// The sums start from the fill's value and stay in a register: one, beside the constants of the exponential, which
// fill sixteen; with 32 of them there are more.
// LOOPS-LABEL: func @sum_of_exponentials
// LOOPS: %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : vector<8xf32>
// LOOPS: scf.for
// LOOPS: scf.for {{.*}} iter_args(%[[SUM:.*]] = %[[ZERO]]) -> (vector<8xf32>)
// LOOPS: %[[P:.*]] = math.exp
// LOOPS: %[[NEXT:.*]] = arith.addf %[[SUM]], %[[P]]
// LOOPS: vector.store %[[P]], {{.*}} : memref<256xf32>
// LOOPS: scf.yield %[[NEXT]]
// LOOPS: vector.store {{.*}} : memref<32xf32>
// WIDE-LABEL: func @sum_of_exponentials
// WIDE: scf.for {{.*}} -> (vector<16xf32>, vector<16xf32>)
// WIDE-COUNT-2: math.exp
// WIDE-COUNT-2: vector.store {{.*}} : memref<256xf32>
// WIDE: scf.yield
func.func @sum_of_exponentials(%x: memref<8x32xf32>, %m: memref<32xf32>, %e: memref<8x32xf32>, %out: memref<32xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.generic {indexing_maps = [#stored, #lanes, #stored], iterator_types = ["parallel", "parallel"]}
      ins(%x, %m : memref<8x32xf32>, memref<32xf32>) outs(%e : memref<8x32xf32>) {
  ^bb0(%in: f32, %max: f32, %o: f32):
    %d = arith.subf %in, %max : f32
    %p = math.exp %d : f32
    linalg.yield %p : f32
  }
  %s = memref.alloc() : memref<32xf32>
  linalg.fill ins(%zero : f32) outs(%s : memref<32xf32>)
  linalg.generic {indexing_maps = [#all, #sum], iterator_types = ["parallel", "reduction"]}
      ins(%e : memref<8x32xf32>) outs(%s : memref<32xf32>) {
  ^bb0(%in: f32, %o: f32):
    %t = arith.addf %o, %in : f32
    linalg.yield %t : f32
  }
  memref.copy %s, %out : memref<32xf32> to memref<32xf32>
  return
}

// -----

#id = affine_map<(i, j) -> (i, j)>
#rows = affine_map<(i, j) -> (i)>

// Lanes along the reduction would have to be added up.
// CHECK-LABEL: func @reduces_last_dimension
// CHECK: iterator_types = ["parallel", "parallel"]
// CHECK: iterator_types = ["parallel", "reduction"]
func.func @reduces_last_dimension(%x: memref<8x16xf32>, %e: memref<8x16xf32>, %out: memref<8xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<8x16xf32>) outs(%e : memref<8x16xf32>) {
  ^bb0(%in: f32, %o: f32):
    %p = math.exp %in : f32
    linalg.yield %p : f32
  }
  %s = memref.alloc() : memref<8xf32>
  linalg.fill ins(%zero : f32) outs(%s : memref<8xf32>)
  linalg.generic {indexing_maps = [#id, #rows], iterator_types = ["parallel", "reduction"]}
      ins(%e : memref<8x16xf32>) outs(%s : memref<8xf32>) {
  ^bb0(%in: f32, %o: f32):
    %t = arith.addf %o, %in : f32
    linalg.yield %t : f32
  }
  memref.copy %s, %out : memref<8xf32> to memref<8xf32>
  return
}

// -----

#id = affine_map<(j, i) -> (j, i)>
#lanes = affine_map<(j, i) -> (i)>

// The elementwise op reads what the reduction overwrites; and an argument may be the same buffer as another.
// CHECK-LABEL: func @keeps_order_of_sums
// CHECK-COUNT-2: iterator_types = ["parallel", "parallel"]
// CHECK: iterator_types = ["reduction", "parallel"]
// CHECK: iterator_types = ["parallel", "parallel"]
// CHECK: iterator_types = ["reduction", "parallel"]
func.func @keeps_order_of_sums(%x: memref<8x16xf32>, %e: memref<8x16xf32>, %sums: memref<16xf32>) {
  %zero = arith.constant 0.0 : f32
  %s = memref.alloc() : memref<16xf32>
  linalg.fill ins(%zero : f32) outs(%s : memref<16xf32>)
  linalg.generic {indexing_maps = [#lanes, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%s, %e : memref<16xf32>, memref<8x16xf32>) outs(%x : memref<8x16xf32>) {
  ^bb0(%a: f32, %in: f32, %o: f32):
    %p = arith.addf %in, %a : f32
    linalg.yield %p : f32
  }
  linalg.generic {indexing_maps = [#id, #lanes, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %s : memref<8x16xf32>, memref<16xf32>) outs(%e : memref<8x16xf32>) {
  ^bb0(%in: f32, %a: f32, %o: f32):
    %p = arith.addf %in, %a : f32
    linalg.yield %p : f32
  }
  linalg.generic {indexing_maps = [#id, #lanes], iterator_types = ["reduction", "parallel"]}
      ins(%e : memref<8x16xf32>) outs(%s : memref<16xf32>) {
  ^bb0(%in: f32, %o: f32):
    %t = arith.addf %o, %in : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#lanes, #id], iterator_types = ["parallel", "parallel"]}
      ins(%s : memref<16xf32>) outs(%x : memref<8x16xf32>) {
  ^bb0(%in: f32, %o: f32):
    linalg.yield %in : f32
  }
  linalg.generic {indexing_maps = [#id, #lanes], iterator_types = ["reduction", "parallel"]}
      ins(%x : memref<8x16xf32>) outs(%sums : memref<16xf32>) {
  ^bb0(%in: f32, %o: f32):
    %t = arith.addf %o, %in : f32
    linalg.yield %t : f32
  }
  return
}
