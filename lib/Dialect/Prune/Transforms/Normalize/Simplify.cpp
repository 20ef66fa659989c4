//===- Simplify.cpp - Dead results, scalars, broadcasts, unit dimensions ------===//

#include "Evaluate.h"
#include "Patterns.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
/// The results of a generic that others read, or that those are computed from: the index of a maximum needs the
/// maximum.
llvm::SmallBitVector findLiveResults(linalg::GenericOp op) {
  llvm::SmallBitVector live(op->getNumResults());
  SmallVector<Value> work;
  auto use = [&](unsigned result) {
    if (!live.test(result))
      work.push_back(op.getBody()->getTerminator()->getOperand(result));
    live.set(result);
  };
  for (OpResult result : op->getResults())
    if (!result.use_empty())
      use(result.getResultNumber());
  llvm::DenseSet<Value> seen;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    if (!op.getRegion().isAncestor(value.getParentRegion()) || !seen.insert(value).second)
      continue;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      if (argument.getOwner() == op.getBody() && argument.getArgNumber() >= op.getNumDpsInputs())
        use(argument.getArgNumber() - op.getNumDpsInputs());
      continue;
    }
    value.getDefiningOp()->walk([&](Operation *inner) { llvm::append_range(work, inner->getOperands()); });
  }
  return live;
}

/// A dead result of a generic (the index of a maximum): yields its own start value, so that upstream drops it.
struct UnuseDeadResult : OpRewritePattern<linalg::GenericOp> {
  UnuseDeadResult(MLIRContext *context, NormalizeState &state) : OpRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (op->getNumResults() < 2)
      return failure();
    Operation *yield = op.getBody()->getTerminator();
    bool changed = false;
    llvm::SmallBitVector live = findLiveResults(op);
    for (OpResult result : op->getResults()) {
      BlockArgument start = op.getRegionOutputArgs()[result.getResultNumber()];
      if (live.test(result.getResultNumber()) || yield->getOperand(result.getResultNumber()) == start)
        continue;
      rewriter.modifyOpInPlace(op, [&] { yield->setOperand(result.getResultNumber(), start); });
      ++state.counts.deadResults;
      changed = true;
    }
    return success(changed);
  }
  NormalizeState &state;
};

/// An elementwise generic that names a tensor as its start value without reading it (imported batch norms name their
/// input) starts from tensor.empty: the tensor has one use less.
struct StartFromEmpty : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics() || op.getNumReductionLoops() != 0)
      return failure();
    for (OpOperand &init : op.getDpsInitsMutable()) {
      auto type = dyn_cast<RankedTensorType>(init.get().getType());
      if (!type || !type.hasStaticShape() || type.getEncoding() || op.payloadUsesValueFromOperand(&init) ||
          init.get().getDefiningOp<tensor::EmptyOp>())
        continue;
      rewriter.setInsertionPoint(op);
      Value empty = tensor::EmptyOp::create(rewriter, op.getLoc(), type.getShape(), type.getElementType());
      rewriter.modifyOpInPlace(op, [&] { init.set(empty); });
      return success();
    }
    return failure();
  }
};

/// A constant whose elements are all equal, read elementwise: a scalar in the body.
struct InlineScalar : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics())
      return failure();
    for (OpOperand *operand : op.getDpsInputOperands()) {
      arith::ConstantOp constant = getConstant(operand->get());
      auto splat = constant ? dyn_cast<SplatElementsAttr>(constant.getValue()) : SplatElementsAttr();
      if (!splat || !splat.getElementType().isIntOrIndexOrFloat())
        continue;
      BlockArgument argument = op.getMatchingBlockArgument(operand);
      if (argument.use_empty())
        continue; // Upstream drops it, where the loops allow that.
      rewriter.setInsertionPoint(op);
      Value scalar = arith::ConstantOp::create(rewriter, constant.getLoc(), splat.getSplatValue<TypedAttr>());
      rewriter.modifyOpInPlace(op, [&] { rewriter.replaceAllUsesWith(argument, scalar); });
      return success();
    }
    return failure();
  }
};

/// The position in the source of a reshape that only adds or removes dimensions of size one, as a map from the
/// positions of its result.
std::optional<AffineMap> matchUnitReshape(Operation *op) {
  auto build = [&](RankedTensorType from, RankedTensorType to, ArrayRef<ReassociationIndices> groups,
                   bool isCollapse) -> std::optional<AffineMap> {
    if (!from.hasStaticShape() || !to.hasStaticShape())
      return std::nullopt;
    MLIRContext *context = op->getContext();
    SmallVector<AffineExpr> exprs(from.getRank(), getAffineConstantExpr(0, context));
    for (auto [index, group] : llvm::enumerate(groups)) {
      ArrayRef<int64_t> many = isCollapse ? from.getShape() : to.getShape();
      int64_t wide = -1;
      for (int64_t dim : group) {
        if (many[dim] == 1)
          continue;
        if (wide >= 0)
          return std::nullopt;
        wide = dim;
      }
      if (wide < 0)
        wide = group.front();
      unsigned source = isCollapse ? wide : index, target = isCollapse ? index : wide;
      exprs[source] = getAffineDimExpr(target, context);
    }
    return AffineMap::get(to.getRank(), 0, exprs, context);
  };
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
    return build(collapse.getSrcType(), collapse.getResultType(), collapse.getReassociationIndices(), true);
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    return build(expand.getSrcType(), expand.getResultType(), expand.getReassociationIndices(), false);
  return std::nullopt;
}

/// A generic that reads a broadcast or a reshape by unit dimensions reads its source.
struct ReadThroughView : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics() || matchMove(op->getResult(0)))
      return failure();
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    for (OpOperand *operand : op.getDpsInputOperands()) {
      Operation *def = operand->get().getDefiningOp();
      if (!def || def->getNumResults() != 1)
        continue;
      Value source;
      AffineMap view;
      if (std::optional<MoveOp> move = matchMove(operand->get())) {
        // A broadcast; transpositions are work of their own for the code generator to see.
        int64_t last = -1;
        bool isOrdered = llvm::all_of(move->map.getResults(), [&](AffineExpr expr) {
          auto dim = dyn_cast<AffineDimExpr>(expr);
          int64_t position = dim ? static_cast<int64_t>(dim.getPosition()) : last + 1;
          bool grows = position > last;
          last = dim ? position : last;
          return grows;
        });
        if (!isOrdered)
          continue;
        source = move->source;
        view = move->map;
      } else if (std::optional<AffineMap> reshape = matchUnitReshape(def)) {
        source = def->getOperand(0);
        view = *reshape;
      } else {
        continue;
      }
      AffineMap old = maps[operand->getOperandNumber()];
      maps[operand->getOperandNumber()] = view.compose(old);
      // The sizes of the loops must still follow from the operands.
      SmallVector<bool> known(op.getNumLoops(), false);
      for (AffineMap map : maps)
        for (AffineExpr expr : map.getResults())
          if (auto dim = dyn_cast<AffineDimExpr>(expr))
            known[dim.getPosition()] = true;
      if (llvm::is_contained(known, false)) {
        maps[operand->getOperandNumber()] = old;
        continue;
      }
      rewriter.modifyOpInPlace(op, [&] {
        operand->set(source);
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return failure();
  }
};
} // namespace

void prune::populateSimplifyPatterns(RewritePatternSet &patterns, NormalizeState &state) {
  MLIRContext *context = patterns.getContext();
  patterns.add<UnuseDeadResult>(context, state);
  patterns.add<InlineScalar, ReadThroughView, StartFromEmpty>(context);
  linalg::populateEraseUnusedOperandsAndResultsPatterns(patterns);
}
