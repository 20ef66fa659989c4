//===- TransposedConvolutions.cpp - Transposed convolutions as products -----------===//
//
// A transposed convolution arrives as an image spread between zeros and a convolution of it. Where its strides are the
// size of its kernel, each element of the result is a product with one pixel by one element of the kernel: as many
// matrices as the kernel has elements, whose results interleave.
//
//===----------------------------------------------------------------------===//

#include "TransposedConvolutions.h"
#include "LaneLayout.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::prune;

Value mlir::prune::findSpreadImage(linalg::Conv2DNchwFchwOp op) {
  auto insert = op.getInputs()[0].getDefiningOp<tensor::InsertSliceOp>();
  auto filterType = cast<RankedTensorType>(op.getInputs()[1].getType());
  auto isOne = [](const APInt &value) { return value.isOne(); };
  if (!insert || !isZeroFill(insert.getDest()) || !insert.getSourceType().hasStaticShape() ||
      insert.getSourceType().getRank() != 4 || !insert.getType().hasStaticShape() || !filterType.hasStaticShape() ||
      !llvm::all_of(op.getStrides().getValues<APInt>(), isOne) ||
      !llvm::all_of(op.getDilations().getValues<APInt>(), isOne))
    return {};
  ArrayRef<int64_t> from = insert.getSourceType().getShape(), to = insert.getType().getShape();
  ArrayRef<int64_t> offsets = insert.getStaticOffsets(), strides = insert.getStaticStrides();
  if (from.take_front(2) != to.take_front(2) || filterType.getNumElements() == 0 ||
      filterType.getDimSize(2) * filterType.getDimSize(3) == 1)
    return {};
  for (int64_t dim : {2, 3}) {
    // The zeros around are those that the kernel reaches at the edges.
    int64_t kernel = filterType.getDimSize(dim);
    if (strides[dim] != kernel || offsets[dim] != kernel - 1 || to[dim] != from[dim] * kernel + kernel - 1)
      return {};
  }
  return insert.getSource();
}

LogicalResult mlir::prune::packTransposedConvolution(RewriterBase &rewriter, linalg::Conv2DNchwFchwOp op, Value image,
                                                     LayerWeight &&weight, const PackOptions &options) {
  auto type = cast<RankedTensorType>(image.getType()), filterType = cast<RankedTensorType>(op.getInputs()[1].getType());
  int64_t filters = filterType.getDimSize(0), kernelY = filterType.getDimSize(2), kernelX = filterType.getDimSize(3),
          height = type.getDimSize(2), width = type.getDimSize(3);
  LaneLayout layout(type, /*columnDim=*/1, options.panel);
  if (layout.getNumLanes() < options.minLanes)
    return failure();
  weight.splitTaps(kernelY * kernelX);
  LayerShape shape;
  shape.matrix = weight.matrix;
  shape.blockRows = weight.blockRows;
  shape.tokens.lanes = layout.getPanelLanes();
  shape.tokens.batches = type.getNumElements() / (type.getDimSize(1) * shape.tokens.lanes);
  shape.tokens.registerLanes = options.lanes;
  shape.tokens.registers = options.registers;
  shape.tokens.vectors = options.vectors ? options.vectors : std::max<int64_t>(1, options.panel / options.lanes);
  LayerChoice choice = chooseCode(op, weight, shape, options);
  const LayerCandidate &best = choice.getBest();
  if (best.kind == KernelKind::Contract)
    return failure();

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Value x = layout.enter(b, image);
  auto laneType = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> sizes(laneType.getShape());
  sizes[laneType.getRank() - 1 - layout.getLaneDims()] = weight.matrix.numRows;
  Value init = tensor::EmptyOp::create(b, sizes, laneType.getElementType());
  SmallVector<Value> storage = makeStorage(b, choice.packed, weight);
  Value product =
      LinearOp::create(b, storage, x, init, choice.packed.format, choice.packed.rows, best.chunk, best.vectors,
                       layout.getLaneDims(), WindowAttr(), makeShares(b, choice, options, weight.name))
          .getResult(0);
  product = layout.leave(b, product, weight.matrix.numRows);

  // From [image, kernel y, kernel x, filter, y, x] to [image, filter, y, kernel y, x, kernel x].
  int64_t images = type.getDimSize(0);
  SmallVector<ReassociationIndices> taps{{0}, {1, 2, 3}, {4}, {5}}, pixels{{0}, {1}, {2, 3}, {4, 5}};
  auto apart = RankedTensorType::get({images, kernelY, kernelX, filters, height, width}, laneType.getElementType());
  product = tensor::ExpandShapeOp::create(b, apart, product, taps);
  Value turned = tensor::EmptyOp::create(b, ArrayRef<int64_t>{images, filters, height, kernelY, width, kernelX},
                                         laneType.getElementType());
  turned = linalg::TransposeOp::create(b, product, turned, ArrayRef<int64_t>{0, 3, 4, 1, 5, 2})->getResult(0);
  rewriter.replaceOpWithNewOp<tensor::CollapseShapeOp>(op, op.getResult(0).getType(), turned, pixels);
  return success();
}
