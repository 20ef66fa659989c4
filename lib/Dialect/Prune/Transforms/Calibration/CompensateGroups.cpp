//===- CompensateGroups.cpp - Weights that make up for removed units ----------===//

#include "MaskCalibrator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/Transforms/Structured/SelectGroups.h"
#include "prune/Dialect/Prune/Transforms/Structured/Shrink.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECOMPENSATEGROUPS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Works on a copy of the module in which all units live, but columns that multiply removed ones are masked: this gives
/// the same results, and shows the inputs that are to be made up for.
class GroupCompensator {
public:
  GroupCompensator(ModuleOp module, const PruneCompensateGroupsOptions &options) : module(module), options(options) {}

  FailureOr<CompensateGroupsResult> run();

private:
  void findColumns(const DimCoupling &coupling, const ShrinkPlan &plan);
  void findUnits(const DimCoupling &coupling, const ShrinkPlan &plan);
  void reviveUnits(const DimCoupling &coupling, const ShrinkPlan &plan);
  std::string whyLeft(arith::ConstantOp constant, ArrayRef<PrunableLayer> layers);
  void maskColumns();
  LogicalResult maskChosen(ShrinkPlan &plan, ArrayRef<LayerDecision> decisions);

  ModuleOp module;
  const PruneCompensateGroupsOptions &options;
  OwningOpRef<ModuleOp> copy;
  /// Of the copy: weights that lose columns, and the mask that says which.
  llvm::MapVector<Operation *, GivenMask> columns;
  GivenMasks given;
  CompensateGroupsResult result;
};

} // namespace

static arith::ConstantOp getConstantUnder(ApplyOp apply) {
  Value weight = apply.getWeight();
  while (auto inner = weight.getDefiningOp<ApplyOp>())
    weight = inner.getWeight();
  return prune::getConstant(weight);
}

/// Finds the weights whose columns, all dimensions but the first, `plan` removes in part.
void GroupCompensator::findColumns(const DimCoupling &coupling, const ShrinkPlan &plan) {
  llvm::DenseSet<Operation *> masks;
  copy->walk([&](ApplyOp apply) { masks.insert(apply.getMask().getDefiningOp()); });
  copy->walk([&](arith::ConstantOp constant) {
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    if (!type || type.getRank() < 2 || masks.contains(constant))
      return;
    std::vector<uint8_t> bytes(type.getNumElements(), 1);
    int64_t inner = type.getNumElements();
    bool loses = false;
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      int64_t size = type.getDimSize(dim);
      inner /= std::max<int64_t>(size, 1);
      std::optional<SmallVector<int64_t>> kept =
          dim > 0 ? plan.getKept(coupling, {constant, dim}) : std::optional<SmallVector<int64_t>>();
      if (!kept)
        continue;
      loses = true;
      llvm::BitVector alive(size);
      for (int64_t index : *kept)
        alive.set(index);
      for (auto [i, byte] : llvm::enumerate(bytes))
        byte &= alive.test(i / inner % size);
    }
    if (loses)
      columns[constant].bytes = std::move(bytes);
  });
}

/// Where a group removes the columns of one weight and nothing else multiplies its units: the unit of each column, so
/// that others may be chosen.
void GroupCompensator::findUnits(const DimCoupling &coupling, const ShrinkPlan &plan) {
  for (const DimGroup &group : coupling.getGroups()) {
    if (group.isFrozen() || group.choice != plan.choices[group.component] ||
        llvm::none_of(group.units, [&](int32_t unit) { return plan.removed.test(unit); }))
      continue;
    SmallVector<DimRef> readers;
    for (const GroupMember &member : group.members)
      if (member.dim.dim > 0)
        readers.push_back(member.dim);
    auto found = readers.size() == 1 ? columns.find(readers.front().value.getDefiningOp()) : columns.end();
    if (found == columns.end())
      continue;
    ArrayRef<int64_t> shape = readers.front().getType().getShape();
    ArrayRef<int32_t> units = coupling.getUnits(readers.front(), group.choice);
    int64_t inner = 1;
    for (int64_t size : shape.drop_front(readers.front().dim + 1))
      inner *= size;
    std::vector<int32_t> &unitOfColumn = found->second.unitOfColumn;
    if (!unitOfColumn.empty()) { // two groups at once: their choices would depend on each other
      unitOfColumn.assign(unitOfColumn.size(), -1);
      continue;
    }
    unitOfColumn.resize(found->second.bytes.size() / shape.front());
    for (auto [column, unit] : llvm::enumerate(unitOfColumn)) {
      unit = units[column / inner % units.size()];
      unit = group.hasUnit(unit) ? unit : -1;
    }
  }
  for (auto &[weight, mask] : columns)
    if (llvm::all_of(mask.unitOfColumn, [](int32_t unit) { return unit < 0; }))
      mask.unitOfColumn.clear();
}

