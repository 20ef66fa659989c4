//===- Stages.cpp - In which order a network is observed ----------------------===//

#include "Stages.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace mlir::prune;

SmallVector<Value> mlir::prune::getReads(Operation *op) {
  llvm::SetVector<Value> reads;
  op->walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      if (!op->isAncestor(operand.getParentBlock()->getParentOp()))
        reads.insert(operand);
  });
  return reads.takeVector();
}

bool mlir::prune::isCloned(Operation *op) {
  if (isa<MaskOp, ApplyOp>(op))
    return false;
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    auto attr = dyn_cast<ElementsAttr>(constant.getValue());
    return !attr || !attr.getElementType().isF32() || attr.isSplat() || !isa<RankedTensorType>(attr.getType());
  }
  if (llvm::none_of(op->getResultTypes(), [](Type type) { return isa<ShapedType>(type); }))
    return true;
  return llvm::all_of(getReads(op), [](Value value) {
    Operation *def = value.getDefiningOp();
    return def && isCloned(def);
  });
}

namespace {

class StagePlanner {
public:
  StagePlanner(func::FuncOp function, ArrayRef<ObservedWeight> weights, Value extra)
      : function(function), weights(weights), extra(extra) {}

  FailureOr<std::vector<Stage>> plan();

private:
  LogicalResult check();
  ArrayRef<Value> getLeaves(Value value);
  ArrayRef<Value> getLeaves(Operation *op);
  void collectLeaves(Value value, llvm::SetVector<Value> &leaves);
  void markNeeded();
  bool isReady(Value leaf);
  bool areReady(ArrayRef<Value> leaves) {
    return llvm::all_of(leaves, [&](Value leaf) { return isReady(leaf); });
  }
  bool isKnown(const ObservedWeight &weight) {
    return llvm::all_of(weight.inputs, [&](const LayerInput &input) { return areReady(getLeaves(input.activation)); });
  }
  void compute(Stage &stage);
  void computeUnpruned(Stage &stage);
  void connect(MutableArrayRef<Stage> stages);

  func::FuncOp function;
  ArrayRef<ObservedWeight> weights;
  Value extra;
  llvm::DenseMap<Operation *, SmallVector<Value>> leavesOfOp;
  llvm::DenseMap<Value, SmallVector<Value>> leavesOfValue;
  /// Ops that lead to an observed activation, in the order of the function.
  SmallVector<Operation *> needed;
  llvm::DenseSet<Operation *> computed;
  /// Masks that layers wait for.
  llvm::DenseSet<Operation *> waiting;
};

} // namespace

