//===- RemoveBlocks.cpp - Take out whole residual blocks ----------------------===//

#include "prune/Dialect/Prune/Transforms/Structured/RemoveBlocks.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Regex.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

/// The two operands of `op` if it adds two tensors of the result's type element by element.
static std::optional<std::pair<Value, Value>> matchAddition(linalg::LinalgOp op) {
  if (op->getNumResults() != 1 || op.getNumDpsInputs() != 2 || op.getNumReductionLoops() != 0)
    return std::nullopt;
  Block *body = op.getBlock();
  auto add = body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!add || body->getOperations().size() != 2 || !isa<BlockArgument>(add.getLhs()) ||
      !isa<BlockArgument>(add.getRhs()) || add.getLhs() == add.getRhs())
    return std::nullopt;
  AffineMap outMap = op.getIndexingMapMatchingResult(cast<OpResult>(op->getResult(0)));
  for (OpOperand *operand : op.getDpsInputOperands())
    if (operand->get().getType() != op->getResult(0).getType() || op.getMatchingIndexingMap(operand) != outMap)
      return std::nullopt;
  return std::pair(op.getDpsInputOperand(0)->get(), op.getDpsInputOperand(1)->get());
}

/// All ops that `value` is computed from, back to `stop`. Sets `reached` if `stop` is among them.
static llvm::SetVector<Operation *> getSliceBetween(Value stop, Value value, bool &reached) {
  llvm::SetVector<Operation *> slice;
  SmallVector<Value> work{value};
  reached = false;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    if (next == stop) {
      reached = true;
      continue;
    }
    Operation *op = next.getDefiningOp();
    if (!op || !slice.insert(op))
      continue;
    llvm::append_range(work, op->getOperands());
    // Values that regions read from outside.
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (!op->isAncestor(operand.getParentBlock()->getParentOp()))
          work.push_back(operand);
    });
  }
  return slice;
}

/// What names have in common, up to the last dot: m.layer.3 of m.layer.3.fc1.weight and m.layer.3.fc2.weight.
static std::string getCommonName(ArrayRef<StringRef> names) {
  StringRef common = names.front();
  for (StringRef name : names)
    while (!common.empty() &&
           !(name.starts_with(common) && (name.size() == common.size() || name[common.size()] == '.')))
      common = common.rsplit('.').first == common ? StringRef() : common.rsplit('.').first;
  return common.str();
}

/// Root mean square of the weights of a block: how large a change it can make to what passes it.
static FailureOr<double> getScore(ArrayRef<arith::ConstantOp> weights) {
  double sum = 0;
  int64_t count = 0;
  for (arith::ConstantOp weight : weights) {
    FailureOr<WeightData> data = WeightData::read(weight.getValue(), [&] { return weight.emitError(); });
    if (failed(data))
      return failure();
    for (float value : data->values())
      sum += static_cast<double>(value) * value;
    count += data->values().size();
  }
  return std::sqrt(sum / std::max<int64_t>(count, 1));
}

FailureOr<SmallVector<ResidualBlock>> mlir::prune::findResidualBlocks(ModuleOp module) {
  SmallVector<ResidualBlock> blocks;
  LogicalResult result = success();
  module.walk([&](linalg::LinalgOp op) {
    auto operands = matchAddition(op);
    if (!operands)
      return;
    for (auto [skip, branch] : {*operands, std::pair(operands->second, operands->first)}) {
      bool reached;
      llvm::SetVector<Operation *> slice = getSliceBetween(skip, branch, reached);
      if (!reached)
        continue;
      ResidualBlock block;
      block.addition = op;
      block.skip = skip;
      SmallVector<StringRef> names;
      SmallVector<arith::ConstantOp> weights;
      for (Operation *inner : slice)
        if (auto constant = dyn_cast<arith::ConstantOp>(inner))
          if (auto type = dyn_cast<RankedTensorType>(constant.getType());
              type && isa<FloatType>(type.getElementType()) && !cast<ElementsAttr>(constant.getValue()).isSplat()) {
            block.params += type.getNumElements();
            if (type.getRank() >= 2)
              weights.push_back(constant);
            if (StringRef name = getConstantName(constant); !name.empty())
              names.push_back(name);
          }
      if (weights.empty())
        continue;
      FailureOr<double> score = getScore(weights);
      if (failed(score))
        result = failure();
      block.score = score.value_or(0);
      block.name = names.empty() ? std::string() : getCommonName(names);
      blocks.push_back(std::move(block));
      break;
    }
  });
  if (failed(result))
    return failure();
  llvm::StringMap<unsigned> taken;
  for (ResidualBlock &block : blocks) {
    std::string stem = block.name.empty() ? "block" : block.name;
    unsigned count = taken[stem]++;
    block.name = count == 0 ? stem : stem + "#" + std::to_string(count + 1);
  }
  return blocks;
}

FailureOr<int64_t> mlir::prune::removeBlocks(ModuleOp module, const PruneRemoveBlocksOptions &options) {
  auto emit = [&] { return emitError(module.getLoc()) << "prune-remove-blocks: "; };
  FailureOr<SmallVector<ResidualBlock>> blocks = findResidualBlocks(module);
  if (failed(blocks))
    return failure();
  int64_t total = blocks->size();
  std::string why;
  llvm::Regex blocksRegex(options.blocks);
  if (!options.blocks.empty() && !blocksRegex.isValid(why))
    return emit() << "blocks: '" << options.blocks << "' is no regular expression: " << why;
  if (options.count < 0 || options.count > total)
    return emit() << "expected a count from 0 to " << total << ", the number of residual blocks, got " << options.count;
  if (options.count > 0 && !options.blocks.empty())
    return emit() << "expected blocks or a count, got both ('" << options.blocks << "' and " << options.count << ")";

  SmallVector<ResidualBlock *> chosen;
  for (ResidualBlock &block : *blocks)
    if (!options.blocks.empty() && blocksRegex.match(block.name))
      chosen.push_back(&block);
  if (!options.blocks.empty() && chosen.empty())
    return emit() << "blocks: '" << options.blocks << "' is found in none of " << total << " residual blocks"
                  << (total ? ", the first of which is '" + blocks->front().name + "'" : std::string());
  if (options.count > 0) {
    for (ResidualBlock &block : *blocks)
      chosen.push_back(&block);
    llvm::stable_sort(chosen, [](auto *a, auto *b) { return a->score < b->score; });
    chosen.resize(options.count);
  }
  for (const ResidualBlock &block : *blocks)
    remark::analysis(block.addition->getLoc(), remark::RemarkOpts::name("Block").category("prune-remove-blocks"))
        << remark::add("block '{0}': {1} parameters, score {2:f4}{3}", block.name, block.params, block.score,
                       llvm::is_contained(chosen, &block) ? ", removed" : "");
  // From the last to the first: what a removed block passes on may itself be passed on by an earlier one.
  llvm::sort(chosen, [](ResidualBlock *a, ResidualBlock *b) { return a > b; });
  for (ResidualBlock *block : chosen)
    block->addition->getResult(0).replaceAllUsesWith(block->skip);
  // What only they used.
  bool changed = true;
  while (changed) {
    changed = false;
    SmallVector<Operation *> dead;
    module.walk([&](Operation *op) {
      if (op->getNumResults() > 0 && isOpTriviallyDead(op))
        dead.push_back(op);
    });
    for (Operation *op : dead) {
      op->erase();
      changed = true;
    }
  }
  return chosen.size();
}
