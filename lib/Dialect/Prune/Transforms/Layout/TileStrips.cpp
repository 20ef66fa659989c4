//===- TileStrips.cpp - Run layers around a depthwise convolution in strips -------===//
//
// A 1x1 layer that widens an image, a depthwise convolution and often a 1x1 layer that narrows it again: the wide
// images in between leave the cache. The three become one loop over strips, some rows of the result each. A strip needs
// the rows of the wide image that its windows reach, so that neighbours compute a few rows twice. These rows lie in a
// buffer between rows of zeros, and where the image ends the strip of the wide image is moved inside of it: the
// convolution then begins at another row of the buffer, so that all strips run the same code.
//
//===----------------------------------------------------------------------===//

#include "Slices.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/RegionUtils.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "llvm/Support/FormatVariadic.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNETILESTRIPS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
struct StripChain {
  LinearOp widen;
  DepthwiseOp depthwise;
  LinearOp narrow;      ///< null if there is none
  int64_t rows = 0;     ///< of a strip of the result
  int64_t wideRows = 0; ///< that such a strip reads
  int64_t bands = 1;    ///< parts of the result that threads compute

  ArrayRef<int64_t> wideShape = {}, shape = {}; ///< of the images that the convolution reads and writes
};
} // namespace

/// True for a window of one pixel that leaves all pixels where they are.
static bool isSinglePixel(WindowAttr window) {
  auto isZero = [](int64_t size) { return size == 0; };
  return window.getNumTaps() == 1 && llvm::all_of(window.getStrides(), [](int64_t stride) { return stride == 1; }) &&
         llvm::all_of(window.getLow(), isZero) && llvm::all_of(window.getHigh(), isZero);
}

/// True for a 1x1 layer on the pixels of one image.
static bool isPixelLayer(LinearOp op) {
  if (!op || op->getNumResults() != 1 || op.getLaneDims() != 2 || op.getShares() ||
      (op.getWindow() && !isSinglePixel(*op.getWindow())))
    return false;
  ShapedType type = op.getInitType();
  return type.hasStaticShape() && type.getRank() <= 4 &&
         type.getNumElements() == ShapedType::getNumElements(type.getShape().drop_front(op.getRowDim()));
}

static bool isReshape(Operation *op) { return isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op); }

static bool hasSamePixels(ShapedType a, ShapedType b) { return a.getShape().take_back(2) == b.getShape().take_back(2); }

/// The 1x1 layer that only serves `op`, as its image.
static LinearOp findWiden(DepthwiseOp op) {
  Value value = op.getInput();
  while (value.hasOneUse() && isReshape(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  auto layer = value.getDefiningOp<LinearOp>();
  bool isImage = value.hasOneUse() && isPixelLayer(layer) && layer->getBlock() == op->getBlock();
  return isImage && hasSamePixels(layer.getInitType(), op.getInputType()) ? layer : LinearOp();
}

/// The 1x1 layer that alone needs the result of `op`, as its image.
static LinearOp findNarrow(DepthwiseOp op) {
  Value value = op->getResult(0);
  while (value.hasOneUse() && isReshape(*value.user_begin()))
    value = value.user_begin()->getResult(0);
  auto layer = value.hasOneUse() ? dyn_cast<LinearOp>(*value.user_begin()) : LinearOp();
  bool isImage = isPixelLayer(layer) && layer.getInput() == value && layer->getBlock() == op->getBlock();
  return isImage && hasSamePixels(layer.getInputType(), op.getInitType()) ? layer : LinearOp();
}

/// Rows that the windows of `rows` rows of the result reach.
static int64_t getReach(WindowAttr window, int64_t rows) {
  return (rows - 1) * window.getStrides()[0] + (window.getKernel()[0] - 1) * window.getDilations()[0] + 1;
}

/// The chain around `op` if what lies between its layers has more than `cacheBytes` bytes; in a strip, where rows
/// allow, at most `stripBytes`.
static std::optional<StripChain> findChain(DepthwiseOp op, int64_t cacheBytes, int64_t stripBytes, int64_t threads) {
  if (op->getNumResults() != 1 || !op.getInitType().hasStaticShape() || op.getInitType().getDimSize(0) != 1)
    return std::nullopt;
  StripChain chain{findWiden(op), op, findNarrow(op)};
  chain.wideShape = op.getInputType().getShape(), chain.shape = op.getInitType().getShape();
  if (!chain.widen || getBytes(op.getInput().getType()) <= cacheBytes)
    return std::nullopt;
  auto decline = [&](std::string why) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Strips").category("tile-strips"))
        << remark::add("not in strips: {0}", why);
    return std::nullopt;
  };
  int64_t height = chain.wideShape[2], total = chain.shape[2];
  chain.bands = threads;
  if (total % threads != 0)
    return decline(llvm::formatv("threads cannot share {0} rows evenly among {1}", total, threads));
  int64_t band = total / threads;
  int64_t wideRow = getBytes(op.getInput().getType()) / height, row = getBytes(op->getResult(0).getType()) / total;
  int64_t most = 1;
  while (most < band && getReach(op.getWindow(), most + 1) * wideRow + (most + 1) * row <= stripBytes)
    ++most;
  int64_t strips = llvm::divideCeil(band, most);
  chain.rows = llvm::divideCeil(band, strips);
  chain.wideRows = getReach(op.getWindow(), chain.rows);
  int64_t fresh = chain.rows * op.getWindow().getStrides()[0];
  if (chain.wideRows > std::min(height, 2 * fresh))
    return decline(llvm::formatv("{0} rows of the result need {1} of {2}", chain.rows, chain.wideRows, height));
  remark::passed(op.getLoc(), remark::RemarkOpts::name("Strips").category("tile-strips"))
      << remark::add("in strips of {0} rows, {1} of the image that the convolution reads", chain.rows, chain.wideRows)
      << remark::metric("Rows", chain.rows) << remark::metric("WideRows", chain.wideRows);
  return chain;
}

namespace {
/// Emits the loop over the strips of some rows of the result.
class StripEmitter {
public:
  StripEmitter(ImplicitLocOpBuilder &b, const StripChain &chain) : b(b), chain(chain) {}

  /// Fills `result`, `rows` rows of it from `first` on (null: from the first one on).
  Value run(Value result, Value first, int64_t rows);

private:
  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, value); }
  /// `count` rows of the images of `tensor`, as `shape` but for its rows.
  Value sliceRows(Value tensor, OpFoldResult first, int64_t count, ArrayRef<int64_t> shape);
  Value insertRows(Value rows, Value tensor, OpFoldResult first);
  void getSlice(Value tensor, OpFoldResult first, int64_t count);
  template <typename OpTy> OpTy clone(OpTy op, Value input, OpFoldResult first, int64_t count, Value init);

  ImplicitLocOpBuilder &b;
  const StripChain &chain;
  SmallVector<OpFoldResult> offsets, sizes, strides; ///< of the last slice
};
} // namespace

