//===- SumColumns.cpp - prune-pack for products that skip zeros -----------------===//

#include "SumColumns.h"
#include "ConstantStorage.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

/// True if `value` is max(x, 0) of an element x: by one operation, or by a comparison and a choice.
static bool isMaximumWithZero(Value value) {
  auto isZero = [](Value v) { return matchPattern(v, m_AnyZeroFloat()); };
  Operation *op = value.getDefiningOp();
  if (isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(op))
    return isZero(op->getOperand(0)) || isZero(op->getOperand(1));
  auto select = dyn_cast_or_null<arith::SelectOp>(op);
  auto compare = select ? select.getCondition().getDefiningOp<arith::CmpFOp>() : arith::CmpFOp();
  if (!compare || !isZero(compare.getRhs()))
    return false;
  using Predicate = arith::CmpFPredicate;
  bool isAbove =
      llvm::is_contained({Predicate::OGT, Predicate::UGT, Predicate::OGE, Predicate::UGE}, compare.getPredicate());
  bool isBelow =
      llvm::is_contained({Predicate::OLT, Predicate::ULT, Predicate::OLE, Predicate::ULE}, compare.getPredicate());
  Value kept = isAbove ? select.getTrueValue() : select.getFalseValue();
  Value other = isAbove ? select.getFalseValue() : select.getTrueValue();
  return (isAbove || isBelow) && kept == compare.getLhs() && isZero(other);
}

/// True if the elements of `value` are the results of such a maximum.
static bool isRectified(Value value) {
  if (isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(value.getDefiningOp()))
    return isMaximumWithZero(value); // arith on tensors
  auto generic = value.getDefiningOp<linalg::GenericOp>();
  if (!generic || generic.getNumReductionLoops() != 0)
    return false;
  unsigned number = cast<OpResult>(value).getResultNumber();
  return isMaximumWithZero(generic.getBody()->getTerminator()->getOperand(number));
}

/// What moves elements without changing them.
static Value lookThroughReshapes(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

std::optional<double> mlir::prune::findActivationDensity(linalg::LinalgOp op, Value activations, int64_t columnDim,
                                                         const LayerWeight &weight, StringRef category) {
  // What is not known of a maximum with zero: about half is negative.
  constexpr double rectifiedDensity = 0.5;
  auto declined = [&](const Twine &why) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category(category))
        << (weight.name + ": zeros of the activations are not skipped because " + why).str();
    return std::nullopt;
  };
  auto type = cast<RankedTensorType>(activations.getType());
  int64_t numTokens = type.getNumElements() / type.getDimSize(columnDim);
  Value source = lookThroughReshapes(activations);
  auto gate = source.getDefiningOp<GateOp>();
  // Without a word from the user only where nothing can be lost: each token reads what it needs of the weight again.
  if (!gate && (numTokens > 1 || !isRectified(source)))
    return std::nullopt;
  if (columnDim + 1 != type.getRank())
    return declined("they do not lie side by side");
  if (weight.values)
    return declined("the weight's values come at run time");
  if (!llvm::all_of(weight.matrix.weight, [](float value) { return std::isfinite(value); }))
    return declined("the weight holds values that are not finite, whose product with zero is NaN");
  if (!gate)
    return rectifiedDensity;
  auto mask = gate.getMask().getDefiningOp<DynamicMaskOp>();
  std::optional<double> density = mask ? mask.getExpectedDensity() : std::nullopt;
  return density.value_or(rectifiedDensity);
}

static Value makeEmpty(ImplicitLocOpBuilder &b, ArrayRef<int64_t> shape, Type element) {
  return tensor::EmptyOp::create(b, shape, element);
}

ListNonzerosOp mlir::prune::listNonzeros(ImplicitLocOpBuilder &b, Value matrix) {
  auto type = cast<RankedTensorType>(matrix.getType());
  int64_t numTokens = type.getDimSize(0), length = llvm::alignTo(type.getDimSize(1), ListNonzerosOp::kStep);
  Value columns = makeEmpty(b, {numTokens, length}, b.getI32Type()),
        values = makeEmpty(b, {numTokens, length}, b.getF32Type()), counts = makeEmpty(b, numTokens, b.getI32Type());
  return ListNonzerosOp::create(b, TypeRange{columns.getType(), values.getType(), counts.getType()}, matrix, columns,
                                values, counts);
}

/// All dimensions but the last as one.
static SmallVector<ReassociationIndices> groupLeading(int64_t rank) {
  return {llvm::to_vector(llvm::seq<int64_t>(0, rank - 1)), {rank - 1}};
}

