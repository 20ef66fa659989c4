//===- GradientOpInterface.td - Reverse-mode rule of an op ------*- tablegen -*-===//
#ifndef PRUNE_INTERFACES_GRADIENTOPINTERFACE_TD
#define PRUNE_INTERFACES_GRADIENTOPINTERFACE_TD

include "mlir/IR/OpBase.td"

def GradientOpInterface : OpInterface<"GradientOpInterface"> {
  let cppNamespace = "::mlir::prune";
  let description = [{
    The vector-Jacobian product of one op. `prune-expand-gradients` visits the ops of a function from the last to the
    first; a rule reads the gradients of the results and adds to those of the operands. An op without this interface
    cannot be differentiated. Any op of any dialect may implement it, also as an external model (docs/Extending.md).
  }];
  let methods = [
    InterfaceMethod<[{
      Adds what the results' gradients make of those of the operands, by code at the builder's place, which all values
      of the op dominate. At least one result has a gradient. Emits an error at the op if it cannot.
      }], "::llvm::LogicalResult", "buildGradient",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::prune::Gradients &":$gradients)>
  ];
}

#endif // PRUNE_INTERFACES_GRADIENTOPINTERFACE_TD