LogicalResult StagePlanner::check() {
  if (!function.getBody().hasOneBlock())
    return function.emitError() << "expected one block in the function to calibrate, got "
                                << function.getBody().getBlocks().size();
  WalkResult walk = function.walk([](CallOpInterface call) {
    call->emitOpError() << "expected a function without calls to calibrate (inline them first)";
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}

/// The values that `value` is computed from when all that is repeated is looked through; `value` itself if it is not.
void StagePlanner::collectLeaves(Value value, llvm::SetVector<Value> &leaves) {
  Operation *def = value.getDefiningOp();
  if (def && isCloned(def))
    leaves.insert_range(getLeaves(def));
  else
    leaves.insert(value);
}

ArrayRef<Value> StagePlanner::getLeaves(Operation *op) {
  if (auto found = leavesOfOp.find(op); found != leavesOfOp.end())
    return found->second;
  llvm::SetVector<Value> leaves;
  for (Value read : getReads(op))
    collectLeaves(read, leaves);
  return leavesOfOp[op] = leaves.takeVector();
}

ArrayRef<Value> StagePlanner::getLeaves(Value value) {
  if (auto found = leavesOfValue.find(value); found != leavesOfValue.end())
    return found->second;
  llvm::SetVector<Value> leaves;
  collectLeaves(value, leaves);
  return leavesOfValue[value] = leaves.takeVector();
}

void StagePlanner::markNeeded() {
  llvm::DenseSet<Operation *> seen;
  SmallVector<Value> open;
  for (const ObservedWeight &weight : weights)
    for (const LayerInput &input : weight.inputs)
      llvm::append_range(open, getLeaves(input.activation));
  while (!open.empty()) {
    Operation *def = open.pop_back_val().getDefiningOp();
    if (!def || isa<ApplyOp, arith::ConstantOp>(def) || !seen.insert(def).second)
      continue;
    llvm::append_range(open, getLeaves(def));
  }
  for (Operation &op : function.getBody().front())
    if (seen.contains(&op))
      needed.push_back(&op);
}

bool StagePlanner::isReady(Value leaf) {
  Operation *def = leaf.getDefiningOp();
  if (!def || isa<arith::ConstantOp>(def))
    return true;
  if (auto apply = dyn_cast<ApplyOp>(def))
    return !waiting.contains(apply.getMask().getDefiningOp());
  return computed.contains(def);
}

void StagePlanner::compute(Stage &stage) {
  for (Operation *op : needed)
    if (!computed.contains(op) && areReady(getLeaves(op))) {
      computed.insert(op);
      stage.ops.push_back(op);
    }
}

/// Computes the first op that waits, which is a layer, by its weight without the mask.
void StagePlanner::computeUnpruned(Stage &stage) {
  Operation *op = *llvm::find_if(needed, [&](Operation *op) { return !computed.contains(op); });
  computed.insert(op);
  stage.ops.push_back(op);
  for (Value leaf : getLeaves(op))
    if (!isReady(leaf))
      remark::missed(op->getLoc(), remark::RemarkOpts::name("Unpruned").category("calibrate"))
          << remark::add("a layer runs with '{0}' unpruned, because what the mask is decided by depends on its result",
                         getWeightName(leaf.getDefiningOp<ApplyOp>().getMask().getDefiningOp<MaskOp>()).str());
}

/// Finds out what the stages read and keep.
void StagePlanner::connect(MutableArrayRef<Stage> stages) {
  llvm::DenseMap<Operation *, size_t> stageOf;
  SmallVector<llvm::SetVector<Value>> keeps(stages.size());
  for (auto [index, stage] : llvm::enumerate(stages)) {
    for (Operation *op : stage.ops)
      stageOf[op] = index;
    llvm::SetVector<Value> reads;
    auto add = [&, index = index](ArrayRef<Value> leaves) {
      for (Value leaf : leaves) {
        auto found = stageOf.find(leaf.getDefiningOp());
        if (found != stageOf.end() && found->second == index)
          continue;
        reads.insert(leaf);
        if (found != stageOf.end())
          keeps[found->second].insert(leaf);
      }
    };
    for (Operation *op : stage.ops)
      add(getLeaves(op));
    for (const LayerInput &input : stage.inputs)
      add(getLeaves(input.activation));
    if (extra)
      reads.insert(extra);
    stage.reads = reads.takeVector();
  }
  for (auto [stage, kept] : llvm::zip_equal(stages, keeps))
    stage.keeps = kept.takeVector();
}

FailureOr<std::vector<Stage>> StagePlanner::plan() {
  if (failed(check()))
    return failure();
  markNeeded();
  for (const ObservedWeight &weight : weights)
    waiting.insert(weight.mask);
  std::vector<Stage> stages;
  SmallVector<unsigned> open = llvm::to_vector(llvm::seq<unsigned>(0, weights.size()));
  while (!open.empty()) {
    Stage stage;
    compute(stage);
    auto next = llvm::find_if(open, [&](unsigned index) { return isKnown(weights[index]); });
    while (next == open.end()) {
      computeUnpruned(stage);
      compute(stage);
      next = llvm::find_if(open, [&](unsigned index) { return isKnown(weights[index]); });
    }
    stage.inputs = weights[*next].inputs;
    for (unsigned index : open)
      if (weights[index].inputs == stage.inputs)
        stage.weights.push_back(index);
    llvm::erase_if(open, [&](unsigned index) { return llvm::is_contained(stage.weights, index); });
    for (unsigned index : stage.weights)
      waiting.erase(weights[index].mask);
    stages.push_back(std::move(stage));
  }
  connect(stages);
  return stages;
}

FailureOr<std::vector<Stage>> mlir::prune::planStages(func::FuncOp function, ArrayRef<ObservedWeight> weights,
                                                      Value extra) {
  return StagePlanner(function, weights, extra).plan();
}
