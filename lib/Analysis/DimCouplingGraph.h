//===- DimCouplingGraph.h - Axes, relations, units ------------------*- C++ -*-===//
//
// The parts of the analysis behind prune/Analysis/DimCoupling.h, in the order in which they run: relations of all ops
// (collect), dimensions joined to axes, axes that are frozen, elements at removed indices and reductions
// (DimCouplingElements.cpp), factors of reshapes, units, groups (DimCouplingGroups.cpp).
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_ANALYSIS_DIMCOUPLINGGRAPH_H
#define PRUNE_ANALYSIS_DIMCOUPLINGGRAPH_H

#include "prune/Analysis/DimCoupling.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/IntEqClasses.h"

namespace mlir::prune {

/// A tie that one op makes, between axes unless it is of kind Same (dimensions that became one axis).
struct DimRelation {
  enum Kind { Same, Range, Product } kind;
  Operation *op = nullptr;
  /// Dimensions: a tied pair, part and whole, or flat and (in `factors`) its factors of more than one index.
  unsigned a = 0, b = 0;
  int64_t offset = 0;
  SmallVector<unsigned, 3> factors;
};

/// Why a dimension keeps its size.
struct FreezeCause {
  std::string reason;
  Operation *op = nullptr;
  unsigned dim = 0;
  bool isPosition = false;
};

/// Dimensions whose indices are the same.
struct DimAxis {
  int64_t size = 0;
  SmallVector<unsigned, 4> dims;
  /// Index into DimCouplingGraph::causes, or -1.
  int frozen = -1;
  /// Ties this axis has with others.
  SmallVector<unsigned, 4> relations;
  unsigned component = 0;
  /// Statistics of a normalisation run over it.
  bool changesStatistics = false;
  /// A batch dimension of a product of two activations.
  bool isBatch = false;
  /// Summed in a product of two activations.
  bool isReducedProduct = false;
};

/// The units of the indices of all axes under one choice of factors.
struct UnitMap {
  std::vector<std::vector<int32_t>> ofAxis;
};

class DimCouplingGraph : public DimCoupling, private DimRelations {
public:
  DimCouplingGraph(ModuleOp module, bool reorders) : module(module), reorders(reorders) {}
  void build();

  ArrayRef<DimGroup> getGroups() const override { return groups; }
  unsigned getNumUnits() const override { return groupOfUnit.size(); }
  unsigned getNumComponents() const override { return componentHasChoice.size(); }
  bool hasAlternatives(unsigned component) const override { return componentHasChoice[component]; }
  ArrayRef<int32_t> getUnits(DimRef dim, FactorChoice choice) const override;
  ArrayRef<unsigned> getGroupOfUnit() const override { return groupOfUnit; }
  unsigned getComponent(DimRef dim) const override;
  ArrayRef<MeanSite> getMeanSites() const override { return means; }
  bool isIdle(const DimGroup &group, llvm::function_ref<bool(const GroupMember &)> isZero) const override;
  void explain(const DimGroup &group, raw_ostream &os) const override;
  llvm::json::Object toJSON(const DimGroup &group) const override;
  void printGraph(raw_ostream &os) const override;

private:
  // Relations of ops.
  void tie(DimRef a, DimRef b) override;
  void tieRange(DimRef part, DimRef whole, int64_t offset) override;
  void tieProduct(DimRef flat, ArrayRef<DimRef> factors) override;
  void freeze(DimRef dim, const Twine &reason, bool isPosition = false) override;
  void reduce(OpOperand &operand, int64_t dim) override { reductions.push_back({&operand, dim}); }

  void numberDims();
  void collect();
  void collectOp(Operation *op);
  void collectBranches(Operation *op);
  void collectFunction(Operation *op);
  /// Number of a dimension with a static size above 1; nothing for others.
  std::optional<unsigned> getDim(DimRef dim) const;
  DimRef getRef(unsigned dim) const;

  void joinEqualFactors(llvm::IntEqClasses &classes) const;
  void makeAxes();
  /// Freezes an axis and all that follows from it. `frozen` is a state of all axes.
  void freezeAxis(unsigned axis, int cause, std::vector<int> &frozen) const;
  int addCause(StringRef reason, Operation *op, unsigned dim, bool isPosition = false);

  // DimCouplingElements.cpp
  void computeElements();
  TypedAttr getElement(Value value, int64_t dim) const;
  void checkReductions();
  void findAxisRoles();

  // DimCouplingGroups.cpp
  void makeComponents();
  /// Chooses a factor for each reshape. Returns, for each relation, the position of the factor or -1.
  std::vector<int> chooseFactors(FactorChoice choice, std::vector<int> &frozen);
  UnitMap makeUnits(const std::vector<int> &factorOf, const std::vector<int> &frozen) const;
  void makeGroups(FactorChoice choice, UnitMap units);
  void makeFrozenGroups();
  void addMembers(DimGroup &group, ArrayRef<unsigned> axes) const;
  GroupKind getKind(const DimGroup &group, ArrayRef<unsigned> axes) const;
  void nameGroups();
  /// Axes that a group touches, in order.
  SmallVector<unsigned> getAxes(const DimGroup &group) const;

  friend class DimCouplingPrinter;

  mutable ModuleOp module;
  bool reorders;
  /// The op whose relations are being collected.
  Operation *current = nullptr;
  std::vector<DimRef> dims;
  llvm::DenseMap<Value, unsigned> firstDim;
  std::vector<DimRelation> relations;
  std::vector<FreezeCause> causes;
  /// Single indices that must stay.
  std::vector<std::pair<unsigned, int64_t>> keptIndices;
  /// Reduced dimensions of operands.
  std::vector<std::pair<OpOperand *, int64_t>> reductions;
  std::vector<unsigned> axisOfDim;
  std::vector<DimAxis> axes;
  std::vector<TypedAttr> elementOfDim;
  std::vector<MeanSite> means;
  std::vector<bool> componentHasChoice;
  UnitMap unitMaps[2];
  std::vector<unsigned> groupOfUnit;
  std::vector<DimGroup> groups;
  /// Axes of frozen groups, which have no units.
  llvm::DenseMap<unsigned, SmallVector<unsigned>> frozenAxes;
};

} // namespace mlir::prune

#endif // PRUNE_ANALYSIS_DIMCOUPLINGGRAPH_H
