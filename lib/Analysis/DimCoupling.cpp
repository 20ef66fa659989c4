//===- DimCoupling.cpp - Which indices of which dimensions live together ------===//

#include "DimCouplingGraph.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "llvm/ADT/IntEqClasses.h"

using namespace mlir;
using namespace mlir::prune;

DimCoupling::~DimCoupling() = default;

std::unique_ptr<DimCoupling> DimCoupling::create(ModuleOp module, bool reorders) {
  auto graph = std::make_unique<DimCouplingGraph>(module, reorders);
  graph->build();
  return graph;
}

void DimCouplingGraph::build() {
  numberDims();
  collect();
  makeAxes();
  computeElements();
  checkReductions();
  findAxisRoles();
  makeComponents();
  for (FactorChoice choice : {FactorChoice::Outermost, FactorChoice::Innermost}) {
    std::vector<int> frozen;
    for (const DimAxis &axis : axes)
      frozen.push_back(axis.frozen);
    std::vector<int> factorOf = chooseFactors(choice, frozen);
    makeGroups(choice, makeUnits(factorOf, frozen));
  }
  makeFrozenGroups();
  nameGroups();
}

//===----------------------------------------------------------------------===//
// Dimensions and relations
//===----------------------------------------------------------------------===//

void DimCouplingGraph::numberDims() {
  auto add = [&](Value value) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type)
      return;
    firstDim[value] = dims.size();
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      dims.push_back({value, dim});
  };
  module.walk<WalkOrder::PreOrder>([&](Operation *op) {
    llvm::for_each(op->getResults(), add);
    for (Region &region : op->getRegions())
      for (Block &block : region)
        llvm::for_each(block.getArguments(), add);
  });
}

std::optional<unsigned> DimCouplingGraph::getDim(DimRef dim) const {
  int64_t size = dim.getSize();
  if (size == 1 || ShapedType::isDynamic(size))
    return std::nullopt;
  return firstDim.lookup(dim.value) + dim.dim;
}

DimRef DimCouplingGraph::getRef(unsigned dim) const { return dims[dim]; }

int DimCouplingGraph::addCause(StringRef reason, Operation *op, unsigned dim, bool isPosition) {
  causes.push_back({reason.str(), op, dim, isPosition});
  return causes.size() - 1;
}

void DimCouplingGraph::freeze(DimRef dim, const Twine &reason, bool isPosition) {
  if (std::optional<unsigned> number = getDim(dim))
    addCause(reason.str(), current, *number, isPosition);
}

void DimCouplingGraph::tie(DimRef a, DimRef b) {
  std::optional<unsigned> first = getDim(a), second = getDim(b);
  if (first && second && a.getSize() == b.getSize()) {
    if (*first != *second)
      relations.push_back({DimRelation::Same, current, *first, *second, 0, {}});
    return;
  }
  for (DimRef dim : {a, b})
    freeze(dim, "is tied to a dimension of another size");
}

void DimCouplingGraph::tieRange(DimRef part, DimRef whole, int64_t offset) {
  if (part.getSize() == whole.getSize())
    return tie(part, whole);
  std::optional<unsigned> first = getDim(part), second = getDim(whole);
  if (second && first) {
    relations.push_back({DimRelation::Range, current, *first, *second, offset, {}});
    return;
  }
  // A part of one index has nothing to lose: its index of the whole stays.
  if (second && part.getSize() == 1)
    keptIndices.push_back({*second, offset});
  else
    for (DimRef dim : {part, whole})
      freeze(dim, "is cut at a position that is known at run time only");
}

void DimCouplingGraph::tieProduct(DimRef flat, ArrayRef<DimRef> factors) {
  std::optional<unsigned> number = getDim(flat);
  DimRelation relation{DimRelation::Product, current, number.value_or(0), 0, 0, {}};
  DimRef last = flat;
  for (DimRef factor : factors)
    if (std::optional<unsigned> one = getDim(factor)) {
      relation.factors.push_back(*one);
      last = factor;
    }
  if (relation.factors.size() == 1)
    return tie(flat, last);
  if (number && !relation.factors.empty())
    relations.push_back(std::move(relation));
}

void DimCouplingGraph::collect() {
  module.walk<WalkOrder::PreOrder>([&](Operation *op) {
    current = op;
    collectOp(op);
    // Regions of structured ops hold scalars: their rules have read them.
    if (isa<DimCouplingOpInterface>(op))
      return WalkResult::skip();
    return WalkResult::advance();
  });
}

