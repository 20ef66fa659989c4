//===- SumColumns.cpp - prune-pack for products that skip zeros -----------------===//

#include "SumColumns.h"
#include "ConstantStorage.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"
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

void mlir::prune::sumColumns(RewriterBase &rewriter, linalg::LinalgOp op, Value activations, const LayerWeight &weight,
                             const PackOptions &options) {
  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  auto resultType = cast<RankedTensorType>(op->getResult(0).getType());
  int64_t rank = resultType.getRank(), numRows = weight.matrix.numRows, numColumns = weight.matrix.numColumns;
  int64_t numTokens = resultType.getNumElements() / numRows, length = llvm::alignTo(numColumns, ListNonzerosOp::kStep);
  SmallVector<ReassociationIndices> groups{llvm::to_vector(llvm::seq<int64_t>(0, rank - 1)), {rank - 1}};
  Value x = activations;
  if (rank > 2)
    x = tensor::CollapseShapeOp::create(b, x, groups);

  auto makeEmpty = [&](ArrayRef<int64_t> shape, Type element) -> Value {
    return tensor::EmptyOp::create(b, shape, element);
  };
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  Value columns = makeEmpty({numTokens, length}, i32), values = makeEmpty({numTokens, length}, f32),
        counts = makeEmpty(numTokens, i32);
  auto lists = ListNonzerosOp::create(b, TypeRange{columns.getType(), values.getType(), counts.getType()}, x, columns,
                                      values, counts);
  std::vector<float> transposed;
  transposed.reserve(numRows * numColumns);
  for (int64_t column = 0; column < numColumns; ++column)
    for (int64_t row = 0; row < numRows; ++row)
      transposed.push_back(weight.matrix.at(row, column));
  Value matrix = makeConstant<float>(b, transposed, {numColumns, numRows}, f32, weight.name + ".columns");
  bool isLarge = numRows * numColumns * numTokens >= kMinParallelWork;
  int64_t shares = isLarge ? std::min(options.threads, numRows) : 1;
  Value init = makeEmpty({numTokens, numRows}, f32);
  Value y = SumColumnsOp::create(b, init.getType(), matrix, lists.getResult(0), lists.getResult(1), lists.getResult(2),
                                 init, shares)
                .getResult(0);
  if (rank > 2)
    y = tensor::ExpandShapeOp::create(b, resultType, y, groups);
  rewriter.replaceOp(op, y);
}
