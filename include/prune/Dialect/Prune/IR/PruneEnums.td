//===- PruneEnums.td - Enumerations of the prune dialect --------*- tablegen -*-===//
#ifndef PRUNE_ENUMS_TD
#define PRUNE_ENUMS_TD

include "mlir/IR/EnumAttr.td"
include "prune/Dialect/Prune/IR/PruneDialect.td"

// How a packed weight lies in memory; the operands each format has are listed at `prune.linear`.
def Prune_StorageFormat : I32EnumAttr<"StorageFormat", "storage format of a packed weight", [
    I32EnumAttrCase<"Dense", 0, "dense">,
    I32EnumAttrCase<"ChunkedCSR", 1, "chunked_csr">,
    I32EnumAttrCase<"BlockRows", 2, "block_rows">]> {
  let genSpecializedAttr = 0;
  let cppNamespace = "::mlir::prune";
}
def Prune_StorageFormatAttr : EnumAttr<Prune_Dialect, Prune_StorageFormat, "format"> {
  let assemblyFormat = "$value";
}

def Prune_Norm : I32EnumAttr<"Norm", "how the weights of one unit add up", [
    I32EnumAttrCase<"l1", 0>, I32EnumAttrCase<"l2", 1>, I32EnumAttrCase<"linf", 2>]> {
  let cppNamespace = "::mlir::prune";
  let genSpecializedAttr = 0;
}

#endif // PRUNE_ENUMS_TD