void DimCouplingGraph::collectOp(Operation *op) {
  if (auto coupled = dyn_cast<DimCouplingOpInterface>(op))
    return coupled.collectDimRelations(*this);
  if (isa<FunctionOpInterface>(op) || isa<CallOpInterface>(op))
    return collectFunction(op);
  if (isa<RegionBranchOpInterface>(op))
    return collectBranches(op);
  // Function results and loop-carried values are tied where their function or loop is met.
  if (op->hasTrait<OpTrait::ReturnLike>() || isa<RegionBranchTerminatorOpInterface>(op))
    return;
  if (op->hasTrait<OpTrait::Elementwise>() && op->getNumResults() == 1) {
    for (Value operand : op->getOperands())
      if (isa<RankedTensorType>(operand.getType()))
        tieAll(*this, operand, op->getResult(0));
    return;
  }
  std::string why = ("belongs to '" + op->getName().getStringRef() + "', an op without a coupling rule").str();
  for (Value value : llvm::concat<Value>(SmallVector<Value>(op->getOperands()), SmallVector<Value>(op->getResults())))
    freezeAll(*this, value, why);
}

void DimCouplingGraph::collectBranches(Operation *op) {
  auto branch = cast<RegionBranchOpInterface>(op);
  auto tieRanges = [&](ValueRange from, ValueRange to) {
    for (auto [a, b] : llvm::zip(from, to))
      tieAll(*this, a, b);
  };
  SmallVector<RegionSuccessor> successors;
  branch.getSuccessorRegions(RegionBranchPoint::parent(), successors);
  for (RegionSuccessor &successor : successors)
    tieRanges(branch.getEntrySuccessorOperands(successor), successor.getSuccessorInputs());
  for (Region &region : op->getRegions())
    for (Block &block : region)
      if (auto terminator = dyn_cast<RegionBranchTerminatorOpInterface>(block.getTerminator())) {
        SmallVector<RegionSuccessor> next;
        branch.getSuccessorRegions(RegionBranchPoint(terminator), next);
        for (RegionSuccessor &successor : next)
          tieRanges(terminator.getSuccessorOperands(successor), successor.getSuccessorInputs());
      }
}

/// The values that `function` returns, one list for each return.
static SmallVector<OperandRange> getReturns(FunctionOpInterface function) {
  SmallVector<OperandRange> returns;
  for (Block &block : function.getFunctionBody())
    if (!block.empty() && block.back().hasTrait<OpTrait::ReturnLike>())
      returns.push_back(block.back().getOperands());
  return returns;
}

void DimCouplingGraph::collectFunction(Operation *op) {
  if (auto function = dyn_cast<FunctionOpInterface>(op)) {
    if (function.isExternal())
      return;
    SmallVector<OperandRange> returns = getReturns(function);
    for (OperandRange values : ArrayRef(returns).drop_front(returns.empty() ? 0 : 1))
      for (auto [a, b] : llvm::zip(returns.front(), values))
        tieAll(*this, a, b);
    if (!function.isPublic())
      return;
    std::string name = ("of public function '" + function.getName() + "'").str();
    for (BlockArgument argument : function.getArguments())
      freezeAll(*this, argument, "is an argument " + name);
    for (OperandRange values : returns)
      for (Value value : values)
        freezeAll(*this, value, "is a result " + name);
    return;
  }
  auto call = cast<CallOpInterface>(op);
  auto callee = dyn_cast_or_null<FunctionOpInterface>(call.resolveCallable());
  if (!callee || callee.isExternal()) {
    for (Value value : llvm::concat<Value>(SmallVector<Value>(op->getOperands()), SmallVector<Value>(op->getResults())))
      freezeAll(*this, value, "is passed to or from a function without a body");
    return;
  }
  for (auto [operand, argument] : llvm::zip(call.getArgOperands(), callee.getArguments()))
    tieAll(*this, operand, argument);
  for (OperandRange values : getReturns(callee))
    for (auto [result, value] : llvm::zip(op->getResults(), values))
      tieAll(*this, result, value);
}

//===----------------------------------------------------------------------===//
// Axes
//===----------------------------------------------------------------------===//

/// Factors of one dimension are the same where it is split twice in the same way (windows x heads before and behind the
/// scores of attention): those of equal size and stride.
void DimCouplingGraph::joinEqualFactors(llvm::IntEqClasses &classes) const {
  for (bool changed = true; changed;) {
    changed = false;
    llvm::DenseMap<std::tuple<unsigned, int64_t, int64_t>, unsigned> factorAt;
    for (const DimRelation &relation : relations) {
      int64_t stride = 1;
      for (unsigned factor : llvm::reverse(relation.factors)) {
        int64_t size = dims[factor].getSize();
        unsigned first = factorAt.try_emplace({classes.findLeader(relation.a), stride, size}, factor).first->second;
        if (classes.findLeader(first) != classes.findLeader(factor)) {
          classes.join(first, factor);
          changed = true;
        }
        stride *= size;
      }
    }
  }
}

