//===- PropagateLayouts.cpp - Compute on operands as they lie in memory ---------===//
//
// Every tensor is seen as a view: each logical dimension is a list of dimensions of a base tensor, which is what lies
// in memory. Transposes and reshapes only change the lists. A linalg op whose operands are such views is rewritten to
// loop over the base dimensions, and its result gets a base in the order of its largest operand. What needs row-major
// data (other ops, the function's result) gets it from a reshape where the lists are in order, and from a copy
// elsewhere.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEPROPAGATELAYOUTS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// A logical tensor as a view of `base`. Base dimensions of size 1 may be in no list.
struct View {
  Value base;
  SmallVector<SmallVector<int64_t>> dims;

  ArrayRef<int64_t> getShape() const { return cast<RankedTensorType>(base.getType()).getShape(); }
  bool isInOrder() const {
    int64_t previous = -1;
    for (const auto &list : dims)
      for (int64_t dim : list) {
        if (getShape()[dim] == 1)
          continue;
        if (dim < previous)
          return false;
        previous = dim;
      }
    return true;
  }
  /// True if a logical dimension is several of the base.
  bool isSplit() const {
    return llvm::any_of(dims, [&](const auto &list) {
      return llvm::count_if(list, [&](int64_t dim) { return getShape()[dim] != 1; }) > 1;
    });
  }
};

/// One loop of a rewritten op: a part of an original loop. The original index is the sum of part * stride.
struct LoopPart {
  int64_t loop;
  int64_t size;
  int64_t stride;
};

/// A base that is the reshape of another: `groups` lists its dimensions for each one of the parent.
struct Split {
  Value parent;
  SmallVector<SmallVector<int64_t>> groups;
};

class LayoutPropagation {
public:
  LayoutPropagation(FunctionOpInterface function, LayoutStatistics &statistics)
      : function(function), statistics(statistics), b(function.getContext()) {}
  void run();

private:
  View getView(Value value);
  bool hasView(Value value) { return views.contains(value); }
  Value materialize(Value value);
  Value reshape(Value value, ArrayRef<int64_t> shape) { return reshapeTensor(b, value, shape); }
  Value transposeToOrder(const View &view);

  void preferCopy(Value base, Value copy, ArrayRef<int64_t> order);

  void visitTranspose(linalg::TransposeOp op);
  void visitCollapse(tensor::CollapseShapeOp op);
  void visitBarrier(BarrierOp op);
  bool visitExpand(tensor::ExpandShapeOp op);
  bool visitLinalg(linalg::LinalgOp op);
  Value buildInit(OpOperand &init, bool isRead, RankedTensorType type, const View &layout);

  FunctionOpInterface function;
  LayoutStatistics &statistics;
  OpBuilder b;
  DenseMap<Value, View> views;
  DenseMap<Value, Value> materialized; ///< row-major twin of a value that has a view
  DenseMap<Value, Split> splits;
};

} // namespace

static bool isStaticTensor(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.hasStaticShape() && !tensor.getEncoding();
}

View LayoutPropagation::getView(Value value) {
  auto it = views.find(value);
  if (it != views.end())
    return it->second;
  View view{value, {}};
  for (int64_t dim = 0; dim < cast<RankedTensorType>(value.getType()).getRank(); ++dim)
    view.dims.push_back({dim});
  return view;
}

/// A copy of the base whose dimensions are in the order of the lists.
Value LayoutPropagation::transposeToOrder(const View &view) {
  SmallVector<int64_t> order;
  BitVector listed(view.getShape().size());
  for (const auto &list : view.dims)
    for (int64_t dim : list) {
      order.push_back(dim);
      listed.set(dim);
    }
  for (int64_t dim = 0, rank = listed.size(); dim < rank; ++dim)
    if (!listed.test(dim))
      order.push_back(dim);
  SmallVector<int64_t> shape;
  for (int64_t dim : order)
    shape.push_back(view.getShape()[dim]);
  Location loc = view.base.getLoc();
  Value empty = tensor::EmptyOp::create(b, loc, shape, getElementTypeOrSelf(view.base.getType()));
  ++statistics.numMaterialized;
  Value copy = linalg::TransposeOp::create(b, loc, view.base, empty, order)->getResult(0);
  preferCopy(view.base, copy, order);
  return copy;
}

