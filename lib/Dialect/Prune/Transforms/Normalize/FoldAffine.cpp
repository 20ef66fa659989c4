//===- FoldAffine.cpp - Biases behind products, batch norms into weights ------===//

#include "Evaluate.h"
#include "Patterns.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

namespace {
/// A product with a constant weight whose dimension 0 is the channel of the result.
struct Producer {
  linalg::LinalgOp op;
  OpOperand *weight;  ///< Use of the constant; belongs to `op` or to the expand_shape before it.
  int64_t channelDim; ///< Of the result.
};

std::optional<Producer> matchProducer(Value value) {
  auto op = value.getDefiningOp<linalg::LinalgOp>();
  if (!op || op->getNumResults() != 1)
    return std::nullopt;
  using namespace linalg;
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  int64_t channelDim = llvm::TypeSwitch<Operation *, int64_t>(op)
                           .Case<Conv1DNcwFcwOp, Conv2DNchwFchwOp, Conv3DNcdhwFcdhwOp, DepthwiseConv1DNcwCwOp,
                                 DepthwiseConv2DNchwChwOp, DepthwiseConv3DNcdhwCdhwOp>([](auto) { return 1; })
                           .Case([&](Conv2DNhwcFhwcOp) { return rank - 1; })
                           .Case([&](ContractOp contract) -> int64_t {
                             SmallVector<AffineMap> maps = contract.getIndexingMapsArray();
                             if (maps[1].getNumResults() < 2)
                               return -1;
                             std::optional<unsigned> position = maps[2].getResultPosition(maps[1].getResult(0));
                             return position ? static_cast<int64_t>(*position) : -1;
                           })
                           .Default([](Operation *) { return -1; });
  if (channelDim < 0)
    return std::nullopt;
  OpOperand *weight = op.getDpsInputOperand(1);
  return Producer{op, weight, channelDim};
}

/// y = scale * x + shift for each channel.
struct Affine {
  std::vector<double> scale, shift;
};

/// What an op of a body is of the channel: a number, or affine in the input `x`.
struct Symbol {
  bool isAffine = false;
  std::vector<double> scale, shift; ///< `shift` alone when it is a number.
};

/// The constant behind an operand as one number for each of `channels`: a vector along loop `channelLoop`, or a scalar.
std::optional<std::vector<double>> readChannels(Value value, AffineMap map, unsigned channelLoop, int64_t channels) {
  ElementsAttr attr = getConstantElements(value);
  if (!attr || !attr.getElementType().isF32())
    return std::nullopt;
  FailureOr<ConstantBytes> bytes = getConstantBytes(attr);
  if (failed(bytes))
    return std::nullopt;
  auto data = reinterpret_cast<const float *>(bytes->data.data());
  if (attr.getNumElements() == 1 || bytes->isSplat)
    return std::vector<double>(channels, data[0]);
  if (attr.getNumElements() != channels)
    return std::nullopt;
  for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
    bool isChannel = expr == getAffineDimExpr(channelLoop, map.getContext());
    if (attr.getShapedType().getDimSize(dim) != (isChannel ? channels : 1))
      return std::nullopt;
  }
  return std::vector<double>(data, data + channels);
}

std::optional<Symbol> combine(Operation *op, ArrayRef<const Symbol *> in) {
  Symbol result;
  auto each = [&](auto fn, ArrayRef<double> a, ArrayRef<double> b) {
    std::vector<double> out(a.size());
    for (size_t i = 0; i < a.size(); ++i)
      out[i] = fn(a[i], b[i]);
    return out;
  };
  if (isa<math::RsqrtOp, math::SqrtOp, arith::NegFOp>(op)) {
    if (in[0]->isAffine)
      return std::nullopt;
    result = *in[0];
    for (double &value : result.shift)
      value = isa<math::RsqrtOp>(op) ? 1 / std::sqrt(value) : isa<math::SqrtOp>(op) ? std::sqrt(value) : -value;
    return result;
  }
  if (!isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp>(op))
    return std::nullopt;
  const Symbol &a = *in[0], &b = *in[1];
  result.isAffine = a.isAffine || b.isAffine;
  if (isa<arith::AddFOp, arith::SubFOp>(op)) {
    if (a.isAffine && b.isAffine)
      return std::nullopt;
    double sign = isa<arith::AddFOp>(op) ? 1 : -1;
    result.shift = each([&](double x, double y) { return x + sign * y; }, a.shift, b.shift);
    if (a.isAffine)
      result.scale = a.scale;
    if (b.isAffine)
      result.scale = each([&](double x, double) { return sign * x; }, b.scale, b.scale);
    return result;
  }
  bool divides = isa<arith::DivFOp>(op);
  if ((a.isAffine && b.isAffine) || (divides && b.isAffine))
    return std::nullopt;
  const Symbol &line = b.isAffine ? b : a, &number = b.isAffine ? a : b;
  auto apply = [&](double x, double y) { return divides ? x / y : x * y; };
  result.shift = each(apply, line.shift, number.shift);
  if (line.isAffine)
    result.scale = each(apply, line.scale, number.shift);
  return result;
}