void DimCouplingGraph::makeAxes() {
  llvm::IntEqClasses classes(dims.size());
  for (const DimRelation &relation : relations)
    if (relation.kind == DimRelation::Same)
      classes.join(relation.a, relation.b);
  joinEqualFactors(classes);
  classes.compress();
  // Numbered in the order of their first dimensions; those of one index are no axes.
  std::vector<int> axisOfClass(classes.getNumClasses(), -1);
  axisOfDim.assign(dims.size(), ~0u);
  for (unsigned dim = 0; dim < dims.size(); ++dim) {
    if (!getDim(dims[dim]))
      continue;
    int &axis = axisOfClass[classes[dim]];
    if (axis < 0) {
      axis = axes.size();
      axes.emplace_back();
      axes.back().size = dims[dim].getSize();
    }
    axes[axis].dims.push_back(dim);
    axisOfDim[dim] = axis;
  }
  for (auto [number, relation] : llvm::enumerate(relations)) {
    if (relation.kind == DimRelation::Same)
      continue;
    axes[axisOfDim[relation.a]].relations.push_back(number);
    if (relation.kind == DimRelation::Range)
      axes[axisOfDim[relation.b]].relations.push_back(number);
    for (unsigned factor : relation.factors)
      axes[axisOfDim[factor]].relations.push_back(number);
  }
  std::vector<int> frozen(axes.size(), -1);
  for (unsigned cause = 0; cause < causes.size(); ++cause)
    freezeAxis(axisOfDim[causes[cause].dim], cause, frozen);
  for (auto [axis, cause] : llvm::zip_equal(axes, frozen))
    axis.frozen = cause;
}

void DimCouplingGraph::freezeAxis(unsigned first, int cause, std::vector<int> &frozen) const {
  SmallVector<unsigned> work{first};
  while (!work.empty()) {
    unsigned axis = work.pop_back_val();
    if (frozen[axis] >= 0)
      continue;
    frozen[axis] = cause;
    for (unsigned number : axes[axis].relations) {
      const DimRelation &relation = relations[number];
      if (relation.kind == DimRelation::Range) {
        // A frozen part freezes only its range of the whole, which units see.
        if (axisOfDim[relation.b] == axis)
          work.push_back(axisOfDim[relation.a]);
        continue;
      }
      if (axisOfDim[relation.a] == axis)
        for (unsigned factor : relation.factors)
          work.push_back(axisOfDim[factor]);
      else if (llvm::all_of(relation.factors, [&](unsigned factor) { return frozen[axisOfDim[factor]] >= 0; }))
        work.push_back(axisOfDim[relation.a]);
    }
  }
}

ArrayRef<int32_t> DimCouplingGraph::getUnits(DimRef dim, FactorChoice choice) const {
  std::optional<unsigned> number = getDim(dim);
  if (!number)
    return {};
  unsigned axis = axisOfDim[*number];
  if (!componentHasChoice[axes[axis].component])
    choice = FactorChoice::Outermost;
  return unitMaps[static_cast<int>(choice)].ofAxis[axis];
}

unsigned DimCouplingGraph::getComponent(DimRef dim) const {
  std::optional<unsigned> number = getDim(dim);
  return number ? axes[axisOfDim[*number]].component : 0;
}

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

int64_t ShrinkPlan::countKept(const DimCoupling &coupling, DimRef dim) const {
  ArrayRef<int32_t> units = coupling.getUnits(dim, choices[coupling.getComponent(dim)]);
  return dim.getSize() - llvm::count_if(units, [&](int32_t unit) { return unit >= 0 && removed.test(unit); });
}

std::optional<SmallVector<int64_t>> ShrinkPlan::getKept(const DimCoupling &coupling, DimRef dim) const {
  ArrayRef<int32_t> units = coupling.getUnits(dim, choices[coupling.getComponent(dim)]);
  SmallVector<int64_t> kept;
  for (auto [index, unit] : llvm::enumerate(units))
    if (unit < 0 || !removed.test(unit))
      kept.push_back(index);
  if (kept.size() == units.size())
    return std::nullopt;
  return kept;
}
