//===- Passes.td - Passes of prune/Dialect/Prune/Transforms ---*- tablegen -*-===//
include "mlir/Pass/PassBase.td"
include "prune/Dialect/Prune/Transforms/MaskingPasses.td"

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

def PruneIdentify : Pass<"prune-identify", "::mlir::ModuleOp"> {
  let summary = "Report which layers can be pruned and what they cost";
  let description = [{
    Lists every layer of a module in normal form (see `prune-normalize`) with its kind, op, weight shape, parameters and
    FLOPs (two for each multiply-add), and its share of both. A layer that cannot be pruned is listed with the reason:
    products without a constant weight, embedding tables, vectors, weights that are not in normal form. Once masks are
    decided their zeros are shown too. A weight that several layers use counts once in the sums.

    Changes nothing. The files are written whole or not at all (to a temporary beside, then renamed).

    ```
    layer  kind    op               shape  parameters      %  MFLOP      %  zeros %  prunable
    fc1    linear  linalg.contract  8x16          128  100.0   0.00  100.0        -  yes
    ```
  }];
  let options = [
    Option<"table", "table", "std::string", "\"stderr\"",
           "Where the table goes: `stderr`, `stdout`, `none` or a file">,
    Option<"json", "json", "std::string", "\"\"", "File that the report is written to as JSON; none when empty">,
  ];
  let statistics = [
    Statistic<"numLayers", "layers", "Number of layers listed">,
    Statistic<"numPrunable", "prunable-layers", "Number of layers that can be pruned">,
  ];
}
