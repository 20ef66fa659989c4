//===- PrunableLayers.h - Which weights of a module can be pruned ---*- C++ -*-===//
//
// Finds the layers of a module in normal form (see the pass prune-normalize) and says for each whether masks on its
// weight make sense, and if not, why. Decides nothing about how much to prune and changes nothing.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_ANALYSIS_PRUNABLELAYERS_H
#define PRUNE_ANALYSIS_PRUNABLELAYERS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::prune {

/// One use of a weight (or one product without any), in the order of the module.
struct PrunableLayer {
  /// The op that computes with the weight.
  Operation *op = nullptr;
  /// The use of the constant, or of the `prune.apply` on it: what to replace to mask this layer. It belongs to `op`,
  /// or for a grouped convolution to the tensor.expand_shape between constant and `op`. Null: no constant weight.
  OpOperand *weight = nullptr;
  /// Name of the constant: key of its resource, else the name in its location, else `<function>.<kind>_<index>`.
  /// A constant with several uses gives several layers of the same name. For a product without weight: that of `op`.
  std::string name;
  /// linear, conv, grouped-conv, depthwise-conv, embedding, attention, bias, norm, table.
  StringRef kind;
  /// Elements of the weight; 0 without one.
  int64_t params = 0;
  /// Two for each multiply-add of one call; 0 when a shape is dynamic.
  int64_t flops = 0;
  /// Empty: prunable. Otherwise one clause that says why not.
  std::string reason;

  bool isPrunable() const { return reason.empty(); }

  /// The constant behind `weight`, masks looked through; null without a weight.
  arith::ConstantOp getConstant() const;

  /// Shape of the weight; empty without one. Dimension 0 counts the rows (outputs) of its matrix, the others,
  /// row-major, the columns.
  ArrayRef<int64_t> getShape() const;
};

/// All layers below `module`, prunable or not.
SmallVector<PrunableLayer> findPrunableLayers(ModuleOp module);

} // namespace mlir::prune

#endif // PRUNE_ANALYSIS_PRUNABLELAYERS_H
