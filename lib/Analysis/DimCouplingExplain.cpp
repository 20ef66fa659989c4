//===- DimCouplingExplain.cpp - Why dimensions belong together ----------------===//
//
// A group is explained by a tree of ties that starts at its first member and reaches all others; ties that lead to no
// member are left out.
//
//===----------------------------------------------------------------------===//

#include "DimCouplingGraph.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/GraphWriter.h"

using namespace mlir;
using namespace mlir::prune;

namespace mlir::prune {

/// One step of an explanation: `to` is tied to `from`.
struct TieStep {
  unsigned from = 0, to = 0;
  const DimRelation *relation = nullptr;
};

class DimCouplingPrinter {
public:
  explicit DimCouplingPrinter(const DimCouplingGraph &graph) : graph(graph) {}

  std::vector<TieStep> getSteps(const DimGroup &group) {
    indexRelations();
    llvm::DenseSet<unsigned> axes;
    for (unsigned axis : graph.getAxes(group))
      axes.insert(axis);
    std::vector<TieStep> found;
    llvm::DenseMap<unsigned, int> stepTo;
    std::vector<bool> needed;
    SmallVector<unsigned> queue;
    if (group.members.empty())
      return found;
    queue.push_back(getNumber(group.members.front().dim));
    stepTo[queue.front()] = -1;
    for (size_t next = 0; next < queue.size(); ++next) {
      unsigned from = queue[next];
      for (const DimRelation *relation : relationsOf[from])
        for (unsigned to : getDims(*relation)) {
          if (!axes.contains(graph.axisOfDim[to]) || !stepTo.try_emplace(to, found.size()).second)
            continue;
          found.push_back({from, to, relation});
          queue.push_back(to);
        }
    }
    needed.assign(found.size(), false);
    for (const GroupMember &member : group.members)
      for (unsigned dim = getNumber(member.dim); stepTo.count(dim) && stepTo[dim] >= 0; dim = found[stepTo[dim]].from) {
        if (needed[stepTo[dim]])
          break;
        needed[stepTo[dim]] = true;
      }
    std::vector<TieStep> steps;
    for (auto [step, keep] : llvm::zip_equal(found, needed))
      if (keep)
        steps.push_back(step);
    return steps;
  }

  std::string describe(unsigned dim) const {
    DimRef ref = graph.getRef(dim);
    std::string text;
    llvm::raw_string_ostream os(text);
    if (auto constant = prune::getConstant(ref.value))
      os << getConstantName(constant);
    else if (Operation *op = ref.value.getDefiningOp())
      os << op->getName();
    else
      os << "argument " << cast<BlockArgument>(ref.value).getArgNumber();
    os << " dim " << ref.dim << " of " << ref.getType();
    return text;
  }

  static StringRef describe(DimRelation::Kind kind) {
    switch (kind) {
    case DimRelation::Same:
      return "same index";
    case DimRelation::Range:
      return "range";
    case DimRelation::Product:
      return "factor";
    }
    llvm_unreachable("unknown kind");
  }

private:
  unsigned getNumber(DimRef ref) const { return graph.firstDim.lookup(ref.value) + ref.dim; }

  static SmallVector<unsigned> getDims(const DimRelation &relation) {
    SmallVector<unsigned> all{relation.a};
    if (relation.kind != DimRelation::Product)
      all.push_back(relation.b);
    llvm::append_range(all, relation.factors);
    return all;
  }

  void indexRelations() {
    if (!relationsOf.empty())
      return;
    relationsOf.resize(graph.dims.size());
    for (const DimRelation &relation : graph.relations)
      for (unsigned dim : getDims(relation))
        relationsOf[dim].push_back(&relation);
  }

  const DimCouplingGraph &graph;
  std::vector<SmallVector<const DimRelation *, 4>> relationsOf;
};

} // namespace mlir::prune

/// A location as text, on one line.
static std::string spellLocation(Location loc) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << loc;
  return text;
}

