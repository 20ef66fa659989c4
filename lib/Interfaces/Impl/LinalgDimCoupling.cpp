//===- LinalgDimCoupling.cpp - How linalg ops tie dimensions ------------------===//
//
// One rule for all structured ops: dimensions that the same loop indexes are tied. Everything else is read from the
// indexing maps and the region.
//
//===----------------------------------------------------------------------===//

#include "DimCouplingModels.h"
#include "RegionEvaluator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Interfaces/DimCoupling.h"

using namespace mlir;
using namespace mlir::prune;
using linalg::LinalgOp;

namespace {

/// The loop whose index `value` is, looked at through casts; -1 if it is none.
int64_t getLoopOfIndex(Value value) {
  while (auto cast = value.getDefiningOp<arith::IndexCastOp>())
    value = cast.getIn();
  auto index = value.getDefiningOp<linalg::IndexOp>();
  return index ? static_cast<int64_t>(index.getDim()) : -1;
}

/// True if all uses of an index go into tensor.extract, whose rule knows them.
bool isOnlyExtractedWith(Value index) {
  return llvm::all_of(index.getUsers(), [](Operation *user) {
    if (isa<arith::IndexCastOp>(user))
      return isOnlyExtractedWith(user->getResult(0));
    return isa<tensor::ExtractOp>(user);
  });
}

/// The position of loop `loop` in `map` as a result of its own; -1 if there is none.
int64_t findLoop(AffineMap map, int64_t loop) {
  for (auto [i, expr] : llvm::enumerate(map.getResults()))
    if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && static_cast<int64_t>(dim.getPosition()) == loop)
      return i;
  return -1;
}

/// The loop of dimension `dim` of an operand; -1 if its index is computed.
int64_t getLoop(LinalgOp op, OpOperand &operand, int64_t dim) {
  auto expr = dyn_cast<AffineDimExpr>(op.getMatchingIndexingMap(&operand).getResult(dim));
  return expr ? static_cast<int64_t>(expr.getPosition()) : -1;
}

struct LinalgRelations {
  LinalgOp op;
  DimRelations &relations;
  SmallVector<std::optional<DimRef>> anchors;
  SmallVector<const char *> frozenLoops;

  LinalgRelations(LinalgOp op, DimRelations &relations)
      : op(op), relations(relations), anchors(op.getNumLoops()), frozenLoops(op.getNumLoops(), nullptr) {}

  void tieToLoop(DimRef dim, int64_t loop) {
    if (anchors[loop])
      relations.tie(*anchors[loop], dim);
    else
      anchors[loop] = dim;
  }

  void collectOperand(OpOperand &operand) {
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type)
      return;
    for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults())) {
      DimRef ref{operand.get(), static_cast<int64_t>(dim)};
      if (auto loop = dyn_cast<AffineDimExpr>(expr)) {
        tieToLoop(ref, loop.getPosition());
        continue;
      }
      relations.freeze(ref, "is read through a sliding window or at computed indices", /*isPosition=*/true);
      expr.walk([&](AffineExpr part) {
        if (auto loop = dyn_cast<AffineDimExpr>(part))
          frozenLoops[loop.getPosition()] = "moves a sliding window";
      });
    }
  }

  void collectRegion() {
    for (Operation &inner : *op.getBlock()) {
      if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
        if (!isOnlyExtractedWith(index))
          frozenLoops[index.getDim()] = "has indices that are computed with";
        continue;
      }
      if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
        for (auto [dim, index] : llvm::enumerate(extract.getIndices())) {
          DimRef ref{extract.getTensor(), static_cast<int64_t>(dim)};
          int64_t loop = getLoopOfIndex(index);
          if (loop >= 0)
            tieToLoop(ref, loop);
          else
            relations.freeze(ref, "is indexed by values");
        }
        continue;
      }
      for (Value operand : inner.getOperands())
        if (operand.getParentBlock() != op.getBlock())
          freezeAll(relations, operand, "is read as a whole");
    }
  }

  void collect() {
    for (OpOperand &operand : op->getOpOperands())
      collectOperand(operand);
    collectRegion();
    for (auto [operand, result] : llvm::zip_equal(op.getDpsInits(), op->getResults()))
      tieAll(relations, operand, result);
    for (auto [loop, why] : llvm::enumerate(frozenLoops))
      if (why && anchors[loop])
        relations.freeze(*anchors[loop], why, /*isPosition=*/true);
    SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
    for (OpOperand *operand : op.getDpsInputOperands())
      if (auto type = dyn_cast<RankedTensorType>(operand->get().getType()))
        for (int64_t dim = 0; dim < type.getRank(); ++dim)
          if (int64_t loop = getLoop(op, *operand, dim);
              loop >= 0 && !frozenLoops[loop] && iterators[loop] == utils::IteratorType::reduction)
            relations.reduce(*operand, dim);
  }
};

