//===- LaneLayout.cpp - Activations with tokens in the lanes --------------------===//

#include "LaneLayout.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace mlir::prune;

static Value transposeLastTwo(ImplicitLocOpBuilder &b, Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  SmallVector<int64_t> shape = applyPermutation(type.getShape(), order);
  Value empty = tensor::EmptyOp::create(b, shape, type.getElementType());
  return linalg::TransposeOp::create(b, value, empty, order)->getResult(0);
}

LaneLayout::LaneLayout(RankedTensorType type, int64_t columnDim, int64_t panel)
    : shape(type.getShape()), columnDim(columnDim), panel(panel) {
  int64_t rank = type.getRank();
  lanesBeforeColumns = columnDim + 1 == rank;
  numLanes = 1;
  for (int64_t size :
       lanesBeforeColumns ? ArrayRef(shape).slice(columnDim - 1, 1) : ArrayRef(shape).drop_front(columnDim + 1))
    numLanes *= size;
  isFlat = lanesBeforeColumns && rank > 2 && numLanes < panel;
  if (isFlat)
    numLanes = type.getNumElements() / shape.back();
  isPaneled = lanesBeforeColumns && numLanes > panel && numLanes % panel == 0;
  laneDims = lanesBeforeColumns ? 1 : rank - 1 - columnDim;
  // One sequence is no dimension.
  units = 0;
  SmallVector<int64_t> inside = getPaneledShape(1);
  int64_t leading = static_cast<int64_t>(inside.size()) - 1 - laneDims;
  while (units < leading && inside[units] == 1)
    ++units;
}

SmallVector<int64_t> LaneLayout::getFlatShape(int64_t numColumns) const {
  if (isFlat)
    return {numLanes, numColumns};
  SmallVector<int64_t> result(shape);
  result[columnDim] = numColumns;
  return result;
}

SmallVector<int64_t> LaneLayout::getPaneledShape(int64_t numColumns) const {
  SmallVector<int64_t> result = getFlatShape(numColumns);
  if (isPaneled) {
    result[result.size() - 2] = panel;
    result.insert(result.end() - 2, numLanes / panel);
  }
  return result;
}

/// Reassociation of the flat shape and the one with panels.
static SmallVector<ReassociationIndices> getPanelGroups(int64_t rank) {
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0; dim < rank - 2; ++dim)
    groups.push_back({dim});
  groups.push_back({rank - 2, rank - 1});
  groups.push_back({rank});
  return groups;
}

static SmallVector<ReassociationIndices> getLeadingGroups(int64_t rank, int64_t first) {
  SmallVector<ReassociationIndices> groups{llvm::to_vector(llvm::seq<int64_t>(0, first))};
  for (int64_t dim = first; dim < rank; ++dim)
    groups.push_back({dim});
  return groups;
}

Value LaneLayout::enter(ImplicitLocOpBuilder &b, Value x) const {
  auto type = cast<RankedTensorType>(x.getType());
  int64_t rank = shape.size(), numColumns = type.getDimSize(columnDim);
  if (isFlat)
    x = tensor::CollapseShapeOp::create(b, x, getLeadingGroups(rank, rank - 1));
  if (isPaneled)
    x = tensor::ExpandShapeOp::create(b, RankedTensorType::get(getPaneledShape(numColumns), type.getElementType()), x,
                                      getPanelGroups(getFlatShape(numColumns).size()));
  if (lanesBeforeColumns)
    x = transposeLastTwo(b, x);
  if (units > 0)
    x = tensor::CollapseShapeOp::create(b, x,
                                        getLeadingGroups(cast<RankedTensorType>(x.getType()).getRank(), units + 1));
  return x;
}

Value LaneLayout::leave(ImplicitLocOpBuilder &b, Value y, int64_t numColumns) const {
  SmallVector<int64_t> paneled = getPaneledShape(numColumns);
  Type element = cast<RankedTensorType>(y.getType()).getElementType();
  if (units > 0) {
    SmallVector<int64_t> expanded(units, 1);
    llvm::append_range(expanded, cast<RankedTensorType>(y.getType()).getShape());
    y = tensor::ExpandShapeOp::create(b, RankedTensorType::get(expanded, element), y,
                                      getLeadingGroups(paneled.size(), units + 1));
  }
  if (lanesBeforeColumns)
    y = transposeLastTwo(b, y);
  SmallVector<int64_t> flat = getFlatShape(numColumns);
  if (isPaneled)
    y = tensor::CollapseShapeOp::create(b, RankedTensorType::get(flat, element), y, getPanelGroups(flat.size()));
  if (isFlat) {
    SmallVector<int64_t> outside(shape);
    outside[columnDim] = numColumns;
    y = tensor::ExpandShapeOp::create(b, RankedTensorType::get(outside, element), y,
                                      getLeadingGroups(shape.size(), shape.size() - 1));
  }
  return y;
}
