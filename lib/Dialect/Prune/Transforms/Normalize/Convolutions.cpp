//===- Convolutions.cpp - Convolutions and pooling in few forms ---------------===//

#include "Patterns.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/Constants.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
bool isAllOnes(DenseIntElementsAttr attr) {
  return llvm::all_of(attr.getValues<APInt>(), [](const APInt &value) { return value.isOne(); });
}

/// A convolution whose filter is one element wide, with stride 1: a product. The padding is a separate tensor.pad
/// before it.
template <typename OpTy> struct PointwiseToContract : OpRewritePattern<OpTy> {
  /// Positions of the channels in activations and result; spatial dimensions of the filter.
  PointwiseToContract(MLIRContext *context, NormalizeState &state, int64_t channelDim, int64_t filterChannelDim)
      : OpRewritePattern<OpTy>(context), state(state), channelDim(channelDim), filterChannelDim(filterChannelDim) {}

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    Value x = op.getInputs()[0], filter = op.getInputs()[1], out = op.getOutputs()[0];
    auto filterType = dyn_cast<RankedTensorType>(filter.getType());
    auto outType = dyn_cast<RankedTensorType>(out.getType());
    if (!filterType || !outType || !filterType.hasStaticShape() || !getConstant(filter) ||
        getElementTypeOrSelf(x.getType()) != outType.getElementType() ||
        filterType.getElementType() != outType.getElementType() || !isa<FloatType>(outType.getElementType()))
      return rewriter.notifyMatchFailure(op, "filter is not a constant, or element types differ");
    int64_t inputs = filterType.getDimSize(filterChannelDim), outputs = filterType.getDimSize(0);
    if (filterType.getNumElements() != inputs * outputs || !isAllOnes(op.getStrides()))
      return rewriter.notifyMatchFailure(op, "filter is wider than one element, or strided");
    auto weightType = RankedTensorType::get({outputs, inputs}, filterType.getElementType());
    auto constant = cast<ElementsAttr>(getConstant(filter).getValue());
    if (failed(getConstantBytes(constant)))
      return rewriter.notifyMatchFailure(op, "the bytes of the filter are not at hand");
    Value weight = createConstantLike(rewriter, filter, reshapeConstant(constant, weightType));
    unsigned rank = outType.getRank();
    SmallVector<AffineExpr> outExprs;
    for (unsigned dim = 0; dim < rank; ++dim)
      outExprs.push_back(rewriter.getAffineDimExpr(dim));
    SmallVector<AffineExpr> xExprs = outExprs;
    xExprs[channelDim < 0 ? rank + channelDim : channelDim] = rewriter.getAffineDimExpr(rank);
    AffineExpr output = outExprs[channelDim < 0 ? rank + channelDim : channelDim];
    MLIRContext *context = rewriter.getContext();
    auto maps =
        rewriter.getAffineMapArrayAttr({AffineMap::get(rank + 1, 0, xExprs, context),
                                        AffineMap::get(rank + 1, 0, {output, rewriter.getAffineDimExpr(rank)}, context),
                                        AffineMap::get(rank + 1, 0, outExprs, context)});
    rewriter.replaceOpWithNewOp<linalg::ContractOp>(op, op->getResultTypes(), ValueRange{x, weight}, ValueRange{out},
                                                    maps);
    ++state.counts.pointwiseConvolutions;
    return success();
  }
  NormalizeState &state;
  int64_t channelDim, filterChannelDim;
};

/// conv_2d_nhwc_hwcf -> conv_2d_nhwc_fhwc: the output channel is dimension 0 of the filter, the activations stay.
struct FilterOutputFirst : OpRewritePattern<linalg::Conv2DNhwcHwcfOp> {
  FilterOutputFirst(MLIRContext *context, NormalizeState &state) : OpRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(linalg::Conv2DNhwcHwcfOp op, PatternRewriter &rewriter) const override {
    Value filter = op.getInputs()[1];
    auto type = dyn_cast<RankedTensorType>(filter.getType());
    if (!op.hasPureTensorSemantics() || !type || !type.hasStaticShape() || !getConstant(filter))
      return rewriter.notifyMatchFailure(op, "filter is not a constant");
    ArrayRef<int64_t> shape = type.getShape();
    SmallVector<int64_t> strides = getRowMajorStrides(shape);
    Move move{RankedTensorType::get({shape[3], shape[0], shape[1], shape[2]}, type.getElementType()),
              0,
              {strides[3], strides[0], strides[1], strides[2]}};
    ElementsAttr moved = state.store.move(cast<ElementsAttr>(getConstant(filter).getValue()), move);
    if (!moved)
      return rewriter.notifyMatchFailure(op, "the bytes of the filter are not at hand");
    Value weight = createConstantLike(rewriter, filter, moved);
    rewriter.replaceOpWithNewOp<linalg::Conv2DNhwcFhwcOp>(op, op->getResultTypes(),
                                                          ValueRange{op.getInputs()[0], weight}, op.getOutputs(),
                                                          op.getStrides(), op.getDilations());
    return success();
  }
  NormalizeState &state;
};

