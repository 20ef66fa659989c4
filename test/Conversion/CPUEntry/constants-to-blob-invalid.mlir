// RUN: prune-opt %s --allow-unregistered-dialect --split-input-file --verify-diagnostics --prune-constants-to-blob

// expected-error@+1 {{expected one prune.entry in the module, got none (run prune-capture-entry while the function is on tensors)}}
module {}

// -----

// expected-note@+1 {{the first one is here}}
prune.entry @main () -> ()
// expected-error@+1 {{expected one prune.entry in the module, got 2}}
prune.entry @main () -> ()
func.func @main() { return }

// -----

// expected-error@+1 {{expected an entry without weights and workspace, got one with a workspace}}
prune.entry @main () -> () workspace(64)
func.func @main(%w: memref<64xi8>) { return }

// -----

prune.entry @main ("x": tensor<4xf32>) -> ("y": tensor<4xf32>)
// expected-error@+1 {{expected the entry function to take its 1 inputs, its 1 outputs and 0 more, and to return nothing, got}}
func.func @main(%x: memref<4xf32>) -> memref<4xf32> { return %x : memref<4xf32> }

// -----

prune.entry @main ("x": tensor<4xf32>) -> ()
// expected-error@+1 {{expected argument 0 of the entry function to be a memref of row-major layout for its tensor, got}}
func.func @main(%x: memref<4xf32, strided<[2]>>) { return }

// -----

prune.entry @main () -> ()
memref.global "private" constant @w : memref<32xf32> = dense<1.0>
func.func @main() { return }
// expected-error@+1 {{expected every function that uses weights, other than the entry, to be private; 'other' is public}}
func.func @other() {
  %w = memref.get_global @w : memref<32xf32>
  "test.use"(%w) : (memref<32xf32>) -> ()
  return
}

// -----

prune.entry @main () -> ()
// expected-error@+1 {{expected 128 bytes of data in resource 'missing', got none}}
memref.global "private" constant @w : memref<32xf32> = dense_resource<missing>
func.func @main() {
  %w = memref.get_global @w : memref<32xf32>
  "test.use"(%w) : (memref<32xf32>) -> ()
  return
}
