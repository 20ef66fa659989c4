// What the verifiers of prune.entry and prune.blob refuse.
// RUN: prune-opt %s --split-input-file --verify-diagnostics

// entry_c1
// expected-error@+1 {{expected a function named @main in the module}}
prune.entry @main () -> ()

// -----

// entry_c2
func.func private @main(tensor<1xf32>, tensor<1xf32>)
// expected-error@+1 {{input 1: expected a name of its own, got "x", which is taken}}
prune.entry @main ("x": tensor<1xf32>, "x": tensor<1xf32>) -> ()

// -----

// entry_c2
func.func private @main() -> tensor<1xf32>
// expected-error@+1 {{output 0: expected a name, got an empty one}}
prune.entry @main () -> ("": tensor<1xf32>)

// -----

// entry_c2
func.func private @main()
// expected-error@+1 {{expected one name for each of 1 input types, got 0}}
"prune.entry"() {function = @main, input_names = [], input_types = [tensor<1xf32>], output_names = [], output_types = []} : () -> ()

// -----

// entry_c3
func.func private @main(tensor<?xf32>)
// expected-error@+1 {{input "x": expected a tensor of static shape of i1, i8 to i64, f16, bf16, f32 or f64, got 'tensor<?xf32>'}}
prune.entry @main ("x": tensor<?xf32>) -> ()

// -----

// entry_c3
func.func private @main() -> tensor<2xcomplex<f32>>
// expected-error@+1 {{output "y": expected a tensor of static shape of i1, i8 to i64, f16, bf16, f32 or f64, got 'tensor<2xcomplex<f32>>'}}
prune.entry @main () -> ("y": tensor<2xcomplex<f32>>)

// -----

// entry_c4
// expected-note@+1 {{function @main takes ('tensor<2xf32>') and returns ()}}
func.func private @main(tensor<2xf32>)
// expected-error@+1 {{expected the function on tensors to have the types of the entry}}
prune.entry @main ("x": tensor<1xf32>) -> ()

// -----

// entry_c4
// expected-note@+1 {{function @main takes}}
llvm.func @main(!llvm.ptr, !llvm.ptr, i64, !llvm.ptr)
// expected-error@+1 {{expected the lowered function to take four pointers and return nothing}}
prune.entry @main () -> ()

// -----

// entry_c5
llvm.func @main(!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr)
// expected-error@+1 {{expected weights to name a prune.blob, got @main}}
prune.entry @main () -> () weights(@main)

// -----

// entry_c6
llvm.func @main(!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr)
// expected-error@+1 {{expected a workspace of a multiple of 64 bytes, got 65}}
prune.entry @main () -> () workspace(65)

// -----

// entry_c6
llvm.func @main(!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr)
// expected-error@+1 {{expected at least 1 thread, got 0}}
prune.entry @main () -> () threads(0)

// -----

// blob_c1
// expected-error@+1 {{expected dense or dense_resource data of a one-dimensional tensor of i8, got 'tensor<2xi16>'}}
prune.blob @weights dense<0> : tensor<2xi16>

// -----

// blob_c1
// expected-error@+1 {{expected dense or dense_resource data of a one-dimensional tensor of i8, got 'tensor<2x2xi8>'}}
prune.blob @weights dense<0> : tensor<2x2xi8>
