// RUN: prune-opt %s --split-input-file --verify-diagnostics --prune-finalize-entry

prune.entry @main ("x": tensor<4xf32>) -> ()
func.func @main(%x: memref<4xf32>) { return }
func.func @other(%x: memref<4xf32>) {
  // expected-error@+1 {{expected no call of the entry function 'main'}}
  call @main(%x) : (memref<4xf32>) -> ()
  return
}

// -----

// expected-error@+1 {{expected a func.func named 'main' with a body}}
prune.entry @main () -> ()
llvm.func @main(!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr)

// -----

prune.entry @main () -> () workspace(64)
// expected-error@+1 {{expected argument 0 of the entry function to be a memref of bytes, got}}
func.func @main(%w: memref<16xf32>) { return }
