//===- PackConvolutions.cpp - prune-pack for convolutions -----------------------===//

#include "LayerWeight.h"
#include "TransposedConvolutions.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;
using namespace mlir::prune;

/// Zeros around the spatial dimensions only: its low and high sizes, else nothing.
static std::optional<std::pair<SmallVector<int64_t>, SmallVector<int64_t>>> matchZeroPadding(tensor::PadOp pad) {
  if (!pad || !pad.getSourceType().hasStaticShape() || !pad.getLow().empty() || !pad.getHigh().empty())
    return std::nullopt;
  Value value = pad.getConstantPaddingValue();
  if (!value || !matchPattern(value, m_AnyZeroFloat()))
    return std::nullopt;
  ArrayRef<int64_t> low = pad.getStaticLow(), high = pad.getStaticHigh();
  for (int64_t dim = 0, rank = low.size(); dim < rank; ++dim)
    if (low[dim] < 0 || high[dim] < 0 || (dim + 2 < rank && (low[dim] || high[dim])))
      return std::nullopt;
  return std::make_pair(SmallVector<int64_t>(low.take_back(2)), SmallVector<int64_t>(high.take_back(2)));
}

/// The window of a convolution on `x`; zero padding in front moves into it, and `x` becomes what was padded.
static WindowAttr makeWindow(Value &x, ArrayRef<int64_t> kernel, DenseIntElementsAttr strides,
                             DenseIntElementsAttr dilations) {
  SmallVector<int64_t> low(2), high(2);
  auto pad = x.getDefiningOp<tensor::PadOp>();
  if (auto padding = matchZeroPadding(pad)) {
    std::tie(low, high) = *padding;
    x = pad.getSource();
  }
  return WindowAttr::get(x.getContext(), kernel, llvm::to_vector(strides.getValues<int64_t>()),
                         llvm::to_vector(dilations.getValues<int64_t>()), low, high);
}

static ConvolutionShape::Pair getPair(ArrayRef<int64_t> list) { return {list[0], list[1]}; }

/// What the cost model needs to know of a convolution with `window`, from images of `input` to images of `result`.
static TokenShape getTokenShape(WindowAttr window, RankedTensorType input, RankedTensorType result, int64_t groups,
                                const PackOptions &options) {
  ConvolutionShape convolution;
  convolution.kernel = getPair(window.getKernel());
  convolution.strides = getPair(window.getStrides());
  convolution.dilations = getPair(window.getDilations());
  convolution.low = getPair(window.getLow());
  convolution.high = getPair(window.getHigh());
  convolution.input = getPair(input.getShape().take_back(2));
  convolution.result = getPair(result.getShape().take_back(2));
  convolution.groups = groups;
  TokenShape tokens;
  tokens.batches = result.getDimSize(0);
  tokens.lanes = convolution.result[0] * convolution.result[1];
  tokens.registerLanes = options.lanes;
  tokens.registers = options.registers;
  tokens.vectors = options.vectors ? options.vectors : std::max<int64_t>(1, options.panel / options.lanes);
  tokens.convolution = convolution;
  return tokens;
}

namespace {
/// A convolution of the two forms that have sparse code: [image, channel, y, x], or [image, group, channel, y, x].
struct ConvolutionMatch {
  Value activations, weight;
  DenseIntElementsAttr strides, dilations;
  int64_t groups = 1;
};
} // namespace

static std::optional<ConvolutionMatch> matchConvolution(linalg::LinalgOp op, Value weight) {
  if (auto plain = dyn_cast<linalg::Conv2DNchwFchwOp>(op.getOperation()))
    return ConvolutionMatch{plain.getInputs()[0], weight, plain.getStrides(), plain.getDilations(), 1};
  if (auto grouped = dyn_cast<linalg::Conv2DNgchwGfchwOp>(op.getOperation())) {
    auto expand = grouped.getInputs()[1].getDefiningOp<tensor::ExpandShapeOp>();
    auto type = dyn_cast<RankedTensorType>(grouped.getInputs()[0].getType());
    if (expand && type && !type.isDynamicDim(1))
      return ConvolutionMatch{grouped.getInputs()[0], weight, grouped.getStrides(), grouped.getDilations(),
                              type.getDimSize(1)};
  }
  return std::nullopt;
}

