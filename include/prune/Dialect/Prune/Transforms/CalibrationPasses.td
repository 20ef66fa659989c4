//===- CalibrationPasses.td - Passes on activations ------------*- tablegen -*-===//
#ifndef PRUNE_CALIBRATION_PASSES_TD
#define PRUNE_CALIBRATION_PASSES_TD

include "mlir/Pass/PassBase.td"

def PruneCalibrateMasks : Pass<"prune-calibrate-masks", "::mlir::ModuleOp"> {
  let summary = "Decide the masks whose criterion sees activations, and update the weights under them";
  let description = [{
    Runs the function `entry` on the examples in `data` and decides each `prune.mask` in it whose criterion needs
    statistics of activations, in the order of the network. **Every layer sees what the layers before it give once they
    are pruned and updated**: the function is cut where an activation is observed, each part is compiled and run once on
    all examples, and what it leaves is kept for the parts behind it. So this exact order costs one pass through the
    network. Layers that read the same activation share its statistic; layers that share a weight add theirs up. Parts
    that differ in weights only are compiled once.

    `data` is an .npz file with an array [examples, ...] for each argument of `entry`, by its `prune.name` (`in0` and so
    on without one); the first dimension of each argument is the batch. Examples are taken in order; if they do not fill
    the last batch, the first ones do again. `padding` names an argument whose zeros mark padding, such as an attention
    mask: rows of activations do not count where it is zero, if there are as many rows as it has elements.

    - `sparsegpt` decides 128 columns at a time (n:m patterns one group), from left to right. Each stretch prunes its share of
      the weight's count, and the columns behind make up for the error. The damping (relative to the mean of the diagonal) is
      raised tenfold, to at most 0.1, while the matrix is not positive definite. A column whose input is always zero is
      pruned first, and its weights become zero.
    - `column-counts=ranked` and `refit=true` go beyond SparseGPT: stretches prune as much as the scores of all columns say,
      and in the end all that is kept gets the values that are best for the mask, at a cost of kept³/3 operations for each
      row (once for rows of equal masks).
    - `wanda` and other criteria without updates get a mask by their scores only.
    - With `independent=true` layers see what the layers before them give unpruned: each weight is what it would be if it
      alone were pruned, as sensitivity asks for.
    - Counts are exact: round-half-even(sparsity · n) of n units. Weights of one group (a layer split by `l2` or `lamp`, a
      global scope) each prune as many units as a ranking of the group by magnitude says.

    Without a mask that waits for activations nothing happens, and no data is needed.

    Masks become constants with a `prune.record`, as in `prune-evaluate-masks`, and updated weights replace the old ones
    under the same name. The result does not depend on the number of threads. Remarks (category `calibrate`) say for each
    weight what was decided and the squared error of its layer's result on the examples, relative to the result: by the
    mask alone, and with the update.

    Refuses, in one line: arrays that are missing, have other shapes or types, or hold NaN; activations or statistics that
    are not finite; a weight whose use is no prunable layer of f32 (its input cannot be observed), or that is used without
    the mask too and would change; thresholds; and patterns whose units reach across all columns, for criteria with updates.

    ```mlir
    %mask = prune.mask %w by(#prune.sparsegpt) as(#prune.unstructured) sparsity(5.0e-01) name("fc.weight") : tensor<8x16xf32>
    // becomes
    %mask = arith.constant dense<...> : tensor<8x16xi1>
    prune.record "fc.weight" as(#prune.unstructured) keeps 64 of 128 digest "..."
    ```
  }];
  let options = [
    Option<"data", "data", "std::string", "\"\"", "The .npz file with examples of the inputs">,
    Option<"entry", "entry", "std::string", "\"main\"", "Function that is run">,
    Option<"padding", "padding", "std::string", "\"\"", "Input whose zeros mark rows that do not count; none when empty">,
    Option<"damping", "damping", "double", "0.01", "Share of the mean of the diagonal that is added to it, in (0, 0.1]">,
    Option<"columnCounts", "column-counts", "std::string", "\"even\"",
           "What a stretch of columns prunes: `even`, its share of the weight's count; `ranked`, as many as are among the lowest scores of the whole weight before any update">,
    Option<"refit", "refit", "bool", "false", "Give what is kept its best values once the mask is decided">,
    Option<"independent", "independent", "bool", "false",
           "Decide every layer by what the network gives it before any mask of this pass">,
    Option<"threads", "threads", "unsigned", "0", "Number of threads; 0 takes all cores. The result does not depend on it">,
  ];
  let statistics = [
    Statistic<"numMasks", "masks", "Number of masks decided">,
    Statistic<"numUpdated", "updated-weights", "Number of weight tensors whose values changed">,
    Statistic<"numStages", "stages", "Number of distinct inputs that were observed one after the other">,
    Statistic<"numCompiled", "compiled-parts", "Number of parts of the network that were compiled">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect", "::mlir::prune::PruneDialect"];
}

def PruneCompensateGroups : Pass<"prune-compensate-groups", "::mlir::ModuleOp"> {
  let summary = "Let the weights behind removed units make up for them";
  let description = [{
    For what `prune-select-groups` has masked and `prune-shrink` is about to remove: the weights that multiply the units
    (neurons, channels, heads) of a group get the values with the least squared error of their layer's result on the
    examples in `data`, given that only the units that stay are there. With H the Gram matrix of the layer's input before
    anything of the group is gone, plus the damping, and K the columns that stay, they become W H[:,K] H[K,K]⁻¹.

    With `units=obs` as many units are chosen anew, one after the other, in groups of which one weight alone multiplies the
    units: that one goes whose removal leaves the least error once the others make up for it (optimal brain surgeon,
    Hassibi and Stork 1992, by blocks of columns: the trace of W_U [H⁻¹]_UU⁻¹ W_Uᵀ, with W and H⁻¹ brought up to date; if
    there are more than 128, after each 128th part of them). Masks and records are written anew.

    The function `entry` runs as in `prune-calibrate-masks`, layer by layer, each on what the layers before it give once
    they are pruned and compensated; `data`, `padding` and `damping` mean the same. Shapes do not change.

    Left alone, each with a remark (category `calibrate`): weights whose use is no prunable layer of f32 in `entry`, or that
    several layers share. Where normalisations take statistics over the survivors, what is observed is the network before
    that, and the values are no longer the best ones. Without units that `prune-shrink` would remove nothing happens, and no data is needed. Refused:
    masks in `entry` that are not decided, and what `prune-calibrate-masks` refuses of data and activations.

    ```mlir
    %p2 = prune.apply %w2, %m2 as(#prune.slice<dim = 1>) name("fc2:1") : tensor<2x8xf32>
    // %w2 has other values afterwards, with zeros in the columns that %m2 prunes
    ```
  }];
  let options = [
    Option<"data", "data", "std::string", "\"\"", "The .npz file with examples of the inputs">,
    Option<"entry", "entry", "std::string", "\"main\"", "Function that is run">,
    Option<"padding", "padding", "std::string", "\"\"", "Input whose zeros mark rows that do not count; none when empty">,
    Option<"damping", "damping", "double", "0.01", "Share of the mean of the diagonal that is added to it, in (0, 0.1]">,
    Option<"units", "units", "std::string", "\"keep\"",
           "`keep`: those that are masked go; `obs`: as many, chosen anew by the error that is left">,
    Option<"threads", "threads", "unsigned", "0", "Number of threads; 0 takes all cores. The result does not depend on it">,
  ];
  let statistics = [
    Statistic<"numWeights", "weights", "Number of weight tensors with new values">,
    Statistic<"numDeclined", "declined-weights", "Number of weight tensors that lose columns and keep their values">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect", "::mlir::prune::PruneDialect"];
}

def PruneExpandObservations : Pass<"prune-expand-observations", "::mlir::ModuleOp"> {
  let summary = "Replace prune.observe by loops";
  let description = [{
    Each `prune.observe` becomes loops over blocks of up to 1024 rows: a copy of the block out of the activation, the
    product of that with itself in f32, and a sum over the blocks in f64.

    ```mlir
    %gram = prune.observe gram %x view(affine_map<(g, m, k) -> (m, k)>) rows [512] columns [384]
              : tensor<512x384xf32> -> tensor<1x384x384xf64>
    // becomes
    %product = linalg.contract indexing_maps = [(i, j, r) -> (r, i), (i, j, r) -> (r, j), (i, j, r) -> (i, j)]
                 ins(%rows, %rows : ...) ...
    %sums = linalg.generic ... ins(%product : tensor<384x384xf32>) outs(%zeros : tensor<384x384xf64>) ...
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numObservations", "observations", "Number of prune.observe ops that were expanded">];
}

#endif // PRUNE_CALIBRATION_PASSES_TD
