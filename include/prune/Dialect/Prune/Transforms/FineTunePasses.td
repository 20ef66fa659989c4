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
    - `step` how many steps were taken; inputs and outputs of the model under their names;
    - `labels` (i64, one class for each row of the first output) for cross entropy, `target` (f32, of the shape of the first
      output) for the other losses;
    - `loss`, `correct` (right answers in the batch), `learning_rate`, `gradient_norm` (before clipping).

    The functions are `@init` (the first values of everything, the module's weights among them), `@train_step` (with
    `prune.gradient` of a private `@loss`; see `prune-expand-gradients`) and `@eval_step`.

    A parameter is a constant f32 tensor of more than one element that has a name or different elements, and whose elements
    are all within 1e30. Others stay constants, and so do those that `freeze` matches.

    With `sparse`, `param:NAME` of a weight with a mask is its kept elements in row-major order, and so are its states. The mask
    stays what it is: it is a constant of the functions (see `prune.decompress`), and `@init` gives it besides.

    The weight and all state of a pruned element are +0.0 after every step: gradient, decay and momentum are selected away by
    the mask. A label that is no class makes the loss NaN.

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
    Option<"sparse", "sparse", "bool", "false", "Weights with a decided mask and their states hold their kept elements only">,
  ];
}

def PruneLoadWeights : Pass<"prune-load-weights", "::mlir::ModuleOp"> {
  let summary = "Put trained weights and masks from a file into a model";
  let description = [{
    Reads the arrays of the .npz file `file`, which the functions of `prune-build-training` leave, into the model that they
    were made from: the weights of the function `entry` that are trained have the same names here.

    - `param:NAME`, or plain `NAME`, is the new value of the weight NAME;
    - `mask:NAME` (bool) is the new mask of every `prune.apply` of the weight NAME, and is recorded in `prune.record`.

    Weights and masks that the file does not have stay what they are. Values where the mask is 0 may be anything: the mask
    prunes them. A weight keeps its resource, so whatever shares it gets the new value too.

    ```mlir
    %w = arith.constant dense<[1.0, 2.0]> : tensor<2xf32> loc("fc.weight")
    // with an array "param:fc.weight" of [3, 4] becomes
    %w = arith.constant dense<[3.0, 4.0]> : tensor<2xf32> loc("fc.weight")
    ```

    **Constraints**
    1. Every array is of a weight of the function, none twice; a mask only of a weight that has a decided one.
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