Value LayoutPropagation::materialize(Value value) {
  auto it = views.find(value);
  if (it == views.end())
    return value;
  if (Value known = materialized.lookup(value))
    return known;
  View view = it->second;
  Value ordered = view.isInOrder() ? view.base : transposeToOrder(view);
  Value result = reshape(ordered, cast<RankedTensorType>(value.getType()).getShape());
  materialized[value] = result;
  return result;
}

void LayoutPropagation::visitTranspose(linalg::TransposeOp op) {
  View view = getView(op.getInput());
  View permuted{view.base, {}};
  for (int64_t dim : op.getPermutation())
    permuted.dims.push_back(view.dims[dim]);
  views[op->getResult(0)] = permuted;
}

/// After a copy both orders of the same data are at hand: uses of the original by linalg ops prefer the copy.
void LayoutPropagation::preferCopy(Value base, Value copy, ArrayRef<int64_t> order) {
  View view{copy, {}};
  for (int64_t position : invertPermutationVector(order))
    view.dims.push_back({position});
  while (true) {
    if (!views.contains(base)) {
      views[base] = view;
      materialized[base] = base;
    }
    auto it = splits.find(base);
    if (it == splits.end())
      return;
    View parentView{copy, {}};
    for (const auto &group : it->second.groups) {
      parentView.dims.emplace_back();
      for (int64_t dim : group)
        llvm::append_range(parentView.dims.back(), view.dims[dim]);
    }
    base = it->second.parent;
    view = std::move(parentView);
  }
}

void LayoutPropagation::visitCollapse(tensor::CollapseShapeOp op) {
  View view = getView(op.getSrc());
  View collapsed{view.base, {}};
  for (const ReassociationIndices &group : op.getReassociationIndices()) {
    collapsed.dims.emplace_back();
    for (int64_t dim : group)
      llvm::append_range(collapsed.dims.back(), view.dims[dim]);
  }
  views[op.getResult()] = collapsed;
}

/// Splits base dimensions where the expanded sizes need it. False if sizes do not divide.
bool LayoutPropagation::visitExpand(tensor::ExpandShapeOp op) {
  View view = getView(op.getSrc());
  ArrayRef<int64_t> target = op.getResultType().getShape();
  // parts[base dim]: sizes it is split into. newDims: (base dim, part) of each logical dimension.
  SmallVector<SmallVector<int64_t>> parts(view.getShape().size());
  SmallVector<SmallVector<std::pair<int64_t, int64_t>>> newDims(target.size());
  for (auto [source, group] : llvm::enumerate(op.getReassociationIndices())) {
    size_t position = 0;
    int64_t available = 0; // what is left of the base dimension at `position`
    const auto &list = view.dims[source];
    for (int64_t dim : group) {
      int64_t need = target[dim];
      while (need > 1) {
        if (available <= 1) {
          if (position == list.size())
            return false;
          int64_t baseDim = list[position++];
          available = view.getShape()[baseDim];
          if (available == 1) {
            parts[baseDim].push_back(1);
            continue;
          }
        }
        int64_t baseDim = list[position - 1];
        int64_t take = available;
        if (need < available) {
          if (available % need != 0)
            return false;
          take = need;
        } else if (need % available != 0) {
          return false;
        }
        newDims[dim].push_back({baseDim, static_cast<int64_t>(parts[baseDim].size())});
        parts[baseDim].push_back(take);
        available /= take;
        need /= take;
      }
    }
  }
  SmallVector<int64_t> shape, firstPart;
  for (auto [dim, size] : llvm::enumerate(view.getShape())) {
    firstPart.push_back(shape.size());
    if (parts[dim].empty())
      shape.push_back(size);
    else
      llvm::append_range(shape, parts[dim]);
  }
  View expanded{reshape(view.base, shape), {}};
  if (expanded.base != view.base) {
    Split split{view.base, {}};
    for (size_t dim = 0; dim < firstPart.size(); ++dim) {
      int64_t end = dim + 1 < firstPart.size() ? firstPart[dim + 1] : static_cast<int64_t>(shape.size());
      split.groups.push_back(llvm::to_vector(llvm::seq<int64_t>(firstPart[dim], end)));
    }
    splits[expanded.base] = std::move(split);
  }
  for (const auto &list : newDims) {
    expanded.dims.emplace_back();
    for (auto [baseDim, part] : list)
      expanded.dims.back().push_back(firstPart[baseDim] + part);
  }
  views[op.getResult()] = expanded;
  return true;
}

