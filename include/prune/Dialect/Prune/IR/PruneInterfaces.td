//===- PruneInterfaces.td - Interfaces of patterns and criteria -*- tablegen -*-===//
#ifndef PRUNE_INTERFACES_TD
#define PRUNE_INTERFACES_TD

include "mlir/IR/OpBase.td"

def PatternAttrInterface : AttrInterface<"PatternAttrInterface"> {
  let cppNamespace = "::mlir::prune";
  let description = [{
    Which weights live or die together. Implemented by pattern attributes; other projects may add their own.
  }];
  let methods = [
    InterfaceMethod<"Name of the storage format that suits masks of this pattern (see docs/Vocabulary.md)",
      "::llvm::StringRef", "getStorageFormat">
  ];
}

#endif // PRUNE_INTERFACES_TD
