//===- MaskingPasses.td - Passes on masks -----------------------*- tablegen -*-===//
#ifndef PRUNE_MASKING_PASSES_TD
#define PRUNE_MASKING_PASSES_TD

include "mlir/Pass/PassBase.td"

def PruneCreateMasks : Pass<"prune-create-masks", "::mlir::ModuleOp"> {
  let summary = "Put undecided masks on the weights of prunable layers";
  let description = [{
    Inserts `prune.mask` and `prune.apply` behind the constant weight of each prunable layer (`prune-identify` lists
    them). Layers that share a weight share its mask. Weights of layers that are not prunable, that `include`, `exclude`
    or the recipe leave out, or that the pattern cannot be laid on stay as they are, each with a remark (category `masks`)
    that says why. A layer that has a mask already gets a new one in its place.

    Refuses options out of range, and regular expressions (also those of recipe entries) that match no prunable weight.

    A recipe is a YAML file. Its top-level keys replace the options of this pass, each entry of `layers` the settings of
    the weights whose name its `match` finds; the first match decides:

    ```yaml
    pattern: 4x1
    sparsity: 0.9
    layers:
      - match: attention.*query
        sparsity: 0.8
      - match: classifier
        skip: true
    ```
    Keys: `criterion`, `pattern`, `sparsity`, `threshold`, `min-keep`, `scope`, `layer-split`, `group` (weights of a global
    scope or of one split compete with those of the same group), and in entries `match` and `skip`.

    `layer-split` says how weights share the sparsity, which they must then have:
    - `uniform`: each weight, or the global scope, meets it as it is.
    - `erk`: each weight gets a target of its own. Its density is proportional to sum(shape) / product(shape), scaled so
      that all weights of the same group and sparsity keep together as much as they would under `uniform`; while a density
      exceeds 1 (or what an n:m pattern allows), the largest is cut to that and the rest scaled again. Each weight rounds
      to whole units. Works on the scope `layer`.
    - `l2`, `lamp`: a global ranking of scores that are made comparable (`normalize` of `prune.mask`). The total is exact.

    ```mlir
    %w = arith.constant dense_resource<fc.weight> : tensor<8x8xf32>
    %y = linalg.contract ... ins(%x, %w : ...)
    // becomes, with sparsity=0.5
    %w = arith.constant dense_resource<fc.weight> : tensor<8x8xf32>
    %mask = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(5.000000e-01) name("fc.weight") : ...
    %pruned = prune.apply %w, %mask as(#prune.unstructured) name("fc.weight") : tensor<8x8xf32>
    %y = linalg.contract ... ins(%x, %pruned : ...)
    ```
  }];
  let options = [
    Option<"criterion", "criterion", "std::string", "\"magnitude\"",
           "What a weight is worth: `magnitude`, `magnitude:l2`, `magnitude:linf`, `random`, `random:SEED`, `taylor`, `fisher`, `obs` (see `prune-evaluate-masks`), `movement`, `soft-movement`, `wanda`, `sparsegpt` (see `prune-calibrate-masks`) or an attribute">,
    Option<"pattern", "pattern", "std::string", "\"unstructured\"",
           "What lives or dies together: `unstructured`, `N:M`, `V:N:M`, `transposable:N:M`, `RxC`, `slice:DIM`, `slice:DIM:GROUP` or an attribute">,
    Option<"sparsity", "sparsity", "double", "std::numeric_limits<double>::quiet_NaN()",
           "Share of units to prune, in [0, 1]. Default: 0.5, or what an n:m pattern imposes by itself">,
    Option<"threshold", "threshold", "double", "std::numeric_limits<double>::quiet_NaN()",
           "Prune units whose score is this or less, instead of a share. Default: none">,
    Option<"minKeep", "min-keep", "int64_t", "-1",
           "Units that each weight keeps at least. Default (-1): 1, or 0 at a sparsity of exactly 1">,
    Option<"scope", "scope", "std::string", "\"\"",
           "`layer`: each weight meets the target by itself; `global`: all weights compete for one budget. Default: `layer`, or `global` for the layer splits `l2` and `lamp`">,
    Option<"layerSplit", "layer-split", "std::string", "\"uniform\"",
           "How weights share the sparsity: `uniform`, `erk`, `l2` or `lamp`">,
    Option<"include", "include", "std::string", "\"\"",
           "Regular expression; only weights in whose name it is found are pruned. Default: all">,
    Option<"exclude", "exclude", "std::string", "\"\"",
           "Regular expression; weights in whose name it is found are not pruned. Default: none">,
    Option<"recipe", "recipe", "std::string", "\"\"",
           "YAML file with settings for weights by name; none when empty">,
  ];
  let statistics = [
    Statistic<"numMasks", "masks", "Number of masks created">,
    Statistic<"numSkipped", "skipped-layers", "Number of layers left unmasked, each with a remark">,
  ];
  let dependentDialects = ["::mlir::prune::PruneDialect"];
}

