//===- SoftmaxShift.cpp - What cancels in a softmax ------------------------------===//

#include "SoftmaxShift.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;
using namespace mlir::prune;
using linalg::LinalgOp;

/// The structured ops of the function to differentiate that read `value`; those of its gradient do not count. Nothing
/// if some other op reads it.
static std::optional<SmallVector<LinalgOp>> getReaders(Value value, const Gradients &gradients) {
  SmallVector<LinalgOp> readers;
  for (Operation *user : value.getUsers()) {
    Operation *outer = value.getParentBlock()->findAncestorOpInBlock(*user);
    if (llvm::none_of(outer->getResults(), [&](Value result) { return gradients.isActive(result); })) {
      if (outer->getNumResults() == 0)
        return std::nullopt;
      continue;
    }
    auto op = dyn_cast<LinalgOp>(user);
    if (!op || outer != user || op->getNumResults() != 1)
      return std::nullopt;
    if (!llvm::is_contained(readers, op))
      readers.push_back(op);
  }
  return readers;
}

/// The loops that name an element of `operand`, which must be plain; nothing if they are not.
static std::optional<llvm::SmallBitVector> getLoops(LinalgOp op, OpOperand &operand) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  if (!map.isProjectedPermutation(/*allowZeroInResults=*/true))
    return std::nullopt;
  llvm::SmallBitVector loops(op.getNumLoops());
  for (AffineExpr expr : map.getResults())
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      loops.set(dim.getPosition());
  return loops;
}

/// True if loop i of `op` is dimension i of `value`, wherever that is an operand, and all loops are.
static bool isIndexedBy(LinalgOp op, Value value) {
  return llvm::all_of(op->getOpOperands(), [&](OpOperand &operand) {
    return operand.get() != value || op.getMatchingIndexingMap(&operand).isIdentity();
  });
}

/// True for elementwise ops whose result has the loops as dimensions.
static bool isMap(LinalgOp op) {
  return op.getNumReductionLoops() == 0 && op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity();
}

/// What the body of `op` yields, if that is an op of type `OpTy` in it.
template <typename OpTy> static OpTy getYielded(LinalgOp op) {
  return op.getBlock()->getTerminator()->getOperand(0).getDefiningOp<OpTy>();
}

bool prune::isShiftOfSoftmax(OpOperand &operand, const Gradients &gradients) {
  // exponentials = exp(x - operand), in one op or two.
  auto op = cast<LinalgOp>(operand.getOwner());
  if (op->getNumResults() != 1 || !isMap(op))
    return false;
  BlockArgument argument = op.getMatchingBlockArgument(&operand);
  Value exponentials = op->getResult(0);
  auto subtract = getYielded<arith::SubFOp>(op);
  if (auto power = getYielded<math::ExpOp>(op)) {
    subtract = power.getOperand().getDefiningOp<arith::SubFOp>();
  } else {
    auto readers = getReaders(exponentials, gradients);
    if (!readers || readers->size() != 1 || !isMap(readers->front()) || !isIndexedBy(readers->front(), exponentials))
      return false;
    LinalgOp next = readers->front();
    power = getYielded<math::ExpOp>(next);
    auto source = power ? dyn_cast<BlockArgument>(power.getOperand()) : BlockArgument();
    if (!source || source.getOwner() != next.getBlock() || next.getMatchingOpOperand(source)->get() != exponentials)
      return false;
    exponentials = next->getResult(0);
  }
  if (!subtract || subtract.getRhs() != argument || subtract.getLhs() == argument || !argument.hasOneUse())
    return false;

  // They are read by their sum and by what divides them by it, and by nothing else.
  auto readers = getReaders(exponentials, gradients);
  if (!readers || readers->size() != 2)
    return false;
  auto [sum, quotient] = std::pair((*readers)[0], (*readers)[1]);
  if (sum.getNumReductionLoops() == 0)
    std::swap(sum, quotient);
  auto add = getYielded<arith::AddFOp>(sum);
  auto divide = getYielded<arith::DivFOp>(quotient);
  if (!add || !divide || sum.getNumDpsInputs() != 1 || !isMap(quotient) || !isIndexedBy(sum, exponentials) ||
      !isIndexedBy(quotient, exponentials))
    return false;
  Block *sumBody = sum.getBlock();
  if (sumBody->getOperations().size() != 2 || quotient.getBlock()->getOperations().size() != 2 ||
      !llvm::is_contained(add->getOperands(), sumBody->getArgument(0)) ||
      !llvm::is_contained(add->getOperands(), sumBody->getArgument(1)))
    return false;
  auto sumReaders = getReaders(sum->getResult(0), gradients);
  if (!sumReaders || sumReaders->size() != 1 || sumReaders->front() != quotient)
    return false;
  auto dividend = dyn_cast<BlockArgument>(divide.getLhs()), divisor = dyn_cast<BlockArgument>(divide.getRhs());
  if (!dividend || !divisor || quotient.getMatchingOpOperand(dividend)->get() != exponentials ||
      quotient.getMatchingOpOperand(divisor)->get() != sum->getResult(0))
    return false;

  // One sum has one element of the operand.
  auto shifted = getLoops(op, operand), summed = getLoops(sum, *sum.getDpsInitOperand(0));
  auto divided = getLoops(quotient, *quotient.getMatchingOpOperand(divisor));
  return shifted && summed && divided && *shifted == *summed && *summed == *divided;
}
