//===- FuseEpilogues.cpp - Bias, activation and residual into packed layers -------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEFUSEEPILOGUES
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

static SmallVector<int64_t> withoutUnits(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> result;
  llvm::copy_if(shape, std::back_inserter(result), [](int64_t size) { return size != 1; });
  return result;
}

/// The layer that `value` comes from, looking through reshapes that only add or drop unit dimensions.
template <typename LayerOp> static LayerOp findLayer(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!value.hasOneUse())
      return nullptr;
    if (auto layer = dyn_cast<LayerOp>(op))
      return layer;
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
      return nullptr;
    Value source = op->getOperand(0);
    if (withoutUnits(cast<RankedTensorType>(source.getType()).getShape()) !=
        withoutUnits(cast<RankedTensorType>(value.getType()).getShape()))
      return nullptr;
    value = source;
  }
  return nullptr;
}

/// Loops that index the non-unit dimensions of an operand, in order; none if something else does.
static std::optional<SmallVector<unsigned>> getLoops(linalg::GenericOp op, OpOperand &operand) {
  SmallVector<unsigned> loops;
  auto type = cast<RankedTensorType>(operand.get().getType());
  for (auto [size, expr] : llvm::zip(type.getShape(), op.getMatchingIndexingMap(&operand).getResults())) {
    if (size == 1)
      continue;
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      return std::nullopt;
    loops.push_back(dim.getPosition());
  }
  return loops;
}

/// True if the epilogue may give `element`. A layer without lanes sums in f32 and may store a narrower float type. Sums
/// of int8 products may become f32, and i8 again while the partial sums of all rows, which i8 cannot hold, are small
/// enough for the stack of a thread.
static bool mayChangeType(LinearOp layer, Type element) {
  constexpr int64_t maxRows = 4096;
  if (layer.hasWords())
    return element.isF32() || (element.isInteger(8) && !layer.getShares() && layer.getNumRows() <= maxRows);
  return layer.getLaneDims() == 0 && isa<FloatType>(element) &&
         layer.getEpilogue().front().getArgument(0).getType().isF32() && element.getIntOrFloatBitWidth() < 32;
}
static bool mayChangeType(DepthwiseOp, Type) { return false; }

