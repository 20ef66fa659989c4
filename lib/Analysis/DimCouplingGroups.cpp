//===- DimCouplingGroups.cpp - Units and groups -------------------------------===//

#include "DimCouplingGraph.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/Hashing.h"
#include "llvm/ADT/IntEqClasses.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace mlir::prune;

StringRef prune::toString(GroupKind kind) {
  switch (kind) {
  case GroupKind::Channels:
    return "channels";
  case GroupKind::Neurons:
    return "neurons";
  case GroupKind::Heads:
    return "heads";
  case GroupKind::HeadWidth:
    return "head-width";
  case GroupKind::Width:
    return "width";
  }
  llvm_unreachable("unknown kind");
}

//===----------------------------------------------------------------------===//
// Factors
//===----------------------------------------------------------------------===//

void DimCouplingGraph::makeComponents() {
  llvm::IntEqClasses classes(axes.size());
  for (const DimRelation &relation : relations) {
    if (relation.kind == DimRelation::Same || axes[axisOfDim[relation.a]].frozen >= 0)
      continue;
    if (relation.kind == DimRelation::Range && axes[axisOfDim[relation.b]].frozen < 0)
      classes.join(axisOfDim[relation.a], axisOfDim[relation.b]);
    for (unsigned factor : relation.factors)
      if (axes[axisOfDim[factor]].frozen < 0)
        classes.join(axisOfDim[relation.a], axisOfDim[factor]);
  }
  classes.compress();
  // Component 0 is that of frozen axes and of dimensions without an axis.
  componentHasChoice.assign(1, false);
  std::vector<unsigned> componentOfClass(classes.getNumClasses(), 0);
  for (unsigned axis = 0; axis < axes.size(); ++axis) {
    if (axes[axis].frozen >= 0)
      continue;
    unsigned &component = componentOfClass[classes[axis]];
    if (component == 0) {
      component = componentHasChoice.size();
      componentHasChoice.push_back(false);
    }
    axes[axis].component = component;
  }
}

std::vector<int> DimCouplingGraph::chooseFactors(FactorChoice choice, std::vector<int> &frozen) {
  std::vector<int> factorOf(relations.size(), -1);
  std::vector<bool> chosen(axes.size(), false);
  for (auto [number, relation] : llvm::enumerate(relations)) {
    if (relation.kind != DimRelation::Product || frozen[axisOfDim[relation.a]] >= 0)
      continue;
    SmallVector<int> candidates;
    for (auto [position, factor] : llvm::enumerate(relation.factors))
      if (frozen[axisOfDim[factor]] < 0)
        candidates.push_back(position);
    if (candidates.empty()) {
      freezeAxis(axisOfDim[relation.a], frozen[axisOfDim[relation.factors.front()]], frozen);
      continue;
    }
    if (candidates.size() > 1)
      componentHasChoice[axes[axisOfDim[relation.a]].component] = true;
    int best = choice == FactorChoice::Outermost ? candidates.front() : candidates.back();
    // One factor is chosen everywhere: heads of the queries are heads of the keys.
    for (int candidate : candidates)
      if (chosen[axisOfDim[relation.factors[candidate]]]) {
        best = candidate;
        break;
      }
    factorOf[number] = best;
    chosen[axisOfDim[relation.factors[best]]] = true;
    for (int candidate : candidates)
      if (candidate != best) {
        unsigned other = relation.factors[candidate];
        freezeAxis(axisOfDim[other],
                   addCause("is the other factor of a reshaped dimension that loses indices", relation.op, other),
                   frozen);
      }
  }
  return factorOf;
}

//===----------------------------------------------------------------------===//
// Units
//===----------------------------------------------------------------------===//

