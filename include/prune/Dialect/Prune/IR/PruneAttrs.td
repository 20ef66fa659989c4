//===- PruneAttrs.td - Patterns and criteria --------------------*- tablegen -*-===//
#ifndef PRUNE_ATTRS_TD
#define PRUNE_ATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "prune/Dialect/Prune/IR/PruneDialect.td"
include "prune/Dialect/Prune/IR/PruneInterfaces.td"
include "prune/Dialect/Prune/IR/PruneEnums.td"

class Prune_Attr<string name, string attrMnemonic, list<Trait> traits = []> : AttrDef<Prune_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

def Prune_UnstructuredAttr : Prune_Attr<"Unstructured", "unstructured",
    [DeclareAttrInterfaceMethods<PatternAttrInterface, ["hasElementUnits", "getUnitBoxes", "getColumnPeriod"]>]> {
  let summary = "Every weight lives or dies alone";
  let description = [{
    The unit is one element. Any mask obeys this pattern.

    ```mlir
    #prune.unstructured
    ```
    Short spelling: `unstructured`. Storage format: `chunked-csr`.
  }];
}

def Prune_NOfMAttr : Prune_Attr<"NOfM", "n_of_m",
    [DeclareAttrInterfaceMethods<PatternAttrInterface,
      ["hasElementUnits", "getNumGroups", "constrainGroups", "getNumImposed", "getUnitBoxes", "getColumnPeriod"]>]> {
  let summary = "At most n of m consecutive weights of a row live";
  let description = [{
    The unit is one element, a group is m consecutive columns of one row of the 2-D view (dimension 0 by all others
    flattened), counted from column 0. Each group keeps at most n elements.

    ```mlir
    #prune.n_of_m<2, 4>   // a row of 4 columns may keep  x.x.  ..xx  ...x  but not  xxx.
    ```

    **Tail rule**: if m does not divide the number of columns, the last group of each row is shorter and may still keep n.
    Mask selection keeps the n largest scores; a tail of at most n columns is kept whole.

    Short spelling: `2:4`. Storage format: `n-of-m`.

    **Constraints**
    1. `n_of_m_c1`: `0 < n <= m`.
    2. `n_of_m_c2`: the weight has at least two dimensions.
    3. `n_of_m_c3`: a mask keeps at most n elements in each group.
  }];
  let parameters = (ins "int64_t":$n, "int64_t":$m);
  let assemblyFormat = "`<` $n `,` $m `>`";
  let genVerifyDecl = 1;
}

def Prune_TransposableAttr : Prune_Attr<"Transposable", "transposable",
    [DeclareAttrInterfaceMethods<PatternAttrInterface,
      ["hasElementUnits", "getNumGroups", "constrainGroups", "getNumImposed", "getColumnPeriod"]>]> {
  let summary = "n of m along the rows and along the columns";
  let description = [{
    The unit is one element, a group is a square of m x m of the 2-D view (dimension 0 by all others flattened), aligned to
    row 0 and column 0. Each row and each column of a square keeps at most n elements: the weight and its transpose are both
    n:m, so that the product with the transpose (the backward pass, a tied layer) can skip the same share.

    ```mlir
    #prune.transposable<2, 4>   // a square may keep   xx..
                                //                     x.x.
                                //                     .x.x
                                //                     ..xx
    ```

    **Selection** is exact: of all masks of a square that keep as many elements as can be kept (n in each row and each column
    of a whole square; 90 masks for 2:4) the one of the largest sum of scores (of absolute values where scores compare so).
    Of equal sums the mask lives that keeps the first element, in row-major order, at which they differ. Scores count in
    multiples of 2^-46 of the largest of the square, and sums of them are exact; an infinite one outweighs all others.

    **Tail rule**: squares at the lower and right edge have fewer rows p or columns q. Their rows and columns may still keep
    n, so that min(p min(n, q), q min(n, p)) elements of them live.

    Short spelling: `transposable:2:4`. Storage format: `n-of-m`. Masks are decided by the compiler, not while a model is
    trained (`getUnitBoxes`).

    **Constraints**
    1. `transposable_c1`: `0 < n <= m <= 8`.
    2. `transposable_c2`: the weight has at least two dimensions.
    3. `transposable_c3`: a mask keeps at most n elements in each row and each column of a square.
  }];
  let parameters = (ins "int64_t":$n, "int64_t":$m);
  let assemblyFormat = "`<` $n `,` $m `>`";
  let genVerifyDecl = 1;
}

