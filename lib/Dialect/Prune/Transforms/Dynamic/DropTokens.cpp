//===- DropTokens.cpp - prune-drop-tokens -----------------------------------------===//

#include "../Calibration/Examples.h"
#include "TokenDims.h"
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

/// The mean of |x| of each token; below all of them where `padding` is zero.
Value TokenDropper::emitScores(ImplicitLocOpBuilder &b) {
  auto type = cast<RankedTensorType>(activation.getType());
  SmallVector<int64_t> whole{type.getRank() - 1};
  auto mask = DynamicMaskOp::create(b, type.clone(b.getI1Type()), activation, tokenDim, /*unit=*/1, whole,
                                    /*is_signed=*/false, b.getF64FloatAttr(0), /*target_sparsity=*/FloatAttr(),
                                    /*keep=*/IntegerAttr(), /*of=*/IntegerAttr(), /*name=*/StringAttr());
  Value scores = emitUnitScores(mask);
  mask.erase();
  auto flatten = [&](Value value) -> Value {
    auto from = cast<RankedTensorType>(value.getType());
    if (from.getRank() == 1)
      return value;
    SmallVector<ReassociationIndices> all{llvm::to_vector(llvm::seq<int64_t>(0, from.getRank()))};
    return tensor::CollapseShapeOp::create(b, value, all);
  };
  scores = flatten(scores);
  if (!padding)
    return scores;
  Value marks = flatten(padding);
  Type markType = getElementTypeOrSelf(marks.getType());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(markType));
  Value last = arith::ConstantOp::create(b, b.getF32FloatAttr(-1));
  Value empty = tensor::EmptyOp::create(b, numTokens, b.getF32Type());
  SmallVector<AffineMap> maps(3, b.getMultiDimIdentityMap(1));
  return linalg::GenericOp::create(
             b, empty.getType(), ValueRange{scores, marks}, empty, maps, utils::IteratorType::parallel,
             [&](OpBuilder &builder, Location loc, ValueRange args) {
               Value isPadding =
                   markType.isF32()
                       ? arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, args[1], zero).getResult()
                       : arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, args[1], zero).getResult();
               linalg::YieldOp::create(builder, loc,
                                       arith::SelectOp::create(builder, loc, isPadding, last, args[0]).getResult());
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
  if (failed(findActivation()) || failed(readKeep()) || failed(findMarks()))
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
    if (failed(dropTokens(getOperation(), options)))
      signalPassFailure();
  }
};
} // namespace
