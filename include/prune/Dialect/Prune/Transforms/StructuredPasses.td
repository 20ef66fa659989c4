//===- StructuredPasses.td - Passes that remove dimensions ------*- tablegen -*-===//
#ifndef PRUNE_STRUCTURED_PASSES_TD
#define PRUNE_STRUCTURED_PASSES_TD

include "mlir/Pass/PassBase.td"

def PruneExplainGroups : Pass<"prune-explain-groups", "::mlir::ModuleOp"> {
  let summary = "Report which dimensions can only be pruned together, and why";
  let description = [{
    Lists every group of dimensions of a module in normal form (see `prune-normalize`): what its units are, which weights
    make and read them, and the chain of ties that holds them together, each with the op that makes it and its location.
    Groups that cannot be pruned are listed with the op that freezes them and the reason.

    Where a reshape cuts a dimension into factors (384 = 12 heads x 32) and several of them could lose indices, there is a
    group for each choice (`choice` in the JSON form).

    Changes nothing. Files are written whole or not at all.

    ```
    neurons:fc1.weight: 16 neurons
      makes fc1.weight dim 0 of tensor<16x8xf32>
      makes fc1.bias dim 0 of tensor<16xf32>
      reads fc2.weight dim 1 of tensor<4x16xf32>
    ```
  }];
  let options = [
    Option<"text", "text", "std::string", "\"stderr\"",
           "Where the groups go as text: `stderr`, `stdout`, `none` or a file">,
    Option<"json", "json", "std::string", "\"\"", "File for the groups as JSON; none when empty">,
    Option<"dot", "dot", "std::string", "\"\"", "File for the groups as a Graphviz graph; none when empty">,
  ];
  let statistics = [
    Statistic<"numGroups", "groups", "Groups that can be pruned">,
    Statistic<"numFrozen", "frozen-groups", "Groups that cannot be pruned">,
  ];
}

def PruneShrink : Pass<"prune-shrink", "::mlir::ModuleOp"> {
  let summary = "Remove what slice masks prune from the shapes of all tensors";
  let description = [{
    Takes masks of the pattern `#prune.slice` at their word: units all of whose weights are masked (as
    `prune-select-groups` masks them) disappear. Constants are sliced, and the types of all values between them shrink:
    through elementwise ops, contractions, convolutions, reshapes, transposes, concatenations, slices, padding, loops and
    calls. The result is plain dense IR that any compiler runs, and it computes what the masked module computes. Means
    over a shrunk dimension (layer norm, RMS norm, group norm) are taken over what survives.

    With `zeros`, units that are not masked but proved idle disappear too: all terms that they add to any sum are zero
    because of zeros in the weights (of a model that was pruned elsewhere), so that the result stays the same.

    Masks that cannot be turned into smaller shapes stay, each with a remark (category `prune-shrink`): of a dimension that
    is frozen (the remark names op, location and reason), or of weights whose partners are not masked.

    ```mlir
    %w1 = prune.apply %a, %rows as(#prune.slice<dim = 0>) ... : tensor<16x8xf32>     // keeps rows 0 to 3
    %h = linalg.contract ins(%x, %w1 ...) -> tensor<1x16xf32>
    %w2 = prune.apply %b, %columns as(#prune.slice<dim = 1>) ... : tensor<4x16xf32>  // keeps columns 0 to 3
    %y = linalg.contract ins(%h, %w2 ...) -> tensor<1x4xf32>
    // becomes
    %h = linalg.contract ins(%x, %a ...) -> tensor<1x4xf32>     // %a : tensor<4x8xf32>
    %y = linalg.contract ins(%h, %b ...) -> tensor<1x4xf32>     // %b : tensor<4x4xf32>
    ```
  }];
  let options = [
    Option<"zeros", "zeros", "bool", "false", "Remove units that zeros in the weights make idle">,
    Option<"report", "report", "std::string", "\"\"",
           "JSON file for the removed indices of each weight; none when empty">,
  ];
  let statistics = [
    Statistic<"numUnits", "removed-units", "Units (channels, neurons, heads) removed">,
    Statistic<"numWeights", "shrunk-weights", "Constants that got smaller">,
    Statistic<"numDeclined", "declined-masks", "Slice masks that stay, each with a remark">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::prune::PruneDialect",
                           "::mlir::tensor::TensorDialect"];
}

#endif // PRUNE_STRUCTURED_PASSES_TD
