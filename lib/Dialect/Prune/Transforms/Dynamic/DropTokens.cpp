//===- DropTokens.cpp - prune-drop-tokens -----------------------------------------===//

#include "../Calibration/Examples.h"
#include "TokenDims.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Remarks.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include "prune/Support/RegexOption.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEDROPTOKENS
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

class TokenDropper {
public:
  TokenDropper(ModuleOp module, const PruneDropTokensOptions &options) : module(module), options(options) {}
  LogicalResult run();

private:
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }
  LogicalResult findActivation();
  LogicalResult readKeep();
  LogicalResult findMarks();
  LogicalResult findAttention();
  Value emitMagnitudes(ImplicitLocOpBuilder &b);
  Value emitAttention(ImplicitLocOpBuilder &b);
  Value emitScores(ImplicitLocOpBuilder &b);
  void emitPlaces(ImplicitLocOpBuilder &b);
  Value copyTokens(ImplicitLocOpBuilder &b, Value from, Value into, unsigned dim, bool gathers);
  Value gather(ImplicitLocOpBuilder &b, Value value, const llvm::SmallBitVector &dims);
  Value getOperand(ImplicitLocOpBuilder &b, Value operand, const llvm::SmallBitVector &dims);
  Operation *clone(ImplicitLocOpBuilder &b, const TokenUse &use);
  RankedTensorType shrink(RankedTensorType type, const llvm::SmallBitVector &dims);

  ModuleOp module;
  const PruneDropTokensOptions &options;
  std::string name; ///< of the weight before whose product tokens go
  Value activation;
  int64_t tokenDim = 0, numTokens = 0, keep = 0;
  BlockArgument padding;
  Value attention; ///< of each token to each, if that is the score
  int64_t keyDim = 0;
  std::optional<int64_t> queryDim;
  Value places; ///< [keep]: tokens that are kept, in order
  IRMapping mapping;
  /// Others at the tokens that are kept: what, along which dimensions, and the result.
  std::vector<std::tuple<Value, llvm::SmallBitVector, Value>> gathered;
};

} // namespace

LogicalResult TokenDropper::findActivation() {
  std::shared_ptr<llvm::Regex> before;
  if (options.before.empty())
    return fail() << "before: expected a regular expression for the weight before whose product tokens go, got none";
  if (failed(readRegex("before", options.before, before, [&] { return fail(); })))
    return failure();
  int64_t linear = 0;
  for (const PrunableLayer &layer : findPrunableLayers(module)) {
    if (layer.kind != "linear" || !layer.isPrunable())
      continue;
    ++linear;
    if (activation || !before->match(layer.name))
      continue;
    auto op = cast<linalg::LinalgOp>(layer.op);
    OpOperand *read = op.getDpsInputOperand(layer.weight == op.getDpsInputOperand(0) ? 1 : 0);
    auto type = dyn_cast<RankedTensorType>(read->get().getType());
    int64_t rank = type ? type.getRank() : 0;
    bool isMatrix = rank >= 2 && type.hasStaticShape() && type.getElementType().isF32();
    for (int64_t dim = 0; isMatrix && dim < rank - 2; ++dim)
      isMatrix = type.getDimSize(dim) == 1;
    if (!isMatrix)
      return layer.op->emitOpError() << "before: expected activations [1, tokens, columns] of f32, got "
                                     << read->get().getType();
    activation = read->get();
    tokenDim = rank - 2;
    numTokens = type.getDimSize(tokenDim);
    name = layer.name;
  }
  if (!activation)
    return fail() << "before: '" << options.before << "' matches none of " << linear << " linear layers";
  return success();
}

