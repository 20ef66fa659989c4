//===- FoldConstants.cpp - Constants through moves and arithmetic -------------===//

#include "Evaluate.h"
#include "Patterns.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "prune/Support/Constants.h"

using namespace mlir;
using namespace mlir::prune;

/// A broadcast of a constant that makes it larger than this many bytes stays.
static constexpr int64_t kGrowthLimit = 4 << 20;

/// A move whose result has dimensions joined that the source does not have: a weight broadcast to several dimensions of
/// a batch, which are one dimension for the product.
static std::optional<MoveOp> matchJoinedBroadcast(tensor::CollapseShapeOp collapse) {
  std::optional<MoveOp> move = matchMove(collapse.getSrc());
  if (!move)
    return std::nullopt;
  MLIRContext *context = collapse.getContext();
  SmallVector<AffineExpr> dims(collapse.getSrcType().getRank(), getAffineConstantExpr(0, context));
  for (auto [joined, group] : llvm::enumerate(collapse.getReassociationIndices())) {
    auto isLong = [&](int64_t dim) { return collapse.getSrcType().getDimSize(dim) != 1; };
    bool isOne = llvm::count_if(group, isLong) <= 1;
    for (int64_t dim : llvm::make_filter_range(group, isLong)) {
      if (isOne)
        dims[dim] = getAffineDimExpr(joined, context);
      else if (move->map.isFunctionOfDim(dim))
        return std::nullopt;
    }
  }
  AffineMap view = AffineMap::get(collapse.getResultType().getRank(), 0, dims, context);
  return MoveOp{move->source, move->map.compose(view)};
}

std::optional<MoveOp> prune::matchMove(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto collapse = dyn_cast_if_present<tensor::CollapseShapeOp>(op))
    return matchJoinedBroadcast(collapse);
  if (auto transpose = dyn_cast_if_present<linalg::TransposeOp>(op)) {
    AffineMap map = AffineMap::getPermutationMap(transpose.getPermutation(), op->getContext());
    return MoveOp{transpose.getInput(), inversePermutation(map)};
  }
  if (auto broadcast = dyn_cast_if_present<linalg::BroadcastOp>(op))
    return MoveOp{broadcast.getInput(), broadcast.getMatchingIndexingMap(broadcast.getDpsInputOperand(0))};
  auto generic = dyn_cast_if_present<linalg::GenericOp>(op);
  if (!generic || generic.getNumDpsInputs() != 1 || generic.getNumDpsInits() != 1 ||
      generic.getNumParallelLoops() != generic.getNumLoops() ||
      !generic.getBody()->getOperations().front().hasTrait<OpTrait::IsTerminator>())
    return std::nullopt;
  if (generic.getBody()->getTerminator()->getOperand(0) != generic.getBody()->getArgument(0) ||
      !isa<RankedTensorType>(generic.getInputs()[0].getType()))
    return std::nullopt;
  AffineMap result = generic.getMatchingIndexingMap(generic.getDpsInitOperand(0));
  AffineMap source = generic.getMatchingIndexingMap(generic.getDpsInputOperand(0));
  if (!result.isPermutation())
    return std::nullopt;
  source = source.compose(inversePermutation(result));
  bool isSimple = llvm::all_of(source.getResults(), [](AffineExpr expr) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    return isa<AffineDimExpr>(expr) || (constant && constant.getValue() == 0);
  });
  if (!isSimple)
    return std::nullopt;
  return MoveOp{generic.getInputs()[0], source};
}

Value prune::createConstantLike(PatternRewriter &rewriter, Value source, ElementsAttr value) {
  OpBuilder::InsertionGuard guard(rewriter);
  Location loc = source.getLoc();
  if (Operation *def = source.getDefiningOp())
    rewriter.setInsertionPointAfter(def);
  return arith::ConstantOp::create(rewriter, loc, cast<TypedAttr>(value));
}

