//===- PruneAttrs.td - Patterns and criteria --------------------*- tablegen -*-===//
#ifndef PRUNE_ATTRS_TD
#define PRUNE_ATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "prune/Dialect/Prune/IR/PruneDialect.td"
include "prune/Dialect/Prune/IR/PruneInterfaces.td"
include "prune/Dialect/Prune/IR/PruneEnums.td"

class Prune_Attr<string name, string attrMnemonic, list<Trait> traits = []> : AttrDef<Prune_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Prune_UnstructuredAttr : Prune_Attr<"Unstructured", "unstructured",
    [DeclareAttrInterfaceMethods<PatternAttrInterface>]> {
  let summary = "Every weight lives or dies alone";
}

#endif // PRUNE_ATTRS_TD
