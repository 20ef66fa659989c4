//===- PackWeightGradients.cpp - prune-pack for gradients of kept elements --------===//

#include "ConstantStorage.h"
#include "LaneLayout.h"
#include "LayerWeight.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "prune/Support/Constants.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
/// A product sum of dy(.., n, ..) x(.., k, ..) -> w(n, k) over all other dimensions.
struct GradientMatch {
  Value gradient, input;
  int64_t columnDim; ///< position of n in the gradient and of k in the input
};

/// What `prune.weight_gradient` stores of a mask.
struct KeptColumns {
  std::vector<int32_t> positions{0};
  std::vector<uint16_t> coordinates;
  int64_t numChunks = 0;

  /// Boundaries of shares of the rows, by the elements they keep.
  std::vector<int32_t> split(int64_t shares) const {
    constexpr int64_t rowCost = 4; // of loading its gradient, in elements
    std::vector<int64_t> costs;
    for (size_t row = 0; row + 1 < positions.size(); row += numChunks)
      costs.push_back(positions[row + numChunks] - positions[row] + rowCost * numChunks);
    return splitByCost(costs, shares);
  }
};
} // namespace

static FailureOr<GradientMatch> matchGradient(linalg::LinalgOp op, function_ref<void(const Twine &)> decline) {
  if (!op || !op.hasPureTensorSemantics() || !linalg::isaContractionOpInterface(op))
    return decline("it is no product of two tensors"), failure();
  AffineMap w = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (w.getNumResults() != 2)
    return decline("the weight is not a matrix"), failure();
  OpOperand *gradient = op.getDpsInputOperand(0), *input = op.getDpsInputOperand(1);
  AffineExpr n = w.getResult(0), k = w.getResult(1);
  if (!op.getMatchingIndexingMap(gradient).getResultPosition(n))
    std::swap(gradient, input);
  AffineMap dy = op.getMatchingIndexingMap(gradient), x = op.getMatchingIndexingMap(input);
  std::optional<unsigned> rowDim = dy.getResultPosition(n), columnDim = x.getResultPosition(k);
  if (!rowDim || !columnDim || dy.getResultPosition(k) || x.getResultPosition(n) || *rowDim != *columnDim ||
      dy.getNumResults() != x.getNumResults() || x.getNumResults() < 2)
    return decline("row and column dimension are not at one position"), failure();
  for (unsigned dim = 0; dim < x.getNumResults(); ++dim)
    if (dim != *columnDim && x.getResult(dim) != dy.getResult(dim))
      return decline("gradient and input have their other dimensions in different orders"), failure();
  auto type = cast<RankedTensorType>(input->get().getType());
  if (!type.getElementType().isF32() || !type.hasStaticShape())
    return decline("element type is not f32 or the shape is dynamic"), failure();
  if (!isZeroFill(op.getDpsInitOperand(0)->get()))
    return decline("the destination is not filled with zero"), failure();
  if (!op->hasOneUse())
    return decline("other ops need the dense gradient"), failure();
  return GradientMatch{gradient->get(), input->get(), static_cast<int64_t>(*columnDim)};
}

static KeptColumns storeKept(ArrayRef<uint8_t> mask, int64_t numColumns, int64_t chunk) {
  KeptColumns kept;
  int64_t numRows = mask.size() / numColumns;
  kept.numChunks = (numColumns + chunk - 1) / chunk;
  for (int64_t row = 0; row < numRows; ++row)
    for (int64_t begin = 0; begin < numColumns; begin += chunk) {
      for (int64_t column = begin, end = std::min(begin + chunk, numColumns); column < end; ++column)
        if (mask[row * numColumns + column])
          kept.coordinates.push_back(column - begin);
      kept.positions.push_back(kept.coordinates.size());
    }
  return kept;
}