void DimCouplingGraph::explain(const DimGroup &group, raw_ostream &os) const {
  DimCouplingPrinter printer(*this);
  os << group.name << ": ";
  if (group.isFrozen())
    os << "frozen, it " << group.frozen << " ('" << group.frozenBy->getName() << "' at "
       << spellLocation(group.frozenBy->getLoc()) << ")\n";
  else
    os << group.units.size() << " " << prune::toString(group.kind)
       << (group.changesStatistics ? ", statistics of normalisations run over them" : "") << "\n";
  for (const GroupMember &member : group.members)
    os << "  " << (member.isOutput ? "makes " : "reads ") << member.name << " dim " << member.dim.dim << " of "
       << member.dim.getType() << "\n";
  for (const TieStep &step : printer.getSteps(group))
    os << "    " << printer.describe(step.from) << " -- " << DimCouplingPrinter::describe(step.relation->kind) << ", "
       << step.relation->op->getName() << " at " << spellLocation(step.relation->op->getLoc()) << " -- "
       << printer.describe(step.to) << "\n";
}

llvm::json::Object DimCouplingGraph::toJSON(const DimGroup &group) const {
  DimCouplingPrinter printer(*this);
  llvm::json::Array members, ties;
  for (const GroupMember &member : group.members)
    members.push_back(llvm::json::Object{{"name", member.name},
                                         {"dim", member.dim.dim},
                                         {"size", member.dim.getSize()},
                                         {"shape", llvm::json::Array(member.dim.getType().getShape())},
                                         {"role", member.isOutput ? "output" : "input"}});
  for (const TieStep &step : printer.getSteps(group))
    ties.push_back(llvm::json::Object{{"from", printer.describe(step.from)},
                                      {"to", printer.describe(step.to)},
                                      {"relation", DimCouplingPrinter::describe(step.relation->kind)},
                                      {"op", step.relation->op->getName().getStringRef()},
                                      {"location", spellLocation(step.relation->op->getLoc())}});
  llvm::json::Object object{{"name", group.name},
                            {"kind", prune::toString(group.kind)},
                            {"units", static_cast<int64_t>(group.units.size())},
                            {"changes_statistics", group.changesStatistics},
                            {"members", std::move(members)},
                            {"ties", std::move(ties)}};
  if (hasAlternatives(group.component))
    object["choice"] = group.choice == FactorChoice::Outermost ? "outermost" : "innermost";
  if (group.isFrozen())
    object["frozen"] = llvm::json::Object{{"reason", group.frozen},
                                          {"op", group.frozenBy->getName().getStringRef()},
                                          {"location", spellLocation(group.frozenBy->getLoc())}};
  return object;
}

void DimCouplingGraph::printGraph(raw_ostream &os) const {
  DimCouplingPrinter printer(*this);
  os << "graph groups {\n  node [shape=box];\n";
  for (const DimGroup &group : groups) {
    os << "  subgraph cluster_" << group.id << " {\n    label=\"" << llvm::DOT::EscapeString(group.name)
       << (group.isFrozen() ? " (frozen)" : "") << "\";\n";
    llvm::DenseSet<unsigned> shown;
    auto show = [&](unsigned dim) {
      if (shown.insert(dim).second)
        os << "    g" << group.id << "d" << dim << " [label=\"" << llvm::DOT::EscapeString(printer.describe(dim))
           << "\"];\n";
    };
    std::vector<TieStep> steps = printer.getSteps(group);
    for (const GroupMember &member : group.members)
      show(firstDim.lookup(member.dim.value) + member.dim.dim);
    for (const TieStep &step : steps) {
      show(step.from);
      show(step.to);
    }
    for (const TieStep &step : steps)
      os << "    g" << group.id << "d" << step.from << " -- g" << group.id << "d" << step.to << " [label=\""
         << step.relation->op->getName() << "\"];\n";
    os << "  }\n";
  }
  os << "}\n";
}
