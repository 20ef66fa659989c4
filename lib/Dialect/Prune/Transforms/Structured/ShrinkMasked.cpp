//===- ShrinkMasked.cpp - From slice masks to smaller shapes ------------------===//

#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Structured/ModelExecution.h"
#include "prune/Dialect/Prune/Transforms/Structured/Shrink.h"
#include "prune/Support/Constants.h"
#include "prune/Support/OutputFile.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Indices that slice masks prune, of the dimensions of constant weights.
class SliceMasks {
public:
  LogicalResult read(ModuleOp module) {
    LogicalResult result = success();
    module.walk([&](ApplyOp apply) {
      auto slice = dyn_cast<SliceAttr>(apply.getPattern());
      Value weight = apply.getWeight();
      while (auto inner = weight.getDefiningOp<ApplyOp>())
        weight = inner.getWeight();
      Attribute mask = getConstantAttr(apply.getMask());
      if (!slice || !mask || !prune::getConstant(weight))
        return;
      FailureOr<MaskData> data = MaskData::read(mask, [&] { return apply.emitError() << "mask: "; });
      if (failed(data)) {
        result = failure();
        return;
      }
      int64_t stride = 1, size = data->shape()[slice.getDim()];
      for (int64_t extent : data->shape().drop_front(slice.getDim() + 1))
        stride *= extent;
      // The verifier has seen that slices are whole: one element of each tells.
      llvm::BitVector &pruned = prunedOf.try_emplace({weight, slice.getDim()}, size).first->second;
      for (int64_t i = 0; i < size; ++i)
        if (!data->bytes()[i * stride])
          pruned.set(i);
    });
    return result;
  }

  bool isPruned(DimRef dim, int64_t index) const {
    auto found = prunedOf.find({dim.value, dim.dim});
    return found != prunedOf.end() && found->second.test(index);
  }

  llvm::MapVector<std::pair<Value, int64_t>, llvm::BitVector> prunedOf;
};

/// How many indices of its members each unit has, and how many of them are masked.
struct UnitCounts {
  SmallVector<int64_t> all, masked;
};

UnitCounts countMasked(const DimCoupling &coupling, const DimGroup &group, const SliceMasks &masks) {
  UnitCounts counts{SmallVector<int64_t>(group.units.size(), 0), SmallVector<int64_t>(group.units.size(), 0)};
  for (const GroupMember &member : group.members)
    for (auto [index, unit] : llvm::enumerate(coupling.getUnits(member.dim, group.choice))) {
      if (!group.hasUnit(unit))
        continue;
      ++counts.all[unit - group.units.front()];
      counts.masked[unit - group.units.front()] += masks.isPruned(member.dim, index);
    }
  return counts;
}

/// Plans to remove units that are masked in all of their weights.
ShrinkPlan planMasked(const DimCoupling &coupling, const SliceMasks &masks) {
  ShrinkPlan plan(coupling);
  SmallVector<int64_t> complete[2];
  for (SmallVector<int64_t> &counts : complete)
    counts.assign(coupling.getNumComponents(), 0);
  std::vector<SmallVector<int32_t>> unitsOf(coupling.getGroups().size());
  for (const DimGroup &group : coupling.getGroups()) {
    if (group.isFrozen())
      continue;
    UnitCounts counts = countMasked(coupling, group, masks);
    for (auto [i, unit] : llvm::enumerate(group.units))
      if (counts.all[i] == counts.masked[i])
        unitsOf[group.id].push_back(unit);
    // Nothing of nothing is no model.
    if (unitsOf[group.id].size() == group.units.size())
      unitsOf[group.id].pop_back();
    complete[static_cast<int>(group.choice)][group.component] += unitsOf[group.id].size();
  }
  for (const DimGroup &group : coupling.getGroups()) {
    auto count = [&](FactorChoice choice) { return complete[static_cast<int>(choice)][group.component]; };
    FactorChoice best = count(FactorChoice::Innermost) > count(FactorChoice::Outermost) ? FactorChoice::Innermost
                                                                                        : FactorChoice::Outermost;
    if (group.isFrozen() || group.choice != best)
      continue;
    plan.choices[group.component] = best;
    for (int32_t unit : unitsOf[group.id])
      plan.removed.set(unit);
  }
  return plan;
}