UnitMap DimCouplingGraph::makeUnits(const std::vector<int> &factorOf, const std::vector<int> &frozen) const {
  // Element 0 stands for all indices that stay; each axis that is not frozen has a range of elements.
  std::vector<unsigned> firstElement(axes.size(), 0);
  unsigned numElements = 1;
  for (auto [axis, first] : llvm::zip_equal(axes, firstElement)) {
    if (frozen[&axis - axes.data()] >= 0)
      continue;
    first = numElements;
    numElements += axis.size;
  }
  auto getElement = [&](unsigned dim, int64_t index) {
    unsigned axis = axisOfDim[dim];
    return firstElement[axis] == 0 ? 0u : static_cast<unsigned>(firstElement[axis] + index);
  };
  llvm::IntEqClasses classes(numElements);
  for (auto [number, relation] : llvm::enumerate(relations)) {
    if (relation.kind == DimRelation::Range) {
      for (int64_t i = 0, size = axes[axisOfDim[relation.a]].size; i < size; ++i)
        classes.join(getElement(relation.a, i), getElement(relation.b, relation.offset + i));
    } else if (relation.kind == DimRelation::Product && firstElement[axisOfDim[relation.a]] != 0) {
      int64_t inner = 1;
      for (unsigned factor : ArrayRef(relation.factors).drop_front(factorOf[number] + 1))
        inner *= axes[axisOfDim[factor]].size;
      unsigned factor = relation.factors[factorOf[number]];
      int64_t size = axes[axisOfDim[factor]].size;
      for (int64_t i = 0, end = axes[axisOfDim[relation.a]].size; i < end; ++i)
        classes.join(getElement(relation.a, i), getElement(factor, i / inner % size));
    }
  }
  for (auto [dim, index] : keptIndices)
    classes.join(0, getElement(dim, index));
  classes.compress();

  UnitMap map;
  map.ofAxis.resize(axes.size());
  for (unsigned axis = 0; axis < axes.size(); ++axis) {
    map.ofAxis[axis].assign(axes[axis].size, -1);
    if (firstElement[axis] != 0)
      for (int64_t i = 0; i < axes[axis].size; ++i)
        map.ofAxis[axis][i] = static_cast<int32_t>(classes[firstElement[axis] + i]) - 1;
  }
  return map;
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

/// A constant that loses elements when its dimension shrinks: floats of more than one value.
static bool isWeight(Value value) {
  auto constant = value.getDefiningOp<arith::ConstantOp>();
  return constant && isa<FloatType>(cast<ShapedType>(value.getType()).getElementType()) &&
         !cast<ElementsAttr>(constant.getValue()).isSplat();
}

void DimCouplingGraph::makeGroups(FactorChoice choice, UnitMap units) {
  UnitMap &map = unitMaps[static_cast<int>(choice)];
  map = std::move(units);
  // Units of the second choice count only where there was a choice.
  auto counts = [&](unsigned axis) {
    return choice == FactorChoice::Outermost || componentHasChoice[axes[axis].component];
  };
  int32_t numRaw = 0;
  for (const std::vector<int32_t> &ofAxis : map.ofAxis)
    for (int32_t unit : ofAxis)
      numRaw = std::max(numRaw, unit + 1);

  // Units that touch the same axes equally often are alike. A sum of hashes does not depend on the order of indices.
  std::vector<uint64_t> signature(numRaw, 0);
  std::vector<bool> hasWeight(numRaw, false);
  std::vector<unsigned> component(numRaw, 0);
  for (unsigned axis = 0; axis < axes.size(); ++axis) {
    bool holdsWeight = llvm::any_of(axes[axis].dims, [&](unsigned dim) { return isWeight(dims[dim].value); });
    uint64_t hash = llvm::hash_combine(axis * 2 + 1);
    for (int32_t unit : map.ofAxis[axis])
      if (unit >= 0) {
        signature[unit] += hash;
        component[unit] = axes[axis].component;
        if (holdsWeight)
          hasWeight[unit] = true;
      }
  }

  // Number units anew, group by group in the order of the module, without those that no weight has.
  llvm::MapVector<std::pair<unsigned, uint64_t>, SmallVector<int32_t>> alike;
  std::vector<bool> seen(numRaw, false);
  for (unsigned axis = 0; axis < axes.size(); ++axis)
    for (int32_t unit : map.ofAxis[axis])
      if (unit >= 0 && counts(axis) && hasWeight[unit] && !seen[unit]) {
        seen[unit] = true;
        alike[{component[unit], signature[unit]}].push_back(unit);
      }
  std::vector<int32_t> newUnit(numRaw, -1);
  std::vector<unsigned> groupOfRaw(numRaw, 0);
  unsigned firstGroup = groups.size();
  for (auto &[key, raw] : alike) {
    DimGroup group;
    group.id = groups.size();
    group.component = key.first;
    group.choice = choice;
    for (int32_t unit : raw) {
      newUnit[unit] = groupOfUnit.size();
      group.units.push_back(groupOfUnit.size());
      groupOfUnit.push_back(group.id);
    }
    groups.push_back(std::move(group));
  }
  for (std::vector<int32_t> &ofAxis : map.ofAxis)
    for (int32_t &unit : ofAxis)
      unit = unit >= 0 ? newUnit[unit] : -1;

  // Which groups touch which axes.
  std::vector<SmallVector<unsigned>> axesOfGroup(groups.size() - firstGroup);
  for (unsigned axis = 0; axis < axes.size(); ++axis) {
    if (!counts(axis))
      continue;
    for (int32_t unit : map.ofAxis[axis]) {
      if (unit < 0)
        continue;
      SmallVector<unsigned> &list = axesOfGroup[groupOfUnit[unit] - firstGroup];
      if (list.empty() || list.back() != axis)
        list.push_back(axis);
    }
  }
  for (auto [group, touched] : llvm::zip_equal(llvm::drop_begin(groups, firstGroup), axesOfGroup)) {
    // Segments of several groups in one axis: an axis may have been listed more than once.
    touched.erase(llvm::unique(touched), touched.end());
    addMembers(group, touched);
    for (unsigned axis : touched)
      group.changesStatistics |= axes[axis].changesStatistics;
    group.kind = getKind(group, touched);
  }
}

/// True if the op that reads `value` along `dim` sums over it. Looks through reshapes of the constant.
static bool isReduced(Value value, int64_t dim) {
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (auto op = dyn_cast<linalg::LinalgOp>(user)) {
      auto expr = dyn_cast<AffineDimExpr>(op.getMatchingIndexingMap(&use).getResult(dim));
      if (expr && op.getIteratorTypesArray()[expr.getPosition()] == utils::IteratorType::reduction)
        return true;
    } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(user)) {
      ReassociationIndices factors = expand.getReassociationIndices()[dim];
      for (int64_t factor : factors)
        if (expand.getResultType().getDimSize(factor) != 1 && isReduced(expand.getResult(), factor))
          return true;
    } else if (user->getName().getStringRef() == "prune.apply" && isReduced(user->getResult(0), dim)) {
      return true;
    }
  }
  return false;
}

