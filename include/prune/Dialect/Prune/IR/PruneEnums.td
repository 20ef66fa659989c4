//===- PruneEnums.td - Enumerations of the prune dialect --------*- tablegen -*-===//
#ifndef PRUNE_ENUMS_TD
#define PRUNE_ENUMS_TD

include "mlir/IR/EnumAttr.td"
include "prune/Dialect/Prune/IR/PruneDialect.td"

// How a packed weight lies in memory; the operands each format has are listed at `prune.linear`.
def Prune_StorageFormat : I32EnumAttr<"StorageFormat", "storage format of a packed weight", [
    I32EnumAttrCase<"Dense", 0, "dense">,
    I32EnumAttrCase<"ChunkedCSR", 1, "chunked_csr">,
    I32EnumAttrCase<"BlockRows", 2, "block_rows">,
    I32EnumAttrCase<"Matrix", 3, "matrix">,
    I32EnumAttrCase<"CSR", 4, "csr">,
    I32EnumAttrCase<"BlockCSR", 5, "block_csr">,
    I32EnumAttrCase<"TwoOfFour", 6, "two_of_four">,
    I32EnumAttrCase<"Tiles", 7, "tiles">,
    I32EnumAttrCase<"Columns", 8, "columns">]> {
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

// What makes the scores of different weights comparable; the formulas stand at `prune.mask`.
def Prune_Normalization : I32EnumAttr<"Normalization", "how scores are made comparable between weights", [
    I32EnumAttrCase<"L2", 0, "l2">, I32EnumAttrCase<"LAMP", 1, "lamp">]> {
  let genSpecializedAttr = 0;
  let cppNamespace = "::mlir::prune";
}
def Prune_NormalizationAttr : EnumAttr<Prune_Dialect, Prune_Normalization, "normalization"> {
  let assemblyFormat = "`<` $value `>`";
}

// How sparsity rises with the step; the formulas stand at `#prune.schedule`.
def Prune_ScheduleKind : I32EnumAttr<"ScheduleKind", "how sparsity rises with the step", [
    I32EnumAttrCase<"Constant", 0, "constant">, I32EnumAttrCase<"Polynomial", 1, "polynomial">,
    I32EnumAttrCase<"Exponential", 2, "exponential">, I32EnumAttrCase<"Cosine", 3, "cosine">,
    I32EnumAttrCase<"MultiStep", 4, "multi_step">, I32EnumAttrCase<"Geometric", 5, "geometric">]> {
  let genSpecializedAttr = 0;
  let cppNamespace = "::mlir::prune";
}

// What prune.observe collects; the formulas stand there.
def Prune_Statistic : I32EnumAttr<"Statistic", "what is collected of an activation", [
    I32EnumAttrCase<"Norms", 0, "norms">, I32EnumAttrCase<"Gram", 1, "gram">]> {
  let genSpecializedAttr = 0;
  let cppNamespace = "::mlir::prune";
}
def Prune_StatisticAttr : EnumAttr<Prune_Dialect, Prune_Statistic, "statistic"> {
  let assemblyFormat = "$value";
}

#endif // PRUNE_ENUMS_TD
