//===- DimCouplingOpInterface.td - How an op ties dimensions ----*- tablegen -*-===//
#ifndef PRUNE_INTERFACES_DIMCOUPLINGOPINTERFACE_TD
#define PRUNE_INTERFACES_DIMCOUPLINGOPINTERFACE_TD

include "mlir/IR/OpBase.td"

def DimCouplingOpInterface : OpInterface<"DimCouplingOpInterface"> {
  let cppNamespace = "::mlir::prune";
  let description = [{
    Which dimensions of the operands and results of an op are tied, so that removing an index from one removes it from
    all, and how the op is rewritten once their types have shrunk. An op without this interface freezes every dimension
    of its tensors. Any op of any dialect may implement it, also as an external model (docs/Extending.md).

    `element` stands for the number that a value holds at every removed index of one of its dimensions, if there is such
    a number and it is known, under the assumption that all weights hold zero there. It decides which reductions may
    lose terms.
  }];
  let methods = [
    InterfaceMethod<[{
      Says which dimensions are tied, which must keep their size and why, and which are reduced. Dimensions that the op
      says nothing about are free: it works for any size of them, whatever the sizes of all others.
      }], "void", "collectDimRelations", (ins "::mlir::prune::DimRelations &":$relations)>,
    InterfaceMethod<[{
      What dimension `dim` of a result holds at removed indices, from what operands (and other values that the op
      reads) hold there. Null if that is not known or not one number.
      }], "::mlir::TypedAttr", "getRemovedElement",
      (ins "::mlir::OpResult":$result, "int64_t":$dim, "::mlir::prune::ElementFn":$element), "", "return {};">,
    InterfaceMethod<[{
      Whether the terms at removed indices of a reduced dimension (DimRelations::reduce) leave the result as it is.
      }], "bool", "isNeutralReduction",
      (ins "::mlir::OpOperand &":$operand, "int64_t":$dim, "::mlir::prune::ElementFn":$element), "", "return false;">,
    InterfaceMethod<[{
      Called once the types of all values have shrunk: brings attributes in line that repeat sizes or hold data
      (offsets, output shapes, padding, constants).
      }], "::llvm::LogicalResult", "shrinkDims",
      (ins "::mlir::RewriterBase &":$rewriter, "const ::mlir::prune::ShrunkDims &":$dims), "",
      "return ::mlir::success();">
  ];
}

#endif // PRUNE_INTERFACES_DIMCOUPLINGOPINTERFACE_TD
