//===- UnfoldConvolutions.cpp - Convolutions as products, for GPUs ---------------===//
//
// Each pixel of the result becomes a token whose columns are what the filters see of the image, so that the kernels and
// the storage of layers serve convolutions too. Groups of channels are a batch of products, or one sparse weight whose
// rows keep nothing of other groups.
//
//===----------------------------------------------------------------------===//

#include "UnfoldConvolutions.h"
#include "ConstantStorage.h"
#include "LayerWeight.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "prune/Support/Constants.h"
#include "llvm/Support/FormatVariadic.h"
#include <limits>

using namespace mlir;
using namespace mlir::prune;

/// The filters as a matrix: a constant, or one with its mask.
static Value reshapeFilters(ImplicitLocOpBuilder &b, Value filters, ArrayRef<int64_t> shape) {
  auto reshape = [&](Value value) -> Value {
    auto type = cast<RankedTensorType>(value.getType()).clone(shape);
    auto constant = cast<ElementsAttr>(getConstantAttr(value));
    return arith::ConstantOp::create(b, value.getLoc(), cast<TypedAttr>(reshapeConstant(constant, type)));
  };
  auto apply = filters.getDefiningOp<ApplyOp>();
  if (!apply)
    return reshape(filters);
  Value weight = reshape(apply.getWeight()), mask = reshape(apply.getMask());
  auto matrix = cast<ApplyOp>(b.clone(*apply));
  matrix.getWeightMutable().assign(weight);
  matrix.getMaskMutable().assign(mask);
  matrix.getResult().setType(cast<RankedTensorType>(weight.getType()));
  return matrix;
}