/// The slice masks of nothing but units that `plan` removes.
static SmallVector<ApplyOp> findCovered(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan) {
  SmallVector<ApplyOp> applies;
  module.walk([&](ApplyOp apply) {
    auto slice = dyn_cast<SliceAttr>(apply.getPattern());
    Attribute attr = getConstantAttr(apply.getMask());
    arith::ConstantOp constant = getConstantUnder(apply);
    if (!slice || !attr || !constant)
      return;
    int64_t dim = slice.getDim(), size = cast<RankedTensorType>(constant.getType()).getDimSize(dim);
    FailureOr<MaskData> mask = MaskData::read(attr, [&] { return apply.emitError(); });
    std::optional<SmallVector<int64_t>> kept = plan.getKept(coupling, {constant, dim});
    // Masks keep no more than the plan keeps: equal counts are equal masks.
    if (succeeded(mask) && kept && mask->countKept() * size == static_cast<int64_t>(kept->size()) * mask->size())
      applies.push_back(apply);
  });
  return applies;
}

/// Takes away the masks of units that `plan` removes.
void GroupCompensator::reviveUnits(const DimCoupling &coupling, const ShrinkPlan &plan) {
  for (ApplyOp apply : findCovered(*copy, coupling, plan)) {
    apply.replaceAllUsesWith(apply.getWeight());
    apply.erase();
  }
}

/// Why the values of `constant` cannot be chosen anew; empty if they can.
std::string GroupCompensator::whyLeft(arith::ConstantOp constant, ArrayRef<PrunableLayer> layers) {
  if (!cast<RankedTensorType>(constant.getType()).getElementType().isF32())
    return "it is not of f32";
  if (!constant->hasOneUse())
    return "more than one op uses it";
  OpOperand &use = *constant->use_begin();
  for (const PrunableLayer &layer : layers)
    if (layer.weight == &use)
      return !layer.isPrunable() ? layer.reason
             : layer.op->getParentOfType<func::FuncOp>().getName() != options.entry
                 ? ("its layer is not in '" + options.entry + "'")
                 : "";
  return isa<ApplyOp>(use.getOwner()) ? "it has another mask" : "no layer multiplies it";
}

/// Puts a mask that waits on each weight that loses columns.
void GroupCompensator::maskColumns() {
  // Masks put between a weight and its layer later leave the uses of the other weights as they are.
  SmallVector<PrunableLayer> layers = findPrunableLayers(*copy);
  for (auto &[op, columnMask] : columns) {
    auto constant = cast<arith::ConstantOp>(op);
    if (std::string reason = whyLeft(constant, layers); !reason.empty()) {
      ++result.declined;
      remark::missed(constant.getLoc(), remark::RemarkOpts::name("Uncompensated").category("calibrate"))
          << remark::add("'{0}' does not make up for the units it loses: {1}", getConstantName(constant).str(), reason);
      continue;
    }
    OpBuilder builder(constant->getContext());
    builder.setInsertionPointAfter(constant);
    auto type = cast<RankedTensorType>(constant.getType());
    auto pattern = cast<PatternAttrInterface>(UnstructuredAttr::get(constant->getContext()));
    auto mask = MaskOp::create(builder, constant.getLoc(), RankedTensorType::get(type.getShape(), builder.getI1Type()),
                               constant, cast<CriterionAttrInterface>(SparseGPTAttr::get(constant->getContext())),
                               pattern, builder.getF64FloatAttr(0), FloatAttr(), IntegerAttr(), StringAttr(),
                               NormalizationAttr(), StringAttr());
    OpOperand &use = *llvm::find_if(constant->getUses(), [&](OpOperand &use) { return use.getOwner() != mask; });
    use.set(ApplyOp::create(builder, constant.getLoc(), type, constant, mask, pattern, StringAttr(), UnitAttr()));
    given[mask] = std::move(columnMask);
  }
}