/// The destination of a rewritten op, as `type` laid out like `layout` (whose base is not used).
Value LayoutPropagation::buildInit(OpOperand &init, bool isRead, RankedTensorType type, const View &layout) {
  Location loc = init.getOwner()->getLoc();
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
  if (!isRead)
    return empty;
  if (auto fill = init.get().getDefiningOp<linalg::FillOp>())
    return linalg::FillOp::create(b, loc, fill.getInputs(), ValueRange{empty}).getResult(0);
  // Bring the logical value into the order of the base: split its dimensions, then transpose.
  SmallVector<int64_t> shape, order(type.getRank());
  for (const auto &list : layout.dims)
    for (int64_t dim : list) {
      order[dim] = shape.size();
      shape.push_back(type.getDimSize(dim));
    }
  Value logical = reshape(materialize(init.get()), shape);
  ++statistics.numMaterialized;
  return linalg::TransposeOp::create(b, loc, logical, empty, order)->getResult(0);
}

bool LayoutPropagation::visitLinalg(linalg::LinalgOp op) {
  if (!op.hasPureTensorSemantics() || op->getNumResults() == 0 || isa<linalg::FillOp>(op))
    return false;
  for (Value operand : op->getOperands())
    if (isa<ShapedType>(operand.getType()) && !isStaticTensor(operand.getType()))
      return false;
  // Which operand's order the results take: the largest that is a view. A larger row-major operand wins against it.
  // Views in order count where they split a dimension: what is computed from them is used along with others so split.
  SmallVector<OpOperand *> inputs = op.getDpsInputOperands();
  OpOperand *reference = nullptr;
  int64_t referenceSize = 0, largest = 0;
  auto findReference = [&](function_ref<bool(const View &)> accepts) {
    for (OpOperand *input : inputs) {
      auto type = dyn_cast<RankedTensorType>(input->get().getType());
      if (!type)
        continue;
      largest = std::max(largest, type.getNumElements());
      if (hasView(input->get()) && type.getNumElements() > referenceSize && accepts(getView(input->get()))) {
        reference = input;
        referenceSize = type.getNumElements();
      }
    }
  };
  findReference([](const View &view) { return !view.isInOrder(); });
  if (!reference)
    findReference([](const View &view) { return view.isSplit(); });
  if (!reference || referenceSize < largest)
    return false;
  // Parameters and their states beside one gradient: a copy of that is less than copies of all results.
  int64_t numViews = 0, numRowMajor = 0;
  for (OpOperand *input : inputs)
    if (auto type = dyn_cast<RankedTensorType>(input->get().getType()); type && type.getNumElements() == largest)
      ++(hasView(input->get()) ? numViews : numRowMajor);
  if (numRowMajor > numViews)
    return false;

  // Split each loop so finely that every operand's base dimension is a range of parts.
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  SmallVector<SmallVector<int64_t>> strides(ranges.size());
  SmallVector<View> inputViews;
  auto addStrides = [&](AffineExpr expr, const View &view, size_t dim) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (!loop)
      return isa<AffineConstantExpr>(expr) || view.dims[dim].size() <= 1;
    int64_t stride = 1;
    for (int64_t baseDim : llvm::reverse(view.dims[dim])) {
      if (view.getShape()[baseDim] == 1)
        continue;
      strides[loop.getPosition()].push_back(stride);
      stride *= view.getShape()[baseDim];
    }
    // A unit dimension broadcast over a longer loop needs no part; otherwise the sizes must agree.
    return stride == ranges[loop.getPosition()] || stride == 1;
  };
  for (OpOperand *input : inputs) {
    if (!isa<RankedTensorType>(input->get().getType())) {
      inputViews.push_back(View{input->get(), {}});
      continue;
    }
    inputViews.push_back(getView(input->get()));
    AffineMap map = op.getMatchingIndexingMap(input);
    for (auto [dim, expr] : llvm::enumerate(map.getResults()))
      if (!addStrides(expr, inputViews.back(), dim))
        return false;
  }
  // A constant in an output's map is a kept unit dimension.
  for (OpOperand &init : op.getDpsInitsMutable())
    if (!op.getMatchingIndexingMap(&init).isProjectedPermutation(/*allowZeroInResults=*/true))
      return false;

  SmallVector<LoopPart> parts;
  SmallVector<SmallVector<int64_t>> partsOfLoop(ranges.size()); // outermost first
  for (auto [loop, size] : llvm::enumerate(ranges)) {
    if (size == 1)
      continue;
    auto &list = strides[loop];
    list.push_back(1);
    llvm::sort(list, std::greater<int64_t>());
    list.erase(llvm::unique(list), list.end());
    int64_t outer = size;
    for (int64_t stride : list) {
      if (outer % stride != 0)
        return false;
      if (outer == stride)
        continue;
      partsOfLoop[loop].push_back(parts.size());
      parts.push_back({static_cast<int64_t>(loop), outer / stride, stride});
      outer = stride;
    }
  }

  // Maps of the inputs onto the parts.
  MLIRContext *context = op.getContext();
  auto loopIndex = [&](unsigned loop) {
    AffineExpr sum = getAffineConstantExpr(0, context);
    for (int64_t part : partsOfLoop[loop])
      sum = sum + getAffineDimExpr(part, context) * parts[part].stride;
    return sum;
  };
  SmallVector<AffineExpr> loopIndices;
  for (size_t loop = 0; loop < ranges.size(); ++loop)
    loopIndices.push_back(loopIndex(loop));
  SmallVector<AffineMap> maps;
  for (auto [input, view] : llvm::zip(inputs, inputViews)) {
    AffineMap map = op.getMatchingIndexingMap(input);
    if (!isa<RankedTensorType>(input->get().getType())) {
      maps.push_back(AffineMap::get(parts.size(), 0, context));
      continue;
    }
    SmallVector<AffineExpr> results(view.getShape().size(), getAffineConstantExpr(0, context));
    for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
      auto loop = dyn_cast<AffineDimExpr>(expr);
      int64_t stride = 1;
      for (int64_t baseDim : llvm::reverse(view.dims[dim])) {
        int64_t size = view.getShape()[baseDim];
        if (!loop) {
          results[baseDim] = expr.replaceDims(loopIndices);
          continue;
        }
        if (size == 1)
          continue;
        AffineExpr sum = getAffineConstantExpr(0, context);
        for (int64_t part : partsOfLoop[loop.getPosition()])
          if (parts[part].stride >= stride && parts[part].stride < stride * size)
            sum = sum + getAffineDimExpr(part, context) * (parts[part].stride / stride);
        results[baseDim] = sum;
        stride *= size;
      }
    }
    maps.push_back(AffineMap::get(parts.size(), 0, results, context));
  }

  // Order of the result's base: as in the reference, what it lacks goes before its innermost dimension (the lanes).
  SmallVector<int64_t> order;
  {
    AffineMap map = maps[reference->getOperandNumber()];
    for (AffineExpr expr : map.getResults())
      expr.walk([&](AffineExpr nested) {
        auto dim = dyn_cast<AffineDimExpr>(nested);
        if (dim && !llvm::is_contained(order, static_cast<int64_t>(dim.getPosition())))
          order.push_back(dim.getPosition());
      });
    SmallVector<int64_t> missing;
    for (int64_t part = 0, e = parts.size(); part < e; ++part)
      if (!llvm::is_contained(order, part))
        missing.push_back(part);
    order.insert(order.empty() ? order.end() : std::prev(order.end()), missing.begin(), missing.end());
  }

  b.setInsertionPoint(op);
  SmallVector<Value> newInputs, newInits;
  SmallVector<Type> resultTypes;
  SmallVector<View> resultViews;
  for (const View &view : inputViews)
    newInputs.push_back(view.base);
  Block *body = op.getBlock();
  for (OpOperand &init : op.getDpsInitsMutable()) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    auto type = cast<RankedTensorType>(init.get().getType());
    SmallVector<int64_t> position(parts.size(), -1), shape;
    SmallVector<AffineExpr> results;
    for (int64_t part : order) {
      bool isInResult = llvm::any_of(map.getResults(), [&](AffineExpr expr) {
        auto dim = dyn_cast<AffineDimExpr>(expr);
        return dim && dim.getPosition() == static_cast<unsigned>(parts[part].loop);
      });
      if (!isInResult)
        continue;
      position[part] = shape.size();
      shape.push_back(parts[part].size);
      results.push_back(getAffineDimExpr(part, context));
    }
    View view{Value(), {}};
    for (AffineExpr expr : map.getResults()) {
      view.dims.emplace_back();
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        for (int64_t part : partsOfLoop[dim.getPosition()])
          view.dims.back().push_back(position[part]);
    }
    auto newType = RankedTensorType::get(shape, type.getElementType());
    BlockArgument argument = body->getArgument(init.getOperandNumber());
    newInits.push_back(buildInit(init, !argument.use_empty(), newType, view));
    maps.push_back(AffineMap::get(parts.size(), 0, results, context));
    resultTypes.push_back(newType);
    resultViews.push_back(view);
  }

  SmallVector<utils::IteratorType> iterators;
  SmallVector<utils::IteratorType> oldIterators = op.getIteratorTypesArray();
  for (const LoopPart &part : parts)
    iterators.push_back(oldIterators[part.loop]);
  auto generic = linalg::GenericOp::create(b, op.getLoc(), resultTypes, newInputs, newInits, maps, iterators);
  IRMapping mapping;
  body->walk([&](Operation *nested) {
    for (Value operand : nested->getOperands())
      if (hasView(operand) && operand.getParentBlock() != body)
        mapping.map(operand, materialize(operand));
  });
  op->getRegion(0).cloneInto(&generic.getRegion(), mapping);
  generic.walk([&](linalg::IndexOp index) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(index);
    SmallVector<Value> indices;
    for (int64_t part = 0, e = parts.size(); part < e; ++part)
      indices.push_back(linalg::IndexOp::create(b, index.getLoc(), part));
    AffineMap map = AffineMap::get(parts.size(), 0, loopIndices[index.getDim()], context);
    Value whole = affine::AffineApplyOp::create(b, index.getLoc(), map, indices);
    index.replaceAllUsesWith(whole);
    index.erase();
  });
  for (auto [result, newResult, view] : llvm::zip(op->getResults(), generic.getResults(), resultViews)) {
    view.base = newResult;
    views[result] = view;
  }
  ++statistics.numRewritten;
  return true;
}