/// A tensor of `shape` whose elements are those of `source` at `from`.
static Value gather(ImplicitLocOpBuilder &b, Value source, ArrayRef<int64_t> shape, AffineMap from) {
  Value empty = tensor::EmptyOp::create(b, shape, getElementTypeOrSelf(source));
  SmallVector<utils::IteratorType> loops(shape.size(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, TypeRange{empty.getType()}, source, empty,
             ArrayRef<AffineMap>{from, b.getMultiDimIdentityMap(shape.size())}, loops,
             [](OpBuilder &b, Location loc, ValueRange args) { linalg::YieldOp::create(b, loc, args[0]); })
      .getResult(0);
}

/// What the filters see of each pixel of the result: [image, y, x, channel, filter y, filter x], or with the group
/// before the channel. `result` and `filters` are the shapes of the convolution's.
template <typename ConvolutionOp>
static Value unfoldImages(ImplicitLocOpBuilder &b, ConvolutionOp op, ArrayRef<int64_t> result,
                          ArrayRef<int64_t> filters) {
  auto strides = llvm::to_vector(op.getStrides().template getValues<int64_t>());
  auto dilations = llvm::to_vector(op.getDilations().template getValues<int64_t>());
  unsigned rank = result.size() + 2; // a window for each pixel
  auto dim = [&](unsigned i) { return b.getAffineDimExpr(i); };
  SmallVector<int64_t> shape{result.front(), result[result.size() - 2], result.back()};
  SmallVector<AffineExpr> from{dim(0)};
  if (rank == 7) { // image, y, x, group, ...
    shape.push_back(result[1]);
    from.push_back(dim(3));
  }
  llvm::append_range(shape, filters.take_back(3));
  from.push_back(dim(rank - 3));
  for (unsigned side = 0; side < 2; ++side)
    from.push_back(dim(1 + side) * strides[side] + dim(rank - 2 + side) * dilations[side]);
  return gather(b, op.getInputs()[0], shape, AffineMap::get(rank, 0, from, b.getContext()));
}

/// True for a constant, or one with its mask.
static bool isConstant(Value filters) {
  auto apply = filters.getDefiningOp<ApplyOp>();
  return getConstantAttr(apply ? apply.getWeight() : filters) && (!apply || getConstantAttr(apply.getMask()));
}

/// Why a convolution stays as it is; empty if nothing hinders. `filters`: the shape of its filters.
static std::string refuse(linalg::LinalgOp op, RankedTensorType filters) {
  auto resultType = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  auto imageType = dyn_cast<RankedTensorType>(op.getDpsInputOperand(0)->get().getType());
  if (!resultType || !imageType || !resultType.hasStaticShape() || !imageType.hasStaticShape() ||
      !filters.hasStaticShape())
    return "dynamic shape";
  if (!imageType.getElementType().isF32() || !filters.getElementType().isF32() || !resultType.getElementType().isF32())
    return "element type is not f32";
  if (!isZeroFill(op.getDpsInitOperand(0)->get()))
    return "the destination is not filled with zero";
  // Each pixel of the result gets a window for each channel, of all groups.
  ArrayRef<int64_t> shape = resultType.getShape(), image = imageType.getShape();
  int64_t channels = ShapedType::getNumElements(image.drop_front().drop_back(2));
  int64_t unfolded = shape.front() * ShapedType::getNumElements(shape.take_back(2)) * channels *
                     ShapedType::getNumElements(filters.getShape().take_back(2));
  constexpr int64_t maxElements = std::numeric_limits<int32_t>::max();
  if (unfolded > maxElements)
    return llvm::formatv("its images have {0} elements unfolded, more than {1}", unfolded, maxElements);
  return "";
}

static LogicalResult decline(linalg::LinalgOp op, const Twine &why) {
  remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack-gpu"))
      << ("convolution left as it is: " + why).str();
  return failure();
}

/// The least filters that read enough of what is unfolded.
static constexpr int64_t kLeastRows = 8;

/// A product of tokens and weight, from zero, of the dimensions that the lists name.
static Value createProduct(ImplicitLocOpBuilder &b, Value tokens, Value weight, ArrayRef<int64_t> result,
                           ArrayRef<ArrayRef<AffineExpr>> dims) {
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value init = tensor::EmptyOp::create(b, result, b.getF32Type());
  init = linalg::FillOp::create(b, zero, init).getResult(0);
  auto maps = AffineMap::inferFromExprList(dims, b.getContext());
  return linalg::ContractOp::create(b, init.getType(), ValueRange{tokens, weight}, init, b.getAffineMapArrayAttr(maps))
      .getResult(0);
}

LogicalResult mlir::prune::unfoldConvolution(RewriterBase &rewriter, linalg::Conv2DNchwFchwOp op) {
  Value filters = op.getInputs()[1];
  if (!isConstant(filters))
    return decline(op, "its filters are no constant");
  auto filterType = cast<RankedTensorType>(filters.getType());
  if (std::string why = refuse(op, filterType); !why.empty())
    return decline(op, why);
  ArrayRef<int64_t> filter = filterType.getShape(),
                    result = cast<RankedTensorType>(op->getResult(0).getType()).getShape();
  int64_t rows = filter[0], columns = filter[1] * filter[2] * filter[3], pixels = result[2] * result[3];
  if (rows < kLeastRows)
    return decline(op, llvm::formatv("{0} filters < {1}", rows, kLeastRows).str());

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Value tokens = unfoldImages(b, op, result, filter);
  tokens = tensor::CollapseShapeOp::create(b, tokens, ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3, 4, 5}});
  AffineExpr image, token, row, column;
  bindDims(b.getContext(), image, token, row, column);
  Value sums = createProduct(b, tokens, reshapeFilters(b, filters, {rows, columns}), {result[0], pixels, rows},
                             {{image, token, column}, {row, column}, {image, token, row}});
  // Back to [image, filter, y, x].
  sums =
      tensor::ExpandShapeOp::create(b, RankedTensorType::get({result[0], result[2], result[3], rows}, b.getF32Type()),
                                    sums, ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3}});
  auto turned = AffineMap::getPermutationMap(ArrayRef<unsigned>{0, 2, 3, 1}, b.getContext());
  rewriter.replaceOp(op, gather(b, sums, result, turned));
  return success();
}

/// Whether CSR of one weight over all channels takes less than a batch of dense products.
static bool isSparseFaster(const LayerWeight &wide, int64_t groups, int64_t tokens, const GPUCostModel &model) {
  GPULayer layer;
  layer.matrix = wide.matrix;
  layer.tokens = tokens;
  GPUChoice choice = chooseGPUStorage(layer, GPUPrecision::F32, model, GPUKernelKind::CSR);
  GPULayerCounts dense;
  dense.tokens = tokens * groups;
  dense.rows = wide.matrix.numRows / groups;
  dense.columns = wide.matrix.numColumns / groups;
  dense.entries = static_cast<double>(dense.rows) * static_cast<double>(dense.columns);
  dense.bytes = 4 * dense.entries * static_cast<double>(groups);
  return choice.getBest().kind == GPUKernelKind::CSR && choice.getBest().estimatedNs < model.estimate(dense);
}