static SmallVector<int64_t> withRows(ArrayRef<int64_t> shape, int64_t rows) {
  SmallVector<int64_t> result(shape);
  result[result.size() - 2] = rows;
  return result;
}

static ArrayRef<int64_t> getShape(Value value) { return cast<RankedTensorType>(value.getType()).getShape(); }

void StripEmitter::getSlice(Value tensor, OpFoldResult first, int64_t count) {
  ArrayRef<int64_t> shape = getShape(tensor);
  offsets.assign(shape.size(), b.getIndexAttr(0));
  offsets[shape.size() - 2] = first;
  strides.assign(shape.size(), b.getIndexAttr(1));
  sizes = getAsIndexOpFoldResult(b.getContext(), withRows(shape, count));
}

Value StripEmitter::sliceRows(Value tensor, OpFoldResult first, int64_t count, ArrayRef<int64_t> shape) {
  getSlice(tensor, first, count);
  auto type = cast<RankedTensorType>(tensor.getType()).clone(withRows(shape, count));
  return tensor::ExtractSliceOp::create(b, type, tensor, offsets, sizes, strides);
}

Value StripEmitter::insertRows(Value rows, Value tensor, OpFoldResult first) {
  ArrayRef<int64_t> shape = getShape(rows);
  getSlice(tensor, first, shape[shape.size() - 2]);
  return tensor::InsertSliceOp::create(b, rows, tensor, offsets, sizes, strides);
}

/// `op` on `count` rows of its result from `first` on.
template <typename OpTy> OpTy StripEmitter::clone(OpTy op, Value input, OpFoldResult first, int64_t count, Value init) {
  SmallVector<Value> operands(op->getOperands());
  operands[op.getInputMutable().getOperandNumber()] = input;
  operands[op.getInitMutable().getOperandNumber()] = init;
  for (OpOperand &extra : op.getExtrasMutable())
    if (getShape(extra.get()).size() > 1)
      operands[extra.getOperandNumber()] = sliceRows(extra.get(), first, count, getShape(extra.get()));
  return cast<OpTy>(mlir::clone(b, op, init.getType(), operands));
}

