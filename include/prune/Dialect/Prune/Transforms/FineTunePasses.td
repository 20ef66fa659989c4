//===- FineTunePasses.td - Passes of fine-tuning ---------------*- tablegen -*-===//
#ifndef PRUNE_FINETUNE_PASSES_TD
#define PRUNE_FINETUNE_PASSES_TD

include "mlir/Pass/PassBase.td"

def PruneBuildTraining : Pass<"prune-build-training", "::mlir::ModuleOp"> {
  let summary = "Replace a model by the functions that train it";
  let description = [{
    Makes of the function `entry`, whose weights are constants, functions of static tensors that a driver calls. Each
    argument and result has an attribute `prune.name`, and **a result with the name of an argument is its next value**:

    - `param:NAME` a trained weight, `mask:NAME` its mask, `state:NAME:m` and so on what the optimizer keeps of it;
    - `stat:NAME` the running mean or variance of a batch norm;
    - `step` how many steps were taken; inputs and outputs of the model under their names;
    - `labels` (i64, one class for each row of the first output) for cross entropy, `target` (f32, of the shape of the first
      output) for the other losses; neither with `hardness=1`;
    - `loss`, `correct` (right answers in the batch), `learning_rate`, `gradient_norm` (before clipping).

    The functions are `@init` (the first values of everything, the module's weights among them), `@train_step` (with
    `prune.gradient` of a private `@loss`; see `prune-expand-gradients`) and `@eval_step`; for models with batch norms also
    `@estimate_statistics`, which averages the statistics over batches: `batches` says how many there were before; and with
    `gradients=true` also `@gradients`, the loss of a batch and its gradients by the parameters.

    A parameter is a constant f32 tensor of more than one element that has a name or different elements, and whose elements
    are all within 1e30. Others stay constants, and so do those that `freeze` matches.

    **Batch norms**: an elementwise op that reads a constant m for each channel only as x - m and a constant v only as
    v + epsilon under a root. `@train_step` normalises by mean and variance of the batch, whose gradient counts, and moves
    the statistics by `batch-norm-momentum` towards the batch's mean and its variance over n - 1; `@eval_step` uses the
    statistics. Batch norms that `prune-normalize` has folded into weights are weights.

    **Distillation**: with a `teacher` the loss is `1 - hardness` times the loss by labels plus `hardness` times how far
    outputs are from the teacher's: for the first output, `kl` with a cross entropy (T² KL(softmax(teacher / T) ||
    softmax(output / T)), T = `temperature`; Hinton et al. 2015) and the loss itself otherwise; or, as `distill` says, for the
    outputs in whose name a regular expression is found (the first that is), `kl`, `mse`, `bce` or `cosine`, times a weight.
    The teacher `self` is the model before training, with what masks prune still there; another one is a function of the
    module or of a file (`.mlir`, `.mlirbc`) with the same type.

    `row-weights` names an input of numbers, such as an attention mask. Where the shape of an output begins with its shape,
    losses of that output are means weighted by it.

    With `sparse`, `param:NAME` of a weight with a mask is its kept elements in row-major order, and so are its states. The mask
    stays what it is: it is a constant of the functions (see `prune.decompress`), and `@init` gives it besides.

    The weight and all state of a pruned element are +0.0 after every step: gradient, decay and momentum are selected away by
    the mask. A label that is no class makes the loss NaN.

    **Masks that change**: decided masks stay. `prune.mask` is decided in training: `@schedule` says whether before a `step`
    (`update`) and what share of all masked elements is then to be pruned (`sparsity`, where all have a target), and
    `@update_masks` gives the masks, what they leave of weights and states, and the `sparsity` that there is. Groups, splits,
    patterns and minima are those of `prune-evaluate-masks`, and so are the bytes of the masks (`prune.select_masks`). Before the
    first update nothing is pruned. With `update=straight-through` masks touch what the loss reads, but not the weights that
    are trained. Scores that a criterion keeps are `state:NAME:score`. With `regrow` decided masks exchange weights
    (`prune.regrow_mask`), for which `@update_masks` takes a batch.

    Refused: undecided masks of weights that are not trained, criteria without scores in training (`taylor`), patterns
    that boxes do not describe (`transposable:2:4`, `64:2:8`), and `regrow` with undecided masks, with groups (2:4), or with a
    schedule that is not constant.

    ```mlir
    %w = arith.constant dense<...> : tensor<10x64xf32> loc("fc.weight")
    %pruned = prune.apply %w, %mask as(#prune.unstructured) : tensor<10x64xf32>
    // becomes
    func.func @train_step(%w: tensor<10x64xf32> {prune.name = "param:fc.weight"},
                          %mask: tensor<10x64xi1> {prune.name = "mask:fc.weight"}, ...)
        -> (tensor<10x64xf32> {prune.name = "param:fc.weight"}, ...)
    ```
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::math::MathDialect", "::mlir::tensor::TensorDialect", "::mlir::prune::PruneDialect",
    "::mlir::scf::SCFDialect", // in a teacher's file
  ];
  let options = [
    Option<"entry", "entry", "std::string", "\"main\"", "Function that is trained">,
    Option<"loss", "loss", "std::string", "\"cross-entropy\"", "What is minimised: cross-entropy, mse, bce (on logits) or cosine">,
    Option<"labelSmoothing", "label-smoothing", "double", "0.0", "Share of a label that is spread over all classes">,
    Option<"optimizer", "optimizer", "std::string", "\"adamw\"", "sgd, adam or adamw">,
    Option<"lr", "lr", "double", "1e-3", "Learning rate, before its schedule">,
    Option<"momentum", "momentum", "double", "0.9", "Momentum of sgd">,
    Option<"nesterov", "nesterov", "bool", "false", "Nesterov's momentum">,
    Option<"weightDecay", "weight-decay", "double", "0.0", "Weight decay; decoupled for adamw, else part of the gradient">,
    Option<"beta1", "beta1", "double", "0.9", "Decay of Adam's first moment">,
    Option<"beta2", "beta2", "double", "0.999", "Decay of Adam's second moment">,
    Option<"epsilon", "epsilon", "double", "1e-8", "Added to Adam's denominator">,
    Option<"clipNorm", "clip-norm", "double", "0.0", "Largest norm of all gradients together; 0: any">,
    Option<"clipValue", "clip-value", "double", "0.0", "Largest absolute value of a gradient, after clip-norm; 0: any">,
    Option<"lrSchedule", "lr-schedule", "std::string", "\"constant\"", "constant, step, multi-step, cosine or linear">,
    Option<"lrMin", "lr-min", "double", "0.0", "Where cosine and linear end">,
    Option<"lrGamma", "lr-gamma", "double", "0.1", "Factor of step and multi-step">,
    Option<"lrPeriod", "lr-period", "int64_t", "0", "Steps between two factors of step">,
    ListOption<"lrMilestones", "lr-milestones", "int64_t", "Steps at which multi-step takes its factor">,
    Option<"warmup", "warmup", "int64_t", "0", "Steps in which the learning rate rises linearly">,
    Option<"steps", "steps", "int64_t", "0", "Steps in all, where cosine and linear end">,
    Option<"rewindEvery", "rewind-every", "int64_t", "0", "Steps after which the schedule starts again; 0: never">,
    Option<"freeze", "freeze", "std::string", "\"\"", "Regular expression; weights in whose name it is found stay constants">,
    Option<"batchNorm", "batch-norm", "std::string", "\"train\"", "train: normalise by the batch and follow its statistics; frozen: by the statistics that the model has">,
    Option<"batchNormMomentum", "batch-norm-momentum", "double", "0.1", "Share of a batch in the statistics of batch norms">,
    Option<"teacher", "teacher", "std::string", "\"\"", "What to learn from: another function of the module, the function `entry` of a file, or self, the model without masks">,
    Option<"hardness", "hardness", "double", "0.9", "Share of the teacher in the loss; 1: nothing else, and no labels">,
    Option<"temperature", "temperature", "double", "2.0", "Softens the classes that teacher and model give">,
    ListOption<"distill", "distill", "std::string", "Outputs to learn from the teacher: REGEX=KIND or REGEX=KIND:WEIGHT">,
    Option<"rowWeights", "row-weights", "std::string", "\"\"", "Input whose numbers weight the rows of outputs in losses">,
    Option<"schedule", "schedule", "std::string", "\"\"", "When undecided masks are decided, and how sparse: constant, polynomial:begin=0:end=1000:every=100 and so on, or an attribute; default: constant, before the first step">,
    Option<"update", "update", "std::string", "\"masked\"", "What training does to pruned weights: masked (they are zero) or straight-through (they are trained as if they were kept)">,
    Option<"regrow", "regrow", "double", "0.0", "Share of the kept weights that decided masks exchange at the first update (RigL); 0: they stay as they are">,
    Option<"sparse", "sparse", "bool", "false", "Weights with a decided mask and their states hold their kept elements only">,
    Option<"gradients", "gradients", "bool", "false", "Build `@gradients` too: the gradients of the loss by the parameters, as `gradient:NAME`">,
  ];
  let statistics = [
    Statistic<"numParameters", "parameters", "Number of weights that are trained">,
    Statistic<"numMasks", "masks", "Number of those with a mask">,
    Statistic<"numChangingMasks", "changing-masks", "Number of masks that training decides">,
  ];
}

