//===- Contractions.cpp - Linear layers to linalg.contract --------------------===//

#include "Patterns.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/Constants.h"

using namespace mlir;
using namespace mlir::prune;

Value prune::createZeros(PatternRewriter &rewriter, Location loc, RankedTensorType type) {
  Value empty = tensor::EmptyOp::create(rewriter, loc, type.getShape(), type.getElementType());
  Value zero = arith::ConstantOp::create(rewriter, loc, rewriter.getZeroAttr(type.getElementType()));
  return linalg::FillOp::create(rewriter, loc, zero, empty).getResult(0);
}

bool prune::isZero(Value value) {
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    return matchPattern(fill.getInputs()[0], m_PosZeroFloat()) || matchPattern(fill.getInputs()[0], m_Zero());
  auto constant = getConstant(value);
  auto splat = constant ? dyn_cast<SplatElementsAttr>(constant.getValue()) : SplatElementsAttr();
  return splat && isa<FloatType>(splat.getElementType()) && splat.getSplatValue<APFloat>().isPosZero();
}

namespace {
/// A factor of a product: where its values come from, and their position as a function of the loops.
struct Factor {
  Value source;
  AffineMap map;
};

/// Looks through moves from `value` to a constant (or a masked one); no value when there is none behind.
std::optional<Factor> traceFactor(Value value, AffineMap map) {
  while (true) {
    if (getConstant(lookThroughMask(value)))
      return isa<RankedTensorType>(value.getType()) ? std::optional(Factor{value, map}) : std::nullopt;
    std::optional<MoveOp> move = matchMove(value);
    if (!move)
      return std::nullopt;
    value = move->source;
    map = move->map.compose(map);
  }
}

bool usesLoop(AffineMap map, unsigned loop) {
  return llvm::any_of(map.getResults(), [&](AffineExpr expr) { return expr.isFunctionOfDim(loop); });
}

/// Any product with a constant weight: linalg.contract with the weight as second factor, over (output, inputs...). The
/// loops are numbered along the result, then along the sum.
struct ContractWithWeight : OpInterfaceRewritePattern<linalg::LinalgOp> {
  ContractWithWeight(MLIRContext *context, NormalizeState &state) : OpInterfaceRewritePattern(context), state(state) {}

  LogicalResult matchAndRewrite(linalg::LinalgOp op, PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics() || !linalg::isaContractionOpInterface(op))
      return failure();
    OpOperand *inputs[2] = {op.getDpsInputOperand(0), op.getDpsInputOperand(1)};
    AffineMap maps[2] = {op.getMatchingIndexingMap(inputs[0]), op.getMatchingIndexingMap(inputs[1])};
    AffineMap outMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    int weightSide = 1;
    std::optional<Factor> weight = traceFactor(inputs[1]->get(), maps[1]);
    if (!weight) {
      weightSide = 0;
      weight = traceFactor(inputs[0]->get(), maps[0]);
    }
    if (!weight)
      return rewriter.notifyMatchFailure(op, "no constant factor");
    Value x = inputs[1 - weightSide]->get();
    AffineMap xMap = maps[1 - weightSide];
    auto outType = dyn_cast<RankedTensorType>(op.getDpsInitOperand(0)->get().getType());
    auto weightType = cast<RankedTensorType>(weight->source.getType());
    if (!outType || !isa<FloatType>(outType.getElementType()) ||
        getElementTypeOrSelf(x.getType()) != outType.getElementType() ||
        weightType.getElementType() != outType.getElementType())
      return rewriter.notifyMatchFailure(op, "element types differ or are not floating-point");
    if (!xMap.isProjectedPermutation() || !outMap.isProjectedPermutation())
      return rewriter.notifyMatchFailure(op, "activation or result is not indexed by loops");