namespace {

template <typename LayerOp> struct FuseIntoLayer : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics() || op->getNumResults() != 1 || op.getNumParallelLoops() != op.getNumLoops())
      return rewriter.notifyMatchFailure(op, "not one elementwise result on tensors");
    auto resultType = cast<RankedTensorType>(op->getResult(0).getType());
    if (!resultType.hasStaticShape())
      return rewriter.notifyMatchFailure(op, "dynamic shape");
    LayerOp layer;
    OpOperand *layerUse = nullptr;
    for (OpOperand *input : op.getDpsInputOperands())
      if (isa<RankedTensorType>(input->get().getType()) && (layer = findLayer<LayerOp>(input->get()))) {
        layerUse = input;
        break;
      }
    if (!layer)
      return rewriter.notifyMatchFailure(op, "no operand is a layer used only here");
    Block *body = op.getBody();
    Type element = resultType.getElementType();
    bool changesType = element != layer.getInitType().getElementType();
    if (!body->getArguments().back().use_empty() || (changesType && !mayChangeType(layer, element)))
      return rewriter.notifyMatchFailure(op, "reads its destination or changes the element type");
    for (Operation &nested : body->without_terminator()) {
      if (!isa<arith::ConstantOp>(nested) && !OpTrait::hasElementwiseMappableTraits(&nested))
        return rewriter.notifyMatchFailure(op, "body is not elementwise");
      for (Value operand : nested.getOperands())
        if (operand.getParentBlock() != body && !operand.getDefiningOp<arith::ConstantOp>())
          return rewriter.notifyMatchFailure(op, "body uses a value from outside");
    }

    // Without unit dimensions, layer, result and extras must be indexed alike; a bias by the row loop alone.
    ArrayRef<int64_t> shape = layer.getInitType().getShape();
    auto layerLoops = getLoops(op, *layerUse);
    auto resultLoops = getLoops(op, op.getDpsInitsMutable()[0]);
    if (!layerLoops || !resultLoops || *layerLoops != *resultLoops || shape[layer.getRowDim()] == 1)
      return rewriter.notifyMatchFailure(op, "result is not indexed like the layer");
    unsigned rowLoop = (*layerLoops)[withoutUnits(shape.take_front(layer.getRowDim())).size()];
    SmallVector<std::pair<OpOperand *, bool>> extras; // operand, is it per row
    for (OpOperand *input : op.getDpsInputOperands()) {
      if (input == layerUse)
        continue;
      if (!isa<RankedTensorType>(input->get().getType()))
        return rewriter.notifyMatchFailure(op, "scalar operand");
      auto loops = getLoops(op, *input);
      bool isPerRow = loops && *loops == SmallVector<unsigned>{rowLoop};
      if (!isPerRow && (!loops || *loops != *layerLoops))
        return rewriter.notifyMatchFailure(op, "an operand is neither a bias nor a residual");
      extras.push_back({input, isPerRow});
    }

    rewriter.setInsertionPoint(op);
    SmallVector<Value> newExtras(layer.getExtras());
    for (auto [operand, isPerRow] : extras)
      newExtras.push_back(
          reshapeTensor(rewriter, operand->get(), isPerRow ? ArrayRef(shape[layer.getRowDim()]) : shape));
    // The same layer with more extras, at the place of its consumer.
    auto fused = cast<LayerOp>(rewriter.cloneWithoutRegions(*layer.getOperation()));
    fused->setLoc(op.getLoc());
    fused.getExtrasMutable().assign(newExtras);
    if (changesType) {
      rewriter.setInsertionPoint(fused);
      Value init = tensor::EmptyOp::create(rewriter, fused.getLoc(), shape, element);
      fused.getInitMutable().assign(init);
      fused->getResult(0).setType(init.getType());
    }
    // The layer's own epilogue, then the body of the consumer on its result.
    IRMapping mapping;
    layer.getEpilogue().cloneInto(&fused.getEpilogue(), mapping);
    Block &epilogue = fused.getEpilogue().front();
    auto yield = cast<YieldOp>(epilogue.getTerminator());
    IRMapping bodyMapping;
    bodyMapping.map(body->getArgument(layerUse->getOperandNumber()), yield.getValues().front());
    for (auto [operand, isPerRow] : extras) {
      Type extraElement = cast<RankedTensorType>(operand->get().getType()).getElementType();
      bodyMapping.map(body->getArgument(operand->getOperandNumber()), epilogue.addArgument(extraElement, op.getLoc()));
    }
    rewriter.setInsertionPoint(yield);
    for (Operation &nested : body->without_terminator()) {
      for (Value operand : nested.getOperands())
        if (operand.getParentBlock() != body && !bodyMapping.contains(operand))
          bodyMapping.map(operand, rewriter.clone(*operand.getDefiningOp())->getResult(0));
      rewriter.clone(nested, bodyMapping);
    }
    Value yielded = cast<linalg::YieldOp>(body->getTerminator()).getValues().front();
    Value result = bodyMapping.lookupOrNull(yielded);
    if (!result) // the body yields a constant from outside
      result = rewriter.clone(*yielded.getDefiningOp())->getResult(0);
    rewriter.replaceOpWithNewOp<YieldOp>(yield, result);
    rewriter.setInsertionPointAfter(fused);
    rewriter.replaceOp(op, reshapeTensor(rewriter, fused.getResult(0), resultType.getShape()));
    return success();
  }
};

struct PruneFuseEpilogues : prune::impl::PruneFuseEpiloguesBase<PruneFuseEpilogues> {
  using Base::Base;
  void runOnOperation() override { numFused += fuseEpilogues(getOperation()); }
};

} // namespace

/// Fuses into all layers of one kind.
template <typename LayerOp> static int64_t fuseInto(Operation *root) {
  // In program order, so that a chain of consumers moves in one after the other.
  int64_t numFused = 0;
  FuseIntoLayer<LayerOp> pattern(root->getContext());
  PatternRewriter rewriter(root->getContext());
  SmallVector<linalg::GenericOp> generics;
  root->walk([&](linalg::GenericOp op) { generics.push_back(op); });
  for (linalg::GenericOp op : generics)
    if (succeeded(pattern.matchAndRewrite(op, rewriter)))
      ++numFused;
  // Layers whose consumer moved in are dead.
  SmallVector<LayerOp> layers;
  root->walk([&](LayerOp op) { layers.push_back(op); });
  for (LayerOp op : llvm::reverse(layers))
    if (isOpTriviallyDead(op))
      rewriter.eraseOp(op);
  return numFused;
}

int64_t mlir::prune::fuseEpilogues(Operation *root) { return fuseInto<LinearOp>(root) + fuseInto<DepthwiseOp>(root); }