LogicalResult mlir::prune::packConvolution(RewriterBase &rewriter, linalg::LinalgOp op, const PackOptions &options) {
  Value weight = op.getDpsInputOperand(1)->get();
  if (auto expand = weight.getDefiningOp<tensor::ExpandShapeOp>()) // the groups of a grouped convolution
    weight = expand.getSrc();
  if (!LayerWeight::isKnown(weight))
    return failure(); // dense code it is
  bool isMasked = isa_and_nonnull<ApplyOp, DecompressOp>(weight.getDefiningOp());
  auto declined = [&](const Twine &why) {
    if (isMasked)
      remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack")) << why.str();
    return failure();
  };
  std::optional<ConvolutionMatch> match = matchConvolution(op, weight);
  if (!match)
    return declined("dense because there is no sparse code for " + op->getName().getStringRef());
  if (options.kernel == "sparsifier")
    return declined("dense because the sparsifier gets no convolutions");
  if (options.kernel == "contract")
    return declined("left to the loops of the convolution");
  Value x = match->activations;
  auto type = cast<RankedTensorType>(x.getType()), resultType = cast<RankedTensorType>(op->getResult(0).getType());
  auto weightType = cast<RankedTensorType>(weight.getType());
  if (!type.getElementType().isF32() || !resultType.getElementType().isF32() || !weightType.getElementType().isF32())
    return declined("element type is not f32");
  if (!type.hasStaticShape() || !resultType.hasStaticShape())
    return declined("dynamic shape");
  if (!isZeroFill(op.getDpsInitOperand(0)->get()))
    return declined("the destination is not filled with zero");

  ArrayRef<int64_t> filter = weightType.getShape();
  WindowAttr window = makeWindow(x, filter.take_back(2), match->strides, match->dilations);
  TokenShape tokens = getTokenShape(window, cast<RankedTensorType>(x.getType()), resultType, match->groups, options);
  if (tokens.lanes < options.minLanes)
    return declined(
        llvm::formatv("{0} pixels, fewer than the {1} that fill vector lanes", tokens.lanes, options.minLanes).str());
  constexpr int64_t maxElements = std::numeric_limits<int32_t>::max();
  if (int64_t size = weightType.getNumElements() * match->groups; size > maxElements)
    return declined(
        llvm::formatv("a weight of {0} elements, more than the {1} of packed storage", size, maxElements).str());
  if (int64_t taps = window.getNumTaps(); taps > 65536)
    return declined(llvm::formatv("a kernel of {0} elements, more than the 65536 of a chunk", taps).str());

  FailureOr<LayerWeight> layer = LayerWeight::read(op, weight);
  if (failed(layer))
    return failure();
  if (auto plain = dyn_cast<linalg::Conv2DNchwFchwOp>(op.getOperation()))
    if (Value image = findSpreadImage(plain))
      return packTransposedConvolution(rewriter, plain, image, std::move(*layer), options);
  if (match->groups > 1 && isMasked)
    layer->expandGroups(match->groups);
  LayerShape shape;
  shape.matrix = layer->matrix;
  shape.matrix.numColumns = weightType.getNumElements() / filter[0] * match->groups;
  shape.blockRows = layer->blockRows;
  shape.tokens = tokens;
  LayerChoice choice = chooseCode(op, *layer, shape, options);
  const LayerCandidate &best = choice.getBest();
  if (best.kind == KernelKind::Convolution)
    return failure();

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  SmallVector<ReassociationIndices> merged{{0}, {1, 2}, {3}, {4}};
  bool isGrouped = match->groups > 1;
  if (isGrouped)
    x = tensor::CollapseShapeOp::create(b, x, merged);
  ArrayRef<int64_t> images = resultType.getShape();
  Value init =
      tensor::EmptyOp::create(b, ArrayRef<int64_t>{images.front(), filter[0], images[images.size() - 2], images.back()},
                              resultType.getElementType());
  SmallVector<Value> storage = makeStorage(b, choice.packed, *layer);
  Value result = LinearOp::create(b, storage, x, init, choice.packed.format, choice.packed.rows, best.chunk,
                                  best.vectors, /*laneDims=*/2, window, makeShares(b, choice, options, layer->name))
                     .getResult(0);
  if (isGrouped)
    result = tensor::ExpandShapeOp::create(b, resultType, result, merged);
  rewriter.replaceOp(op, result);
  return success();
}

LogicalResult mlir::prune::packDepthwise(RewriterBase &rewriter, linalg::DepthwiseConv2DNchwChwOp op,
                                         const PackOptions &options) {
  constexpr int64_t maxTaps = 25, maxStride = 4; // the kernel holds the filter in registers and unrolls
  Value x = op.getInputs()[0], filter = op.getInputs()[1];
  auto type = cast<RankedTensorType>(x.getType()), filterType = cast<RankedTensorType>(filter.getType());
  auto resultType = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  auto declined = [&](const Twine &why) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack"))
        << ("depthwise convolution left as it is: " + why).str();
    return failure();
  };
  if (options.kernel == "sparsifier")
    return failure();
  if (!resultType || !type.getElementType().isF32() || !filterType.getElementType().isF32() ||
      !resultType.getElementType().isF32())
    return declined("element type is not f32");
  if (!type.hasStaticShape() || !filterType.hasStaticShape() || !resultType.hasStaticShape())
    return declined("dynamic shape");
  if (!isZeroFill(op.getOutputs()[0]))
    return declined("the destination is not filled with zero");
  int64_t stride = 0;
  for (int64_t value : op.getStrides().getValues<int64_t>())
    stride = std::max(stride, value);
  if (filterType.getDimSize(1) * filterType.getDimSize(2) > maxTaps || stride > maxStride)
    return declined(llvm::formatv("more than {0} elements of a kernel or strides above {1}", maxTaps, maxStride).str());
  WindowAttr window = makeWindow(x, filterType.getShape().take_back(2), op.getStrides(), op.getDilations());
  if (LayerWeight::isKnown(filter)) {
    FailureOr<LayerWeight> layer = LayerWeight::read(op, filter);
    if (failed(layer))
      return failure();
    LayerShape shape;
    shape.matrix = layer->matrix;
    shape.tokens = getTokenShape(window, cast<RankedTensorType>(x.getType()), resultType, /*groups=*/1, options);
    LayerCandidate only;
    only.kind = KernelKind::Depthwise;
    only.estimatedNs = options.model.estimate(
        countDense(only.kind, shape.matrix.numRows, shape.matrix.numColumns, 1, shape.matrix.numColumns), shape.tokens);
    reportOnlyCode(op, *layer, shape, only, options);
  }
  rewriter.setInsertionPoint(op);
  Value init = tensor::EmptyOp::create(rewriter, op.getLoc(), resultType.getShape(), resultType.getElementType());
  auto depthwise = DepthwiseOp::create(rewriter, op.getLoc(), x, filter, init, window);
  rewriter.replaceOp(op, depthwise.getResult(0));
  return success();
}
