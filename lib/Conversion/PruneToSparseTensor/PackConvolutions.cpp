//===- PackConvolutions.cpp - prune-pack for convolutions -----------------------===//

#include "LayerWeight.h"
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

LogicalResult mlir::prune::packConvolution(RewriterBase &rewriter, linalg::LinalgOp op, const PackOptions &options) {
  auto declined = [&](const Twine &why) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack")) << why.str();
  };
  Value weight = op.getDpsInputOperand(1)->get();
  if (auto expand = weight.getDefiningOp<tensor::ExpandShapeOp>()) // the groups of a grouped convolution
    weight = expand.getSrc();
  if (!isa_and_nonnull<ApplyOp, DecompressOp>(weight.getDefiningOp()) || !LayerWeight::isKnown(weight))
    return failure(); // dense code it is
  auto convolution = dyn_cast<linalg::Conv2DNchwFchwOp>(op.getOperation());
  if (!convolution)
    return declined("dense because the convolution is grouped"), failure();
  if (options.kernel == "sparsifier")
    return declined("dense because the sparsifier gets no convolutions"), failure();
  Value x = convolution.getInputs()[0];
  auto type = cast<RankedTensorType>(x.getType()), resultType = cast<RankedTensorType>(op->getResult(0).getType());
  if (!type.getElementType().isF32() || !resultType.getElementType().isF32())
    return declined("element type is not f32"), failure();
  if (!type.hasStaticShape() || !resultType.hasStaticShape())
    return declined("dynamic shape"), failure();
  if (!isZeroFill(convolution.getOutputs()[0]))
    return declined("the destination is not filled with zero"), failure();
  int64_t pixels = resultType.getDimSize(2) * resultType.getDimSize(3);
  if (pixels < options.minLanes) {
    declined(llvm::formatv("{0} pixels, fewer than the {1} that fill vector lanes", pixels, options.minLanes).str());
    return failure();
  }

  FailureOr<LayerWeight> layer = LayerWeight::read(op, weight);
  if (failed(layer))
    return failure();
  ArrayRef<int64_t> filter = cast<RankedTensorType>(weight.getType()).getShape();
  // Chunks of whole channels: what the window of a tile reads of them is copied once for all rows.
  int64_t taps = filter[2] * filter[3];
  PackOptions chunked = options;
  chunked.chunk = std::max<int64_t>(1, (options.chunk ? options.chunk : 192) / taps) * taps;
  if (chunked.chunk > 65536)
    return op->emitOpError() << "expected at most 65536 columns in a chunk, got " << chunked.chunk;
  std::string reason;
  PackedWeight packed = choosePacking(*layer, chunked, reason);
  if (packed.format == StorageFormat::Dense)
    return declined(layer->name + ": " + reason), failure();

  WindowAttr window = makeWindow(x, filter.take_back(2), convolution.getStrides(), convolution.getDilations());
  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Value init = tensor::EmptyOp::create(b, resultType.getShape(), resultType.getElementType());
  SmallVector<Value> storage = makeStorage(b, packed, *layer);
  auto linear = LinearOp::create(b, storage, x, init, packed.format, packed.rows, packed.chunk, options.vectors,
                                 /*laneDims=*/2, window);
  rewriter.replaceOp(op, linear.getResult(0));
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
  rewriter.setInsertionPoint(op);
  Value init = tensor::EmptyOp::create(rewriter, op.getLoc(), resultType.getShape(), resultType.getElementType());
  auto depthwise = DepthwiseOp::create(rewriter, op.getLoc(), x, filter, init, window);
  rewriter.replaceOp(op, depthwise.getResult(0));
  return success();
}