    // The role of each dimension of the weight.
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    SmallVector<int64_t> strides = getRowMajorStrides(weightType.getShape());
    int64_t outputLoop = -1;
    SmallVector<std::pair<unsigned, int64_t>> sums; // Loop and stride.
    int64_t outputStride = 0;
    for (auto [dim, expr] : llvm::enumerate(weight->map.getResults())) {
      auto loopExpr = dyn_cast<AffineDimExpr>(expr);
      if (!loopExpr)
        continue;
      unsigned loop = loopExpr.getPosition();
      bool inX = usesLoop(xMap, loop), inOut = usesLoop(outMap, loop);
      if (inX && inOut) {
        if (ranges[loop] != 1)
          return rewriter.notifyMatchFailure(op, "the weight differs along a batch dimension");
        continue;
      }
      if (inOut) {
        if (outputLoop >= 0)
          return rewriter.notifyMatchFailure(op, "the weight has several output dimensions");
        outputLoop = loop;
        outputStride = strides[dim];
      } else if (inX) {
        if (llvm::any_of(sums, [&](auto sum) { return sum.first == loop; }))
          return rewriter.notifyMatchFailure(op, "the weight is read along a diagonal");
        sums.push_back({loop, strides[dim]});
      } else {
        return rewriter.notifyMatchFailure(op, "a loop runs over the weight alone");
      }
    }
    if (outputLoop < 0 || sums.empty())
      return rewriter.notifyMatchFailure(op, "the weight is not a matrix of outputs by inputs");
    // A loop of the sum that the weight does not have would leave it with a factor of its own.
    unsigned numLoops = op.getNumLoops();
    SmallVector<unsigned> xLoops;
    for (AffineExpr expr : xMap.getResults())
      xLoops.push_back(cast<AffineDimExpr>(expr).getPosition());
    for (unsigned loop : xLoops)
      if (!usesLoop(outMap, loop) && llvm::none_of(sums, [&](auto sum) { return sum.first == loop; }))
        return rewriter.notifyMatchFailure(op, "the activation is summed without a weight");
    llvm::sort(sums, [&](auto a, auto b) {
      return llvm::find(xLoops, a.first) - xLoops.begin() < llvm::find(xLoops, b.first) - xLoops.begin();
    });

    // New numbers of the loops.
    SmallVector<AffineExpr> renumbered(numLoops);
    unsigned next = 0;
    for (AffineExpr expr : outMap.getResults())
      renumbered[cast<AffineDimExpr>(expr).getPosition()] = rewriter.getAffineDimExpr(next++);
    for (auto [loop, stride] : sums)
      renumbered[loop] = rewriter.getAffineDimExpr(next++);
    if (next != numLoops)
      return rewriter.notifyMatchFailure(op, "a loop has no part in the result or the sum");
    Move move{weightType, 0, {outputStride}};
    SmallVector<int64_t> shape = {ranges[outputLoop]};
    SmallVector<AffineExpr> weightExprs = {renumbered[outputLoop]};
    for (auto [loop, stride] : sums) {
      shape.push_back(ranges[loop]);
      move.strides.push_back(stride);
      weightExprs.push_back(renumbered[loop]);
    }
    move.type = RankedTensorType::get(shape, weightType.getElementType());
    auto renumber = [&](AffineMap map) { return map.replaceDimsAndSymbols(renumbered, {}, numLoops, 0); };
    AffineMap newMaps[3] = {renumber(xMap), AffineMap::get(numLoops, 0, weightExprs, rewriter.getContext()),
                            renumber(outMap)};

    bool isInPlace = move.type == weightType && llvm::equal(move.strides, strides);
    Value newWeight = weight->source;
    if (!isInPlace) {
      arith::ConstantOp constant = getConstant(weight->source);
      if (!constant)
        return rewriter.notifyMatchFailure(op, "the weight is masked in another layout");
      ElementsAttr moved = state.store.move(cast<ElementsAttr>(constant.getValue()), move);
      if (!moved)
        return rewriter.notifyMatchFailure(op, "the bytes of the weight are not at hand");
      newWeight = createConstantLike(rewriter, weight->source, moved);
    } else if (isa<linalg::ContractOp>(op) && weightSide == 1 && inputs[1]->get() == weight->source &&
               xMap == newMaps[0] && weight->map == newMaps[1] && outMap == newMaps[2]) {
      return rewriter.notifyMatchFailure(op, "already in normal form");
    }
    auto contract = linalg::ContractOp::create(rewriter, op.getLoc(), op->getResultTypes(), ValueRange{x, newWeight},
                                               ValueRange{op.getDpsInits()[0]},
                                               rewriter.getAffineMapArrayAttr({newMaps[0], newMaps[1], newMaps[2]}));
    rewriter.replaceOp(op, contract);
    ++state.counts.linearLayers;
    return success();
  }
  NormalizeState &state;
};
} // namespace

void prune::populateContractionPatterns(RewritePatternSet &patterns, NormalizeState &state) {
  patterns.add<ContractWithWeight>(patterns.getContext(), state);
}
