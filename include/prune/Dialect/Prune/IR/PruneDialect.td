//===- PruneDialect.td - The prune dialect ---------------------*- tablegen -*-===//
#ifndef PRUNE_DIALECT_TD
#define PRUNE_DIALECT_TD

include "mlir/IR/OpBase.td"

def Prune_Dialect : Dialect {
  let name = "prune";
  let cppNamespace = "::mlir::prune";
  let summary = "Masks on tensors, and the code that is fast because of them";
  let description = [{
    The `prune` dialect annotates constant weights with masks. A mask is an SSA value (a constant `tensor<...xi1>`, true =
    kept), so it cannot be lost by a pass that does not know it, and a verifier can check it against its pattern.

    A weight is seen as a matrix: dimension 0 is the output dimension (rows), the other dimensions flattened row-major are
    the reduction dimension (columns). `prune-normalize` brings imported weights to this orientation.
  }];
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
  }];
}

class Prune_Op<string mnemonic, list<Trait> traits = []> : Op<Prune_Dialect, mnemonic, traits>;

#endif // PRUNE_DIALECT_TD