LogicalResult TokenDropper::readKeep() {
  bool hasShare = !std::isnan(options.sparsity);
  if (hasShare && options.keep != -1)
    return fail() << "sparsity and keep exclude each other, got " << formatNumber(options.sparsity) << " and "
                  << options.keep;
  if (hasShare && !(options.sparsity >= 0 && options.sparsity < 1))
    return fail() << "sparsity: expected a value in [0, 1), got " << formatNumber(options.sparsity);
  double share = hasShare ? options.sparsity : 0.5;
  keep = options.keep != -1 ? options.keep
                            : std::max<int64_t>(numTokens - static_cast<int64_t>(std::nearbyint(share * numTokens)), 1);
  if (keep < 1 || keep > numTokens)
    return fail() << "keep: expected 1 to the " << numTokens << " tokens before '" << name << "', got " << keep;
  return success();
}

LogicalResult TokenDropper::findMarks() {
  auto function = dyn_cast<func::FuncOp>(activation.getParentBlock()->getParentOp());
  if (!function)
    return fail() << "before: expected '" << name << "' in the body of a function, got it in another region";
  FailureOr<BlockArgument> found = findPadding(function, options.padding, [&] { return fail(); });
  if (failed(found))
    return failure();
  padding = *found;
  if (padding && cast<RankedTensorType>(padding.getType()).getNumElements() != numTokens)
    return fail() << "padding: expected an element for each of " << numTokens << " tokens, got " << padding.getType();
  return success();
}

RankedTensorType TokenDropper::shrink(RankedTensorType type, const llvm::SmallBitVector &dims) {
  SmallVector<int64_t> shape(type.getShape());
  for (unsigned dim : dims.set_bits())
    shape[dim] = keep;
  return type.clone(shape);
}

static Value flatten(ImplicitLocOpBuilder &b, Value value) {
  auto from = cast<RankedTensorType>(value.getType());
  if (from.getRank() == 1)
    return value;
  SmallVector<ReassociationIndices> all{llvm::to_vector(llvm::seq<int64_t>(0, from.getRank()))};
  return tensor::CollapseShapeOp::create(b, value, all);
}

/// True where `mark`, an element of the padding, says that its token is none.
static Value emitIsPadding(ImplicitLocOpBuilder &b, Value mark) {
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(mark.getType()));
  if (isa<FloatType>(mark.getType()))
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, mark, zero);
  return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, mark, zero);
}

/// The mean of |x| of each token.
Value TokenDropper::emitMagnitudes(ImplicitLocOpBuilder &b) {
  auto type = cast<RankedTensorType>(activation.getType());
  SmallVector<int64_t> whole{type.getRank() - 1};
  auto mask = DynamicMaskOp::create(b, type.clone(b.getI1Type()), activation, tokenDim, /*unit=*/1, whole,
                                    /*is_signed=*/false, b.getF64FloatAttr(0), /*target_sparsity=*/FloatAttr(),
                                    /*keep=*/IntegerAttr(), /*of=*/IntegerAttr(), /*name=*/StringAttr());
  Value scores = emitUnitScores(mask);
  mask.erase();
  return flatten(b, scores);
}

/// The last product before the activation that sums over tokens by the quotients of a softmax.
LogicalResult TokenDropper::findAttention() {
  SetVector<Operation *> before;
  if (failed(getBackwardSlice(activation, &before)))
    return fail() << "before: '" << name << "' is in another region than what it depends on";
  for (Operation *op : llvm::reverse(before)) {
    auto product = dyn_cast<linalg::LinalgOp>(op);
    if (!product || product.getNumDpsInputs() != 2 || product.getNumReductionLoops() != 1)
      continue;
    SmallVector<unsigned> reductions;
    product.getReductionDims(reductions);
    if (product.getStaticLoopRanges()[reductions[0]] != numTokens)
      continue;
    for (OpOperand *operand : product.getDpsInputOperands()) {
      Value source = operand->get();
      while (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(source.getDefiningOp()))
        source = source.getDefiningOp()->getOperand(0);
      auto quotient = source.getDefiningOp<linalg::GenericOp>();
      if (!quotient || quotient.getBody()->getOps<arith::DivFOp>().empty())
        continue;
      OpOperand *other = product.getDpsInputOperand(operand == product.getDpsInputOperand(0) ? 1 : 0);
      AffineMap map = product.getMatchingIndexingMap(operand), values = product.getMatchingIndexingMap(other);
      attention = operand->get();
      keyDim = *map.getResultPosition(getAffineDimExpr(reductions[0], module.getContext()));
      // Queries are what results have and values do not.
      for (auto [dim, expr] : llvm::enumerate(map.getResults()))
        if (!values.getResultPosition(expr) && cast<RankedTensorType>(attention.getType()).getDimSize(dim) == numTokens)
          queryDim = dim;
      return success();
    }
  }
  return fail() << "score: expected a softmax over " << numTokens << " tokens before '" << name << "', got none";
}