namespace {
int64_t getBytes(RankedTensorType type) { return type.getNumElements() * getElementBytes(type.getElementType()); }

RankedTensorType getStaticType(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.hasStaticShape() && !type.getEncoding() ? type : RankedTensorType();
}

/// Replaces `value` by the constant `source` rearranged.
LogicalResult replaceByMove(PatternRewriter &rewriter, NormalizeState &state, Value source, Value value,
                            const Move &move) {
  auto constant = cast<ElementsAttr>(getConstant(source).getValue());
  int64_t bytes = getBytes(move.type);
  if (bytes > getBytes(cast<RankedTensorType>(source.getType())) && !constant.isSplat()) {
    // Products and elementwise ops read through a broadcast without copies.
    auto readsThrough = [](Operation *user) { return isa<linalg::LinalgOp>(user); };
    if (bytes > kGrowthLimit || llvm::all_of(value.getUsers(), [&](Operation *user) {
          return readsThrough(user) || (isa<tensor::CollapseShapeOp>(user) && matchMove(user->getResult(0)) &&
                                        llvm::all_of(user->getUsers(), readsThrough));
        }))
      return rewriter.notifyMatchFailure(value.getLoc(), "the broadcast constant would grow");
  }
  ElementsAttr result = state.store.move(constant, move);
  if (!result)
    return rewriter.notifyMatchFailure(value.getLoc(), "the bytes of the constant are not at hand");
  rewriter.replaceAllUsesWith(value, createConstantLike(rewriter, source, result));
  ++state.counts.foldedConstants;
  return success();
}

/// transpose / broadcast / copying generic of a constant.
struct FoldMove : RewritePattern {
  FoldMove(MLIRContext *context, NormalizeState &state)
      : RewritePattern(MatchAnyOpTypeTag(), /*benefit=*/2, context), state(state) {}
  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (!isa<linalg::LinalgOp>(op) || op->getNumResults() != 1 || op->use_empty())
      return failure();
    std::optional<MoveOp> move = matchMove(op->getResult(0));
    if (!move || !getConstant(move->source))
      return failure();
    RankedTensorType type = getStaticType(op->getResult(0)), from = getStaticType(move->source);
    if (!type || !from)
      return failure();
    Move steps{type, 0, SmallVector<int64_t>(type.getRank(), 0)};
    SmallVector<int64_t> strides = getRowMajorStrides(from.getShape());
    for (auto [dim, expr] : llvm::enumerate(move->map.getResults()))
      if (auto loop = dyn_cast<AffineDimExpr>(expr))
        steps.strides[loop.getPosition()] += strides[dim];
    return replaceByMove(rewriter, state, move->source, op->getResult(0), steps);
  }
  NormalizeState &state;
};

/// expand_shape / collapse_shape / cast of a constant. The split of a grouped convolution's filter stays visible.
struct FoldReshape : RewritePattern {
  FoldReshape(MLIRContext *context, NormalizeState &state)
      : RewritePattern(MatchAnyOpTypeTag(), /*benefit=*/2, context), state(state) {}
  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op) || op->use_empty())
      return failure();
    Value source = op->getOperand(0);
    RankedTensorType type = getStaticType(op->getResult(0)), from = getStaticType(source);
    if (!type || !from || !getConstant(source))
      return failure();
    if (isa<tensor::ExpandShapeOp>(op) && llvm::all_of(op->getUses(), [](OpOperand &use) {
          return isa<linalg::Conv2DNgchwGfchwOp>(use.getOwner()) && use.getOperandNumber() == 1;
        }))
      return failure();
    auto constant = cast<ElementsAttr>(getConstant(source).getValue());
    if (failed(getConstantBytes(constant)))
      return rewriter.notifyMatchFailure(op, "the bytes of the constant are not at hand");
    rewriter.replaceOp(op, createConstantLike(rewriter, source, reshapeConstant(constant, type)));
    ++state.counts.foldedConstants;
    return success();
  }
  NormalizeState &state;
};

/// A slice of a constant.
struct FoldSlice : OpRewritePattern<tensor::ExtractSliceOp> {
  FoldSlice(MLIRContext *context, NormalizeState &state) : OpRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(tensor::ExtractSliceOp op, PatternRewriter &rewriter) const override {
    RankedTensorType type = getStaticType(op.getResult()), from = getStaticType(op.getSource());
    if (!type || !from || !getConstant(op.getSource()) || op->use_empty() || !op.getOffsets().empty() ||
        !op.getSizes().empty() || !op.getStrides().empty())
      return failure();
    llvm::SmallBitVector dropped = op.getDroppedDims();
    SmallVector<int64_t> strides = getRowMajorStrides(from.getShape());
    Move move{type, 0, {}};
    for (int64_t dim = 0; dim < from.getRank(); ++dim) {
      move.offset += op.getStaticOffset(dim) * strides[dim];
      if (!dropped.test(dim))
        move.strides.push_back(op.getStaticStride(dim) * strides[dim]);
    }
    return replaceByMove(rewriter, state, op.getSource(), op.getResult(), move);
  }
  NormalizeState &state;
};

