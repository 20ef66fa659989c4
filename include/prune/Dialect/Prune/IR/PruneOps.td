//===- PruneOps.td - Operations on masks ------------------------*- tablegen -*-===//
#ifndef PRUNE_OPS_TD
#define PRUNE_OPS_TD

include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "prune/Dialect/Prune/IR/PruneAttrs.td"

def Prune_ApplyOp : Prune_Op<"apply", [Pure, AllShapesMatch<["weight", "mask", "result"]>,
                                       AllTypesMatch<["weight", "result"]>]> {
  let summary = "A weight with its mask applied";
  let description = [{
    `result[i] = mask[i] ? weight[i] : 0`.
  }];
  let arguments = (ins AnyStaticShapeTensor:$weight, AnyStaticShapeTensor:$mask, PatternAttrInterface:$pattern);
  let results = (outs AnyStaticShapeTensor:$result);
  let assemblyFormat = "$weight `,` $mask `as` ` ` `(` $pattern `)` attr-dict `:` type($weight) `,` type($mask)";
}

include "prune/Dialect/Prune/IR/PruneKernelOps.td"

#endif // PRUNE_OPS_TD
