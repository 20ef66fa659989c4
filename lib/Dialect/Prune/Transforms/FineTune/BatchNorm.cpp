//===- BatchNorm.cpp - Batch norms in the form that trains --------------------===//

#include "BatchNorm.h"
#include "Emit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::prune;

/// The one op that uses `value`; null if there are none or several.
static Operation *getOnlyUser(Value value) { return value.hasOneUse() ? *value.getUsers().begin() : nullptr; }

/// True if `argument` is read only as `argument + constant`, and that only under a root.
static bool isVariance(BlockArgument argument) {
  auto sum = dyn_cast_or_null<arith::AddFOp>(getOnlyUser(argument));
  if (!sum)
    return false;
  Value epsilon = sum.getLhs() == argument ? sum.getRhs() : sum.getLhs();
  if (epsilon.getParentRegion() == argument.getParentRegion() && !epsilon.getDefiningOp<arith::ConstantOp>())
    return false;
  return isa_and_nonnull<math::RsqrtOp, math::SqrtOp>(getOnlyUser(sum));
}

/// What `argument` is subtracted from; null if it is read in any other way.
static BlockArgument getMinuend(BlockArgument argument) {
  auto difference = dyn_cast_or_null<arith::SubFOp>(getOnlyUser(argument));
  if (!difference || difference.getRhs() != argument)
    return nullptr;
  return dyn_cast<BlockArgument>(difference.getLhs());
}

static std::optional<BatchNorm> matchBatchNorm(linalg::GenericOp op, function_ref<bool(Value)> isWeight) {
  if (op.getNumDpsInits() != 1 || op.getNumParallelLoops() != op.getNumLoops())
    return std::nullopt;
  BatchNorm norm{op, nullptr, nullptr, nullptr, 0};
  for (OpOperand *operand : op.getDpsInputOperands()) {
    Value value = operand->get();
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type || type.getRank() != 1 || !type.getElementType().isF32() || !isWeight(value))
      continue;
    BlockArgument argument = op.getMatchingBlockArgument(operand);
    if (isVariance(argument))
      norm.variance = operand;
    else if (BlockArgument minuend = getMinuend(argument); minuend && minuend.getOwner() == op.getBody()) {
      norm.mean = operand;
      norm.input = &op->getOpOperand(minuend.getArgNumber());
    }
  }
  if (!norm.mean || !norm.variance || !op.isDpsInput(norm.input))
    return std::nullopt;
  AffineMap channels = op.getMatchingIndexingMap(norm.mean);
  auto channel = dyn_cast<AffineDimExpr>(channels.getResult(0));
  if (!channel || op.getMatchingIndexingMap(norm.variance) != channels ||
      !op.getMatchingIndexingMap(norm.input).isPermutation())
    return std::nullopt;
  norm.channel = channel.getPosition();
  return norm;
}

int64_t BatchNorm::getCount() const {
  return cast<RankedTensorType>(input->get().getType()).getNumElements() /
         cast<RankedTensorType>(mean->get().getType()).getNumElements();
}

SmallVector<BatchNorm> mlir::prune::findBatchNorms(func::FuncOp function, function_ref<bool(Value)> isWeight) {
  SmallVector<BatchNorm> norms;
  function.walk([&](linalg::GenericOp op) {
    if (std::optional<BatchNorm> norm = matchBatchNorm(op, isWeight); norm && norm->getCount() > 1)
      norms.push_back(*norm);
  });
  return norms;
}

BatchStatistics mlir::prune::useBatchStatistics(OpBuilder &builder, const BatchNorm &norm) {
  linalg::GenericOp op = norm.op;
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  auto type = cast<RankedTensorType>(norm.mean->get().getType());
  Type element = type.getElementType();
  Value input = norm.input->get();
  AffineMap inputMap = op.getMatchingIndexingMap(norm.input), channels = op.getMatchingIndexingMap(norm.mean);
  auto divide = [&](Value sum, int64_t count) {
    return emitMap(b, sum, type,
                   [&](ImplicitLocOpBuilder &b, ValueRange args) {
                     return SmallVector<Value>{arith::DivFOp::create(b, args[0], emitFloat(b, double(count), element))};
                   })
        .front();
  };
  TypedAttr zero = b.getFloatAttr(element, 0.0);
  Value sum = emitReduction(b, input, inputMap, type, channels, zero, [](ImplicitLocOpBuilder &b, ValueRange args) {
    return SmallVector<Value>{arith::AddFOp::create(b, args[1], args[0])};
  });
  Value mean = divide(sum, norm.getCount());
  Value squares = emitReduction(b, {input, mean}, {inputMap, channels}, type, channels, zero,
                                [](ImplicitLocOpBuilder &b, ValueRange args) {
                                  Value d = arith::SubFOp::create(b, args[0], args[1]);
                                  Value square = arith::MulFOp::create(b, d, d);
                                  return SmallVector<Value>{arith::AddFOp::create(b, args[2], square)};
                                });
  norm.mean->set(mean);
  norm.variance->set(divide(squares, norm.getCount()));
  return {mean, divide(squares, norm.getCount() - 1)};
}