/// Constants side by side.
struct FoldConcat : OpRewritePattern<tensor::ConcatOp> {
  FoldConcat(MLIRContext *context, NormalizeState &state) : OpRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(tensor::ConcatOp op, PatternRewriter &rewriter) const override {
    RankedTensorType type = getStaticType(op.getResult());
    if (!type || op->use_empty())
      return failure();
    int64_t elementBytes = getElementBytes(type.getElementType());
    if (!elementBytes)
      return failure();
    // Rows are what lies contiguous below the dimension of the join.
    int64_t outer = 1, inner = elementBytes;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      (dim < static_cast<int64_t>(op.getDim()) ? outer : inner) *= type.getDimSize(dim);
    SmallVector<std::pair<ConstantBytes, int64_t>> parts;
    for (Value input : op.getInputs()) {
      RankedTensorType from = getStaticType(input);
      if (!from || !getConstant(input))
        return failure();
      FailureOr<ConstantBytes> bytes = getConstantBytes(cast<ElementsAttr>(getConstant(input).getValue()));
      if (failed(bytes))
        return failure();
      parts.push_back({*bytes, getBytes(from) / outer});
    }
    AsmResourceBlob blob = HeapAsmResourceBlob::allocate(getBytes(type), 16);
    char *to = blob.getMutableData().data();
    for (int64_t row = 0; row < outer; ++row)
      for (const auto &[bytes, size] : parts) {
        if (bytes.isSplat)
          for (int64_t i = 0; i < size; i += elementBytes)
            std::memcpy(to + i, bytes.data.data(), elementBytes);
        else
          std::memcpy(to, bytes.data.data() + row * size, size);
        to += size;
      }
    ElementsAttr result = state.store.create(type, std::move(blob), {});
    rewriter.replaceOp(op, createConstantLike(rewriter, op.getInputs()[0], result));
    ++state.counts.foldedConstants;
    return success();
  }
  NormalizeState &state;
};

/// A structured op on constants alone: its value.
struct FoldArithmetic : OpInterfaceRewritePattern<linalg::LinalgOp> {
  FoldArithmetic(MLIRContext *context, NormalizeState &state) : OpInterfaceRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(linalg::LinalgOp op, PatternRewriter &rewriter) const override {
    if (isa<linalg::FillOp>(op) || op->getNumResults() != 1 || op->use_empty() || matchMove(op->getResult(0)))
      return failure();
    RankedTensorType type = getStaticType(op->getResult(0));
    if (!type || op->getNumRegions() != 1)
      return failure();
    // Cheap refusals first: this runs on every op.
    int64_t inputBytes = 0;
    Value place;
    for (Value input : op.getDpsInputs()) {
      if (!getConstantElements(input) && !matchPattern(input, m_Constant()))
        return failure();
      if (auto from = dyn_cast<RankedTensorType>(input.getType()); from && getConstant(input)) {
        inputBytes += getBytes(from);
        place = input;
      }
    }
    bool usesTable = false;
    op.getBlock()->walk([&](tensor::ExtractOp extract) {
      if (!getConstant(extract.getTensor()))
        return;
      usesTable = true;
      inputBytes += getBytes(cast<RankedTensorType>(extract.getTensor().getType()));
      place = extract.getTensor();
    });
    if (!place)
      return rewriter.notifyMatchFailure(op, "computes from its indices alone");
    if (getBytes(type) > std::max(inputBytes, kGrowthLimit))
      return rewriter.notifyMatchFailure(op, "the result would be large");
    SmallVector<char> bytes;
    if (failed(evaluate(op, state.options.evaluationLimit, bytes)))
      return rewriter.notifyMatchFailure(op, "not all of its inputs and operations can be evaluated");
    ElementsAttr result;
    int64_t elementBytes = getElementBytes(type.getElementType());
    if (type.getElementType().isInteger(1)) {
      SmallVector<bool> bits(bytes.begin(), bytes.end());
      result = DenseElementsAttr::get(type, ArrayRef<bool>(bits));
    } else if (std::memcmp(bytes.data(), bytes.data() + elementBytes, bytes.size() - elementBytes) == 0) {
      result = DenseElementsAttr::getFromRawBuffer(type, ArrayRef<char>(bytes).take_front(elementBytes));
    } else {
      ElementsAttr origin;
      if (arith::ConstantOp constant = getConstant(place))
        origin = cast<ElementsAttr>(constant.getValue());
      auto blob = HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, 16);
      result = state.store.create(type, std::move(blob), usesTable ? origin : ElementsAttr());
    }
    Operation *old = op;
    rewriter.replaceOp(old, createConstantLike(rewriter, place, result));
    ++state.counts.foldedConstants;
    return success();
  }
  NormalizeState &state;
};
} // namespace

void prune::populateFoldConstantPatterns(RewritePatternSet &patterns, NormalizeState &state) {
  patterns.add<FoldMove, FoldReshape, FoldSlice, FoldConcat, FoldArithmetic>(patterns.getContext(), state);
}