LogicalResult mlir::prune::packWeightGradient(RewriterBase &rewriter, CompressOp op, const PackOptions &options) {
  // Share of the multiply-add peak that the sampled products reach, against dense ones.
  constexpr double breakEven = 0.6;
  constexpr int64_t chunkBytes = 24 << 10; // of the first-level cache
  std::string name = getLocationName(op.getLoc()).str();
  auto remarkOptions = remark::RemarkOpts::name("Pack").category("prune-pack");
  auto declined = [&](const Twine &why) {
    remark::missed(op.getLoc(), remarkOptions) << (name + ": dense gradient because " + why).str();
  };
  Attribute constant = getConstantAttr(op.getMask());
  if (!constant)
    return failure(); // prune-lower-compressed says what is wrong
  auto product = op.getWeight().getDefiningOp<linalg::LinalgOp>();
  FailureOr<GradientMatch> match = matchGradient(product, declined);
  FailureOr<MaskData> mask = MaskData::read(constant);
  if (failed(match) || failed(mask))
    return failure();
  RankedTensorType type = op.getWeight().getType();
  int64_t numKept = op.getValues().getType().getDimSize(0);
  double density = static_cast<double>(numKept) / type.getNumElements();
  LaneLayout layout(cast<RankedTensorType>(match->input.getType()), match->columnDim, options.panel);
  if (options.kernel == "sparsifier")
    return declined("the sparsifier gets no gradients"), failure();
  if (options.kernel == "dense" || options.kernel == "contract")
    return declined("kernel=" + options.kernel + " was asked for"), failure();
  if (layout.getPanelLanes() < options.lanes)
    return declined(llvm::formatv("{0} tokens or pixels are fewer than the {1} of a vector", layout.getPanelLanes(),
                                  options.lanes)
                        .str()),
           failure();
  if (density > breakEven && options.kernel != "sparse")
    return declined(llvm::formatv("density {0:f2} is above break-even {1:f2}", density, breakEven).str()), failure();
  if (numKept > std::numeric_limits<int32_t>::max())
    return declined(llvm::formatv("{0} elements are more than positions of 32 bits count", numKept).str()), failure();

  int64_t numColumns = type.getDimSize(1);
  int64_t chunk = options.chunk ? options.chunk : chunkBytes / (4 * options.panel);
  chunk = std::min(chunk, numColumns);
  remark::passed(op.getLoc(), remarkOptions)
      << llvm::formatv("{0}: gradient of the kept elements alone at density {1:f2}, chunk {2}", name, density, chunk)
             .str();
  KeptColumns kept = storeKept(mask->bytes(), numColumns, chunk);
  // Where the product was: what it needs may end there.
  rewriter.setInsertionPoint(product);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Value gradient = layout.enter(b, match->gradient), input = layout.enter(b, match->input);
  Value positions = makeConstant<int32_t>(b, kept.positions, static_cast<int64_t>(kept.positions.size()),
                                          b.getI32Type(), name + ".gradient.positions");
  Value coordinates =
      makeConstant<uint16_t>(b, kept.coordinates, numKept, b.getI16Type(), name + ".gradient.coordinates");
  Value init = tensor::EmptyOp::create(b, ArrayRef<int64_t>(numKept), type.getElementType());
  Value shares;
  int64_t numTokens = cast<RankedTensorType>(match->input.getType()).getNumElements() / numColumns;
  if (options.threads > 1 && numKept * numTokens >= kMinParallelWork) {
    std::vector<int32_t> bounds = kept.split(options.threads);
    shares = makeConstant<int32_t>(b, bounds, static_cast<int64_t>(bounds.size()), b.getI32Type(),
                                   name + ".gradient.shares");
  }
  auto sampled = WeightGradientOp::create(b, op.getValues().getType(), positions, coordinates, shares, gradient, input,
                                          init, chunk, layout.getLaneDims());
  rewriter.replaceOp(op, sampled.getResults());
  rewriter.eraseOp(product);
  return success();
}
