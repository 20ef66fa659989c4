//===- FuseElementwise.cpp - Fusion that stores and computes less ---------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEFUSEELEMENTWISE
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;

/// A generic that only moves data: its body yields an argument.
static bool isCopy(Operation *op) {
  auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
  return generic && generic.getBody()->getOperations().size() == 1;
}

/// A generic of one or two additions or multiplications on one tensor of its result's size: less work than a store and
/// a load of the result.
static bool isCheap(linalg::GenericOp producer) {
  auto type = cast<RankedTensorType>(producer.getResult(0).getType());
  if (!type.hasStaticShape() || producer.getNumReductionLoops() != 0)
    return false;
  auto isLarge = [&](Value input) {
    auto inputType = dyn_cast<RankedTensorType>(input.getType());
    return inputType && inputType.hasStaticShape() && inputType.getNumElements() * 8 > type.getNumElements();
  };
  if (llvm::count_if(producer.getDpsInputs(), isLarge) != 1)
    return false;
  auto operations = producer.getBody()->without_terminator();
  return llvm::range_size(operations) <= 2 && llvm::all_of(operations, [](Operation &op) {
           auto divide = dyn_cast<arith::DivFOp>(op);
           return isa<arith::AddFOp, arith::SubFOp, arith::MulFOp>(op) ||
                  (divide && matchPattern(divide.getRhs(), m_Constant()));
         });
}

/// True if what `operand` reads may be computed where it is read: nowhere else, or at hardly any cost.
static bool mayMove(OpOperand *operand) {
  Operation *producer = operand->get().getDefiningOp();
  if (isCopy(producer))
    return true;
  auto consumer = cast<linalg::LinalgOp>(operand->getOwner());
  if (!producer || !consumer.getMatchingIndexingMap(operand).isPermutation())
    return false;
  if (producer->hasOneUse())
    return true;
  // All users take it along, or the result is stored after all.
  auto generic = dyn_cast<linalg::GenericOp>(producer);
  return generic && isCheap(generic) && llvm::all_of(producer->getUses(), [](OpOperand &use) {
           auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
           return user && user.isDpsInput(&use) && user.getMatchingIndexingMap(&use).isPermutation();
         });
}