Value mlir::prune::collapseToMatrix(ImplicitLocOpBuilder &b, Value value) {
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  return rank == 2 ? value : tensor::CollapseShapeOp::create(b, value, groupLeading(rank)).getResult();
}

Value mlir::prune::expandMatrix(ImplicitLocOpBuilder &b, Value matrix, RankedTensorType type) {
  if (type.getRank() == 2)
    return matrix;
  return tensor::ExpandShapeOp::create(b, type, matrix, groupLeading(type.getRank()));
}

int64_t mlir::prune::getShares(const MaskedMatrix &weight, int64_t numTokens, const PackOptions &options) {
  bool isLarge = weight.numRows * weight.numColumns * numTokens >= kMinParallelWork;
  return isLarge ? std::min(options.threads, weight.numRows) : 1;
}

Value mlir::prune::makeDense(ImplicitLocOpBuilder &b, const LayerWeight &weight, bool isTransposed) {
  const MaskedMatrix &matrix = weight.matrix;
  int64_t outer = matrix.numRows, inner = matrix.numColumns;
  if (isTransposed)
    std::swap(outer, inner);
  std::vector<float> values;
  values.reserve(outer * inner);
  for (int64_t i = 0; i < outer; ++i)
    for (int64_t j = 0; j < inner; ++j)
      values.push_back(isTransposed ? matrix.at(j, i) : matrix.at(i, j));
  return makeConstant<float>(b, values, {outer, inner}, b.getF32Type(),
                             weight.name + (isTransposed ? ".columns" : ".rows"));
}

/// True in a call whose lists are longer than `most` entries together.
static Value emitIsTooDense(ImplicitLocOpBuilder &b, ListNonzerosOp lists, int64_t most) {
  Type i64 = b.getI64Type(); // the longest lists of all tokens together
  Value total = arith::ConstantOp::create(b, b.getI64IntegerAttr(0));
  Value begin = arith::ConstantIndexOp::create(b, 0), step = arith::ConstantIndexOp::create(b, 1),
        end = arith::ConstantIndexOp::create(b, cast<RankedTensorType>(lists.getCounts().getType()).getDimSize(0));
  auto sum = scf::ForOp::create(
      b, begin, end, step, total, [&](OpBuilder &builder, Location loc, Value token, ValueRange carried) {
        Value count = tensor::ExtractOp::create(builder, loc, lists.getResult(2), token);
        Value longer =
            arith::AddIOp::create(builder, loc, carried[0], arith::ExtUIOp::create(builder, loc, i64, count));
        scf::YieldOp::create(builder, loc, longer);
      });
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ugt, sum.getResult(0),
                               arith::ConstantOp::create(b, b.getI64IntegerAttr(most)));
}

void mlir::prune::sumColumns(RewriterBase &rewriter, linalg::LinalgOp op, Value activations, const LayerWeight &weight,
                             const LayerChoice &choice, const PackOptions &options) {
  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  auto resultType = cast<RankedTensorType>(op->getResult(0).getType());
  int64_t numRows = weight.matrix.numRows, numTokens = resultType.getNumElements() / numRows;
  Value x = collapseToMatrix(b, activations), matrix = makeDense(b, weight, /*isTransposed=*/true);
  int64_t shares = getShares(weight.matrix, numTokens, options);
  Value init = makeEmpty(b, {numTokens, numRows}, b.getF32Type());
  auto sumAll = [&](OpBuilder &builder, Location loc) {
    return SumAllColumnsOp::create(builder, loc, init.getType(), matrix, x, init, shares).getResult(0);
  };
  Value y;
  if (choice.getBest().skipsActivations()) {
    ListNonzerosOp lists = listNonzeros(b, x);
    auto sumListed = [&](OpBuilder &builder, Location loc) {
      return SumColumnsOp::create(builder, loc, init.getType(), matrix, lists.getResult(0), lists.getResult(1),
                                  lists.getResult(2), init, shares)
          .getResult(0);
    };
    if (choice.mostSkipped < 1) {
      double elements = static_cast<double>(numTokens * weight.matrix.numColumns);
      Value isTooDense = emitIsTooDense(b, lists, static_cast<int64_t>(choice.mostSkipped * elements));
      auto yield = [](auto &emit) {
        return [&](OpBuilder &builder, Location loc) { scf::YieldOp::create(builder, loc, emit(builder, loc)); };
      };
      y = scf::IfOp::create(b, isTooDense, yield(sumAll), yield(sumListed)).getResult(0);
    } else {
      y = sumListed(b, b.getLoc());
    }
  } else {
    y = sumAll(b, b.getLoc());
  }
  rewriter.replaceOp(op, expandMatrix(b, y, resultType));
}