def Prune_VNMAttr : Prune_Attr<"VNM", "v_n_m",
    [DeclareAttrInterfaceMethods<PatternAttrInterface,
      ["hasElementUnits", "getNumGroups", "constrainGroups", "getNumImposed", "getColumnPeriod"]>]> {
  let summary = "Four of m columns for v rows at once, and n of these four for each row";
  let description = [{
    V:N:M (Castro et al. 2023). The unit is one element, a group is a block of v rows x m columns of the 2-D view (dimension 0
    by all others flattened), aligned to row 0 and column 0. All rows of a block keep elements in the same 4 of its m columns,
    and each row at most n of these: what is left of a block is n:4, which the 2:4 instructions of GPUs take, at a density of
    n/m.

    ```mlir
    #prune.v_n_m<2, 2, 8>   // a block may keep   x...x...
                            //                    .x..x...   with columns 0, 1, 4 and 7
    ```

    **Selection**: the 4 columns of a block with the largest sums of scores over its rows (of absolute values where scores
    compare so; sums in f64, from the first row to the last), the lower index of equal sums; then the n largest scores of
    each row within these columns, the lower index of equal ones.

    **Tail rule**: blocks at the lower edge have fewer rows. Blocks at the right edge have fewer columns and may still
    keep 4 of them, and n in each row.

    Short spelling: `64:2:8`. Storage format: `n-of-m`, as each row keeps at most n of m. Masks are decided by the compiler,
    not while a model is trained (`getUnitBoxes`).

    **Constraints**
    1. `v_n_m_c1`: `v > 0` and `0 < n <= 4 <= m`.
    2. `v_n_m_c2`: the weight has at least two dimensions.
    3. `v_n_m_c3`: a mask keeps elements in at most 4 columns of each block, and at most n in each row of it.
  }];
  let parameters = (ins "int64_t":$v, "int64_t":$n, "int64_t":$m);
  let assemblyFormat = "`<` $v `,` $n `,` $m `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Columns of a block that may keep elements.
    static constexpr int64_t kKeptColumns = 4;
  }];
}

