// Masks and options that lead to no training: each message names the weight or the option, the rule and the value.
// DEFINE: %{pass} =
// DEFINE: %{edit} = s/x/x/
// DEFINE: %{check} =
// DEFINE: %{run} = sed -e '%{edit}' %s | not prune-opt %{pass} -o /dev/null 2>&1 | FileCheck %s --check-prefix=%{check}

// REDEFINE: %{check} = KIND
// REDEFINE: %{pass} = --prune-build-training="schedule=cubic:end=5"
// RUN: %{run}
// KIND: error: schedule 'cubic:end=5': expected constant, polynomial, exponential, cosine, multi_step or geometric, got cubic

// REDEFINE: %{check} = RANGE
// REDEFINE: %{pass} = --prune-build-training="schedule=polynomial:begin=7:end=5"
// RUN: %{run}
// RANGE: error: schedule 'polynomial:begin=7:end=5': expected a schedule to end at or after its begin 7, got 5

// REDEFINE: %{check} = ATTR
// REDEFINE: %{pass} = --prune-build-training="schedule=#prune.unstructured"
// RUN: %{run}
// ATTR: error: schedule '#prune.unstructured': the attribute is no schedule

// REDEFINE: %{check} = DECIDED
// REDEFINE: %{pass} = --prune-evaluate-masks --prune-build-training="schedule=polynomial:end=5"
// RUN: %{run}
// DECIDED: error: schedule: expected masks that are not decided, or regrow, got 2 decided masks

// REDEFINE: %{check} = UPDATE
// REDEFINE: %{pass} = --prune-build-training="update=dense"
// RUN: %{run}
// UPDATE: error: update: expected masked or straight-through, got 'dense'

// REDEFINE: %{check} = FISHER
// REDEFINE: %{edit} = s/prune.magnitude<l1>/prune.obs/
// REDEFINE: %{pass} = --prune-build-training
// RUN: %{run}
// FISHER: error: mask of 'a' cannot be decided in training: criterion obs has no scores there

// REDEFINE: %{check} = TAYLOR
// REDEFINE: %{edit} = s/prune.magnitude<l1>/prune.taylor/
// REDEFINE: %{pass} = --prune-build-training
// RUN: %{run}
// TAYLOR: error: mask of 'a' cannot be decided in training: criterion taylor has no scores there

// REDEFINE: %{check} = MASKED
// REDEFINE: %{edit} = s/prune.magnitude<l1>/prune.movement/
// RUN: %{run}
// MASKED: error: mask of 'a' cannot be decided in training: criterion movement expects update=straight-through, got masked

// REDEFINE: %{check} = FIRST
// REDEFINE: %{pass} = --prune-build-training="update=straight-through"
// RUN: %{run}
// FIRST: error: mask of 'a' cannot be decided in training: schedule: criterion movement has no scores before the first step; expected a begin of 1 or more, got 0

// REDEFINE: %{check} = WHOLE
// REDEFINE: %{edit} = s/sparsity(0.5)/sparsity(1.0)/
// REDEFINE: %{pass} = --prune-build-training="schedule=geometric:end=5"
// RUN: %{run}
// WHOLE: error: mask of 'a' cannot be decided in training: schedule: expected a target sparsity below 1 with geometric, got 1

// REDEFINE: %{check} = GROUP
// REDEFINE: %{edit} = s/%b by(#prune.magnitude<l1>)/%b by(#prune.random<seed = 1>)/
// REDEFINE: %{pass} = --prune-build-training
// RUN: %{run}
// GROUP: error: masks of group 'g' must agree in criterion, pattern, target and normalization: 'b' differs from 'a'
// GROUP: note: 'a' is here

// REDEFINE: %{check} = UNTRAINED
// REDEFINE: %{edit} = s/\[1.0, 2.0\]/[1.0, 1.0e+35]/
// RUN: %{run}
// UNTRAINED: error: mask of 'a' cannot be decided in training: its weight is not trained with it

