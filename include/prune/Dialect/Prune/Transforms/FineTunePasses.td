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
  ];
}

#endif // PRUNE_FINETUNE_PASSES_TD
