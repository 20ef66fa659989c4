// RUN: prune-opt %s --split-input-file --verify-diagnostics --prune-capture-entry="cpu=x86-64"
// RUN: not prune-opt %s --split-input-file --prune-capture-entry="cpu=pentium12" 2>&1 | FileCheck %s --check-prefix=CPU
// RUN: not prune-opt %s --split-input-file --prune-capture-entry="cpu=x86-64 features=+avx9" 2>&1 | FileCheck %s --check-prefix=FEATURE
// RUN: not prune-opt %s --split-input-file --prune-capture-entry="cpu=x86-64 features=avx" 2>&1 | FileCheck %s --check-prefix=SIGN
// RUN: not prune-opt %s --split-input-file --prune-capture-entry="threads=0" 2>&1 | FileCheck %s --check-prefix=THREADS

// CPU: error: unknown cpu 'pentium12' for
// FEATURE: error: unknown cpu feature 'avx9' for
// SIGN: error: expected '+' or '-' before cpu feature 'avx'
// THREADS: error: expected at least 1 thread, got 0

// expected-error@+1 {{argument 1 of the entry function: expected a tensor of static shape, got 'tensor<?xf32>' (fix the dynamic sizes when importing)}}
func.func @main(%x: tensor<1xf32>, %y: tensor<?xf32>) { return }

// -----

// expected-error@+1 {{result 0 of the entry function: expected a tensor of static shape, got 'index'}}
func.func @main() -> index {
  %x = arith.constant 0 : index
  return %x : index
}

// -----

// expected-error@+1 {{expected a function named 'main' with a body, got none}}
module {
  func.func private @main()
}

// -----

// expected-error@+1 {{input 1: expected a name of its own, got "x", which is taken}}
func.func @main(%x: tensor<1xf32> {prune.name = "x"}, %y: tensor<1xf32> {prune.name = "x"}) { return }

// -----

// expected-error@+1 {{expected a module without prune.entry, got one}}
prune.entry @main () -> ()
func.func @main() { return }

// -----

func.func @main() { return }