def PruneEvaluateMasks : Pass<"prune-evaluate-masks", "::mlir::ModuleOp"> {
  let summary = "Decide the masks of constant weights";
  let description = [{
    Replaces each `prune.mask` of a constant weight by a constant, and writes a `prune.record` for each weight that is
    then masked, which `prune-verify-masks` checks later. Masks of one `group` are ranked together. Counts and ties are
    exact, and the bytes the same for any number of threads.

    Criteria that need gradients (`taylor`, `fisher`) read them from `gradients`, an .npz file with an array of each
    weight's shape by its name, or NAME:squared for the mean of squares; `python -m prune gradients` writes such files.
    `obs` needs NAME:fisher, the mean of g gᵀ in blocks of elements: an array [blocks, n, n] for blocks of n consecutive
    elements, or [rows / r, columns / c, r, c, r, c] for r x c of the matrix view, both rounded up. It changes what is kept
    of a block to make up for each unit that is pruned in it as if that were the only one (as the paper has it), or with
    `refit=true` for all of them together, which gives the least loss for the mask. The units of the pattern must lie
    within blocks. A remark says what that does to the loss, as the Fisher information has it.

    Leaves masks alone whose weight is not a constant or whose criterion needs more than that, with a remark
    (category `masks`); `prune-calibrate-masks` decides those that need activations.

    Refuses weights that hold NaN (the message names weight and index), groups whose members disagree, and masks that
    turn out empty under a `prune.apply` without `allow_empty`; for `obs` also weights that are not f32 or are used
    without the mask too, units that reach across blocks, and blocks that are not positive definite with the damping.

    ```mlir
    %w = arith.constant dense<[[1.0, -4.0], [3.0, 2.0]]> : tensor<2x2xf32>
    %mask = prune.mask %w by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(5.0e-01) name("w") : tensor<2x2xf32>
    // becomes
    %mask = arith.constant dense<[[false, true], [true, false]]> : tensor<2x2xi1>
    prune.record "w" as(#prune.unstructured) keeps 2 of 4 digest "..."
    ```
  }];
  let options = [
    Option<"gradients", "gradients", "std::string", "\"\"", ".npz file with the gradients that `taylor`, `fisher` and `obs` need">,
    Option<"refit", "refit", "bool", "false", "Give what `obs` keeps its best values once the mask is decided">,
    Option<"threads", "threads", "unsigned", "0", "Number of threads; 0 takes all cores. The result does not depend on it">,
  ];
  let statistics = [
    Statistic<"numMasks", "masks", "Number of masks decided">,
    Statistic<"numWeights", "weights", "Number of weights under these masks">,
    Statistic<"numPruned", "pruned-weights", "Number of weights that these masks prune">,
    Statistic<"numUpdated", "updated-weights", "Number of weight tensors whose values changed">,
    Statistic<"numUndecided", "undecided-masks", "Number of masks left undecided, each with a remark">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::prune::PruneDialect"];
}

def PruneVerifyMasks : Pass<"prune-verify-masks", "::mlir::ModuleOp"> {
  let summary = "Fail if a mask has been lost or changed";
  let description = [{
    Compares each `prune.record` with the module: the `prune.apply` of that name must still be there, with a constant mask
    of the recorded pattern, count and digest, and somebody must use its result. Where `prune-fold-masks` has written the
    mask into the weight, the nonzero positions of the stored weight must be those that were folded. Reports every
    difference with both values, then fails. Changes nothing.

    A mask that keeps everything may be gone, as its application folds away. A layer that was removed on purpose takes its
    record with it, or fails here.
  }];
  let statistics = [Statistic<"numRecords", "records", "Number of records checked">];
}

def PruneFoldMasks : Pass<"prune-fold-masks", "::mlir::ModuleOp"> {
  let summary = "Write masks into the weights, for consumers without masks";
  let description = [{
    Replaces each `prune.apply` of a constant weight and a constant mask by a constant whose pruned elements are +0.0; its
    resource is called after the weight, with `.masked` appended. Its record gets the name and the digest of what is
    stored, so that `prune-verify-masks` can still check it. An application whose weight or mask is not constant becomes
    `arith.select`, and its record goes, with a remark (category `masks`).

    ```mlir
    %pruned = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<2x2xf32>
    // becomes
    %pruned = arith.constant dense_resource<w.masked> : tensor<2x2xf32>
    ```
  }];
  let statistics = [
    Statistic<"numFolded", "folded", "Number of masks written into constants">,
    Statistic<"numSelects", "selects", "Number of masks that became arith.select">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::prune::PruneDialect"];
}

#endif // PRUNE_MASKING_PASSES_TD