/// An elementwise generic that is affine in one input `x` with constants of the channel.
struct AffineGeneric {
  OpOperand *x;
  Affine line;
};

std::optional<AffineGeneric> matchAffine(linalg::GenericOp op, int64_t channelDim) {
  if (op.getNumDpsInits() != 1 || op.getNumParallelLoops() != op.getNumLoops() || !op.hasPureTensorSemantics() ||
      op.payloadUsesValueFromOperand(op.getDpsInitOperand(0)))
    return std::nullopt;
  AffineMap outMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  if (!outMap.isIdentity() || !type.getElementType().isF32() || channelDim >= type.getRank() ||
      type.isDynamicDim(channelDim))
    return std::nullopt;
  int64_t channels = type.getDimSize(channelDim);
  llvm::DenseMap<Value, Symbol> symbols;
  OpOperand *x = nullptr;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(operand);
    BlockArgument argument = op.getMatchingBlockArgument(operand);
    if (std::optional<std::vector<double>> values = readChannels(operand->get(), map, channelDim, channels)) {
      symbols[argument].shift = *values;
      continue;
    }
    if (x || !map.isIdentity())
      return std::nullopt;
    x = operand;
    symbols[argument] = {true, std::vector<double>(channels, 1), std::vector<double>(channels, 0)};
  }
  if (!x)
    return std::nullopt;
  auto lookup = [&](Value value) -> const Symbol * {
    FloatAttr number;
    if (!symbols.count(value) && matchPattern(value, m_Constant(&number)))
      symbols[value].shift.assign(channels, number.getValueAsDouble());
    auto it = symbols.find(value);
    return it == symbols.end() ? nullptr : &it->second;
  };
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (inner.getNumResults() != 1 || !inner.getResult(0).getType().isF32() || inner.getNumOperands() > 2)
      return std::nullopt;
    SmallVector<Symbol> copies;
    for (Value operand : inner.getOperands()) {
      const Symbol *symbol = lookup(operand);
      if (!symbol)
        return std::nullopt;
      copies.push_back(*symbol);
    }
    SmallVector<const Symbol *> in;
    for (Symbol &copy : copies)
      in.push_back(&copy);
    std::optional<Symbol> value = combine(&inner, in);
    if (!value)
      return std::nullopt;
    symbols[inner.getResult(0)] = std::move(*value);
  }
  const Symbol *result = lookup(op.getBody()->getTerminator()->getOperand(0));
  if (!result || !result->isAffine)
    return std::nullopt;
  return AffineGeneric{x, {result->scale, result->shift}};
}

/// x + vector along `channelDim`.
Value addVector(PatternRewriter &rewriter, Location loc, Value x, Value vector, int64_t channelDim, Value init) {
  auto type = cast<RankedTensorType>(x.getType());
  int64_t rank = type.getRank();
  AffineMap identity = rewriter.getMultiDimIdentityMap(rank);
  AffineMap channel = AffineMap::get(rank, 0, rewriter.getAffineDimExpr(channelDim));
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(rewriter, loc, type, ValueRange{x, vector}, init,
                                   ArrayRef<AffineMap>{identity, channel, identity}, loops,
                                   [](OpBuilder &builder, Location loc, ValueRange args) {
                                     Value sum = arith::AddFOp::create(builder, loc, args[0], args[1]);
                                     linalg::YieldOp::create(builder, loc, sum);
                                   })
      .getResult(0);
}