namespace {
/// contract(x / s, v) to contract(x, v) / s where s does not change along the reduction and the product is smaller than
/// x: the probabilities of attention are divided by their sum after they met the values.
struct DivideAfterProduct : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp product, PatternRewriter &rewriter) const override {
    if (!product.hasPureTensorSemantics() || product.getNumDpsInputs() != 2 || product.getNumDpsInits() != 1 ||
        !linalg::isaContractionOpInterface(product))
      return rewriter.notifyMatchFailure(product, "not a contraction of two tensors");
    auto type = cast<RankedTensorType>(product.getResult(0).getType());
    auto fill = product.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
    FloatAttr zero;
    if (!fill || !matchPattern(fill.getInputs().front(), m_Constant(&zero)) || !zero.getValue().isZero())
      return rewriter.notifyMatchFailure(product, "does not start from zero");
    for (OpOperand *input : product.getDpsInputOperands())
      if (succeeded(rewrite(product, *input, type, rewriter)))
        return success();
    return rewriter.notifyMatchFailure(product, "no input is a quotient that the reduction leaves alone");
  }

  LogicalResult rewrite(linalg::GenericOp product, OpOperand &input, RankedTensorType type,
                        PatternRewriter &rewriter) const {
    auto quotient = input.get().getDefiningOp<linalg::GenericOp>();
    AffineMap inputMap = product.getMatchingIndexingMap(&input);
    if (!quotient || !quotient->hasOneUse() || quotient.getNumDpsInputs() != 2 ||
        quotient.getNumReductionLoops() != 0 || !inputMap.isProjectedPermutation() ||
        !llvm::all_of(quotient->getOperands(), [](Value v) { return isa<RankedTensorType>(v.getType()); }) ||
        !cast<RankedTensorType>(input.get().getType()).hasStaticShape() || !type.hasStaticShape() ||
        type.getNumElements() >= cast<RankedTensorType>(input.get().getType()).getNumElements())
      return failure();
    Block &body = *quotient.getBody();
    auto divide = dyn_cast<arith::DivFOp>(body.front());
    if (!divide || divide->getNextNode() != body.getTerminator() || divide.getLhs() != body.getArgument(0) ||
        divide.getRhs() != body.getArgument(1) || body.getTerminator()->getOperand(0) != divide.getResult())
      return failure();
    // Loops of the quotient in terms of the product's.
    AffineMap resultMap = quotient.getMatchingIndexingMap(quotient.getDpsInitOperand(0));
    AffineMap dividendMap = quotient.getMatchingIndexingMap(quotient.getDpsInputOperand(0));
    AffineMap divisorMap = quotient.getMatchingIndexingMap(quotient.getDpsInputOperand(1));
    if (!resultMap.isPermutation() || dividendMap != resultMap)
      return failure();
    AffineMap toProduct = inversePermutation(resultMap).compose(inputMap);
    AffineMap divisor = divisorMap.compose(toProduct);
    AffineMap productMap = product.getMatchingIndexingMap(product.getDpsInitOperand(0));
    if (!productMap.isProjectedPermutation())
      return failure();
    // The divisor in terms of the result's dimensions.
    SmallVector<AffineExpr> loops(product.getNumLoops());
    for (auto [position, expr] : llvm::enumerate(productMap.getResults()))
      loops[cast<AffineDimExpr>(expr).getPosition()] = rewriter.getAffineDimExpr(position);
    SmallVector<AffineExpr> results;
    for (AffineExpr expr : divisor.getResults()) {
      bool known = true;
      expr.walk([&](AffineExpr nested) {
        if (auto dim = dyn_cast<AffineDimExpr>(nested))
          known &= bool(loops[dim.getPosition()]);
      });
      if (!known)
        return failure();
      results.push_back(expr);
    }
    for (AffineExpr &loop : loops)
      loop = loop ? loop : rewriter.getAffineConstantExpr(0);
    for (AffineExpr &expr : results)
      expr = expr.replaceDims(loops);

    Location loc = quotient.getLoc();
    rewriter.modifyOpInPlace(product, [&] { input.set(quotient.getDpsInputOperand(0)->get()); });
    rewriter.setInsertionPointAfter(product);
    MLIRContext *context = rewriter.getContext();
    AffineMap identity = AffineMap::getMultiDimIdentityMap(type.getRank(), context);
    Value target = tensor::EmptyOp::create(rewriter, loc, type.getShape(), type.getElementType());
    auto scaled = linalg::GenericOp::create(
        rewriter, loc, TypeRange{type}, ValueRange{product.getResult(0), quotient.getDpsInputOperand(1)->get()},
        ValueRange{target}, {identity, AffineMap::get(type.getRank(), 0, results, context), identity},
        SmallVector<utils::IteratorType>(type.getRank(), utils::IteratorType::parallel),
        [](OpBuilder &b, Location loc, ValueRange args) {
          linalg::YieldOp::create(b, loc, arith::DivFOp::create(b, loc, args[0], args[1]).getResult());
        });
    rewriter.replaceAllUsesExcept(product.getResult(0), scaled.getResult(0), scaled);
    return success();
  }
};
} // namespace

/// True if `use` is only subtracted from arguments of exponentials, where the sign of a zero makes no difference.
static bool isShiftOfExponent(OpOperand &use) {
  auto op = dyn_cast<linalg::GenericOp>(use.getOwner());
  if (!op || !op.isDpsInput(&use))
    return false;
  BlockArgument shift = op.getMatchingBlockArgument(&use);
  return llvm::all_of(shift.getUsers(), [&](Operation *user) {
    auto subtract = dyn_cast<arith::SubFOp>(user);
    return subtract && subtract.getLhs() != shift &&
           llvm::all_of(subtract->getUsers(), [](Operation *reader) { return isa<math::ExpOp>(reader); });
  });
}

/// Largest scores of a softmax need not tell +0 from -0, which costs a processor two more instructions.
static void relaxMaxima(Operation *root) {
  root->walk([](arith::MaximumFOp maximum) {
    auto op = dyn_cast<linalg::GenericOp>(maximum->getParentOp());
    if (op && op->getNumResults() == 1 && op.getNumReductionLoops() != 0 && maximum->hasOneUse() &&
        isa<linalg::YieldOp>(*maximum->user_begin()) && llvm::all_of(op->getUses(), isShiftOfExponent))
      maximum.setFastmath(maximum.getFastmath() | arith::FastMathFlags::nsz);
  });
}

namespace {
struct PruneFuseElementwise : prune::impl::PruneFuseElementwiseBase<PruneFuseElementwise> {
  using Base::Base;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    linalg::populateElementwiseOpsFusionPatterns(patterns, mayMove);
    patterns.add<DivideAfterProduct>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
    relaxMaxima(getOperation());
  }
};
} // namespace
