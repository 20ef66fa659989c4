//===- Recompute.cpp - Values computed twice instead of kept ------------------===//
//
// Elementwise ops and reshapes are cheap next to products and reductions. One of their results is recomputed if all
// that it is computed from is there anyway: arguments, constants, what the reverse part reads of products and
// reductions, and what is recomputed itself. Barriers on what it starts from keep CSE from sharing the two
// computations.
//
//===----------------------------------------------------------------------===//

#include "Recompute.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
class Recomputation {
public:
  Recomputation(ArrayRef<Operation *> forward, Operation *end) : forward(forward), end(end) {
    inForward.insert(forward.begin(), forward.end());
  }
  int64_t run();

private:
  /// The op of the block that reads `use` behind the forward part; null if none does.
  Operation *getReader(OpOperand &use);
  bool isAvailable(Value value);
  void chooseValues();
  /// `value`, or what is computed in its place, in front of `place`.
  Value getCopy(Value value, Operation *place);

  ArrayRef<Operation *> forward;
  Operation *end;
  llvm::DenseSet<Operation *> inForward;
  /// Results that are kept, and those that are computed anew.
  llvm::DenseSet<Value> kept, recomputed;
  llvm::DenseMap<Value, Value> copies;
};
} // namespace

/// An op that does little for each element of its result and captures nothing of the function.
static bool isCheap(Operation *op) {
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, linalg::TransposeOp, linalg::BroadcastOp>(op))
    return true;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && generic.hasPureTensorSemantics() && generic.getNumReductionLoops() == 0;
}

Operation *Recomputation::getReader(OpOperand &use) {
  Operation *reader = end->getBlock()->findAncestorOpInBlock(*use.getOwner());
  return reader && forward.back()->isBeforeInBlock(reader) ? reader : nullptr;
}

bool Recomputation::isAvailable(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !inForward.contains(op) || !isa<RankedTensorType>(value.getType()))
    return true;
  return isa<arith::ConstantOp, tensor::EmptyOp, linalg::FillOp>(op) || kept.contains(value) ||
         recomputed.contains(value);
}

void Recomputation::chooseValues() {
  for (Operation *op : forward) {
    bool isFree = isCheap(op) && llvm::all_of(op->getOperands(), [&](Value operand) { return isAvailable(operand); });
    bool captures = op->walk([&](Operation *inner) {
                        return llvm::any_of(inner->getOperands(),
                                            [&](Value operand) { return inner != op && !isAvailable(operand); })
                                   ? WalkResult::interrupt()
                                   : WalkResult::advance();
                      }).wasInterrupted();
    for (Value result : op->getResults()) {
      if (isFree && !captures)
        recomputed.insert(result);
      else if (llvm::any_of(result.getUses(), [&](OpOperand &use) { return getReader(use) != nullptr; }))
        kept.insert(result);
    }
  }
}

Value Recomputation::getCopy(Value value, Operation *place) {
  Operation *op = value.getDefiningOp();
  bool isForward = op && inForward.contains(op);
  if (!isa<RankedTensorType>(value.getType()) ||
      (isForward && isa<arith::ConstantOp, tensor::EmptyOp, linalg::FillOp>(op)))
    return value;
  if (Value copy = copies.lookup(value))
    return copy;
  OpBuilder builder(place);
  if (!isForward || !recomputed.contains(value))
    return copies[value] = BarrierOp::create(builder, value.getLoc(), value);
  IRMapping mapping;
  for (Value operand : op->getOperands())
    mapping.map(operand, getCopy(operand, place));
  op->walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      if (inner != op && recomputed.contains(operand))
        mapping.map(operand, getCopy(operand, place));
  });
  Operation *clone = builder.clone(*op, mapping);
  for (auto [result, copy] : llvm::zip_equal(op->getResults(), clone->getResults()))
    copies[result] = copy;
  return copies[value];
}

int64_t Recomputation::run() {
  chooseValues();
  // In the order of the readers: a copy at the first one serves those behind it.
  SmallVector<Operation *> readers;
  for (Operation *op = forward.back()->getNextNode(); op != end; op = op->getNextNode())
    readers.push_back(op);
  llvm::DenseSet<Value> freed;
  for (Operation *reader : readers)
    reader->walk([&](Operation *inner) {
      for (OpOperand &operand : inner->getOpOperands())
        if (Value value = operand.get(); recomputed.contains(value)) {
          freed.insert(value);
          operand.set(getCopy(value, reader));
        }
    });
  return freed.size();
}

int64_t mlir::prune::recomputeElementwise(ArrayRef<Operation *> forward, Operation *end) {
  return forward.empty() ? 0 : Recomputation(forward, end).run();
}
