//===- Passes.td - Passes of prune/Dialect/Prune/Transforms ---*- tablegen -*-===//
include "mlir/Pass/PassBase.td"
include "prune/Dialect/Prune/Transforms/CalibrationPasses.td"
include "prune/Dialect/Prune/Transforms/FineTunePasses.td"
include "prune/Dialect/Prune/Transforms/MaskingPasses.td"
include "prune/Dialect/Prune/Transforms/GradientPasses.td"
include "prune/Dialect/Prune/Transforms/QuantizationPasses.td"
include "prune/Dialect/Prune/Transforms/StructuredPasses.td"

//===----------------------------------------------------------------------===//
// Normalisation
//===----------------------------------------------------------------------===//

def PruneNormalize : Pass<"prune-normalize", "::mlir::ModuleOp"> {
  let summary = "Bring imported modules to the form that all other passes expect";
  let description = [{
    Takes linalg on tensors as importers write it, or TOSA (converted first by the upstream passes), and leaves:

    - linear layers as `linalg.contract` with `x (.., k)`, `w (n, k)`, `y (.., n)`: the weight is the second factor, its
      dimension 0 the output. Also 1x1 convolutions of stride 1: `x (b, k, h, w)`, `w (n, k)`, `y (b, n, h, w)`;
    - convolutions as named ops whose filter has the output channel first; the filter of a grouped convolution is a
      4-D constant, split into groups by a `tensor.expand_shape` behind it. Activations keep their layout: NHWC stays
      NHWC, since converting would cost a transposition of activations on each side;
    - products that start from zero, their bias added by the elementwise op behind (`move-bias`);
    - inference batch norm, and any other elementwise op that is affine in a convolution or linear layer's result with
      constants of the channel, folded into the weight's rows and a bias, when the result has no other use
      (`fold-batch-norm`);
    - constants folded through transpositions, reshapes, slices, joins and arithmetic on other constants; large ones
      as `dense_resource<NAME>` (see `prune-name-weights`);
    - elementwise ops and reductions as `linalg.generic` that read through broadcasts and unit dimensions; scalars in the
      body; results that nobody reads (the index of softmax's maximum) gone; shapes as static as they can be shown to be.

    Values stay the same to the last bit, with two exceptions that have an option each: a batch norm rounds
    once in the weight, not in each step; and a bias is added last, not first. Constant expressions are evaluated in
    the arithmetic of their type; transcendental functions by the C library.

    Masks stay: a weight behind `prune.apply` is left in its layout, and a module in normal form is not changed. A
    weight whose elements moved takes over the resource of its name: clones of the old module in the same context
    must not be used any more. A layer that could not be brought to normal form gets a remark with the reason.

    ```mlir
    // Before: [in, out], broadcast to the batch
    %wb = linalg.generic {indexing_maps = [#kn, #bkn], ...} ins(%w : tensor<4x2xf32>) outs(%e : tensor<1x4x2xf32>) ...
    %y = linalg.batch_matmul ins(%x, %wb : tensor<1x3x4xf32>, tensor<1x4x2xf32>) outs(%zeros : tensor<1x3x2xf32>) ...
    // After: [out, in]
    %y = linalg.contract indexing_maps = [#bmk, #nk, #bmn] ins(%x, %wt : tensor<1x3x4xf32>, tensor<2x4xf32>)
             outs(%zeros : tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
    ```
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::cf::ControlFlowDialect", "::mlir::func::FuncDialect",
    "::mlir::index::IndexDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect", "::mlir::tosa::TosaDialect",
    "::mlir::prune::PruneDialect",
  ];
  let options = [
    Option<"foldBatchNorm", "fold-batch-norm", "bool", "true",
           "Scale the rows of a weight by the batch norm behind it">,
    Option<"moveBias", "move-bias", "bool", "true",
           "Add biases behind convolutions and linear layers instead of starting the sums with them">,
    Option<"inlineLimit", "inline-limit", "int64_t", "1024",
           "Constants of more elements than this become named resources">,
    Option<"evaluationLimit", "evaluation-limit", "int64_t", "67108864",
           "Largest number of loop iterations that evaluating one constant expression may take">,
  ];
  let statistics = [
    Statistic<"numFoldedConstants", "folded-constants", "Number of ops on constants that were evaluated">,
    Statistic<"numLinearLayers", "linear-layers", "Number of products brought to [out, in]">,
    Statistic<"numPointwise", "pointwise-convolutions", "Number of 1x1 convolutions that became products">,
    Statistic<"numRecognized", "recognized-ops", "Number of generics that became named ops">,
    Statistic<"numBatchNorms", "folded-batch-norms", "Number of batch norms folded into weights">,
    Statistic<"numBiases", "moved-biases", "Number of biases moved behind their product">,
    Statistic<"numDeadResults", "dead-results", "Number of results that nobody read">,
    Statistic<"numNamed", "named-weights", "Number of constants that became named resources">,
  ];
}

def PruneNameWeights : Pass<"prune-name-weights", "::mlir::ModuleOp"> {
  let summary = "Give large constants stable, readable names";
  let description = [{
    Turns every constant of more than `inline-limit` elements into `dense_resource<NAME>`, without a copy of its bytes.
    NAME is that of the constant's location (`loc("encoder.layer.0.query.weight")`); else it is made from the scope of the
    op that uses it (`loc("/encoder/layer.0/query/MatMul")` gives `encoder.layer.0.query.weight`); else it is
    `<function>.<kind>_<index>`, counted along the module. Resources keep the keys they have. Equal large
    constants become one, under the name of the first. Weights too small for a resource carry their name as location.

    Splats stay inline. Part of `prune-normalize`.

    ```mlir
    %w = arith.constant dense<"0x..."> : tensor<384x384xf32> loc("query.weight")    // before
    %w = arith.constant dense_resource<query.weight> : tensor<384x384xf32>          // after
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
  let options = [
    Option<"inlineLimit", "inline-limit", "int64_t", "1024",
           "Constants of more elements than this become named resources">,
  ];
  let statistics = [
    Statistic<"numNamed", "named-weights", "Number of constants that became named resources">,
  ];
}

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

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

def PrunePropagateLayouts : Pass<"prune-propagate-layouts"> {
  let summary = "Compute on operands as they lie in memory instead of transposing them";
  let description = [{
    Pushes transposes and reshapes through `linalg` ops. Each tensor is seen as a view of a base tensor; transposes,
    `tensor.expand_shape` and `tensor.collapse_shape` only change the view, and a `linalg` op on views becomes a
    `linalg.generic` over the base dimensions whose result has the order of its largest operand, other dimensions placed
    before its innermost one. After the first packed layer (tokens innermost) a whole encoder thus stays in one layout:
    layer norm and softmax reduce across vectors instead of within them, and attention needs no transpose.

    Left alone: ops without a transposed operand, ops whose row-major operand is larger than every transposed one, or of which
    more are as large (parameters and states beside one gradient), dynamic shapes, results that are not a projected permutation of the loops. Everything that is not rewritten gets its
    operands in row-major order, by a reshape where that suffices and by one `linalg.transpose` elsewhere.

    ```mlir
    %t = linalg.transpose ins(%x : tensor<8x4xf32>) outs(%e : tensor<4x8xf32>) permutation = [1, 0]
    %y = linalg.transpose ins(%t : tensor<4x8xf32>) outs(%x0 : tensor<8x4xf32>) permutation = [1, 0]
    %r = linalg.exp ins(%y : tensor<8x4xf32>) outs(%e1 : tensor<8x4xf32>)   // becomes: a generic on %t of 4x8
    ```
  }];
  let statistics = [
    Statistic<"numRewritten", "num-rewritten", "Ops that now compute in the layout of their operands">,
    Statistic<"numMaterialized", "num-materialized", "Copies into another layout that remain">];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def PruneFuseEpilogues : Pass<"prune-fuse-epilogues"> {
  let summary = "Move bias, activation and residual into packed layers";
  let description = [{
    A `linalg.generic` that computes one elementwise result from a `prune.linear` used only there moves into the layer's
    epilogue, where it runs on the accumulators. Other operands must be indexed by the row alone (a bias) or like the
    layer's result (a residual). Left alone: bodies with `linalg.index`, with ops that are not elementwise, or with
    values from outside other than constants.
  }];
  let statistics = [Statistic<"numFused", "num-fused", "Ops moved into epilogues">];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}

def PruneFuseElementwise : Pass<"prune-fuse-elementwise"> {
  let summary = "Fuse elementwise linalg ops where that saves work";
  let description = [{
    Upstream's elementwise fusion under a rule: a producer moves into its consumer only if it has no other use and the
    consumer reads each of its elements once, or if it is one or two additions or multiplications on one large tensor, which
    all of its consumers then repeat: cheaper than to store and load the result. A producer that is broadcast by its
    consumer stays, and so does one that feeds a contraction. Broadcasts and copies of one operand move in any case.

    A division in front of a contraction moves behind it where the divisor does not change along the reduction and the
    product has fewer elements: `contract(x / s, v)` becomes `contract(x, v) / s`, as in attention.

    A maximum that is only subtracted in front of exponentials gets the flag `nsz`: the sign of a zero makes no difference
    there.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def PruneTileBatch : Pass<"prune-tile-batch"> {
  let summary = "Run what a batch passes through sample by sample";
  let description = [{
    Follows the outermost dimension of the function's arguments, the batch, from op to op, also through reshapes that keep
    it. Where a tensor in between has more than `cache-bytes` bytes, all these ops become one `scf.forall` over the batch
    whose body computes one sample: its activations stay in cache from layer to layer, and its temporaries are those of
    batch one. `prune-tile-chains` then tiles inside. Where the ops read more than `weight-bytes` bytes of weights, they
    become several loops, cut where the fewest activations pass from one to the next.

    ```mlir
    %h = prune.linear ... ins(%x : tensor<16x4x384x32xf32>) -> tensor<16x4x1536x32xf32>
    %y = prune.linear ... ins(%h : tensor<16x4x1536x32xf32>) -> tensor<16x4x384x32xf32>
    // becomes
    %y = scf.forall (%sample) in (16) shared_outs(%out = ...) -> tensor<16x4x384x32xf32> {
      %x0 = tensor.extract_slice %x[%sample, 0, 0, 0] [1, 4, 384, 32] ...
      %h = prune.linear ... ins(%x0 : tensor<1x4x384x32xf32>) -> tensor<1x4x1536x32xf32>
      ...
    }
    ```

    Left alone: batches of one; ops that join samples, and what needs them; products in which a sample is so small
    that its share would only read the weight (a classifier on one row for each sample); and what reads more than 1.5
    bytes of weights for each byte of activations that stays inside, as dense encoders do.
  }];
  let options = [
    Option<"cacheBytes", "cache-bytes", "int64_t", "1048576",
           "A batch whose largest intermediate is no larger stays whole.">,
    Option<"weightBytes", "weight-bytes", "int64_t", "8388608",
           "Most bytes of weights that one loop reads: those of a sample have to be in a cache for the next one.">,
  ];
  let statistics = [Statistic<"numRegions", "num-regions", "Loops over a batch">];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect"
  ];
}

def PruneTileChains : Pass<"prune-tile-chains"> {
  let summary = "Run chains of ops tile by tile, so that what lies between them stays in cache";
  let description = [{
    A chain is a linalg op, the root, with the producers that only serve it: the scores, the softmax and the second product
    of attention; the statistics of a layer norm and what they scale. Where the largest tensor inside has more than
    `slice-bytes` bytes, the chain becomes an `scf.forall` over the dimensions that lead this tensor, as many as make a
    slice of it fit, and its body computes slices of all of them:

    ```mlir
    %s = linalg.generic ... -> tensor<12x128x128xf32>        // scores
    %e = linalg.generic ... ins(%s) -> tensor<12x128x128xf32>
    %y = linalg.generic ... ins(%e, %v) -> tensor<12x128x32xf32>
    // becomes
    %y = scf.forall (%head) in (12) shared_outs(%out = ...) -> tensor<12x128x32xf32> {
      %s = linalg.generic ... -> tensor<1x128x128xf32>
      ...
    }
    ```

    Nothing is computed twice: a producer joins only if all of its uses are in the chain and read it along the tile
    dimensions. A chain without a reduction is left to elementwise fusion.
  }];
  let options = [
    Option<"sliceBytes", "slice-bytes", "int64_t", "65536", "Intermediates up to this size need no tiles.">,
  ];
  let statistics = [Statistic<"numChains", "num-chains", "Chains that run tile by tile">];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect"
  ];
}

def PruneTileStrips : Pass<"prune-tile-strips"> {
  let summary = "Run the layers around a depthwise convolution strip by strip";
  let description = [{
    A 1x1 layer whose result only a depthwise convolution reads, the convolution, and the 1x1 layer that alone reads its
    result, if there is one. Where the image between the first two has more than `cache-bytes` bytes, they become a loop over
    strips of the result, as many rows each as `strip-bytes` bytes of both images in between hold:

    ```mlir
    %h = prune.linear ... ins(%x : tensor<16x112x112xf32>) -> tensor<96x112x112xf32>
    %w = tensor.expand_shape %h ... : tensor<96x112x112xf32> into tensor<1x96x112x112xf32>
    %y = prune.depthwise ... ins(%w, %f) -> tensor<1x96x56x56xf32>
    // becomes
    %y, %b = scf.for %i = ... iter_args(%out, %wide = %zeros) -> (tensor<1x96x56x56xf32>, tensor<1x96x10x112xf32>) {
      %r = tensor.extract_slice %x[0, %row, 0] [16, 9, 112] ...
      %h = prune.linear ... ins(%r) -> tensor<96x9x112xf32>            // into %wide, between rows of zeros
      %p = prune.depthwise ... ins(...) -> tensor<1x96x4x56xf32>
      ...
    }
    ```

    The rows that the windows of two strips share are computed twice; a chain whose strips would compute more rows twice than
    once is left alone, with a remark, and so are several images. With `threads`, each has as many rows of the result; where
    that does not go evenly the layers stay whole.
  }];
  let options = [
    Option<"cacheBytes", "cache-bytes", "int64_t", "1048576", "An image that is no larger stays whole.">,
    Option<"stripBytes", "strip-bytes", "int64_t", "393216", "Bytes of the images in between that a strip may have.">,
    Option<"threads", "threads", "int64_t", "1", "Threads that share the rows of the result.">,
  ];
  let statistics = [Statistic<"numChains", "num-chains", "Chains that run strip by strip">];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect"
  ];
}

def PruneUnshareFills : Pass<"prune-unshare-fills"> {
  let summary = "Let every accumulation fill its own destination";
  let description = [{
    Where a `linalg.fill` is the destination of several ops, each gets a clone right before it. One shared fill would be
    copied by bufferization for all of them but the last, and a copy reads what a fill only writes. Fills that are read as
    inputs keep their value.
  }];
  let statistics = [Statistic<"numCloned", "num-cloned", "Fills cloned">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}