// Patterns whose groups span rows are for the compiler.
// REDEFINE: %{check} = SQUARES
// REDEFINE: %{edit} = s/prune.unstructured/prune.transposable<1, 2>/g
// RUN: %{run}
// SQUARES: error: mask of 'a' cannot be decided in training: pattern transposable:1:2 is for the compiler only (run prune-evaluate-masks)
// REDEFINE: %{check} = COLUMNS
// REDEFINE: %{edit} = s/prune.unstructured/prune.v_n_m<64, 2, 8>/g
// RUN: %{run}
// COLUMNS: error: mask of 'a' cannot be decided in training: pattern 64:2:8 is for the compiler only (run prune-evaluate-masks)

// REDEFINE: %{check} = SEVERAL
// REDEFINE: %{edit} = s/apply %b/apply %a/
// RUN: %{run}
// SEVERAL: error: weight 'a' has several masks; give it one

// REDEFINE: %{check} = SHARE
// REDEFINE: %{edit} = s/x/x/
// REDEFINE: %{pass} = --prune-evaluate-masks --prune-build-training="regrow=1.5"
// RUN: %{run}
// SHARE: error: regrow: expected a share in [0, 1], got 1.5

// REDEFINE: %{check} = UNDECIDED
// REDEFINE: %{pass} = --prune-build-training="regrow=0.5 schedule=constant:begin=1:end=5"
// RUN: %{run}
// UNDECIDED: error: regrow: expected decided masks, but that of 'a' is not (run prune-evaluate-masks)

// REDEFINE: %{check} = DENSE
// REDEFINE: %{pass} = --prune-evaluate-masks --prune-build-training="regrow=0.5 update=straight-through"
// RUN: %{run}
// DENSE: error: regrow: expected update=masked, got straight-through

// REDEFINE: %{check} = RISING
// REDEFINE: %{pass} = --prune-evaluate-masks --prune-build-training="regrow=0.5 schedule=cosine:end=5"
// RUN: %{run}
// RISING: error: regrow: expected a constant schedule, which keeps the sparsity, got cosine

// REDEFINE: %{check} = ONCE
// REDEFINE: %{pass} = --prune-evaluate-masks --prune-build-training="regrow=0.5"
// RUN: %{run}
// ONCE: error: regrow: expected a schedule with a begin before its end, got 0 and 0

// REDEFINE: %{check} = GROUPS
// REDEFINE: %{edit} = s/prune.unstructured/prune.n_of_m<1, 2>/g
// REDEFINE: %{pass} = --prune-evaluate-masks --prune-build-training="regrow=0.5 schedule=constant:begin=1:end=5"
// RUN: %{run}
// GROUPS: error: regrow: expected a pattern of boxes without groups, got 1:2 of 'a'

// REDEFINE: %{check} = UNMASKED
// REDEFINE: %{edit} = s/prune.apply %\(.\), .*/linalg.exp ins(%\1 : tensor<2x2xf32>) outs(%x : tensor<2x2xf32>) -> tensor<2x2xf32>/
// REDEFINE: %{pass} = --canonicalize --prune-build-training="regrow=0.5 schedule=constant:begin=1:end=5"
// RUN: %{run}
// UNMASKED: error: regrow: expected masks, got none

// REDEFINE: %{check} = NOTHING
// REDEFINE: %{pass} = --canonicalize --prune-build-training="update=straight-through"
// RUN: %{run}
// NOTHING: error: update: expected masks with straight-through, got none

// REDEFINE: %{check} = NAME
// REDEFINE: %{edit} = s/@other/@update_masks/
// REDEFINE: %{pass} = --prune-build-training
// RUN: %{run}
// NAME: error: expected no function 'update_masks' in the module: training makes one
func.func private @other()
func.func @main(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %a = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("a")
  %b = arith.constant dense<[[5.0, 6.0], [7.0, 8.0]]> : tensor<2x2xf32> loc("b")
  %ma = prune.mask %a by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("g") : tensor<2x2xf32>
  %mb = prune.mask %b by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(0.5) group("g") : tensor<2x2xf32>
  %pa = prune.apply %a, %ma as(#prune.unstructured) : tensor<2x2xf32>
  %pb = prune.apply %b, %mb as(#prune.unstructured) : tensor<2x2xf32>
  %y = arith.addf %x, %pa : tensor<2x2xf32>
  %z = arith.addf %y, %pb : tensor<2x2xf32>
  return %z : tensor<2x2xf32>
}