/// What the region's arguments hold where loop `loop` is at a removed index. Accumulators are left open.
SmallVector<KnownScalar> getArguments(LinalgOp op, int64_t loop, ElementFn element) {
  SmallVector<KnownScalar> arguments(op.getBlock()->getNumArguments());
  for (OpOperand *operand : op.getDpsInputOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(operand);
    int64_t dim = findLoop(op.getMatchingIndexingMap(operand), loop);
    if (dim >= 0 && isa<RankedTensorType>(operand->get().getType()))
      arguments[argument.getArgNumber()].number = element(operand->get(), dim);
    else
      arguments[argument.getArgNumber()] = getUniformElement(operand->get());
  }
  return arguments;
}

/// What tensor.extract in the region yields where loop `loop` is at a removed index.
TypedAttr getExtracted(Operation *op, int64_t loop, ElementFn element) {
  auto extract = dyn_cast<tensor::ExtractOp>(op);
  if (!extract)
    return {};
  for (auto [dim, index] : llvm::enumerate(extract.getIndices()))
    if (getLoopOfIndex(index) == loop)
      return element(extract.getTensor(), dim);
  return {};
}

template <typename Op> struct LinalgModel : public DimCouplingOpInterface::ExternalModel<LinalgModel<Op>, Op> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    LinalgRelations(cast<LinalgOp>(op), relations).collect();
  }

  TypedAttr getRemovedElement(Operation *operation, OpResult result, int64_t dim, ElementFn element) const {
    auto op = cast<LinalgOp>(operation);
    OpOperand *init = op.getDpsInitOperand(result.getResultNumber());
    int64_t loop = getLoop(op, *init, dim);
    if (loop < 0)
      return {};
    auto extracted = [&](Operation *inner) { return getExtracted(inner, loop, element); };
    RegionEvaluator evaluator(*op.getBlock(), extracted);
    SmallVector<KnownScalar> arguments = getArguments(op, loop, element);
    unsigned accumulator = op.getMatchingBlockArgument(init).getArgNumber();
    arguments[accumulator].number = element(init->get(), dim);
    KnownScalar first = evaluator.evaluate(arguments)[result.getResultNumber()];
    if (op.getNumReductionLoops() == 0 || !first.number)
      return first.number;
    // The same terms again and again: known if the second one changes nothing any more.
    arguments[accumulator] = first;
    KnownScalar second = evaluator.evaluate(arguments)[result.getResultNumber()];
    return first == second ? first.number : TypedAttr();
  }

  bool isNeutralReduction(Operation *operation, OpOperand &operand, int64_t dim, ElementFn element) const {
    auto op = cast<LinalgOp>(operation);
    int64_t loop = getLoop(op, operand, dim);
    if (loop < 0)
      return false;
    auto extracted = [&](Operation *inner) { return getExtracted(inner, loop, element); };
    RegionEvaluator evaluator(*op.getBlock(), extracted);
    SmallVector<KnownScalar> arguments = getArguments(op, loop, element);
    for (OpOperand &init : op.getDpsInitsMutable()) {
      BlockArgument argument = op.getMatchingBlockArgument(&init);
      arguments[argument.getArgNumber()].same = argument;
    }
    SmallVector<KnownScalar> yielded = evaluator.evaluate(arguments);
    for (auto [i, init] : llvm::enumerate(op.getDpsInitsMutable()))
      if (yielded[i].same != op.getMatchingBlockArgument(&init))
        return false;
    return true;
  }
};

template <typename... Ops> void attachAll(MLIRContext *context) {
  (Ops::template attachInterface<LinalgModel<Ops>>(*context), ...);
}

} // namespace

void prune::registerLinalgDimCoupling(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, linalg::LinalgDialect *) {
    attachAll<
#define GET_OP_LIST
#include "mlir/Dialect/Linalg/IR/LinalgStructuredOps.cpp.inc"
        >(context);
  });
}