Value StripEmitter::run(Value result, Value first, int64_t rows) {
  DepthwiseOp depthwise = chain.depthwise;
  WindowAttr window = depthwise.getWindow();
  int64_t stride = window.getStrides()[0], low = window.getLow()[0], count = chain.rows, wideRows = chain.wideRows;
  int64_t height = chain.wideShape[2], total = chain.shape[2];
  int64_t high = std::max<int64_t>(0, (total - count) * stride - low + wideRows - height);
  Type element = depthwise.getInputType().getElementType();
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(element));
  Value wide = tensor::EmptyOp::create(b, withRows(chain.wideShape, low + wideRows + high), element);
  wide = linalg::FillOp::create(b, zero, wide).getResult(0);

  auto loop = scf::ForOp::create(b, index(0), index(llvm::divideCeil(rows, count)), index(1), ValueRange{result, wide});
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  result = loop.getRegionIterArg(0), wide = loop.getRegionIterArg(1);
  // The last strip begins earlier than its number says.
  Value place = arith::MulIOp::create(b, loop.getInductionVar(), index(count));
  place = arith::MinSIOp::create(b, place, index(rows - count));
  Value row = first ? arith::AddIOp::create(b, first, place).getResult() : place;
  Value begin = arith::MulIOp::create(b, row, index(stride));
  begin = arith::SubIOp::create(b, begin, index(low));
  Value wideRow = arith::MaxSIOp::create(b, begin, index(0));
  wideRow = arith::MinSIOp::create(b, wideRow, index(height - wideRows));
  Value start = arith::SubIOp::create(b, begin, wideRow);
  start = arith::AddIOp::create(b, start, index(low));

  LinearOp widen = chain.widen, narrow = chain.narrow;
  OpFoldResult lowRows = b.getIndexAttr(low);
  Value part = sliceRows(widen.getInput(), wideRow, wideRows, getShape(widen.getInput()));
  Value wideInit = sliceRows(wide, lowRows, wideRows, widen.getInitType().getShape());
  part = clone(widen, part, wideRow, wideRows, wideInit)->getResult(0);
  wide = insertRows(part, wide, lowRows);

  part = sliceRows(wide, start, wideRows, chain.wideShape);
  Value init = narrow
                   ? tensor::EmptyOp::create(b, withRows(chain.shape, count), depthwise.getInitType().getElementType())
                         .getResult()
                   : sliceRows(result, place, count, chain.shape);
  DepthwiseOp strip = clone(depthwise, part, row, count, init);
  auto inside = [](ArrayRef<int64_t> padding) { return SmallVector<int64_t>{0, padding[1]}; };
  strip.setWindowAttr(WindowAttr::get(b.getContext(), window.getKernel(), window.getStrides(), window.getDilations(),
                                      inside(window.getLow()), inside(window.getHigh())));
  part = strip->getResult(0);
  if (narrow) {
    part = reshapeTensor(b, part, withRows(narrow.getInputType().getShape(), count));
    init = sliceRows(result, place, count, narrow.getInitType().getShape());
    part = clone(narrow, part, row, count, init)->getResult(0);
  }
  result = insertRows(part, result, place);
  scf::YieldOp::create(b, ValueRange{result, wide});
  return loop.getResult(0);
}

static void emitChain(StripChain chain) {
  Operation *root = chain.narrow ? chain.narrow.getOperation() : chain.depthwise.getOperation();
  ImplicitLocOpBuilder b(root->getLoc(), root);
  auto type = cast<RankedTensorType>(root->getResult(0).getType());
  Value result = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
  StripEmitter emitter(b, chain);
  if (chain.bands == 1) {
    result = emitter.run(result, Value(), chain.shape[2]);
  } else {
    OpFoldResult bands = b.getIndexAttr(chain.bands);
    auto forall = scf::ForallOp::create(b, ArrayRef(bands), ValueRange{result}, /*mapping=*/std::nullopt);
    b.setInsertionPointToStart(forall.getBody());
    int64_t rows = chain.shape[2] / chain.bands;
    Value first = arith::MulIOp::create(b, forall.getInductionVars()[0], arith::ConstantIndexOp::create(b, rows));
    SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)), strides(type.getRank(), b.getIndexAttr(1));
    offsets[type.getRank() - 2] = first;
    SmallVector<OpFoldResult> sizes = getAsIndexOpFoldResult(b.getContext(), withRows(type.getShape(), rows));
    Value band = tensor::ExtractSliceOp::create(b, forall.getRegionOutArgs()[0], offsets, sizes, strides);
    band = emitter.run(band, first, rows);
    b.setInsertionPointToStart(forall.getTerminator().getBody());
    tensor::ParallelInsertSliceOp::create(b, band, forall.getRegionOutArgs()[0], offsets, sizes, strides);
    result = forall.getResult(0);
  }
  root->getResult(0).replaceAllUsesWith(result);
}

int64_t mlir::prune::tileStrips(FunctionOpInterface function, int64_t cacheBytes, int64_t stripBytes, int64_t threads) {
  SmallVector<DepthwiseOp> ops;
  function.walk([&](DepthwiseOp op) { ops.push_back(op); });
  int64_t count = 0;
  for (DepthwiseOp op : ops)
    if (std::optional<StripChain> chain = findChain(op, cacheBytes, stripBytes, threads)) {
      emitChain(*chain);
      ++count;
    }
  IRRewriter rewriter(function.getContext());
  if (count > 0)
    (void)runRegionDCE(rewriter, function->getRegions()); // the layers as they were, with reshapes between them
  return count;
}

namespace {
struct PruneTileStrips : prune::impl::PruneTileStripsBase<PruneTileStrips> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<FunctionOpInterface> functions;
    getOperation()->walk([&](FunctionOpInterface function) { functions.push_back(function); });
    for (FunctionOpInterface function : functions)
      numChains += tileStrips(function, cacheBytes, stripBytes, threads);
  }
};
} // namespace