void LayoutPropagation::visitBarrier(BarrierOp op) {
  View view = getView(op.getSource());
  view.base = BarrierOp::create(b, op.getLoc(), view.base);
  views[op.getResult()] = view;
}

void LayoutPropagation::run() {
  for (Block &block : function.getFunctionBody()) {
    SmallVector<Operation *> ops;
    for (Operation &op : block)
      ops.push_back(&op);
    for (Operation *op : ops) {
      b.setInsertionPoint(op);
      if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
        if (isStaticTensor(transpose.getInput().getType()) && transpose.hasPureTensorSemantics()) {
          visitTranspose(transpose);
          continue;
        }
      } else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
        if (isStaticTensor(collapse.getSrcType())) {
          visitCollapse(collapse);
          continue;
        }
      } else if (auto barrier = dyn_cast<BarrierOp>(op)) {
        visitBarrier(barrier);
        continue;
      } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
        if (isStaticTensor(expand.getSrcType()) && visitExpand(expand))
          continue;
      } else if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
        if (visitLinalg(linalgOp))
          continue;
      }
      // Not rewritten: it reads row-major data.
      op->walk([&](Operation *nested) {
        for (OpOperand &operand : nested->getOpOperands())
          if (hasView(operand.get()) && operand.get().getParentRegion()->isAncestor(op->getParentRegion()))
            operand.set(materialize(operand.get()));
      });
    }
    // The originals of rewritten ops are dead now.
    for (Operation *op : llvm::reverse(ops))
      if (isOpTriviallyDead(op))
        op->erase();
  }
}

LogicalResult mlir::prune::propagateLayouts(FunctionOpInterface function, LayoutStatistics &statistics) {
  LayoutPropagation(function, statistics).run();
  return success();
}

namespace {
struct PrunePropagateLayouts : prune::impl::PrunePropagateLayoutsBase<PrunePropagateLayouts> {
  using Base::Base;

  void runOnOperation() override {
    LayoutStatistics statistics;
    SmallVector<FunctionOpInterface> functions;
    getOperation()->walk([&](FunctionOpInterface function) { functions.push_back(function); });
    for (FunctionOpInterface function : functions)
      if (failed(propagateLayouts(function, statistics)))
        return signalPassFailure();
    numRewritten += statistics.numRewritten;
    numMaterialized += statistics.numMaterialized;
  }
};
} // namespace