/// Masks the units that were chosen instead of those that were masked.
LogicalResult GroupCompensator::maskChosen(ShrinkPlan &plan, ArrayRef<LayerDecision> decisions) {
  ShrinkPlan before = plan;
  for (const LayerDecision &decision : decisions)
    for (auto [column, unit] : llvm::enumerate(decision.unitOfColumn))
      if (unit >= 0)
        plan.removed[unit] = !decision.bytes[column];
  if (plan.removed == before.removed)
    return success();
  // Units have the same numbers as those of the copy, which was this module.
  unshareUniformTensors(module);
  std::unique_ptr<DimCoupling> coupling = DimCoupling::create(module);
  llvm::StringSet<> names;
  for (ApplyOp apply : findCovered(module, *coupling, before)) {
    names.insert(apply.getName().value_or(""));
    apply.replaceAllUsesWith(apply.getWeight());
    Operation *mask = apply.getMask().getDefiningOp();
    apply.erase();
    if (mask->use_empty())
      mask->erase();
  }
  for (RecordOp record : llvm::make_early_inc_range(module.getOps<RecordOp>()))
    if (names.contains(record.getWeight()))
      record.erase();
  return maskRemovedUnits(module, *coupling, plan);
}

FailureOr<CompensateGroupsResult> GroupCompensator::run() {
  if (options.units != "keep" && options.units != "obs")
    return emitError(module.getLoc()) << "units: expected keep or obs, got '" << options.units << "'";
  IRMapping mapping;
  copy = cast<ModuleOp>(module->clone(mapping));
  unshareUniformTensors(*copy);
  std::unique_ptr<DimCoupling> coupling = DimCoupling::create(*copy);
  FailureOr<ShrinkPlan> plan = planMaskedUnits(*copy, *coupling);
  if (failed(plan))
    return failure();
  findColumns(*coupling, *plan);
  if (options.units == "obs")
    findUnits(*coupling, *plan);
  reviveUnits(*coupling, *plan);
  maskColumns();
  result.weights = given.size();
  if (given.empty())
    return result;

  if (options.data.empty())
    return emitError(module.getLoc()) << "data: expected an .npz file with examples for " << given.size()
                                      << " weights that lose columns, got none";
  PruneCalibrateMasksOptions settings;
  settings.data = options.data;
  settings.entry = options.entry;
  settings.padding = options.padding;
  settings.damping = options.damping;
  settings.threads = options.threads;
  MaskCalibrator calibrator(*copy, settings, std::move(given));
  if (failed(calibrator.decide()))
    return failure();
  llvm::DenseMap<Operation *, arith::ConstantOp> originals;
  module.walk(
      [&](arith::ConstantOp constant) { originals[mapping.lookup(constant.getResult()).getDefiningOp()] = constant; });
  for (const LayerDecision &decision : calibrator.getDecisions()) {
    MaskOp mask = decision.mask;
    setConstantBytes(
        originals.lookup(mask.getWeight().getDefiningOp()),
        ArrayRef(reinterpret_cast<const char *>(decision.values.data()), decision.values.size() * sizeof(float)));
  }
  if (failed(maskChosen(*plan, calibrator.getDecisions())))
    return failure();
  return result;
}

FailureOr<CompensateGroupsResult> mlir::prune::compensateGroups(ModuleOp module,
                                                                const PruneCompensateGroupsOptions &options) {
  return GroupCompensator(module, options).run();
}

namespace {
struct CompensateGroups : prune::impl::PruneCompensateGroupsBase<CompensateGroups> {
  using PruneCompensateGroupsBase::PruneCompensateGroupsBase;

  void runOnOperation() override {
    PruneCompensateGroupsOptions options;
    options.data = data;
    options.entry = entry;
    options.padding = padding;
    options.damping = damping;
    options.threads = threads;
    options.units = units;
    FailureOr<CompensateGroupsResult> result = compensateGroups(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numWeights = result->weights;
    numDeclined = result->declined;
  }
};
} // namespace
