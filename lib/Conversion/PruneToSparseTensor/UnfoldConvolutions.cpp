//===- UnfoldConvolutions.cpp - Convolutions as products, for GPUs ---------------===//
//
// Each pixel of the result becomes a token whose columns are what the filters see of the image, so that the kernels and
// the storage of layers serve convolutions too.
//
//===----------------------------------------------------------------------===//

#include "UnfoldConvolutions.h"
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

/// What the filters see of each pixel of the result: [image, y, x, channel, filter y, filter x].
static Value unfoldImages(ImplicitLocOpBuilder &b, linalg::Conv2DNchwFchwOp op, ArrayRef<int64_t> shape) {
  auto strides = llvm::to_vector(op.getStrides().getValues<int64_t>());
  auto dilations = llvm::to_vector(op.getDilations().getValues<int64_t>());
  AffineExpr image, y, x, channel, filterY, filterX;
  bindDims(b.getContext(), image, y, x, channel, filterY, filterX);
  AffineMap from = AffineMap::get(
      6, 0, {image, channel, y * strides[0] + filterY * dilations[0], x * strides[1] + filterX * dilations[1]},
      b.getContext());
  return gather(b, op.getInputs()[0], shape, from);
}

LogicalResult mlir::prune::unfoldConvolution(RewriterBase &rewriter, linalg::Conv2DNchwFchwOp op) {
  Value filters = op.getInputs()[1];
  auto apply = filters.getDefiningOp<ApplyOp>();
  auto declined = [&](const Twine &why) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack-gpu"))
        << ("convolution left as it is: " + why).str();
    return failure();
  };
  if (!getConstantAttr(apply ? apply.getWeight() : filters) || (apply && !getConstantAttr(apply.getMask())))
    return declined("its filters are no constant");
  auto resultType = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  auto imageType = cast<RankedTensorType>(op.getInputs()[0].getType()),
       filterType = cast<RankedTensorType>(filters.getType());
  if (!resultType.hasStaticShape() || !imageType.hasStaticShape() || !filterType.hasStaticShape())
    return declined("dynamic shape");
  if (!imageType.getElementType().isF32() || !filterType.getElementType().isF32() ||
      !resultType.getElementType().isF32())
    return declined("element type is not f32");
  if (!isZeroFill(op.getOutputs()[0]))
    return declined("the destination is not filled with zero");
  ArrayRef<int64_t> filter = filterType.getShape(), result = resultType.getShape();
  int64_t rows = filter[0], columns = filter[1] * filter[2] * filter[3], pixels = result[2] * result[3];
  constexpr int64_t leastRows = 8; // fewer read too little of what is unfolded
  if (rows < leastRows)
    return declined(llvm::formatv("{0} filters < {1}", rows, leastRows).str());
  constexpr int64_t maxElements = std::numeric_limits<int32_t>::max();
  if (int64_t unfolded = result[0] * pixels * columns; unfolded > maxElements)
    return declined(llvm::formatv("its images have {0} elements unfolded, more than {1}", unfolded, maxElements).str());

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Value tokens = unfoldImages(b, op, {result[0], result[2], result[3], filter[1], filter[2], filter[3]});
  SmallVector<ReassociationIndices> tokensAndColumns{{0}, {1, 2}, {3, 4, 5}};
  tokens = tensor::CollapseShapeOp::create(b, tokens, tokensAndColumns);
  Value weight = reshapeFilters(b, filters, {rows, columns});
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value init = tensor::EmptyOp::create(b, ArrayRef<int64_t>{result[0], pixels, rows}, b.getF32Type());
  init = linalg::FillOp::create(b, zero, init).getResult(0);
  AffineExpr image, token, row, column;
  bindDims(b.getContext(), image, token, row, column);
  auto maps = AffineMap::inferFromExprList(
      ArrayRef<ArrayRef<AffineExpr>>{{image, token, column}, {row, column}, {image, token, row}}, b.getContext());
  auto product =
      linalg::ContractOp::create(b, init.getType(), ValueRange{tokens, weight}, init, b.getAffineMapArrayAttr(maps));
  // Back to [image, filter, y, x].
  SmallVector<ReassociationIndices> imagesOfTokens{{0}, {1, 2}, {3}};
  Value sums =
      tensor::ExpandShapeOp::create(b, RankedTensorType::get({result[0], result[2], result[3], rows}, b.getF32Type()),
                                    product.getResult(0), imagesOfTokens);
  auto turned = AffineMap::getPermutationMap(ArrayRef<unsigned>{0, 2, 3, 1}, b.getContext());
  rewriter.replaceOp(op, gather(b, sums, result, turned));
  return success();
}
