// RUN: prune-opt %s --allow-unregistered-dialect --split-input-file --verify-diagnostics --prune-plan-memory

prune.entry @main () -> ()
func.func @main() {
  %n = arith.constant 4 : index
  // expected-error@+1 {{expected a temporary of static shape, got 'memref<?xf32>' (fix the dynamic sizes when importing)}}
  %a = memref.alloc(%n) : memref<?xf32>
  return
}

// -----

prune.entry @main () -> ()
func.func @main() {
  // expected-error@+1 {{expected an alignment of at most 64 bytes, got 128}}
  %a = memref.alloc() {alignment = 128 : i64} : memref<4xf32>
  return
}

// -----

prune.entry @main () -> ()
func.func @main() {
  // expected-error@+1 {{expected a temporary of row-major layout in the default memory space, got}}
  %a = memref.alloc() : memref<4xf32, strided<[2]>>
  return
}

// -----

prune.entry @main () -> ()
func.func @main() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-note@+1 {{the parallel loop is here}}
  omp.parallel {
    // expected-error@+1 {{expected no temporary inside a parallel loop, whose iterations would share its bytes}}
    %a = memref.alloc() : memref<4xf32>
    "test.use"(%a) : (memref<4xf32>) -> ()
    omp.terminator
  }
  return
}

// -----

prune.entry @main () -> ()
func.func @main() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c65 = arith.constant 65 : index
  // expected-error@+1 {{expected at most 2097152 bytes of temporaries inside a parallel loop of more than 64 iterations, got 2097216}}
  scf.parallel (%i) = (%c0) to (%c65) step (%c1) {
    %a = memref.alloc() : memref<524304xf32>
    "test.use"(%a) : (memref<524304xf32>) -> ()
  }
  return
}

// -----

// The next iteration reads what this one writes: two generations would share one place.
prune.entry @main () -> ()
func.func @main() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<4xf32>
  // expected-note@+1 {{the loop is here}}
  %r = scf.for %i = %c0 to %c1 step %c1 iter_args(%s = %a) -> (memref<4xf32>) {
    // expected-error@+1 {{expected a temporary that no later iteration of its loop uses (allocate it outside)}}
    %b = memref.alloc() : memref<4xf32>
    "test.use"(%s, %b) : (memref<4xf32>, memref<4xf32>) -> ()
    scf.yield %b : memref<4xf32>
  }
  return
}

// -----

prune.entry @main () -> ()
// expected-error@+1 {{expected no recursion, function 'main' calls itself}}
func.func @main() {
  call @main() : () -> ()
  return
}

// -----

prune.entry @main () -> ()
func.func @main() {
  call @other() : () -> ()
  return
}
// expected-error@+1 {{expected every function with temporaries, other than the entry, to be private; 'other' is public}}
func.func @other() {
  %a = memref.alloc() : memref<4xf32>
  "test.use"(%a) : (memref<4xf32>) -> ()
  return
}

// -----

prune.entry @main () -> ()
func.func @main() {
  %r = call @other() : () -> memref<4xf32>
  return
}
func.func private @other() -> memref<4xf32> {
  %a = memref.alloc() : memref<4xf32>
  // expected-error@+1 {{expected no buffer as the result of a function (run buffer-results-to-out-params before prune-plan-memory)}}
  return %a : memref<4xf32>
}

// -----

// expected-error@+1 {{expected an entry without workspace, got one of 64 bytes (prune-plan-memory runs once)}}
prune.entry @main () -> () workspace(64)
func.func @main(%w: memref<64xi8>) { return }