/// What each token receives of the attention of all tokens but padding, summed over heads.
Value TokenDropper::emitAttention(ImplicitLocOpBuilder &b) {
  auto type = cast<RankedTensorType>(attention.getType());
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value empty = tensor::EmptyOp::create(b, numTokens, b.getF32Type());
  Value sums = linalg::FillOp::create(b, zero, empty).getResult(0);
  auto select = [&](std::optional<int64_t> dim) {
    return AffineMap::get(type.getRank(), 0, {b.getAffineDimExpr(*dim)}, b.getContext());
  };
  SmallVector<Value> inputs{attention};
  SmallVector<AffineMap> maps{b.getMultiDimIdentityMap(type.getRank())};
  if (padding && queryDim) {
    inputs.push_back(flatten(b, padding));
    maps.push_back(select(queryDim));
  }
  maps.push_back(select(keyDim));
  SmallVector<utils::IteratorType> loops(type.getRank(), utils::IteratorType::reduction);
  loops[keyDim] = utils::IteratorType::parallel;
  return linalg::GenericOp::create(b, empty.getType(), inputs, sums, maps, loops,
                                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                                     ImplicitLocOpBuilder body(loc, builder);
                                     Value share = args[0];
                                     if (args.size() == 3)
                                       share = arith::SelectOp::create(body, emitIsPadding(body, args[1]), zero, share);
                                     linalg::YieldOp::create(
                                         body, arith::AddFOp::create(body, args.back(), share).getResult());
                                   })
      .getResult(0);
}

/// What tokens are ranked by; below all others where `padding` is zero.
Value TokenDropper::emitScores(ImplicitLocOpBuilder &b) {
  Value scores = attention ? emitAttention(b) : emitMagnitudes(b);
  if (!padding)
    return scores;
  Value last = arith::ConstantOp::create(b, b.getF32FloatAttr(-1));
  Value empty = tensor::EmptyOp::create(b, numTokens, b.getF32Type());
  SmallVector<AffineMap> maps(3, b.getMultiDimIdentityMap(1));
  return linalg::GenericOp::create(
             b, empty.getType(), ValueRange{scores, flatten(b, padding)}, empty, maps, utils::IteratorType::parallel,
             [&](OpBuilder &builder, Location loc, ValueRange args) {
               ImplicitLocOpBuilder body(loc, builder);
               linalg::YieldOp::create(
                   body, arith::SelectOp::create(body, emitIsPadding(body, args[1]), last, args[0]).getResult());
             })
      .getResult(0);
}

/// Lists the tokens that are kept.
void TokenDropper::emitPlaces(ImplicitLocOpBuilder &b) {
  Value scores = emitScores(b);
  auto type = cast<RankedTensorType>(scores.getType());
  Value mask = DynamicMaskOp::create(b, type.clone(b.getI1Type()), scores, /*along=*/0, /*unit=*/1,
                                     /*whole=*/ArrayRef<int64_t>(), /*is_signed=*/true, /*threshold=*/FloatAttr(),
                                     /*target_sparsity=*/FloatAttr(), b.getI64IntegerAttr(keep), /*of=*/IntegerAttr(),
                                     b.getStringAttr(name));
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, value); };
  Type i32 = b.getI32Type();
  Value empty = tensor::EmptyOp::create(b, keep + 1, i32);
  // Each token is written behind the list, which grows by it if it is kept; one more place takes what comes after the
  // last.
  auto loop = scf::ForOp::create(
      b, index(0), index(numTokens), index(1), ValueRange{empty, index(0)},
      [&](OpBuilder &builder, Location loc, Value token, ValueRange carried) {
        ImplicitLocOpBuilder body(loc, builder);
        Value kept = tensor::ExtractOp::create(body, mask, token);
        Value number = arith::IndexCastOp::create(body, i32, token);
        Value list = tensor::InsertOp::create(body, number, carried[0], carried[1]);
        Value one = arith::ConstantIndexOp::create(body, 1);
        Value longer = arith::AddIOp::create(body, carried[1], one);
        scf::YieldOp::create(body, ValueRange{list, arith::SelectOp::create(body, kept, longer, carried[1])});
      });
  SmallVector<OpFoldResult> offset{b.getIndexAttr(0)}, size{b.getIndexAttr(keep)}, stride{b.getIndexAttr(1)};
  places = tensor::ExtractSliceOp::create(b, loop.getResult(0), offset, size, stride);
}

