//===- PruneTargetOps.td - What a lowered model says of itself -*- tablegen -*-===//
//
// The two ops that stay in a module after everything else became code: the signature of the model, and its weights.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_TARGET_OPS_TD
#define PRUNE_TARGET_OPS_TD

include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/CommonAttrConstraints.td"
include "mlir/IR/SymbolInterfaces.td"
include "prune/Dialect/Prune/IR/PruneDialect.td"

def Prune_EntryOp : Prune_Op<"entry", [HasParent<"::mlir::ModuleOp">, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The signature of a model, kept while its function becomes code";
  let description = [{
    Names and tensor types of the inputs and outputs of one function, and what a caller of the code needs besides: the
    blob of weights, the bytes of workspace, the processor it was compiled for, the chip that kernels were compiled for if
    there are any (`gpu("sm_90")`), and its number of threads.
    `prune-capture-entry` writes it while the function is still on tensors; the passes that follow fill in the rest.

    ```mlir
    // One input of 2x3 floats, one output of 2x2; 64 bytes of weights in @weights, 128 bytes of workspace.
    prune.entry @main("x": tensor<2x3xf32>) -> ("y": tensor<2x2xf32>) weights(@weights) workspace(128)
      cpu("x86-64-v3") features("+avx2,+fma") threads(2)
    ```

    The function is one of
    - on tensors: the argument and result types are the ones named here;
    - on memrefs: the inputs, then the outputs, then the weights as `memref<?xi8>` if `weights` is there, then the
      workspace as `memref<?xi8>` if `workspace` is there;
    - lowered: `(inputs, outputs, weights, workspace)`, four pointers. `inputs` and `outputs` are arrays of pointers to
      contiguous row-major data of any alignment, owned by the caller; outputs overlap nothing else. `weights` and
      `workspace` are aligned to 64 bytes. Nothing is allocated during a call.

    **Constraints**
    1. (entry_c1) the function exists in the module.
    2. (entry_c2) every input and output has a name; no two inputs, and no two outputs, share one.
    3. (entry_c3) every type is a ranked tensor of static shape and of i1, i8, i16, i32, i64, f16, bf16, f32 or f64
       (integers signless or unsigned), without encoding.
    4. (entry_c4) a function on tensors has exactly these types; a lowered one takes four pointers and returns nothing.
    5. (entry_c5) `weights` names a `prune.blob`.
    6. (entry_c6) `workspace` is a multiple of 64 and not negative; `threads` is at least 1.
  }];
  let arguments = (ins FlatSymbolRefAttr:$function, StrArrayAttr:$input_names, TypeArrayAttr:$input_types,
                   StrArrayAttr:$output_names, TypeArrayAttr:$output_types, OptionalAttr<FlatSymbolRefAttr>:$weights,
                   OptionalAttr<I64Attr>:$workspace_size, OptionalAttr<StrAttr>:$cpu, OptionalAttr<StrAttr>:$features, OptionalAttr<StrAttr>:$gpu,
                   DefaultValuedAttr<I64Attr, "1">:$threads);
  let assemblyFormat = [{
    $function custom<Signature>($input_names, $input_types) `->` custom<Signature>($output_names, $output_types)
    (`weights` `` `(` $weights^ `)`)? (`workspace` `` `(` $workspace_size^ `)`)? (`cpu` `` `(` $cpu^ `)`)?
    (`features` `` `(` $features^ `)`)? (`gpu` `` `(` $gpu^ `)`)? (`threads` `` `(` $threads^ `)`)? attr-dict
  }];
  let extraClassDeclaration = [{
    unsigned getNumInputs() { return getInputNames().size(); }
    unsigned getNumOutputs() { return getOutputNames().size(); }
    ::mlir::RankedTensorType getInputType(unsigned i);
    ::mlir::RankedTensorType getOutputType(unsigned i);
    ::llvm::StringRef getInputName(unsigned i);
    ::llvm::StringRef getOutputName(unsigned i);
  }];
  let hasVerifier = 1;
}

def Prune_BlobOp : Prune_Op<"blob", [HasParent<"::mlir::ModuleOp">, Symbol]> {
  let summary = "Constant bytes beside the code";
  let description = [{
    All weights of a lowered model, one after the other, each aligned to 64 bytes from the start. The code is given a
    pointer to it and never holds weights itself.

    ```mlir
    prune.blob @weights dense_resource<prune_weights> : tensor<128xi8>
    ```

    **Constraints**
    1. (blob_c1) the data is a one-dimensional tensor of i8, `dense` or `dense_resource`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<StrAttr>:$sym_visibility, ElementsAttr:$data);
  let assemblyFormat = "($sym_visibility^)? $sym_name $data attr-dict";
  let hasVerifier = 1;
}

#endif // PRUNE_TARGET_OPS_TD