LogicalResult mlir::prune::unfoldGroupedConvolution(RewriterBase &rewriter, linalg::Conv2DNgchwGfchwOp op,
                                                    std::optional<GPUKernelKind> kernel, const GPUCostModel &model) {
  auto expand = op.getInputs()[1].getDefiningOp<tensor::ExpandShapeOp>();
  if (!expand || !isConstant(expand.getSrc()))
    return decline(op, "its filters are no constant");
  auto filterType = cast<RankedTensorType>(expand.getType());
  if (std::string why = refuse(op, filterType); !why.empty())
    return decline(op, why);
  ArrayRef<int64_t> filter = filterType.getShape(),
                    result = cast<RankedTensorType>(op->getResult(0).getType()).getShape();
  int64_t groups = filter[0], rows = filter[1], columns = filter[2] * filter[3] * filter[4];
  int64_t pixels = result[3] * result[4];
  auto apply = expand.getSrc().getDefiningOp<ApplyOp>();
  std::optional<LayerWeight> wide; // over all channels
  constexpr int64_t maxElements = std::numeric_limits<int32_t>::max();
  if (apply && (!kernel || kernel == GPUKernelKind::CSR) && groups * groups * rows * columns <= maxElements) {
    FailureOr<LayerWeight> weight = LayerWeight::read(op, expand.getSrc());
    if (failed(weight))
      return failure();
    weight->expandGroups(groups);
    if (kernel || isSparseFaster(*weight, groups, result[0] * pixels, model))
      wide.emplace(std::move(*weight));
  }
  if (!wide && rows < kLeastRows)
    return decline(op, llvm::formatv("{0} filters of a group < {1}", rows, kLeastRows).str());

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Value tokens = unfoldImages(b, op, result, filter), sums;
  AffineExpr image, token, group, row, column;
  bindDims(b.getContext(), image, token, row, column, group);
  SmallVector<ReassociationIndices> pixelsOfTokens{{0}, {1, 2}, {3}};
  if (wide) {
    tokens = tensor::CollapseShapeOp::create(b, tokens, ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3, 4, 5, 6}});
    SmallVector<int64_t> shape{groups * rows, groups * columns};
    Value weight = makeConstant<float>(b, wide->matrix.weight, shape, b.getF32Type(), wide->name);
    auto maskType = RankedTensorType::get(shape, b.getI1Type());
    Value mask =
        arith::ConstantOp::create(b, cast<TypedAttr>(makeMaskAttr(maskType, wide->matrix.mask, wide->name + ".mask")));
    auto masked = cast<ApplyOp>(b.clone(*apply));
    masked.getWeightMutable().assign(weight);
    masked.getMaskMutable().assign(mask);
    masked.setPatternAttr(UnstructuredAttr::get(b.getContext()));
    masked.getResult().setType(cast<RankedTensorType>(weight.getType()));
    sums = createProduct(b, tokens, masked, {result[0], pixels, groups * rows},
                         {{image, token, column}, {row, column}, {image, token, row}});
    pixelsOfTokens.back().push_back(4);
  } else {
    tokens = tensor::CollapseShapeOp::create(b, tokens, ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3}, {4, 5, 6}});
    Value weight =
        tensor::CollapseShapeOp::create(b, op.getInputs()[1], ArrayRef<ReassociationIndices>{{0}, {1}, {2, 3, 4}});
    sums = createProduct(b, tokens, weight, {result[0], pixels, groups, rows},
                         {{image, token, group, column}, {group, row, column}, {image, token, group, row}});
    pixelsOfTokens.push_back({4});
  }
  // Back to [image, group, filter, y, x].
  auto type = RankedTensorType::get({result[0], result[3], result[4], groups, rows}, b.getF32Type());
  sums = tensor::ExpandShapeOp::create(b, type, sums, pixelsOfTokens);
  auto turned = AffineMap::getPermutationMap(ArrayRef<unsigned>{0, 3, 4, 1, 2}, b.getContext());
  rewriter.replaceOp(op, gather(b, sums, result, turned));
  return success();
}