def PruneLoadWeights : Pass<"prune-load-weights", "::mlir::ModuleOp"> {
  let summary = "Put trained weights and masks from a file into a model";
  let description = [{
    Reads the arrays of the .npz file `file`, which the functions of `prune-build-training` leave, into the model that they
    were made from: the weights of the function `entry` that are trained have the same names here.

    - `param:NAME`, or plain `NAME`, is the new value of the weight NAME, `stat:NAME` that of a statistic of a batch norm;
    - `mask:NAME` (bool) is the new mask of every `prune.apply` of the weight NAME, in the place of a decided or undecided
      one, and is recorded in `prune.record`.

    Weights and masks that the file does not have stay what they are. Values where the mask is 0 may be anything: the mask
    prunes them. A weight keeps its resource, so whatever shares it gets the new value too.

    ```mlir
    %w = arith.constant dense<[1.0, 2.0]> : tensor<2xf32> loc("fc.weight")
    // with an array "param:fc.weight" of [3, 4] becomes
    %w = arith.constant dense<[3.0, 4.0]> : tensor<2xf32> loc("fc.weight")
    ```

    **Constraints**
    1. Every array is of a weight of the function, none twice; a mask only of a weight that has one.
    2. An array has the shape and element type of its weight or mask.
    3. A mask obeys the pattern of its `prune.apply`, and keeps at least one weight unless `allow_empty`.
    4. A weight whose mask `prune-fold-masks` has written into it has its zeros in the same places.

    An array that breaks one is an error, and the module stays what it was.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::prune::PruneDialect"];
  let options = [
    Option<"file", "file", "std::string", "\"\"", "The .npz file">,
    Option<"entry", "entry", "std::string", "\"main\"", "Function whose weights are loaded">,
  ];
  let statistics = [
    Statistic<"numWeights", "weights", "Number of weights loaded">,
    Statistic<"numMasks", "masks", "Number of masks loaded">,
  ];
}

#endif // PRUNE_FINETUNE_PASSES_TD
