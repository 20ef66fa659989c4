//===- DimCouplingElements.cpp - What removed indices would have added --------===//
//
// A reduction over a dimension may lose terms if they are neutral, or if it is part of a mean whose divisor shrinks
// with it. Which of both follows from what values hold at removed indices when all weights hold zero there.
//
//===----------------------------------------------------------------------===//

#include "DimCouplingGraph.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

TypedAttr DimCouplingGraph::getElement(Value value, int64_t dim) const {
  auto first = firstDim.find(value);
  return first == firstDim.end() ? TypedAttr() : elementOfDim[first->second + dim];
}

void DimCouplingGraph::computeElements() {
  elementOfDim.resize(dims.size());
  auto element = [&](Value value, int64_t dim) { return getElement(value, dim); };
  // Producers come before their users, but for values that loops carry: those stay unknown.
  for (unsigned dim = 0; dim < dims.size(); ++dim) {
    auto result = dyn_cast<OpResult>(dims[dim].value);
    if (!result || axisOfDim[dim] == ~0u || axes[axisOfDim[dim]].frozen >= 0)
      continue;
    if (auto coupled = dyn_cast<DimCouplingOpInterface>(result.getOwner()))
      elementOfDim[dim] = coupled.getRemovedElement(result, dims[dim].dim, element);
  }
}

//===----------------------------------------------------------------------===//
// Means
//===----------------------------------------------------------------------===//

namespace {

/// The number that a scalar or splat constant holds.
std::optional<double> getNumber(Value value) {
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  if (auto splat = dyn_cast<SplatElementsAttr>(attr))
    attr = splat.getSplatValue<Attribute>();
  if (auto number = dyn_cast<FloatAttr>(attr))
    return number.getValueAsDouble();
  return std::nullopt;
}

/// Follows the sums of a reduction to divisions by the number of terms.
class MeanFinder {
public:
  explicit MeanFinder(int64_t terms) : terms(terms) {}

  /// True if every use of `sum` is divided by the number of terms.
  bool follow(Value sum) {
    for (OpOperand &use : sum.getUses())
      if (!followUse(use))
        return false;
    return true;
  }

  SmallVector<MeanSite::Divisor> divisors;
  /// True if at least one division was met: a plain sum has none.
  bool sawDivision = false;

private:
  bool followUse(OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp>(user))
      return follow(user->getResult(0));
    auto op = dyn_cast<linalg::LinalgOp>(user);
    if (!op || !op.hasPureTensorSemantics())
      return false;
    // As the destination of an op that does not read it.
    if (op.isDpsInit(&use))
      return !op.payloadUsesValueFromOperand(&use);
    return followScalar(op, op.getMatchingBlockArgument(&use));
  }

  /// `sum` is a scalar in the region of `op`.
  bool followScalar(linalg::LinalgOp op, Value sum) {
    for (OpOperand &use : sum.getUses()) {
      Operation *user = use.getOwner();
      // Only moved: goes on outside.
      if (user == op.getBlock()->getTerminator()) {
        if (op.getNumReductionLoops() != 0 || !follow(op->getResult(use.getOperandNumber())))
          return false;
        continue;
      }
      bool divides = isa<arith::DivFOp>(user) && use.getOperandNumber() == 0;
      if (!divides && !isa<arith::MulFOp>(user))
        return false;
      if (!addDivisor(op, user->getOpOperand(1 - use.getOperandNumber()), /*reciprocal=*/!divides))
        return false;
    }
    return true;
  }

  bool addDivisor(linalg::LinalgOp op, OpOperand &scalar, bool reciprocal) {
    OpOperand *use = &scalar;
    if (auto argument = dyn_cast<BlockArgument>(scalar.get()); argument && argument.getOwner() == op.getBlock())
      use = op.getMatchingOpOperand(argument);
    std::optional<double> number = getNumber(use->get());
    if (!number || *number == 0)
      return false;
    double divisor = reciprocal ? 1 / *number : *number;
    for (int64_t less : {0, 1})
      if (terms > less && std::abs(divisor - (terms - less)) <= 1e-6 * terms) {
        sawDivision = true;
        if (llvm::none_of(divisors, [&](const MeanSite::Divisor &other) { return other.use == use; }))
          divisors.push_back({use, reciprocal, less});
        return true;
      }
    return false;
  }

  int64_t terms;
};

/// Number of terms that each result of a reduction adds up; 0: unknown.
int64_t countTerms(linalg::LinalgOp op) {
  int64_t terms = 1;
  for (auto [range, iterator] : llvm::zip_equal(op.getStaticLoopRanges(), op.getIteratorTypesArray()))
    if (iterator == utils::IteratorType::reduction) {
      if (ShapedType::isDynamic(range))
        return 0;
      terms *= range;
    }
  return terms;
}

