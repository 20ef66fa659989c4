//===- SkipUnits.cpp - prune-skip-units -------------------------------------------===//
//
// A mask whose units reach over everything but one dimension says of heads whether they count. What only serves to
// compute heads, back to the products of queries and keys, moves into a loop over heads that computes those that the
// mask keeps.
//
//===----------------------------------------------------------------------===//

#include "../Layout/Slices.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/RegionUtils.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNESKIPUNITS
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// What computes the units of one gated activation.
class UnitSkipper {
public:
  UnitSkipper(RewriterBase &rewriter, DynamicMaskOp mask, GateOp gate)
      : rewriter(rewriter), mask(mask), gate(gate), numUnits(mask.getNumUnits()) {}

  LogicalResult run();

private:
  LogicalResult decline(const Twine &why);
  /// Finds the value in which units are a dimension of their own.
  bool findRoot();
  /// Collects the ops that compute `root` and nothing else, with their loops over units.
  void collect();
  void emit();

  RewriterBase &rewriter;
  DynamicMaskOp mask;
  GateOp gate;
  int64_t numUnits;
  Value root;
  int64_t rootDim = 0;
  SmallVector<Operation *> ops; ///< in the order of the block
  /// The loop of each over units; of a reshape, the dimension of its operand.
  DenseMap<Operation *, int64_t> loopOf;
};

} // namespace

LogicalResult UnitSkipper::decline(const Twine &why) {
  remark::missed(gate.getLoc(), remark::RemarkOpts::name("Skip").category("dynamic"))
      << ("the " + Twine(numUnits) + " units of a gate are computed before they are pruned because " + why).str();
  return failure();
}

/// True if the mask is the same for all indices of other dimensions.
static bool reachesOverAll(DynamicMaskOp mask) {
  for (auto [dim, size] : llvm::enumerate(mask.getInput().getType().getShape()))
    if (size > 1 && static_cast<int64_t>(dim) != static_cast<int64_t>(mask.getAlong()) &&
        !llvm::is_contained(mask.getWhole(), static_cast<int64_t>(dim)))
      return false;
  return true;
}

bool UnitSkipper::findRoot() {
  int64_t along = mask.getAlong(), unit = mask.getUnit();
  root = gate.getInput();
  rootDim = along;
  auto collapse = root.getDefiningOp<tensor::CollapseShapeOp>();
  if (!collapse)
    return unit == 1;
  ArrayRef<int64_t> shape = collapse.getSrcType().getShape();
  int64_t left = unit * numUnits;
  for (int64_t dim : collapse.getReassociationIndices()[along]) {
    if (left == unit * numUnits && shape[dim] == numUnits) {
      root = collapse.getSrc();
      rootDim = dim;
      return true;
    }
    left /= shape[dim];
  }
  return false;
}

/// The dimension of a reshape's operand that is `position` of its result, if all that it is merged with have size 1.
static std::optional<int64_t> getSourcePosition(Operation *op, int64_t position) {
  auto findLarge = [](ArrayRef<int64_t> group, ArrayRef<int64_t> shape) -> std::optional<int64_t> {
    std::optional<int64_t> large;
    for (int64_t dim : group)
      if (shape[dim] != 1) {
        if (large)
          return std::nullopt;
        large = dim;
      }
    return large;
  };
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
    return findLarge(collapse.getReassociationIndices()[position], collapse.getSrcType().getShape());
  auto expand = cast<tensor::ExpandShapeOp>(op);
  for (auto [from, group] : llvm::enumerate(expand.getReassociationIndices()))
    if (findLarge(group, expand.getResultType().getShape()) == position)
      return from;
  return std::nullopt;
}

static bool isReshape(Operation *op) { return isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op); }

