//===- TensorCoreKernels.cpp - Packed layers on tensor cores -------------------===//

#include "Kernels.h"

using namespace mlir;
using namespace mlir::prune;

TensorCoreLayout mlir::prune::getTensorCoreLayout(LinearOp op, bool isWarpGroup) {
  TensorCoreLayout layout;
  layout.isWarpGroup = isWarpGroup;
  layout.isSparse = op.getFormat() == StorageFormat::TwoOfFour;
  Type element = op.getInputType().getElementType();
  layout.type = element.isF16() ? TensorCoreType::F16 : element.isBF16() ? TensorCoreType::BF16 : TensorCoreType::TF32;
  return layout;
}

LogicalResult mlir::prune::lowerTiles(RewriterBase &rewriter, LinearOp op, const GPUTarget &target) {
  for (bool isWarpGroup : {false, true}) {
    TensorCoreLayout layout = getTensorCoreLayout(op, isWarpGroup);
    if (static_cast<int64_t>(op.getRows()) == layout.getRows() &&
        static_cast<int64_t>(op.getChunk()) == layout.getColumns())
      return isWarpGroup ? lowerByWarpGroups(rewriter, op, target) : lowerByWarps(rewriter, op, target);
  }
  int64_t columns = getTensorCoreLayout(op, false).getColumns();
  return op.emitOpError() << "has no kernel for " << target.chip << ": expected tiles of 16 x " << columns
                          << " or 128 x " << columns << ", got " << op.getRows() << " x " << op.getChunk();
}