/// `into` with slices of `from`: slice i along `dim` of the kept tokens is the slice at their i-th place of all tokens.
Value TokenDropper::copyTokens(ImplicitLocOpBuilder &b, Value from, Value into, unsigned dim, bool gathers) {
  auto type = cast<RankedTensorType>(from.getType());
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, value); };
  return scf::ForOp::create(b, index(0), index(keep), index(1), into,
                            [&](OpBuilder &builder, Location loc, Value i, ValueRange carried) {
                              ImplicitLocOpBuilder body(loc, builder);
                              Value place = tensor::ExtractOp::create(body, places, i);
                              Value token = arith::IndexCastOp::create(body, body.getIndexType(), place);
                              SmallVector<OpFoldResult> source(type.getRank(), body.getIndexAttr(0)), target(source);
                              SmallVector<OpFoldResult> strides(type.getRank(), body.getIndexAttr(1)), sizes;
                              for (int64_t size : type.getShape())
                                sizes.push_back(body.getIndexAttr(size));
                              sizes[dim] = body.getIndexAttr(1);
                              source[dim] = gathers ? token : i;
                              target[dim] = gathers ? i : token;
                              Value slice = tensor::ExtractSliceOp::create(body, from, source, sizes, strides);
                              Value next =
                                  tensor::InsertSliceOp::create(body, slice, carried[0], target, sizes, strides);
                              scf::YieldOp::create(body, next);
                            })
      .getResult(0);
}

/// `value` at the tokens that are kept, along `dims`.
Value TokenDropper::gather(ImplicitLocOpBuilder &b, Value value, const llvm::SmallBitVector &dims) {
  for (unsigned dim : dims.set_bits()) {
    auto type = cast<RankedTensorType>(value.getType());
    SmallVector<int64_t> shape(type.getShape());
    shape[dim] = keep;
    Value empty = tensor::EmptyOp::create(b, shape, type.getElementType());
    value = copyTokens(b, value, empty, dim, /*gathers=*/true);
  }
  return value;
}

/// What an op reads once tokens are gone, in the place of `operand`.
Value TokenDropper::getOperand(ImplicitLocOpBuilder &b, Value operand, const llvm::SmallBitVector &dims) {
  if (Value mapped = mapping.lookupOrNull(operand))
    return mapped;
  if (dims.none())
    return operand;
  for (auto &[value, along, result] : gathered)
    if (value == operand && along == dims)
      return result;
  RankedTensorType type = shrink(cast<RankedTensorType>(operand.getType()), dims);
  auto fill = operand.getDefiningOp<linalg::FillOp>();
  if (operand.getDefiningOp<tensor::EmptyOp>() || fill) {
    Value empty = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
    return fill ? linalg::FillOp::create(b, fill.getInputs().front(), empty).getResult(0) : empty;
  }
  gathered.emplace_back(operand, dims, gather(b, operand, dims));
  return std::get<2>(gathered.back());
}

