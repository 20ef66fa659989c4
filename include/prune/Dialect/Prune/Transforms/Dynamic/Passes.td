//===- Passes.td - Passes on dynamic masks ----------------------*- tablegen -*-===//
include "mlir/Pass/PassBase.td"

def PruneInsertGates : Pass<"prune-insert-gates", "::mlir::ModuleOp"> {
  let summary = "Put dynamic masks before the products with constant weights";
  let description = [{
    Inserts `prune.dynamic_mask` and `prune.gate` before each linear layer with a prunable weight (`prune-identify` lists
    them): of the activations of a token, or of another position, only some meet the weight. Layers that read the same
    activation share its gate. Layers that `include` and `exclude` leave out, that have a gate already or whose columns a
    group of n:m does not divide stay as they are, each with a remark (category `dynamic`).

    - `kind=threshold` with `sparsity`: `prune-calibrate-gates` finds the thresholds. With `threshold`: that one.
    - `kind=top-k`: as many columns as `keep` or `sparsity` says, exactly K - round-half-even(sparsity · K) of K, one at least.
    - `kind=N:M`: N of each M consecutive columns.

    With `scores` another activation decides: that result of the function, of the shape of what is gated. A model that predicts
    which neurons matter returns what it predicts. Then `include` should leave the layers whose activations they are.

    Refuses options out of range, `keep` above the columns of a layer, and regular expressions that match no layer.

    ```mlir
    %y = linalg.contract ... ins(%x, %w : tensor<1x768xf32>, tensor<3072x768xf32>)
    // becomes, with sparsity=0.5
    %mask = prune.dynamic_mask %x along 1 sparsity(5.000000e-01) name("fc1.weight") : tensor<1x768xf32>
    %gated = prune.gate %x, %mask : tensor<1x768xf32>
    %y = linalg.contract ... ins(%gated, %w : ...)
    ```
  }];
  let options = [
    Option<"kind", "kind", "std::string", "\"threshold\"", "What is kept: `threshold`, `top-k` or `N:M`">,
    Option<"sparsity", "sparsity", "double", "std::numeric_limits<double>::quiet_NaN()",
           "Share of the activations to prune, in [0, 1]. Default: 0.5, or what N:M says">,
    Option<"threshold", "threshold", "double", "std::numeric_limits<double>::quiet_NaN()",
           "Prune activations whose absolute value is this or less, instead of a share. Default: none">,
    Option<"keep", "keep", "int64_t", "-1", "Columns that `top-k` keeps, instead of a share. Default: none">,
    Option<"include", "include", "std::string", "\"\"",
           "Regular expression; only layers in whose weight's name it is found get gates. Default: all">,
    Option<"exclude", "exclude", "std::string", "\"\"",
           "Regular expression; layers in whose weight's name it is found get no gate. Default: none">,
    Option<"scores", "scores", "int64_t", "-1",
           "Number of the function's result whose elements decide, as of a predictor. Default: what is gated itself">,
  ];
  let statistics = [
    Statistic<"numGates", "gates", "Number of gates inserted">,
    Statistic<"numSkipped", "skipped-layers", "Number of linear layers left without a gate, each with a remark">,
  ];
  let dependentDialects = ["::mlir::prune::PruneDialect"];
}