def Prune_BlockAttr : Prune_Attr<"Block", "block",
    [DeclareAttrInterfaceMethods<PatternAttrInterface,
      ["getUnitGrid", "reduceScores", "expandUnits", "getUnitBoxes", "getColumnPeriod"]>]> {
  let summary = "Blocks of rows x columns live or die together";
  let description = [{
    The unit is a block of `rows` x `columns` of the 2-D view (dimension 0 by all others flattened), aligned to row 0 and
    column 0.

    ```mlir
    #prune.block<4, 1>    // four output rows share one column index
    ```

    **Ragged-edge rule**: where the block does not divide the weight, the blocks at the lower and right edge are smaller.
    Their score is the mean (root mean square, maximum) over the elements they have. So a 4x1 pattern on 6 rows has one
    block of 4 and one of 2 rows in each column.

    Short spelling: `4x1`. Storage format: `rx1` for one column, `bsr` otherwise, `chunked-csr` for 1x1.

    **Constraints**
    1. `block_c1`: `rows > 0` and `columns > 0`.
    2. `block_c2`: the weight has at least two dimensions.
    3. `block_c3`: a mask keeps or prunes each block whole.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns);
  let assemblyFormat = "`<` $rows `,` $columns `>`";
  let genVerifyDecl = 1;
}

def Prune_SliceAttr : Prune_Attr<"Slice", "slice",
    [DeclareAttrInterfaceMethods<PatternAttrInterface, ["getUnitGrid", "reduceScores", "expandUnits", "getUnitBoxes"]>]> {
  let summary = "Whole slices along one dimension live or die together";
  let description = [{
    The unit is `group` consecutive indices of dimension `dim` with everything else in them: neurons and filters are slices
    of dimension 0, input channels of dimension 1, heads are groups of the head width.

    ```mlir
    #prune.slice<dim = 0>               // single filters
    #prune.slice<dim = 0, group = 64>   // heads of width 64
    ```

    **Ragged-edge rule**: if `group` does not divide the dimension, the last unit is smaller; its score is the mean over
    the elements it has.

    Short spelling: `slice:0`, `slice:0:64`. Storage format: `dense` (the slices are removed, the rest stays dense).

    **Constraints**
    1. `slice_c1`: `dim >= 0` and `group > 0`.
    2. `slice_c2`: the weight has dimension `dim`.
    3. `slice_c3`: a mask keeps or prunes each slice whole.
  }];
  let parameters = (ins "int64_t":$dim, DefaultValuedParameter<"int64_t", "1">:$group);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Criteria
//===----------------------------------------------------------------------===//

def Prune_MagnitudeAttr : Prune_Attr<"Magnitude", "magnitude",
    [DeclareAttrInterfaceMethods<CriterionAttrInterface, ["getReduction", "isWeightItself"]>]> {
  let summary = "A weight is worth its absolute value";
  let description = [{
    The score of an element is |w|. The norm says what a unit of several elements is worth: `l1` the mean of |w|, `l2` the
    root of the mean of w², `linf` the largest |w|. For units of one element the three are the same.

    ```mlir
    #prune.magnitude<l1>
    ```
    Short spelling: `magnitude` (l1), `magnitude:l2`, `magnitude:linf`.
  }];
  let parameters = (ins EnumParameter<Prune_Norm>:$norm);
  let assemblyFormat = "`<` $norm `>`";
}

def Prune_RandomAttr : Prune_Attr<"Random", "random", [DeclareAttrInterfaceMethods<CriterionAttrInterface>]> {
  let summary = "A weight is worth a number drawn by lot";
  let description = [{
    The score of an element is uniform in [0, 1), a hash of the seed, the name of the weight and the index of the element:
    the same on every machine, for any thread count. The baseline to beat.

    ```mlir
    #prune.random<seed = 7>
    ```
    Short spelling: `random` (seed 0), `random:7`.
  }];
  let parameters = (ins "uint64_t":$seed);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Prune_TaylorAttr : Prune_Attr<"Taylor", "taylor", [DeclareAttrInterfaceMethods<CriterionAttrInterface>]> {
  let summary = "A weight is worth what the loss would change without it, to first order";
  let description = [{
    The score of an element is |w · g|, where g is the gradient of the loss by the weight (Molchanov et al. 2017; for a net
    that is not trained yet it ranks as SNIP does, Lee et al. 2019). Needs gradients: `prune-select-groups` and
    `prune-evaluate-masks` read them from a file, which `python -m prune gradients` writes.

    ```mlir
    #prune.taylor
    ```
    Short spelling: `taylor`.
  }];
}

def Prune_FisherAttr : Prune_Attr<"Fisher", "fisher", [DeclareAttrInterfaceMethods<CriterionAttrInterface>]> {
  let summary = "A weight is worth what the loss would change without it, to second order";
  let description = [{
    The score of an element is w² · h / 2, where h, the mean over batches of the squared gradient of the loss by the
    weight, stands for the diagonal of the Hessian (the empirical Fisher information if a batch is one example; Theis et al.
    2018). Needs squared gradients: `prune-select-groups` and `prune-evaluate-masks` read them from a file, which
    `python -m prune gradients` writes.

    ```mlir
    #prune.fisher
    ```
    Short spelling: `fisher`.
  }];
}

def Prune_OBSAttr : Prune_Attr<"OBS", "obs",
    [DeclareAttrInterfaceMethods<CriterionAttrInterface, ["getScoreOrder", "updatesWeights", "getFisherDamping"]>]> {
  let summary = "A unit is worth the loss that is left when the weights around it make up for it";
  let description = [{
    Optimal brain surgeon with blocks (oBERT, Kurtic et al. 2022; Hassibi and Stork 1992). Let F be the empirical Fisher
    information, the mean of g gᵀ over the gradients g of single examples, plus the damping on its diagonal, of which only
    blocks of elements are looked at (50 in the paper). Pruning the unit q costs `1/2 w_qᵀ λ_q`, where
    `λ_q = ([F^-1]_qq)^-1 w_q`, once the other weights of its block change by `-F^-1[:,q] λ_q`. For units of one element
    that is w² / (2 [F^-1]_ii). The score of an element is w λ / 2; those of a unit are averaged.

    All is decided by these scores; then each weight that is kept makes up for every unit that is pruned in its block, and
    what is pruned is +0.0. Needs Fisher blocks: `prune-evaluate-masks` reads them from a file, which
    `python -m prune gradients --fisher-block=50` writes.

    ```mlir
    #prune.obs                     // damping 1e-7
    #prune.obs<damping = 1.0e-05>
    ```
    Short spelling: `obs`, `obs:1e-05`.

    **Constraints**
    1. `obs_c1`: `damping` is positive and finite.
  }];
  let parameters = (ins APFloatParameter<"added to the diagonal of the Fisher information">:$damping);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = "static constexpr double kUsualDamping = 1e-7;";
}

def Prune_WandaAttr : Prune_Attr<"Wanda", "wanda",
    [DeclareAttrInterfaceMethods<CriterionAttrInterface, ["ranksWithinRows"]>]> {
  let summary = "A weight is worth its absolute value times the norm of what it multiplies";
  let description = [{
    The score of an element is |w| · sqrt(s), where s is the mean square of its column of the layer's input (Sun et al.
    2023). Elements compete within their row. Needs the statistic `norms`: `prune-calibrate-masks` collects it.

    ```mlir
    #prune.wanda
    ```
    Short spelling: `wanda`.
  }];
}

def Prune_SparseGPTAttr : Prune_Attr<"SparseGPT", "sparsegpt",
    [DeclareAttrInterfaceMethods<CriterionAttrInterface, ["getReduction", "updatesWeights"]>]> {
  let summary = "A weight is worth the error that remains when those behind it make up for it";
  let description = [{
    SparseGPT (Frantar and Alistarh 2023). Let H be 2/N times the Gram matrix of the layer's input (N rows), with 1 on the
    diagonal where that is 0, plus the damping times the mean of the diagonal; and U upper triangular with UᵀU the inverse
    of H. The score of an element of column j is |w| / U[j][j]: its square is the squared error of the layer's result that
    is left if the element is pruned and the elements of its row behind it make up for that as well as they can. The score
    of a unit is the root of the mean of these squares. Needs the statistic `gram`: `prune-calibrate-masks` collects it,
    decides masks and updates the weights that are kept.

    ```mlir
    #prune.sparsegpt
    ```
    Short spelling: `sparsegpt`.
  }];
}

def Prune_MovementAttr : Prune_Attr<"Movement", "movement",
    [DeclareAttrInterfaceMethods<CriterionAttrInterface, ["getScoreOrder", "keepsScores", "emitScoreStep"]>]> {
  let summary = "A weight is worth how far training moves it away from zero";
  let description = [{
    The score of an element starts at 0, and each training step subtracts `rate * g * w`, where g is the gradient of the loss
    by the masked weight and w the weight without its mask (Sanh, Wolf and Rush 2020): weights that shrink lose, whatever
    their size. Scores compare as numbers, and those of a unit are averaged. The rate only matters to a threshold.

    Training keeps the scores (`state:NAME:score`) and needs `update=straight-through`: a weight that is pruned goes on
    moving, and may come back. `prune-evaluate-masks` leaves the mask undecided. Its threshold is one of these scores;
    `#prune.soft_movement` has another.

    ```mlir
    #prune.movement                // rate 1
    #prune.movement<rate = 0.01>
    ```
    Short spelling: `movement`, `movement:0.01`.

    **Constraints**
    1. `movement_c1`: `rate` is positive and finite.
  }];
  let parameters = (ins APFloatParameter<"subtracted from a score for each unit of g * w">:$rate);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Prune_SoftMovementAttr : Prune_Attr<"SoftMovement", "soft_movement",
    [DeclareAttrInterfaceMethods<CriterionAttrInterface,
      ["getScoreOrder", "keepsScores", "emitScoreStep", "getScoreThreshold"]>]> {
  let summary = "As movement, with scores that are probabilities of staying";
  let description = [{
    Soft movement pruning (Sanh, Wolf and Rush 2020). The threshold t of a mask, in (0, 1), keeps the units with
    `sigmoid(s) > t`, that is `s > log(t / (1 - t))`, where s are the scores of `#prune.movement`; and the loss gets a term
    `penalty * sum(sigmoid(s))` over the elements of the weight, which draws all scores down. So a step subtracts
    `rate * (g * w + penalty * sigmoid(s) (1 - sigmoid(s)))` from s. How sparse the weight becomes follows from the penalty
    and from training. With a sparsity instead of a threshold it ranks as `#prune.movement` does.

    The term is not in the `loss` that a step gives. All else is as for `#prune.movement`.

    ```mlir
    #prune.soft_movement<penalty = 1.0e-03>               // rate 1
    #prune.soft_movement<rate = 0.1, penalty = 1.0e-03>
    ```
    Short spelling: `soft-movement`, `soft-movement:RATE`, `soft-movement:RATE:PENALTY`; the penalty is 0 unless said otherwise.

    **Constraints**
    1. `soft_movement_c1`: `rate` is positive and finite.
    2. `soft_movement_c2`: `penalty` is 0 or more, and finite.
  }];
  let parameters = (ins APFloatParameter<"subtracted from a score for each unit of its slope">:$rate,
    APFloatParameter<"of the sum of all sigmoids in the loss">:$penalty);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Schedules
//===----------------------------------------------------------------------===//

def Prune_ScheduleAttr : Prune_Attr<"Schedule", "schedule"> {
  let summary = "Sparsity as a function of the step";
  let description = [{
    When masks are decided while a model is trained, and how sparse they are then. Masks are decided before the step t if
    `begin <= t <= end` and `(t - begin) mod every = 0`, and before the step `end`. The sparsity s(t) rises from `initial`
    (s_i) to the target of the mask (s_f). With `p = (t - begin) / (end - begin)`, R = ceil((end - begin) / every) rounds and
    r = floor((t - begin) / every) of them done:

    | kind | s(t) |
    |---|---|
    | `constant` | s_f |
    | `polynomial` | s_f + (s_i - s_f) (1 - p)^power (Zhu and Gupta 2017) |
    | `exponential` | 1 - (1 - s_i) ((1 - s_f) / (1 - s_i))^p |
    | `cosine` | s_f + (s_i - s_f) (1 + cos(pi p)) / 2 |
    | `multi_step` | s_i + (s_f - s_i) k / K, where k of the K `milestones` are t or less |
    | `geometric` | 1 - (1 - s_i) ((1 - s_f) / (1 - s_i))^(r / R): each round prunes the same share of what is left |

    From `end` on s(t) is s_f exactly, also where `end` is `begin`. All arithmetic is f64.

    ```mlir
    #prune.schedule<constant>                                           // once, before the first step
    #prune.schedule<polynomial, begin = 200, end = 1200, every = 100>   // every is 100 and power 3 unless said otherwise
    #prune.schedule<multi_step, begin = 100, end = 300, milestones = [100, 200, 300]>
    ```
    Short spelling: `polynomial:begin=200:end=1200:every=100`, `multi-step:begin=100:end=300:milestones=[100,200,300]`.

    **Constraints**
    1. `schedule_c1`: `0 <= begin <= end`; without an `end` it is `begin`.
    2. `schedule_c2`: `every > 0`.
    3. `schedule_c3`: `0 <= initial < 1`, and 0 with `constant`.
    4. `schedule_c4`: `power` is positive and finite, and 3 unless the kind is `polynomial`.
    5. `schedule_c5`: `multi_step` and no other kind has milestones; they rise and are steps at which masks are decided.
  }];
  let parameters = (ins EnumParameter<Prune_ScheduleKind>:$kind, "int64_t":$begin, "int64_t":$end, "int64_t":$every,
    APFloatParameter<"sparsity at the begin">:$initial, APFloatParameter<"of polynomial">:$power,
    ArrayRefParameter<"int64_t">:$milestones);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// s(step) for a mask of this target; before `begin` that at `begin`.
    double getSparsity(int64_t step, double target) const;
    /// Whether masks are decided before this step.
    bool isUpdate(int64_t step) const;
    /// R: how many rounds of `every` steps there are.
    int64_t getNumRounds() const {
      int64_t steps = getEnd() - getBegin();
      return steps / getEvery() + (steps % getEvery() != 0);
    }
  }];
}

//===----------------------------------------------------------------------===//
// Packed layers
//===----------------------------------------------------------------------===//

def Prune_WindowAttr : Prune_Attr<"Window", "window"> {
  let summary = "Where a convolution reads its activations";
  let description = [{
    Two spatial dimensions. The result at `(y, x)` reads, for the element `(i, j)` of the kernel, the activation at
    `(y * strides[0] + i * dilations[0] - low[0], x * strides[1] + j * dilations[1] - low[1])`, and zero outside of the
    activations. `low` and `high` are the rows and columns of zeros before and after them.

    ```mlir
    #prune.window<kernel = [3, 3], strides = [2, 2], dilations = [1, 1], low = [1, 1], high = [1, 1]>
    ```

    **Constraints**
    1. `window_c1`: each list has two numbers.
    2. `window_c2`: kernel, strides and dilations are positive, low and high are not negative.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$kernel, ArrayRefParameter<"int64_t">:$strides,
    ArrayRefParameter<"int64_t">:$dilations, ArrayRefParameter<"int64_t">:$low, ArrayRefParameter<"int64_t">:$high);
  let assemblyFormat = [{
    `<` `kernel` `=` `[` $kernel `]` `,` `strides` `=` `[` $strides `]` `,` `dilations` `=` `[` $dilations `]` `,`
        `low` `=` `[` $low `]` `,` `high` `=` `[` $high `]` `>`
  }];
  let extraClassDeclaration = [{
    /// Elements of the kernel.
    int64_t getNumTaps() const { return getKernel()[0] * getKernel()[1]; }
    /// Size of the result along a spatial dimension of `size` activations; not positive if the kernel does not fit.
    int64_t getResultSize(int64_t dim, int64_t size) const {
      int64_t room = size + getLow()[dim] + getHigh()[dim] - getDilations()[dim] * (getKernel()[dim] - 1) - 1;
      return room < 0 ? 0 : room / getStrides()[dim] + 1;
    }
  }];
  let genVerifyDecl = 1;
}

#endif // PRUNE_ATTRS_TD
