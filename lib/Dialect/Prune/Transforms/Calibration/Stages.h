//===- Stages.h - In which order a network is observed --------------*- C++ -*-===//
//
// A stage computes what the weights that are decided so far allow, and observes the input of one or several weights,
// which are decided next. Nothing is computed twice: what later stages need is kept.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_TRANSFORMS_CALIBRATION_STAGES_H
#define PRUNE_TRANSFORMS_CALIBRATION_STAGES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "prune/Dialect/Prune/IR/Prune.h"

namespace mlir::prune {

/// The input of a layer, as the matrices that prune.observe describes.
struct LayerInput {
  Value activation;
  AffineMap view;
  SmallVector<int64_t> rows, columns;
  int64_t numGroups = 1;

  bool operator==(const LayerInput &other) const {
    return activation == other.activation && view == other.view && rows == other.rows && columns == other.columns &&
           numGroups == other.numGroups;
  }
};

/// A weight whose mask waits for statistics of its inputs.
struct ObservedWeight {
  MaskOp mask;
  /// Of each layer that uses it, in the order of the function.
  SmallVector<LayerInput> inputs;
};

/// Finds the layers that use the weights of `masks`; an error if some use is no layer of f32 whose input can be seen.
FailureOr<SmallVector<ObservedWeight>> findInputs(func::FuncOp function, ArrayRef<MaskOp> masks);

struct Stage {
  /// What is computed, operands first; the ops in `isCloned` that these need come on top.
  SmallVector<Operation *> ops;
  /// Arguments of the function, results of earlier stages, masked weights and large constants that are read.
  SmallVector<Value> reads;
  /// Results that later stages read.
  SmallVector<Value> keeps;
  /// What is observed: the inputs of all `weights`, which are positions in the list that was planned for.
  SmallVector<LayerInput> inputs;
  SmallVector<unsigned> weights;
};

/// The stages of `function` for `weights`, whose masks are not decided. `extra`, if any, is read by all stages. A
/// weight that several layers share is decided when all of its inputs are known; layers that these depend on run with
/// the weight as it was, with a remark.
FailureOr<std::vector<Stage>> planStages(func::FuncOp function, ArrayRef<ObservedWeight> weights, Value extra);

/// What `op` and the ops in its regions read from outside.
SmallVector<Value> getReads(Operation *op);

/// True for ops that are repeated in each stage that needs them: constants other than large ones of f32, tensors
/// without contents, scalars.
bool isCloned(Operation *op);

/// The function `main` of a module of its own that computes a stage: its arguments are `reads`, its results `keeps` and
/// the statistic of each of `inputs`. Rows that are zero in `padding`, if any, do not count where there are as many.
OwningOpRef<ModuleOp> buildStage(const Stage &stage, Statistic kind, Value padding);

/// True if the rows of `input` are told by `padding` (may be null) whether they count.
bool isPadded(const LayerInput &input, Value padding);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_CALIBRATION_STAGES_H