/// A product that starts from its bias starts from zero and adds the bias behind.
struct MoveBias : OpInterfaceRewritePattern<linalg::LinalgOp> {
  MoveBias(MLIRContext *context, NormalizeState &state) : OpInterfaceRewritePattern(context), state(state) {}
  LogicalResult matchAndRewrite(linalg::LinalgOp op, PatternRewriter &rewriter) const override {
    if (op->getNumResults() != 1)
      return failure();
    std::optional<Producer> producer = matchProducer(op->getResult(0));
    if (!producer || !getConstant(lookThroughMask(lookThroughSplit(producer->weight->get()))))
      return failure();
    auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
    std::optional<MoveOp> move = matchMove(op.getDpsInits()[0]);
    if (!type || !type.hasStaticShape() || !move)
      return rewriter.notifyMatchFailure(op, "does not start from a broadcast");
    arith::ConstantOp bias = getConstant(move->source);
    auto biasType = dyn_cast<RankedTensorType>(move->source.getType());
    if (!bias || !biasType || biasType.getNumElements() != type.getDimSize(producer->channelDim))
      return rewriter.notifyMatchFailure(op, "does not start from a constant vector");
    for (auto [dim, expr] : llvm::enumerate(move->map.getResults()))
      if (biasType.getDimSize(dim) != 1 && expr != rewriter.getAffineDimExpr(producer->channelDim))
        return rewriter.notifyMatchFailure(op, "starts from a vector that is not along the channels");
    Value vector = move->source;
    if (biasType.getRank() != 1) {
      auto flat = RankedTensorType::get({biasType.getNumElements()}, biasType.getElementType());
      vector = createConstantLike(rewriter, vector, reshapeConstant(cast<ElementsAttr>(bias.getValue()), flat));
    }
    rewriter.setInsertionPoint(op);
    Value zeros = createZeros(rewriter, op.getLoc(), type);
    rewriter.setInsertionPointAfter(op);
    Value init = tensor::EmptyOp::create(rewriter, op.getLoc(), type.getShape(), type.getElementType());
    rewriter.modifyOpInPlace(op, [&] { op.setDpsInitOperand(0, zeros); });
    Value sum = addVector(rewriter, op.getLoc(), op->getResult(0), vector, producer->channelDim, init);
    rewriter.replaceAllUsesExcept(op->getResult(0), sum, sum.getDefiningOp());
    ++state.counts.movedBiases;
    return success();
  }
  static Value lookThroughSplit(Value value) {
    auto expand = value.getDefiningOp<tensor::ExpandShapeOp>();
    return expand ? expand.getSrc() : value;
  }
  NormalizeState &state;
};

/// product -> affine generics of the channel: the scale goes into the rows of the weight, the shift is added behind.
struct FoldBatchNorm : OpRewritePattern<linalg::GenericOp> {
  FoldBatchNorm(MLIRContext *context, NormalizeState &state) : OpRewritePattern(context), state(state) {}