void DimCouplingGraph::addMembers(DimGroup &group, ArrayRef<unsigned> touched) const {
  SmallVector<unsigned> members;
  for (unsigned axis : touched)
    for (unsigned dim : axes[axis].dims)
      if (isWeight(dims[dim].value))
        members.push_back(dim);
  llvm::sort(members);
  for (unsigned dim : members) {
    DimRef ref = dims[dim];
    std::string name = getConstantName(ref.value.getDefiningOp<arith::ConstantOp>()).str();
    group.members.push_back({ref, std::move(name), !isReduced(ref.value, ref.dim)});
  }
  // What makes the values first: a group is named after it.
  llvm::stable_sort(group.members, [](const GroupMember &a, const GroupMember &b) {
    auto rank = [](const GroupMember &member) {
      return std::pair(!member.isOutput, member.dim.getType().getRank() < 2);
    };
    return rank(a) < rank(b);
  });
}

GroupKind DimCouplingGraph::getKind(const DimGroup &group, ArrayRef<unsigned> touched) const {
  auto any = [&](auto predicate) {
    return llvm::any_of(touched, [&](unsigned axis) { return predicate(axes[axis]); });
  };
  bool isBatch = any([](const DimAxis &axis) { return axis.isBatch; });
  if (isBatch)
    return GroupKind::Heads;
  if (any([](const DimAxis &axis) { return axis.isReducedProduct; }))
    return GroupKind::HeadWidth;
  if (group.choice == FactorChoice::Innermost)
    for (const DimGroup &other : groups)
      if (other.component == group.component && other.kind == GroupKind::Heads)
        return GroupKind::HeadWidth;
  if (group.changesStatistics)
    return GroupKind::Width;
  bool isFilter = llvm::any_of(
      group.members, [](const GroupMember &member) { return member.isOutput && member.dim.getType().getRank() > 2; });
  return isFilter ? GroupKind::Channels : GroupKind::Neurons;
}

void DimCouplingGraph::makeFrozenGroups() {
  // Frozen axes that hang together are one group, named after the first cause.
  llvm::IntEqClasses classes(axes.size());
  auto isFrozen = [&](unsigned dim) { return axes[axisOfDim[dim]].frozen >= 0; };
  for (const DimRelation &relation : relations) {
    if (relation.kind == DimRelation::Same || !isFrozen(relation.a))
      continue;
    if (relation.kind == DimRelation::Range && isFrozen(relation.b))
      classes.join(axisOfDim[relation.a], axisOfDim[relation.b]);
    for (unsigned factor : relation.factors)
      if (isFrozen(factor))
        classes.join(axisOfDim[relation.a], axisOfDim[factor]);
  }
  classes.compress();
  llvm::MapVector<unsigned, SmallVector<unsigned>> clusters;
  for (unsigned axis = 0; axis < axes.size(); ++axis)
    if (axes[axis].frozen >= 0 && !causes[axes[axis].frozen].isPosition)
      clusters[classes[axis]].push_back(axis);
  for (auto &[key, cluster] : clusters) {
    DimGroup group;
    group.id = groups.size();
    addMembers(group, cluster);
    if (group.members.empty())
      continue;
    const FreezeCause &cause = causes[axes[cluster.front()].frozen];
    group.frozen = cause.reason;
    group.frozenBy = cause.op;
    group.kind = getKind(group, cluster);
    frozenAxes[group.id] = cluster;
    groups.push_back(std::move(group));
  }
}

void DimCouplingGraph::nameGroups() {
  llvm::StringMap<unsigned> taken;
  for (DimGroup &group : groups) {
    const GroupMember *first = group.members.empty() ? nullptr : &group.members.front();
    std::string name = (toString(group.kind) + ":" + (first && !first->name.empty() ? first->name : "unnamed")).str();
    if (first && !first->isOutput)
      name += ":" + std::to_string(first->dim.dim);
    unsigned count = taken[name]++;
    group.name = count == 0 ? name : name + "#" + std::to_string(count + 1);
  }
}

SmallVector<unsigned> DimCouplingGraph::getAxes(const DimGroup &group) const {
  if (group.units.empty())
    return frozenAxes.lookup(group.id);
  SmallVector<unsigned> touched;
  const UnitMap &map = unitMaps[static_cast<int>(group.choice)];
  for (unsigned axis = 0; axis < axes.size(); ++axis)
    if (axes[axis].component == group.component &&
        llvm::any_of(map.ofAxis[axis], [&](int32_t unit) { return group.hasUnit(unit); }))
      touched.push_back(axis);
  return touched;
}