void UnitSkipper::collect() {
  Block *block = gate->getBlock();
  DenseMap<Operation *, int64_t> candidates;
  SmallVector<std::pair<Value, int64_t>> worklist{{root, rootDim}};
  // In an order in which users come first: what is taken serves only what was taken before.
  auto take = [&](Value value, int64_t position) {
    Operation *op = value.getDefiningOp();
    if (op->getBlock() != block || !(isReshape(op) || isSliceable(op)))
      return false;
    auto readsUnit = [&](OpOperand &use) {
      auto user = loopOf.find(use.getOwner());
      if (user == loopOf.end())
        return false;
      return isReshape(user->first) ? user->second == position : findLoop(getMap(use), user->second) == position;
    };
    if (value != root && !llvm::all_of(value.getUses(), readsUnit))
      return false;
    if (isReshape(op)) {
      std::optional<int64_t> from = getSourcePosition(op, position);
      if (!from)
        return false;
      loopOf[op] = *from;
      ops.push_back(op);
      worklist.push_back({op->getOperand(0), *from});
      return true;
    }
    auto dim = dyn_cast<AffineDimExpr>(getMap(getInit(op)).getResult(position));
    if (!dim || !canFix(op, {static_cast<int64_t>(dim.getPosition())}))
      return false;
    loopOf[op] = dim.getPosition();
    ops.push_back(op);
    for (OpOperand &operand : op->getOpOperands())
      if (isa<RankedTensorType>(operand.get().getType()) && !isInit(operand))
        if (int64_t from = *findLoop(getMap(operand), dim.getPosition()); from >= 0)
          worklist.push_back({operand.get(), from});
    return true;
  };
  for (bool changed = true; changed;) { // a value of two users is reached again when the second one is taken
    changed = false;
    for (size_t i = 0; i < worklist.size(); ++i) {
      auto [value, position] = worklist[i];
      if (Operation *op = value.getDefiningOp(); op && !loopOf.contains(op))
        changed |= take(value, position);
    }
  }
  llvm::sort(ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
}

void UnitSkipper::emit() {
  Operation *last = root.getDefiningOp();
  rewriter.setInsertionPoint(last);
  ImplicitLocOpBuilder b(gate.getLoc(), rewriter);
  auto type = cast<RankedTensorType>(root.getType());
  Value place = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  OpFoldResult extent = b.getIndexAttr(numUnits);
  auto forall = scf::ForallOp::create(b, ArrayRef(extent), place, /*mapping=*/std::nullopt);
  b.setInsertionPointToStart(forall.getBody());
  SmallVector<Value> ivs = forall.getInductionVars();
  Value target = forall.getRegionOutArgs().front();
  Slice slice = Slice::get(b, b.getMultiDimIdentityMap(type.getRank()), type, {rootDim}, ivs);
  auto unitType = type.clone(slice.shape);

  // The first element of the unit stands for all.
  SmallVector<Value> first(mask.getInput().getType().getRank(), arith::ConstantIndexOp::create(b, 0));
  Value size = arith::ConstantIndexOp::create(b, mask.getUnit());
  first[mask.getAlong()] = arith::MulIOp::create(b, ivs.front(), size);
  Value isKept = tensor::ExtractOp::create(b, mask.getMask(), first);
  auto choice = scf::IfOp::create(b, unitType, isKept, /*withElseRegion=*/true);
  b.setInsertionPointToStart(choice.thenBlock());
  SliceBuilder slices(b, ivs);
  for (Operation *op : ops) {
    if (!isReshape(op)) {
      slices.clone(op, {loopOf[op]}, op == last ? target : Value());
      continue;
    }
    Value source = op->getOperand(0);
    auto sourceType = cast<RankedTensorType>(source.getType());
    AffineMap identity = b.getMultiDimIdentityMap(sourceType.getRank());
    Value part = slices.get(source, Slice::get(b, identity, sourceType, {loopOf[op]}, ivs));
    if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
      slices.set(op->getResult(0), tensor::CollapseShapeOp::create(b, part, collapse.getReassociationIndices()));
      continue;
    }
    auto expand = cast<tensor::ExpandShapeOp>(op);
    SmallVector<int64_t> sizes(expand.getResultType().getShape());
    for (int64_t dim : expand.getReassociationIndices()[loopOf[op]])
      sizes[dim] = 1;
    slices.set(op->getResult(0), tensor::ExpandShapeOp::create(b, expand.getResultType().clone(sizes), part,
                                                               expand.getReassociationIndices()));
  }
  scf::YieldOp::create(b, slices.get(root, slice));
  b.setInsertionPointToStart(choice.elseBlock());
  Value empty = tensor::ExtractSliceOp::create(b, unitType, target, slice.offsets, slice.sizes, slice.strides);
  scf::YieldOp::create(b, linalg::FillOp::create(b, zero, empty).getResult(0));
  b.setInsertionPointToEnd(forall.getTerminator().getBody());
  tensor::ParallelInsertSliceOp::create(b, choice.getResult(0), target, slice.offsets, slice.sizes, slice.strides);
  rewriter.replaceAllUsesWith(root, forall.getResult(0));
  for (Operation *op : llvm::reverse(ops))
    rewriter.eraseOp(op);
}

LogicalResult UnitSkipper::run() {
  if (!reachesOverAll(mask) || numUnits < 2)
    return failure(); // of another kind: nothing to be said
  if (!findRoot())
    return decline("they are not a dimension of what is gated, or of what becomes it by tensor.collapse_shape");
  // Other gates with the same mask may share it.
  auto isRead = [&](Value value, Operation *except) {
    return llvm::any_of(value.getUsers(), [&](Operation *user) {
      auto other = dyn_cast<GateOp>(user);
      return user != except && !(other && other.getInput() == value && other.getMask() == mask.getMask());
    });
  };
  bool isReshaped = root != gate.getInput();
  if (isRead(gate.getInput(), gate) || (isReshaped && !root.hasOneUse()))
    return decline("something else reads them");
  collect();
  if (llvm::none_of(ops, [](Operation *op) { return !isReshape(op) && reduces(op); }))
    return decline("no product computes them one by one");
  SetVector<Operation *> needed;
  BackwardSliceOptions sliceOptions;
  sliceOptions.inclusive = true;
  if (failed(getBackwardSlice(mask.getMask(), &needed, sliceOptions)) ||
      llvm::any_of(ops, [&](Operation *op) { return needed.contains(op); }))
    return decline("their mask depends on them");
  if (failed(moveValueDefinitions(rewriter, mask.getMask(), root.getDefiningOp())))
    return decline("their mask is not made in the same block");
  emit();
  remark::passed(gate.getLoc(), remark::RemarkOpts::name("Skip").category("dynamic"))
      << ("of " + Twine(numUnits) + " units those that a gate keeps are computed: " + Twine(ops.size()) + " operations")
             .str();
  return success();
}

int64_t mlir::prune::skipUnits(Operation *root) {
  SmallVector<GateOp> gates;
  root->walk([&](GateOp gate) { gates.push_back(gate); });
  IRRewriter rewriter(root->getContext());
  int64_t count = 0;
  for (GateOp gate : gates)
    if (auto mask = gate.getMask().getDefiningOp<DynamicMaskOp>())
      count += succeeded(UnitSkipper(rewriter, mask, gate).run());
  return count;
}

namespace {
struct PruneSkipUnits : prune::impl::PruneSkipUnitsBase<PruneSkipUnits> {
  void runOnOperation() override { numLoops += skipUnits(getOperation()); }
};
} // namespace
