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

def PruneSelectGroups : Pass<"prune-select-groups", "::mlir::ModuleOp"> {
  let summary = "Mask whole channels, neurons and heads in every weight they touch";
  let description = [{
    Finds the groups of indices that can only be removed together (`prune-explain-groups` prints them), scores their
    units, and masks those with the lowest scores: each constant that has indices of such a unit gets a `prune.apply`
    with a constant mask of `#prune.slice<dim = D>` for each dimension D concerned, and a `prune.record` by the name of
    the constant and the dimension. `prune-shrink` then removes what is masked from all shapes.

    The score of a unit is the mean (`aggregate`) of what the members of its group (the constants that own slices of it)
    say: the sum of |w|, or the root of the sum of w², over its slice, and so on, as `criterion` wants. It is divided by
    the mean over its group (`normalize`). Biases and other constants with one element for each index have no say where
    others have, nor have constants that say the same of all units.

    `ratio` is the share of units that go, of each group (`scope=local`), of all groups together (`global`), or of all
    groups of one kind whose units and members have the same shapes (`isomorphic`). Of equal scores the lower index
    stays, then the earlier group. What is left of a group is rounded to the nearest multiple of `round-to` elements of
    its main member, and is never less than that. With `target` the ratio is searched for.

    Where a dimension is split into heads and their width, whole heads go. If a share within 0.06 of the ratio is no
    number of heads, or heads cannot go, the same indices of every head go instead.

    Left alone, each with a remark (category `prune-select-groups`): groups that cannot lose units, with the op that
    demands it and its location; groups over which normalisations take statistics, unless `statistics=survivors`; groups
    that options leave out. Refused: values out of range, names and expressions that fit no group, and naming a group
    that cannot lose units.

    ```mlir
    %w1 = arith.constant dense_resource<fc1> : tensor<8x4xf32>
    %w2 = arith.constant dense_resource<fc2> : tensor<2x8xf32>
    // with ratio=0.25 of the 8 neurons between fc1 and fc2
    %p1 = prune.apply %w1, %m1 as(#prune.slice<dim = 0>) name("fc1:0") : tensor<8x4xf32>
    %p2 = prune.apply %w2, %m2 as(#prune.slice<dim = 1>) name("fc2:1") : tensor<2x8xf32>
    prune.record "fc1:0" as(#prune.slice<dim = 0>) keeps 24 of 32 digest "..."
    prune.record "fc2:1" as(#prune.slice<dim = 1>) keeps 12 of 16 digest "..."
    ```
  }];
  let options = [
    Option<"ratio", "ratio", "double", "std::numeric_limits<double>::quiet_NaN()",
           "Share of units to prune, in [0, 1). Default: 0.5, or what `target` needs">,
    Option<"target", "target", "std::string", "\"\"",
           "What shall be left, as `params:SHARE`, `flops:SHARE` or `latency:SHARE`, instead of a ratio: the ratio that "
           "comes within 2 % of it is searched for">,
    Option<"criterion", "criterion", "std::string", "\"l2\"",
           "What a unit is worth: `l1`, `l2`, `linf`, `fpgm`, `taylor`, `fisher`, `bn-scale`, `random`, `random:SEED` or an attribute">,
    Option<"gradients", "gradients", "std::string", "\"\"",
           ".npz file with the gradients that `taylor` and `fisher` need, by the names and in the shapes of the weights">,
    Option<"aggregate", "aggregate", "std::string", "\"mean\"",
           "How the members of a group agree on the score of a unit: `mean`, `sum` or `max`">,
    Option<"normalize", "normalize", "std::string", "\"mean\"",
           "`mean`: scores are divided by the mean of their group; `none`: they are not">,
    Option<"scope", "scope", "std::string", "\"local\"",
           "Which units compete: those of a group (`local`), of all groups (`global`), of groups of one kind and shape "
           "(`isomorphic`)">,
    Option<"roundTo", "round-to", "int64_t", "0",
           "Multiple that the number of indices left is rounded to; heads are rounded to whole heads. 0: a power of two "
           "of at most 8 (the floats of a 256-bit register) and a sixteenth of the group">,
    Option<"maxRatio", "max-ratio", "double", "1.0",
           "Share of units that no group may lose more than, in [0, 1]">,
    ListOption<"ratios", "ratios", "std::string",
           "Exceptions, as REGEX=RATIO: groups in whose name or a member's the expression is found are pruned by that "
           "ratio, apart from all others. The first match decides">,
    Option<"include", "include", "std::string", "\"\"",
           "Regular expression; only groups are pruned in whose name, or the name of a member, it is found. Default: all">,
    Option<"exclude", "exclude", "std::string", "\"\"",
           "Regular expression; groups in whose name, or the name of a member, it is found are not pruned. Default: none">,
    ListOption<"groups", "groups", "std::string", "Names of the groups to prune, in full. Default: all">,
    ListOption<"kinds", "kinds", "std::string",
           "Kinds of groups to prune: `channels`, `neurons`, `heads`, `head-width`, `width`. Default: all">,
    Option<"statistics", "statistics", "std::string", "\"keep\"",
           "`keep`: dimensions that a normalisation takes statistics over stay whole; `survivors`: they may lose indices, "
           "and statistics are then taken over those that survive">,
    Option<"threads", "threads", "unsigned", "0", "Number of threads; 0 takes all cores. The result does not depend on it">,
  ];
  let statistics = [
    Statistic<"numGroups", "groups", "Number of groups that lose units">,
    Statistic<"numDeclined", "declined-groups", "Number of groups left whole, each with a remark">,
    Statistic<"numUnits", "pruned-units", "Number of units pruned">,
    Statistic<"numMasks", "masks", "Number of masks written">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::prune::PruneDialect"];
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
    Option<"checkEquivalence", "check-equivalence", "bool", "false",
           "Run the masked and the shrunk model on the same random inputs; fail if an output differs by more than 1e-5 of "
           "its largest value">,
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

def PrunePermuteChannels : Pass<"prune-permute-channels", "::mlir::ModuleOp"> {
  let summary = "Put channels in an order in which n:m masks keep more";
  let description = [{
    N:m masks choose among neighbours, and which channels are neighbours is chance (Pool and Yu 2021). This pass changes the
    order of the units of each group (`prune-explain-groups` prints them) in every constant that has them: the rows of the
    weights that make a channel, its bias and norm, the columns of all weights that read it. No op changes, and the module
    computes what it did, but for the order in which sums are added up. Run it on a module in normal form, before masks are put on
    weights.

    The order is searched for that keeps the most magnitude, the sum of |w| over all weights that read the group together.
    Channels whose columns share groups of M form a stripe (M neighbours in a linear layer); channels of two stripes at a
    time are rearranged in the way that gains the most (of two stripes of four: all 35 ways to divide them), the
    largest gains first, until nothing gains. Then three channels change places at random, and if more is gained from there it
    stays. The bytes do not depend on the number of threads. Channels of filters with more than one tap move with all their
    columns.

    Left alone, each with a remark (category `prune-permute-channels`): groups that are frozen, with the op that demands it and
    its location (results and arguments of public functions: the width of a residual stream that is returned); groups
    whose units an op ties in another order; groups with no two units in one group of M columns (heads: their width,
    the same indices in every head, changes its order instead where that gains). Reductions do not care about the order
    of their terms. Refused: masks, numbers that are not finite, and options out of range.

    ```mlir
    %w1 = arith.constant dense_resource<fc1> : tensor<8x4xf32>   // rows in a new order
    %b1 = arith.constant dense_resource<bias1> : tensor<8xf32>   // elements in a new order
    %w2 = arith.constant dense_resource<fc2> : tensor<2x8xf32>   // columns in a new order
    ```
  }];
  let options = [
    Option<"pattern", "pattern", "std::string", "\"2:4\"", "The pattern of the masks to come: `N:M`, M at most 32">,
    Option<"include", "include", "std::string", "\"\"",
           "Regular expression; only prunable weights in whose name it is found count. Default: all">,
    Option<"exclude", "exclude", "std::string", "\"\"",
           "Regular expression; prunable weights in whose name it is found do not count. Default: none">,
    Option<"effort", "effort", "double", "1.0",
           "Multiplies the number of evaluations after which the search of a group stops, in (0, 1000]; 1 is two or three "
           "seconds of one core">,
    Option<"threads", "threads", "unsigned", "0", "Number of threads; 0 takes all cores. The result does not depend on it">,
  ];
  let statistics = [
    Statistic<"numGroups", "groups", "Groups in a new order">,
    Statistic<"numDeclined", "declined-groups", "Groups that keep their order, each with a remark">,
    Statistic<"numWeights", "weights", "Prunable weights whose columns changed their order">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::prune::PruneDialect"];
}

def PruneRemoveBlocks : Pass<"prune-remove-blocks", "::mlir::ModuleOp"> {
  let summary = "Take out whole residual blocks";
  let description = [{
    A residual block is `x + f(x)` with weights in `f`: a half of a transformer layer, a bottleneck of a residual net. A
    removed one passes on `x`, as if the last weights of `f` were masked. A block is called by what the names of its
    weights have in common, such as `encoder.layer.3.attention`.

    `blocks` chooses by name, `count` the blocks whose weights have the lowest root mean square (a weak criterion: measure
    what is left). Every block is reported by an analysis remark with its parameters and score. Additions whose other
    operand is not the input of the branch (a projection on the skip path) are no residual blocks.

    ```mlir
    %f = ... %x ...
    %y = linalg.generic ... ins(%x, %f) { addf }   // with blocks=..., users of %y read %x
    ```
  }];
  let options = [
    Option<"blocks", "blocks", "std::string", "\"\"",
           "Regular expression; blocks in whose name it is found are removed. Default: none">,
    Option<"count", "count", "int64_t", "0", "Number of blocks to remove, those of the lowest scores first">,
  ];
  let statistics = [Statistic<"numRemoved", "removed-blocks", "Residual blocks removed">];
}

def PruneShrinkVocabulary : Pass<"prune-shrink-vocabulary", "::mlir::ModuleOp"> {
  let summary = "Keep the rows of an embedding table that are used";
  let description = [{
    Removes all rows of an embedding table but those of `keep`. Callers go on with the ids they know: a table of new ids is
    added, and ids that went are read as `unknown`. Results are the same for all ids kept.

    A table that is also used as a whole (an output projection tied to it) stays beside the smaller one, with a remark.
    Columns of tables are pruned by `prune-select-groups` (kind `width`).
  }];
  let options = [
    Option<"table", "table", "std::string", "\"word_embeddings|wte|embed_tokens\"",
           "Regular expression found in the name of exactly one table that is looked up by ids">,
    Option<"keep", "keep", "std::string", "\"\"", "File with the ids to keep, one on each line">,
    Option<"unknown", "unknown", "int64_t", "0", "Id that removed ids are read as; one of those kept">,
  ];
  let statistics = [Statistic<"numRows", "removed-rows", "Rows of the table removed">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

#endif // PRUNE_STRUCTURED_PASSES_TD