/// Says for each mask that stays why.
void remarkDeclined(const DimCoupling &coupling, const ShrinkPlan &plan, const SliceMasks &masks) {
  for (const auto &[key, pruned] : masks.prunedOf) {
    DimRef dim{key.first, key.second};
    ArrayRef<int32_t> units = coupling.getUnits(dim, plan.choices[coupling.getComponent(dim)]);
    int64_t left = 0;
    for (unsigned index : pruned.set_bits())
      left += units.empty() || units[index] < 0 || !plan.removed.test(units[index]);
    if (left == 0)
      continue;
    const DimGroup *frozen = nullptr;
    for (const DimGroup &group : coupling.getGroups())
      if (group.isFrozen() && llvm::any_of(group.members, [&](const GroupMember &member) { return member.dim == dim; }))
        frozen = &group;
    arith::ConstantOp constant = prune::getConstant(dim.value);
    std::string why = frozen ? llvm::formatv("the dimension {0} ('{1}' at {2})", frozen->frozen,
                                             frozen->frozenBy->getName(), frozen->frozenBy->getLoc())
                                   .str()
                             : "other weights of the same units are not masked";
    remark::missed(dim.value.getLoc(), remark::RemarkOpts::name("Declined").category("prune-shrink"))
        << remark::add("{0} of {1} masked indices of dimension {2} of '{3}' stay: {4}", left, pruned.count(), dim.dim,
                       getConstantName(constant).str(), why);
  }
}

/// Takes away masks that keep everything now and brings the records of the others up to date. Returns how many slice
/// masks stay.
FailureOr<int64_t> updateMasks(ModuleOp module) {
  llvm::StringMap<RecordOp> records;
  for (RecordOp record : module.getOps<RecordOp>())
    records[record.getWeight()] = record;
  int64_t left = 0;
  SmallVector<ApplyOp> applies;
  module.walk([&](ApplyOp apply) { applies.push_back(apply); });
  for (ApplyOp apply : applies) {
    Attribute attr = getConstantAttr(apply.getMask());
    if (!attr)
      continue;
    FailureOr<MaskData> mask = MaskData::read(attr, [&] { return apply.emitError() << "mask: "; });
    if (failed(mask))
      return failure();
    RecordOp record = records.lookup(apply.getName().value_or(""));
    bool isSlice = isa<SliceAttr>(apply.getPattern());
    int64_t kept = mask->countKept();
    if (isSlice && kept == mask->size()) {
      apply.replaceAllUsesWith(apply.getWeight());
      Operation *constant = apply.getMask().getDefiningOp();
      apply.erase();
      if (constant->use_empty())
        constant->erase();
      if (record)
        record.erase();
      continue;
    }
    left += isSlice;
    if (record) {
      record.setKept(kept);
      record.setTotal(mask->size());
      record.setDigest(digestMask(mask->shape(), mask->bytes()));
    }
  }
  return left;
}

LogicalResult writeReport(ModuleOp module, StringRef file, ArrayRef<ShrunkWeight> weights) {
  llvm::json::Array entries;
  for (const ShrunkWeight &weight : weights)
    entries.push_back(llvm::json::Object{{"name", weight.name},
                                         {"shape", llvm::json::Array(weight.shape)},
                                         {"dim", weight.dim},
                                         {"removed", llvm::json::Array(weight.removed)}});
  return writeFile(module.getLoc(), "report", file, [&](raw_ostream &os) {
    os << llvm::formatv("{0:2}\n", llvm::json::Value(llvm::json::Object{{"weights", std::move(entries)}}));
  });
}

} // namespace

int64_t mlir::prune::findIdleUnits(ModuleOp module, const DimCoupling &coupling, ShrinkPlan &plan) {
  // Indices of each member along which the weight holds nothing but zeros.
  auto findZeros = [](DimRef dim) {
    llvm::BitVector zeros(dim.getSize(), false);
    FailureOr<ConstantBytes> bytes = getConstantBytes(cast<ElementsAttr>(prune::getConstant(dim.value).getValue()));
    int64_t width = getElementBytes(dim.getType().getElementType());
    if (failed(bytes) || bytes->isSplat || width == 0)
      return zeros;
    zeros.set();
    int64_t run = width;
    for (int64_t extent : dim.getType().getShape().drop_front(dim.dim + 1))
      run *= extent;
    const char *data = bytes->data.data();
    // -0 counts as zero: all bits but the sign, which is the highest one of a little-endian element.
    auto isZeroRun = [&](const char *begin) {
      for (int64_t i = 0; i < run; ++i)
        if (begin[i] != 0 && !((i + 1) % width == 0 && begin[i] == static_cast<char>(0x80)))
          return false;
      return true;
    };
    for (int64_t i = 0, runs = bytes->data.size() / run; i < runs; ++i)
      if (zeros.test(i % dim.getSize()) && !isZeroRun(data + i * run))
        zeros.reset(i % dim.getSize());
    return zeros;
  };
  int64_t found = 0;
  for (const DimGroup &group : coupling.getGroups()) {
    if (group.isFrozen() || group.choice != plan.choices[group.component])
      continue;
    // Which members are zero along each unit. Few combinations occur, and each is judged once.
    std::vector<llvm::BitVector> zeroMembers(group.units.size(), llvm::BitVector(group.members.size(), true));
    for (auto [number, member] : llvm::enumerate(group.members)) {
      llvm::BitVector zeros = findZeros(member.dim);
      for (auto [index, unit] : llvm::enumerate(coupling.getUnits(member.dim, group.choice)))
        if (group.hasUnit(unit) && !zeros.test(index))
          zeroMembers[unit - group.units.front()].reset(number);
    }
    llvm::MapVector<uint64_t, std::pair<const llvm::BitVector *, SmallVector<int32_t>>> alike;
    for (auto [i, unit] : llvm::enumerate(group.units)) {
      if (zeroMembers[i].none())
        continue;
      auto &entry = alike[llvm::hash_combine_range(zeroMembers[i].getData())];
      if (!entry.first)
        entry.first = &zeroMembers[i];
      if (*entry.first == zeroMembers[i])
        entry.second.push_back(unit);
    }
    int64_t left = llvm::count_if(group.units, [&](int32_t unit) { return !plan.removed.test(unit); });
    for (auto &[hash, entry] : alike) {
      auto &[zeros, units] = entry;
      auto isZero = [&, zeros = zeros](const GroupMember &member) {
        return zeros->test(&member - group.members.data());
      };
      if (!coupling.isIdle(group, isZero))
        continue;
      for (int32_t unit : units)
        // One stays, even of an idle group: tensors of no elements are no model.
        if (!plan.removed.test(unit) && left > 1) {
          plan.removed.set(unit);
          --left;
          ++found;
        }
    }
  }
  return found;
}

