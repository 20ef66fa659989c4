//===- Slices.cpp - Ops on slices of their operands -----------------------------===//

#include "Slices.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Dialect/Prune/IR/Prune.h"

using namespace mlir;
using namespace mlir::prune;

bool mlir::prune::isSliceable(Operation *op) {
  if (auto linear = dyn_cast_or_null<LinearOp>(op))
    return linear->getNumResults() == 1 && !linear.getWindow() &&
           isa_and_nonnull<tensor::EmptyOp, tensor::ExtractSliceOp>(linear.getInit().getDefiningOp());
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!linalgOp || isa<linalg::FillOp>(op) || !linalgOp.hasPureTensorSemantics() || op->getNumResults() != 1)
    return false;
  return llvm::all_of(op->getOperandTypes(), [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return !isa<ShapedType>(type) || (tensor && tensor.hasStaticShape() && !tensor.getEncoding());
  });
}

bool mlir::prune::isInit(OpOperand &operand) {
  return cast<DestinationStyleOpInterface>(operand.getOwner()).isDpsInit(&operand);
}

OpOperand &mlir::prune::getInit(Operation *op) { return *cast<DestinationStyleOpInterface>(op).getDpsInitOperand(0); }

AffineMap mlir::prune::getMap(OpOperand &operand) {
  if (auto op = dyn_cast<linalg::LinalgOp>(operand.getOwner()))
    return op.getMatchingIndexingMap(&operand);
  auto op = cast<LinearOp>(operand.getOwner());
  MLIRContext *context = op.getContext();
  int64_t numLoops = op.getRowDim(), rank = cast<ShapedType>(operand.get().getType()).getRank();
  bool isActivation = operand.getOperandNumber() >= op.getInputMutable().getOperandNumber() && rank > 1;
  SmallVector<AffineExpr> results(rank, getAffineConstantExpr(0, context));
  for (int64_t dim = 0; isActivation && dim < numLoops; ++dim)
    results[dim] = getAffineDimExpr(dim, context);
  return AffineMap::get(numLoops, 0, results, context);
}

SmallVector<int64_t> mlir::prune::getRanges(Operation *op) {
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    return linalgOp.getStaticLoopRanges();
  auto linear = cast<LinearOp>(op);
  return llvm::to_vector(linear.getInitType().getShape().take_front(linear.getRowDim()));
}

static bool isParallel(Operation *op, int64_t loop) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return !linalgOp || linalgOp.getIteratorTypesArray()[loop] == utils::IteratorType::parallel;
}

bool mlir::prune::reduces(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return !linalgOp || linalgOp.getNumReductionLoops() > 0;
}

int64_t mlir::prune::getBytes(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  Type element = tensor.getElementType();
  return tensor.getNumElements() * (element.isIntOrFloat() ? (element.getIntOrFloatBitWidth() + 7) / 8 : 8);
}

std::optional<int64_t> mlir::prune::findLoop(AffineMap map, int64_t loop) {
  int64_t found = -1;
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    if (!expr.isFunctionOfDim(loop))
      continue;
    if (!isa<AffineDimExpr>(expr) || found >= 0)
      return std::nullopt;
    found = position;
  }
  return found;
}

/// True if `map` moves a window of `op` over an operand: an index is the sum of a parallel and of a reduction loop.
static bool hasWindow(Operation *op, AffineMap map) {
  return llvm::any_of(map.getResults(), [&](AffineExpr expr) {
    bool isMoved = false, isReduced = false;
    for (int64_t loop = 0, e = map.getNumDims(); loop < e; ++loop)
      if (expr.isFunctionOfDim(loop))
        (isParallel(op, loop) ? isMoved : isReduced) = true;
    return isMoved && isReduced;
  });
}

bool mlir::prune::canFix(Operation *op, const TileLoops &loops) {
  for (int64_t loop : loops) {
    if (!isParallel(op, loop))
      return false;
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<ShapedType>(operand.get().getType()))
        continue;
      AffineMap map = getMap(operand);
      std::optional<int64_t> position = findLoop(map, loop);
      if (!position || (*position < 0 && hasWindow(op, map)))
        return false;
    }
    if (*findLoop(getMap(getInit(op)), loop) < 0)
      return false;
  }
  return true;
}

Slice Slice::get(OpBuilder &b, AffineMap map, RankedTensorType type, const TileLoops &loops, ValueRange ivs) {
  Slice slice;
  slice.offsets.assign(type.getRank(), b.getIndexAttr(0));
  slice.strides.assign(type.getRank(), b.getIndexAttr(1));
  slice.shape = llvm::to_vector(type.getShape());
  for (auto [loop, iv] : llvm::zip(loops, ivs))
    if (int64_t position = *findLoop(map, loop); position >= 0 && slice.shape[position] != 1) {
      slice.offsets[position] = iv;
      slice.shape[position] = 1;
    }
  for (int64_t size : slice.shape)
    slice.sizes.push_back(b.getIndexAttr(size));
  return slice;
}

Value SliceBuilder::get(Value tensor, const Slice &slice) {
  if (Value known = slices.lookupOrNull(tensor))
    return known;
  auto type = cast<RankedTensorType>(tensor.getType());
  if (type.getShape() == ArrayRef(slice.shape))
    return tensor;
  return tensor::ExtractSliceOp::create(b, type.clone(slice.shape), tensor, slice.offsets, slice.sizes, slice.strides);
}

void SliceBuilder::clone(Operation *op, const TileLoops &loops, Value target) {
  b.setLoc(op->getLoc());
  SmallVector<Value> operands;
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type) {
      operands.push_back(operand.get());
      continue;
    }
    Slice slice = Slice::get(b, getMap(operand), type, loops, ivs);
    Operation *definition = operand.get().getDefiningOp();
    if (!isInit(operand) || !isa_and_nonnull<tensor::EmptyOp, linalg::FillOp>(definition)) {
      operands.push_back(get(isInit(operand) && target ? target : operand.get(), slice));
      continue;
    }
    Value place =
        target ? get(target, slice) : tensor::EmptyOp::create(b, slice.shape, type.getElementType()).getResult();
    if (auto fill = dyn_cast<linalg::FillOp>(definition))
      place = linalg::FillOp::create(b, fill.getInputs(), ValueRange{place}).getResult(0);
    operands.push_back(place);
  }
  Operation *tile = mlir::clone(b, op, operands.back().getType(), operands);
  OpBuilder::InsertionGuard guard(b);
  tile->walk([&](linalg::IndexOp index) {
    auto it = llvm::find(loops, int64_t(index.getDim()));
    if (it == loops.end())
      return;
    b.setInsertionPointAfter(index);
    auto shifted = arith::AddIOp::create(b, index, ivs[it - loops.begin()]);
    index.getResult().replaceAllUsesExcept(shifted, shifted);
  });
  set(op->getResult(0), tile->getResult(0));
}
