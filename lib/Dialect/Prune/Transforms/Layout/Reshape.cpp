//===- Reshape.cpp - Reshapes that move no data -----------------------------------===//

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"

using namespace mlir;

Value mlir::prune::reshapeTensor(OpBuilder &b, Value value, ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(value.getType());
  auto target = RankedTensorType::get(shape, type.getElementType());
  if (type == target)
    return value;
  // Through the shape without unit dimensions: both steps always have a reassociation.
  SmallVector<int64_t> squeezed, wanted;
  llvm::copy_if(type.getShape(), std::back_inserter(squeezed), [](int64_t size) { return size != 1; });
  llvm::copy_if(shape, std::back_inserter(wanted), [](int64_t size) { return size != 1; });
  auto step = [&](ArrayRef<int64_t> next) {
    auto from = cast<RankedTensorType>(value.getType());
    auto to = RankedTensorType::get(next, type.getElementType());
    if (from == to)
      return;
    bool collapses = to.getRank() < from.getRank();
    auto groups = getReassociationIndicesForReshape(from, to);
    assert(groups && "reshape between shapes that differ by merged and unit dimensions");
    value = collapses ? tensor::CollapseShapeOp::create(b, value.getLoc(), to, value, *groups).getResult()
                      : tensor::ExpandShapeOp::create(b, value.getLoc(), to, value, *groups).getResult();
  };
  step(squeezed);
  step(wanted);
  step(shape);
  return value;
}