Operation *TokenDropper::clone(ImplicitLocOpBuilder &b, const TokenUse &use) {
  Operation *op = use.op;
  SmallVector<Value> operands;
  for (auto [operand, dims] : llvm::zip_equal(op->getOperands(), use.operands))
    operands.push_back(getOperand(b, operand, dims));
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
    return tensor::CollapseShapeOp::create(b, operands[0], collapse.getReassociationIndices());
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    SmallVector<int64_t> shape(expand.getResultType().getShape());
    for (auto [single, group] : llvm::enumerate(expand.getReassociationIndices()))
      if (use.operands[0].test(single))
        for (int64_t dim : group)
          shape[dim] = shape[dim] == 1 ? 1 : keep;
    return tensor::ExpandShapeOp::create(b, expand.getResultType().clone(shape), operands[0],
                                         expand.getReassociationIndices());
  }
  IRMapping own;
  for (auto [old, value] : llvm::zip_equal(op->getOperands(), operands))
    own.map(old, value);
  Operation *copy = b.clone(*op, own);
  copy->setOperands(operands);
  auto structured = dyn_cast<linalg::LinalgOp>(copy);
  for (OpResult result : copy->getResults())
    result.setType(
        structured
            ? structured.getDpsInits()[result.getResultNumber()].getType()
            : cast<RankedTensorType>(result.getType()).clone(cast<RankedTensorType>(operands[0].getType()).getShape()));
  return copy;
}

LogicalResult TokenDropper::run() {
  if (options.score != "magnitude" && options.score != "attention")
    return fail() << "score: expected magnitude or attention, got '" << options.score << "'";
  if (failed(findActivation()) || failed(readKeep()) || failed(findMarks()) ||
      (options.score == "attention" && failed(findAttention())))
    return failure();
  FailureOr<TokenDims> tokens = TokenDims::follow(activation, tokenDim);
  if (failed(tokens))
    return failure();
  Operation *end = activation.getParentBlock()->getTerminator();
  for (OpOperand &result : end->getOpOperands())
    if (tokens->get(result.get()).any() && result.get().getType() != activation.getType())
      return end->emitOpError() << "result " << result.getOperandNumber() << ": expected " << activation.getType()
                                << ", whose tokens can be filled in, got " << result.get().getType();
  OpBuilder builder(module.getContext());
  builder.setInsertionPointAfterValue(activation);
  ImplicitLocOpBuilder b(activation.getLoc(), builder);
  emitPlaces(b);
  mapping.map(activation, gather(b, activation, tokens->get(activation)));
  for (const TokenUse &use : tokens->getUses()) {
    b.setInsertionPoint(use.op);
    b.setLoc(use.op->getLoc());
    mapping.map(use.op->getResults(), clone(b, use)->getResults());
  }
  b.setInsertionPoint(end);
  for (OpOperand &result : end->getOpOperands())
    if (tokens->get(result.get()).any() && result.get() != activation)
      // Tokens that went have what the activation had.
      result.set(copyTokens(b, mapping.lookup(result.get()), activation, tokenDim, /*gathers=*/false));
    else if (Value mapped = mapping.lookupOrNull(result.get()); mapped && result.get() != activation)
      result.set(mapped);
  for (const TokenUse &use : llvm::reverse(tokens->getUses()))
    use.op->erase();
  remark::passed(activation.getLoc(), remark::RemarkOpts::name("Tokens").category("dynamic"))
      << llvm::formatv("{0} of {1} tokens are kept before '{2}'", keep, numTokens, name).str();
  return success();
}

LogicalResult mlir::prune::dropTokens(ModuleOp module, const PruneDropTokensOptions &options) {
  return TokenDropper(module, options).run();
}

namespace {
struct DropTokens : prune::impl::PruneDropTokensBase<DropTokens> {
  using PruneDropTokensBase::PruneDropTokensBase;

  void runOnOperation() override {
    PruneDropTokensOptions options;
    options.before = before;
    options.sparsity = sparsity;
    options.keep = keep;
    options.padding = padding;
    options.score = score;
    if (failed(dropTokens(getOperation(), options)))
      signalPassFailure();
  }
};
} // namespace