  /// The product below a chain of affine generics that ends in `last`, and the line of the whole chain.
  static std::optional<Producer> matchChain(linalg::GenericOp last, Affine &line) {
    // Find the product first: it says which dimension is the channel.
    std::optional<Producer> producer;
    SmallVector<linalg::GenericOp> chain = {last};
    while (!producer) {
      Value next;
      for (OpOperand *operand : chain.back().getDpsInputOperands())
        if (operand->get().hasOneUse() && operand->get().getDefiningOp<linalg::LinalgOp>() &&
            chain.back().getMatchingIndexingMap(operand).isIdentity() && !getConstantElements(operand->get()))
          next = operand->get();
      if (!next)
        return std::nullopt;
      producer = matchProducer(next);
      auto generic = next.getDefiningOp<linalg::GenericOp>();
      if (!producer && (!generic || generic.getNumParallelLoops() != generic.getNumLoops() || chain.size() > 8))
        return std::nullopt;
      if (!producer)
        chain.push_back(generic);
    }
    int64_t channels = cast<RankedTensorType>(producer->op->getResult(0).getType()).getDimSize(producer->channelDim);
    if (ShapedType::isDynamic(channels))
      return std::nullopt;
    line = {std::vector<double>(channels, 1), std::vector<double>(channels, 0)};
    for (linalg::GenericOp generic : llvm::reverse(chain)) {
      std::optional<AffineGeneric> affine = matchAffine(generic, producer->channelDim);
      if (!affine)
        return std::nullopt;
      for (int64_t i = 0; i < channels; ++i) {
        line.shift[i] = affine->line.scale[i] * line.shift[i] + affine->line.shift[i];
        line.scale[i] *= affine->line.scale[i];
      }
    }
    return producer;
  }

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (op->getNumResults() != 1 || op.getNumParallelLoops() != op.getNumLoops())
      return failure();
    Affine line;
    std::optional<Producer> producer = matchChain(op, line);
    if (!producer)
      return failure();
    if (llvm::all_of(line.scale, [](double scale) { return scale == 1; }))
      return rewriter.notifyMatchFailure(op, "adds only");
    // Leave it to the last op of the chain.
    if (op->hasOneUse())
      if (auto user = dyn_cast<linalg::GenericOp>(*op->user_begin()); user && user->getNumResults() == 1) {
        Affine longer;
        if (matchChain(user, longer))
          return rewriter.notifyMatchFailure(op, "an op further down folds all of it");
      }
    linalg::LinalgOp product = producer->op;
    if (!isZero(product.getDpsInits()[0]))
      return rewriter.notifyMatchFailure(op, "the product does not start from zero");
    Value weight = producer->weight->get();
    Operation *mask = weight.getDefiningOp();
    Value source = lookThroughMask(weight);
    if (source == weight)
      mask = nullptr;
    arith::ConstantOp constant = getConstant(source);
    auto type = dyn_cast<RankedTensorType>(source.getType());
    if (!constant || !type || !type.getElementType().isF32() ||
        type.getDimSize(0) != static_cast<int64_t>(line.scale.size()))
      return rewriter.notifyMatchFailure(op, "the weight is not a constant f32 matrix with a row for each channel");
    auto attr = cast<ElementsAttr>(constant.getValue());
    FailureOr<ConstantBytes> bytes = getConstantBytes(attr);
    if (failed(bytes) || bytes->isSplat)
      return rewriter.notifyMatchFailure(op, "the bytes of the weight are not at hand");
    if (mask && (mask->getOperand(0) != source || !mask->hasOneUse()))
      return rewriter.notifyMatchFailure(op, "the weight has several masks or a shared one");
    for (auto [scale, shift] : llvm::zip(line.scale, line.shift))
      if (!std::isfinite(scale) || !std::isfinite(shift))
        return rewriter.notifyMatchFailure(op, "scale or shift is not finite");

    int64_t rows = type.getDimSize(0), columns = type.getNumElements() / rows;
    AsmResourceBlob blob = HeapAsmResourceBlob::allocate(bytes->data.size(), 16);
    auto from = reinterpret_cast<const float *>(bytes->data.data());
    auto to = reinterpret_cast<float *>(blob.getMutableData().data());
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column)
        to[row * columns + column] = static_cast<float>(from[row * columns + column] * line.scale[row]);
    Value scaled = createConstantLike(rewriter, source, state.store.create(type, std::move(blob), attr));
    Operation *holder = mask ? mask : producer->weight->getOwner();
    unsigned position = mask ? 0 : producer->weight->getOperandNumber();
    rewriter.modifyOpInPlace(holder, [&] { holder->setOperand(position, scaled); });

    SmallVector<float> shift(line.shift.begin(), line.shift.end());
    if (llvm::all_of(shift, [](float value) { return value == 0; })) {
      rewriter.replaceOp(op, product->getResult(0));
    } else {
      auto shiftType = RankedTensorType::get({rows}, type.getElementType());
      auto shiftBytes = ArrayRef(reinterpret_cast<const char *>(shift.data()), shift.size() * sizeof(float));
      AsmResourceBlob shiftBlob = HeapAsmResourceBlob::allocateAndCopyWithAlign(shiftBytes, 16);
      Value vector = createConstantLike(rewriter, source, state.store.create(shiftType, std::move(shiftBlob), {}));
      // Not the weight's name: that of the op which shifts, if it has one.
      StringRef scope = getLocationName(op.getLoc());
      Location loc = rewriter.getUnknownLoc();
      if (!scope.empty())
        loc = NameLoc::get(rewriter.getStringAttr(nameFromScope(scope, "bias")));
      vector.getDefiningOp()->setLoc(loc);
      Value sum =
          addVector(rewriter, op.getLoc(), product->getResult(0), vector, producer->channelDim, op.getDpsInits()[0]);
      rewriter.replaceOp(op, sum);
    }
    ++state.counts.foldedBatchNorms;
    return success();
  }
  NormalizeState &state;
};
} // namespace

void prune::populateFoldAffinePatterns(RewritePatternSet &patterns, NormalizeState &state) {
  if (state.options.moveBias)
    patterns.add<MoveBias>(patterns.getContext(), state);
  if (state.options.foldBatchNorm)
    patterns.add<FoldBatchNorm>(patterns.getContext(), state);
}