/// A grouped convolution with a constant 5-D filter: the constant becomes [F, C/G, kh, kw], split behind it.
struct SplitFilterBehindConstant : OpRewritePattern<linalg::Conv2DNgchwGfchwOp> {
  SplitFilterBehindConstant(MLIRContext *context, NormalizeState &state) : OpRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(linalg::Conv2DNgchwGfchwOp op, PatternRewriter &rewriter) const override {
    Value filter = op.getInputs()[1];
    if (auto expand = filter.getDefiningOp<tensor::ExpandShapeOp>()) {
      // Keep small filters out of reach of upstream folders, which would undo this.
      arith::ConstantOp constant = getConstant(expand.getSrc());
      if (!constant || isa<DenseResourceElementsAttr, SplatElementsAttr>(constant.getValue()))
        return failure();
      ElementsAttr resource = state.store.toResource(cast<ElementsAttr>(constant.getValue()));
      Value value = createConstantLike(rewriter, expand.getSrc(), resource);
      rewriter.modifyOpInPlace(expand, [&] { expand.getSrcMutable().assign(value); });
      return success();
    }
    auto type = dyn_cast<RankedTensorType>(filter.getType());
    if (!type || !type.hasStaticShape() || !getConstant(filter))
      return rewriter.notifyMatchFailure(op, "filter is not a constant");
    ElementsAttr constant = state.store.toResource(cast<ElementsAttr>(getConstant(filter).getValue()));
    if (!isa<DenseResourceElementsAttr>(constant))
      return rewriter.notifyMatchFailure(op, "all elements of the filter are equal");
    ArrayRef<int64_t> shape = type.getShape();
    auto flat = RankedTensorType::get({shape[0] * shape[1], shape[2], shape[3], shape[4]}, type.getElementType());
    Value weight = createConstantLike(rewriter, filter, reshapeConstant(constant, flat));
    SmallVector<ReassociationIndices> groups = {{0, 1}, {2}, {3}, {4}};
    Value split = tensor::ExpandShapeOp::create(rewriter, op.getLoc(), type, weight, groups);
    rewriter.modifyOpInPlace(op, [&] { op.getInputsMutable().slice(1, 1).assign(split); });
    return success();
  }
  NormalizeState &state;
};

/// A generic that is a convolution or a pooling: the named op.
struct RecognizeConvolution : OpRewritePattern<linalg::GenericOp> {
  RecognizeConvolution(MLIRContext *context, NormalizeState &state) : OpRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (op.getNumReductionLoops() == 0 || !op.hasPureTensorSemantics() || !linalg::isaConvolutionOpInterface(op))
      return failure();
    if (failed(linalg::specializeGenericOp(rewriter, op)))
      return rewriter.notifyMatchFailure(op, "no named op for this convolution");
    ++state.counts.recognizedOps;
    return success();
  }
  NormalizeState &state;
};
} // namespace

void prune::populateConvolutionPatterns(RewritePatternSet &patterns, NormalizeState &state) {
  MLIRContext *context = patterns.getContext();
  patterns.add<PointwiseToContract<linalg::Conv2DNchwFchwOp>, PointwiseToContract<linalg::Conv1DNcwFcwOp>,
               PointwiseToContract<linalg::Conv3DNcdhwFcdhwOp>>(context, state, /*channelDim=*/1,
                                                                /*filterChannelDim=*/1);
  patterns.add<PointwiseToContract<linalg::Conv2DNhwcFhwcOp>>(context, state, /*channelDim=*/-1,
                                                              /*filterChannelDim=*/3);
  patterns.add<FilterOutputFirst, SplitFilterBehindConstant, RecognizeConvolution>(context, state);
}
