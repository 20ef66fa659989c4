//===- ScoreOps.cpp - What criteria are computed from -------------------------===//

#include "prune/Dialect/Prune/IR/LinearForm.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include <functional>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

static int64_t getProduct(ArrayRef<int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t(1), std::multiplies<>());
}

LogicalResult ObserveOp::verify() {
  ArrayRef<int64_t> shape = cast<RankedTensorType>(getActivation().getType()).getShape();
  ArrayRef<int64_t> resultShape = cast<RankedTensorType>(getResult().getType()).getShape();
  for (auto [name, sizes] : {std::pair("rows", getRows()), std::pair("columns", getColumns())})
    if (sizes.empty() || llvm::any_of(sizes, [](int64_t size) { return size < 1; }))
      return emitOpError() << name << ": expected positive sizes (observe_c1), got [" << sizes << "]";
  int64_t columns = getProduct(getColumns()), rank = getStatistic() == Statistic::Gram ? 3 : 2;
  if (static_cast<int64_t>(resultShape.size()) != rank ||
      llvm::any_of(resultShape.drop_front(), [&](int64_t size) { return size != columns; }))
    return emitOpError() << "expected a result of rank " << rank << " with " << columns
                         << " elements in each dimension behind the groups (observe_c1), got " << getResult().getType();

  AffineMap view = getView();
  SmallVector<int64_t> sizes{resultShape.front()};
  llvm::append_range(sizes, getRows());
  llvm::append_range(sizes, getColumns());
  if (view.getNumDims() != sizes.size() || view.getNumSymbols() || view.getNumResults() != shape.size())
    return emitOpError() << "view: expected " << sizes.size() << " dimensions and " << shape.size()
                         << " results (observe_c2), got " << getViewAttr();
  for (auto [dim, expr] : llvm::enumerate(view.getResults())) {
    std::optional<LinearForm> form = getLinearForm(expr);
    if (!form)
      return emitOpError() << "view: expected sums of dimensions with positive factors (observe_c2), got "
                           << AffineMapAttr::get(view.getSubMap(dim));
    int64_t last = form->constant;
    for (auto [loop, factor] : form->terms)
      last += factor * (sizes[loop] - 1);
    if (form->constant < 0 || last >= shape[dim])
      return emitOpError() << "view: expected indices 0 to " << shape[dim] - 1 << " in dimension " << dim
                           << " (observe_c3), got " << form->constant << " to " << last;
  }
  if (!getSelected())
    return success();
  auto selected = cast<RankedTensorType>(getSelected().getType());
  if (int64_t rows = getProduct(getRows()); selected.getNumElements() != rows)
    return emitOpError() << "where: expected an element for each of " << rows << " rows (observe_c4), got "
                         << selected.getNumElements();
  return success();
}
