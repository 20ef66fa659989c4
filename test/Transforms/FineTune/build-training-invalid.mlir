// Options and models that cannot be trained: the message names option, rule and value.
// RUN: not prune-opt %s --prune-train="loss=hinge" 2>&1 | FileCheck %s --check-prefix=LOSS
// RUN: not prune-opt %s --prune-train="lr=0" 2>&1 | FileCheck %s --check-prefix=LR
// RUN: not prune-opt %s --prune-train="lr-schedule=cosine" 2>&1 | FileCheck %s --check-prefix=STEPS
// RUN: not prune-opt %s --prune-train="optimizer=adam nesterov" 2>&1 | FileCheck %s --check-prefix=NESTEROV
// RUN: not prune-opt %s --prune-train="freeze=nothing" 2>&1 | FileCheck %s --check-prefix=FREEZE
// RUN: not prune-opt %s --prune-train="entry=other" 2>&1 | FileCheck %s --check-prefix=ENTRY
// RUN: not prune-opt %s --prune-train 2>&1 | FileCheck %s --check-prefix=NAMES

// LOSS: error: loss: expected cross-entropy, mse, bce or cosine, got 'hinge'
// LR: error: lr: expected a positive number, got 0
// STEPS: error: steps: expected more steps than warmup with lr-schedule=cosine, got 0 with warmup 0
// NESTEROV: error: nesterov: expected optimizer=sgd with momentum, got optimizer=adam with momentum 0.9
// FREEZE: error: freeze: 'nothing' matches none of 1 weights
// ENTRY: error: entry: expected a function with a body, got 'other'
// NAMES: error: expected an input or output of the model to have a name of its own, got 'labels', which training uses
func.func @main(%x: tensor<2x2xf32> {prune.name = "labels"}) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("w")
  %y = arith.addf %x, %w : tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}