def PruneCalibrateGates : Pass<"prune-calibrate-gates", "::mlir::ModuleOp"> {
  let summary = "Find the thresholds of dynamic masks from examples";
  let description = [{
    Gives each `prune.dynamic_mask` of the function `entry` that has a sparsity and no threshold the threshold that prunes this
    share of its scores on the examples in `data`: of n scores the round-half-even(s · n)-th smallest, exactly. Scores
    are those of the network without any of these masks. Where many are equal, more may be pruned: after a maximum with
    zero, all zeros. Both numbers stay at the op: the sparsity tells `prune-pack` what to expect.

    `data` and `padding` mean what they do at `prune-calibrate-masks`. Without a mask to calibrate nothing happens, and no data
    is needed.

    `allocation=uniform` leaves the sparsities as they are. `greedy` gives each mask another one, so that together as many
    multiply-adds are skipped. From no sparsity on, that mask gets 0.1 more whose step adds the least error for the multiply-adds
    it skips, with all steps that were taken before in place. The error is the squared difference of the results on the first
    `search-examples` examples to those without masks, as a share of their squares; rows of padding do not count. A step that
    looks cheapest is tried again after others were taken, the rest are not. Where the given sparsities make less error than
    what is found, they stay.

    The result does not depend on the number of threads. Remarks (category `dynamic`) say for each mask what was found.

    Refuses, in one line: what `prune-calibrate-masks` refuses of data, scores that are not finite, masks of elements other
    than f32, and masks that are not in the body of `entry` itself.

    ```mlir
    %mask = prune.dynamic_mask %x along 1 sparsity(5.000000e-01) name("fc1.weight") : tensor<1x768xf32>
    // becomes
    %mask = prune.dynamic_mask %x along 1 threshold(0.671) sparsity(5.000000e-01) name("fc1.weight") : tensor<1x768xf32>
    ```
  }];
  let options = [
    Option<"data", "data", "std::string", "\"\"", "The .npz file with examples of the inputs">,
    Option<"entry", "entry", "std::string", "\"main\"", "Function that is run">,
    Option<"padding", "padding", "std::string", "\"\"", "Input whose zeros mark rows that do not count; none when empty">,
    Option<"allocation", "allocation", "std::string", "\"uniform\"",
           "How masks share the sparsity: `uniform`, each its own; `greedy`, by the error of the results">,
    Option<"searchExamples", "search-examples", "int64_t", "64", "Examples that `greedy` runs for each trial">,
    Option<"threads", "threads", "unsigned", "0", "Number of threads; 0 takes all cores. The result does not depend on it">,
  ];
  let statistics = [
    Statistic<"numMasks", "masks", "Number of masks calibrated">,
    Statistic<"numTrials", "trials", "Number of sparsities that `greedy` tried">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect", "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::prune::PruneDialect"];
}

def PruneDropTokens : Pass<"prune-drop-tokens", "::mlir::ModuleOp"> {
  let summary = "Let later layers run on fewer tokens";
  let description = [{
    Before the product with the weight that `before` finds first, the tokens of its activation are ranked, and everything that
    depends on the activation runs on the `keep` tokens of the largest scores alone, in their order: of the largest mean |x|, or
    with `score=attention` those that received most of the last attention before, summed over heads and tokens. All shapes stay
    static. Other tensors with a token dimension that meet them (an attention mask) are gathered at the same tokens. In results
    of the shape of the activation each token is where it was; those that went have what they had before the product.

    With `padding`, tokens where this input is zero go first. One sequence only: the activation is [1, tokens, columns]. Run
    it on a module in normal form, before gates are inserted.

    Refuses, with an error at the op: what splits or joins the token dimension or computes with positions, slices of it, and
    results of other shapes with a token dimension. Refuses `score=attention` where no softmax over the tokens comes before.

    ```mlir
    %q = linalg.contract ... ins(%x, %w : tensor<1x128x384xf32>, tensor<384x384xf32>)
    // becomes, with keep=64
    %mask = prune.dynamic_mask %scores along 0 signed keep(64) name("query.weight") : tensor<128xf32>
    ...
    %kept = scf.for %i = %c0 to %c64 step %c1 iter_args(%k = %e) -> tensor<1x64x384xf32> {
      %token = tensor.extract %places[%i] : tensor<64xi32>
      %slice = tensor.extract_slice %x[0, %token, 0] [1, 1, 384] [1, 1, 1] : ...
      ...
    }
    %q = linalg.contract ... ins(%kept, %w : tensor<1x64x384xf32>, tensor<384x384xf32>)
    ```
  }];
  let options = [
    Option<"before", "before", "std::string", "\"\"", "Regular expression for the weight before whose product tokens go">,
    Option<"sparsity", "sparsity", "double", "std::numeric_limits<double>::quiet_NaN()",
           "Share of the tokens that go, in [0, 1). Default: 0.5">,
    Option<"keep", "keep", "int64_t", "-1", "Tokens that are kept, instead of a share. Default: none">,
    Option<"padding", "padding", "std::string", "\"\"", "Input whose zeros mark tokens that go first; none when empty">,
    Option<"score", "score", "std::string", "\"magnitude\"",
           "What tokens are ranked by: `magnitude`, the mean of |x|; `attention`, what they received of the last one before">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect", "::mlir::prune::PruneDialect"];
}

def PruneSkipUnits : Pass<"prune-skip-units"> {
  let summary = "Compute heads only where a gate keeps them";
  let description = [{
    Where the units of a dynamic mask reach over all dimensions but one (`whole`), as heads do that live or die for all tokens,
    the mask says of each unit whether it is needed at all. What serves only to compute the units of a gated activation, and can run
    for one unit at a time (products of a batch, softmax, transposes), becomes a loop over units that computes those that the mask
    keeps and leaves zeros for the others. The gate stays.

    Declined with a remark (category `dynamic`): a mask that depends on what it prunes, units that something else reads, and
    those that no product computes one by one, such as the channels of a convolution.

    ```mlir
    %m = prune.dynamic_mask %scores along 2 unit(64) whole [1] keep(6) : tensor<1x128x768xf32>
    %o = linalg.contract ... ins(%p, %v : tensor<1x12x128x128xf32>, tensor<1x12x128x64xf32>) ...
    %t = linalg.transpose ins(%o : tensor<1x12x128x64xf32>) ... permutation = [0, 2, 1, 3]
    %c = tensor.collapse_shape %t [[0], [1], [2, 3]] : tensor<1x128x12x64xf32> into tensor<1x128x768xf32>
    %g = prune.gate %c, %m : tensor<1x128x768xf32>
    // becomes
    %t = scf.forall (%head) in (12) shared_outs(%out = %e) -> (tensor<1x128x12x64xf32>) {
      %isKept = tensor.extract %m[%c0, %c0, %column] : tensor<1x128x768xi1>
      %part = scf.if %isKept -> (tensor<1x128x1x64xf32>) { ... } else { ... linalg.fill ... }
      ...
    }
    ```
  }];
  let statistics = [Statistic<"numLoops", "loops", "Loops over units">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

def PruneLowerDynamic : Pass<"prune-lower-dynamic"> {
  let summary = "Plain code for dynamic masks and gates";
  let description = [{
    Replaces `prune.dynamic_mask` and `prune.gate` by `linalg` operations, which are their meaning: a score for each unit, a
    comparison with the threshold or with the scores of all other units of its group, and a choice between the element and
    zero. Up to 64 units of a group are ranked by comparing each with each; more are counted 32 times against a bound that
    is found bit by bit, and what equals it is taken from the left. With `use-keep-largest` these become
    `prune.keep_largest` instead, for which `convert-prune-to-gpu` has a kernel.

    Fails on a mask that has a sparsity and no threshold yet.

    ```mlir
    %m = prune.dynamic_mask %x along 1 threshold(1.0) : tensor<1x4xf32>
    %y = prune.gate %x, %m : tensor<1x4xf32>
    // becomes
    %m = linalg.generic ... ins(%x : tensor<1x4xf32>) outs(%e : tensor<1x4xi1>) {
      %a = math.absf %in : f32
      %k = arith.cmpf ugt, %a, %c1 : f32
      linalg.yield %k : i1
    }
    %y = linalg.generic ... ins(%x, %m : tensor<1x4xf32>, tensor<1x4xi1>) { %s = arith.select %k, %in, %c0 : f32 ... }
    ```
  }];
  let options = [Option<"useKeepLargest", "use-keep-largest", "bool", "false",
                        "Choose among more than 64 units by prune.keep_largest, for GPUs">];
  let statistics = [Statistic<"numMasks", "masks", "Dynamic masks lowered">,
                    Statistic<"numGates", "gates", "Gates lowered">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
}