/// True if everything that is added up comes from one tensor: a mean is not taken over products of two.
bool isPlainSum(linalg::LinalgOp op, OpOperand &operand) {
  if (op->getNumResults() != 1)
    return false;
  for (OpOperand *other : op.getDpsInputOperands())
    if (isa<RankedTensorType>(other->get().getType()) && other->get() != operand.get())
      return false;
  Value yielded = op.getBlock()->getTerminator()->getOperand(0);
  return yielded.getDefiningOp<arith::AddFOp>() != nullptr;
}

} // namespace

int64_t MeanSite::countTerms() const { return ::countTerms(cast<linalg::LinalgOp>(reduction)); }

void DimCouplingGraph::checkReductions() {
  auto element = [&](Value value, int64_t dim) { return getElement(value, dim); };
  std::vector<int> frozen;
  for (const DimAxis &axis : axes)
    frozen.push_back(axis.frozen);
  for (auto [operand, dim] : reductions) {
    std::optional<unsigned> number = getDim({operand->get(), dim});
    if (!number || frozen[axisOfDim[*number]] >= 0)
      continue;
    unsigned axis = axisOfDim[*number];
    auto coupled = cast<DimCouplingOpInterface>(operand->getOwner());
    bool neutral = coupled.isNeutralReduction(*operand, dim, element);
    auto op = dyn_cast<linalg::LinalgOp>(operand->getOwner());
    if (op && isPlainSum(op, *operand)) {
      MeanFinder finder(countTerms(op));
      bool isMean = finder.follow(op->getResult(0)) && finder.sawDivision;
      if (isMean) {
        means.push_back({op, {operand->get(), dim}, operand, countTerms(op), !neutral, std::move(finder.divisors)});
        axes[axis].changesStatistics = true;
        continue;
      }
    }
    if (!neutral && !reorders)
      freezeAxis(axis, addCause("is reduced, and pruned terms would not vanish", operand->getOwner(), *number), frozen);
  }
  for (auto [axis, cause] : llvm::zip_equal(axes, frozen))
    axis.frozen = cause;
}

void DimCouplingGraph::findAxisRoles() {
  module.walk([&](linalg::LinalgOp op) {
    // Loops that two activations share, in ops that reduce.
    if (op.getNumReductionLoops() == 0)
      return;
    SmallVector<unsigned> inputs(op.getNumLoops(), 0);
    SmallVector<int> axisOfLoop(op.getNumLoops(), -1);
    for (OpOperand *operand : op.getDpsInputOperands()) {
      if (!isa<RankedTensorType>(operand->get().getType()) || matchPattern(operand->get(), m_Constant()))
        continue;
      for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(operand).getResults()))
        if (auto loop = dyn_cast<AffineDimExpr>(expr))
          if (std::optional<unsigned> number = getDim({operand->get(), static_cast<int64_t>(dim)})) {
            ++inputs[loop.getPosition()];
            axisOfLoop[loop.getPosition()] = axisOfDim[*number];
          }
    }
    for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray())) {
      if (inputs[loop] < 2)
        continue;
      DimAxis &axis = axes[axisOfLoop[loop]];
      (iterator == utils::IteratorType::reduction ? axis.isReducedProduct : axis.isBatch) = true;
    }
  });
}

bool DimCouplingGraph::isIdle(const DimGroup &group, llvm::function_ref<bool(const GroupMember &)> isZero) const {
  if (group.isFrozen() || group.changesStatistics)
    return false;
  // The dimensions that the group touches, in the order of the module.
  SmallVector<unsigned> touched;
  for (unsigned axis : getAxes(group))
    llvm::append_range(touched, axes[axis].dims);
  llvm::sort(touched);
  llvm::DenseMap<unsigned, TypedAttr> elements;
  for (const GroupMember &member : group.members) {
    // Not zero: not known.
    TypedAttr zero = Builder(module.getContext()).getZeroAttr(member.dim.getType().getElementType());
    elements[firstDim.lookup(member.dim.value) + member.dim.dim] = isZero(member) ? zero : TypedAttr();
  }
  auto element = [&](Value value, int64_t dim) -> TypedAttr {
    auto first = firstDim.find(value);
    if (first == firstDim.end())
      return {};
    unsigned number = first->second + dim;
    auto found = elements.find(number);
    if (found != elements.end())
      return found->second;
    // Dimensions that these units are no part of hold nothing of them.
    return llvm::binary_search(touched, number) ? TypedAttr() : getAbsentElement(module.getContext());
  };
  for (unsigned number : touched) {
    auto result = dyn_cast<OpResult>(dims[number].value);
    if (!result || elements.count(number))
      continue;
    TypedAttr value;
    if (auto coupled = dyn_cast<DimCouplingOpInterface>(result.getOwner()))
      value = coupled.getRemovedElement(result, dims[number].dim, element);
    elements[number] = value;
  }
  return llvm::all_of(reductions, [&](auto &reduction) {
    auto [operand, dim] = reduction;
    std::optional<unsigned> number = getDim({operand->get(), dim});
    if (!number || !llvm::binary_search(touched, *number))
      return true;
    return cast<DimCouplingOpInterface>(operand->getOwner()).isNeutralReduction(*operand, dim, element);
  });
}