std::string mlir::prune::writeModule(ModuleOp module) {
  std::string bytes;
  llvm::raw_string_ostream os(bytes);
  // Writing to memory does not fail.
  (void)writeBytecodeToFile(module, os);
  return bytes;
}

/// The model that the shrunk one must equal, as bytecode.
static FailureOr<std::string> makeReference(ModuleOp module, const ShrinkPlan &plan) {
  OwningOpRef<ModuleOp> reference = module.clone();
  // Units of a copy have the same numbers.
  std::unique_ptr<DimCoupling> coupling = DimCoupling::create(*reference);
  if (failed(maskDims(*reference, *coupling, plan)))
    return failure();
  return writeModule(*reference);
}

/// Largest difference between masked and shrunk outputs, as a share of the largest output.
static constexpr double kEquivalenceTolerance = 1e-5;

static LogicalResult checkEquivalence(ModuleOp module, StringRef reference) {
  auto *execution =
      module.getContext()->getLoadedDialect<PruneDialect>()->getRegisteredInterface<ModelExecutionInterface>();
  if (!execution)
    return emitError(module.getLoc()) << "check-equivalence: this build cannot run models";
  llvm::Expected<OutputDifference> difference = execution->compare(reference, writeModule(module));
  if (!difference)
    return emitError(module.getLoc()) << "check-equivalence: " << llvm::toString(difference.takeError());
  std::string text =
      llvm::formatv("outputs of the shrunk and the masked model differ by {0:e2} of the largest output (for another "
                    "input: {1:e2})",
                    difference->relative, difference->spread)
          .str();
  if (!(difference->relative <= kEquivalenceTolerance))
    return emitError(module.getLoc()) << "check-equivalence: " << text << ", allowed are " << kEquivalenceTolerance;
  remark::passed(module.getLoc(), remark::RemarkOpts::name("Equivalent").category("prune-shrink"))
      << remark::add("{0}", text);
  return success();
}

FailureOr<ShrinkPlan> mlir::prune::planMaskedUnits(ModuleOp module, const DimCoupling &coupling) {
  SliceMasks masks;
  if (failed(masks.read(module)))
    return failure();
  return planMasked(coupling, masks);
}

FailureOr<ShrinkResult> mlir::prune::shrinkMasked(ModuleOp module, const PruneShrinkOptions &options) {
  SliceMasks masks;
  if (failed(masks.read(module)))
    return failure();
  unshareUniformTensors(module);
  std::unique_ptr<DimCoupling> coupling = DimCoupling::create(module);
  ShrinkPlan plan = planMasked(*coupling, masks);
  // Idle units add nothing as they are: the reference keeps them.
  std::string reference;
  if (options.checkEquivalence) {
    FailureOr<std::string> bytes = makeReference(module, plan);
    if (failed(bytes))
      return failure();
    reference = std::move(*bytes);
  }
  if (options.zeros)
    findIdleUnits(module, *coupling, plan);
  remarkDeclined(*coupling, plan, masks);
  ShrinkResult result;
  result.units = plan.removed.count();
  FailureOr<std::vector<ShrunkWeight>> weights = shrinkDims(module, *coupling, plan);
  if (failed(weights))
    return failure();
  llvm::StringSet<> names;
  for (const ShrunkWeight &weight : *weights)
    names.insert(weight.name);
  result.weights = names.size();
  FailureOr<int64_t> left = updateMasks(module);
  if (failed(left))
    return failure();
  result.declined = *left;
  if (options.checkEquivalence && failed(checkEquivalence(module, reference)))
    return failure();
  remark::passed(module.getLoc(), remark::RemarkOpts::name("Shrunk").category("prune-shrink"))
      << remark::add("removed {0} units from {1} weights", result.units, result.weights);
  if (!options.report.empty() && failed(writeReport(module, options.report, *weights)))
    return failure();
  return result;
}
