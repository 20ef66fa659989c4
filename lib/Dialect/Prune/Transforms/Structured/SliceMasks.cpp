//===- SliceMasks.cpp - Masks of removed units --------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Structured/SelectGroups.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace mlir::prune;

/// The largest number of consecutive indices that always live or die together and start at a multiple of it: the width
/// of heads. `kept` holds a byte for each index. Only for units of several indices; 1 if they are scattered.
static int64_t getBlockSize(ArrayRef<int32_t> units) {
  int64_t size = units.size();
  int64_t block =
      std::find_if(units.begin(), units.end(), [&](int32_t unit) { return unit != units.front(); }) - units.begin();
  if (block <= 1 || block == size || size % block || units.front() < 0)
    return 1;
  for (int64_t i = 0; i < size; ++i)
    if (units[i] != units[i / block * block])
      return 1;
  return block;
}

namespace {
class SliceMasker {
public:
  SliceMasker(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan)
      : module(module), coupling(coupling), plan(plan) {}

  FailureOr<int64_t> run();

private:
  void mask(arith::ConstantOp constant, StringRef name, ArrayRef<int64_t> dims);
  std::string makeName(const Twine &wanted);

  ModuleOp module;
  const DimCoupling &coupling;
  const ShrinkPlan &plan;
  /// Names of masks: records find them by these.
  llvm::StringSet<> taken;
  int64_t numMasks = 0;
};
} // namespace

std::string SliceMasker::makeName(const Twine &wanted) {
  std::string name = wanted.str();
  for (unsigned count = 2; !taken.insert(name).second; ++count)
    name = (wanted + "#" + Twine(count)).str();
  return name;
}

void SliceMasker::mask(arith::ConstantOp constant, StringRef name, ArrayRef<int64_t> dims) {
  auto type = cast<RankedTensorType>(constant.getType());
  ArrayRef<int64_t> shape = type.getShape();
  OpBuilder builder(module.getContext());
  builder.setInsertionPointAfter(constant);
  auto maskType = RankedTensorType::get(shape, builder.getI1Type());
  SmallVector<OpOperand *> uses = llvm::to_vector(llvm::make_pointer_range(constant.getResult().getUses()));
  Value masked = constant;
  for (int64_t dim : dims) {
    DimRef ref{constant, dim};
    std::optional<SmallVector<int64_t>> kept = plan.getKept(coupling, ref);
    if (!kept)
      continue;
    std::vector<uint8_t> alive(shape[dim], 0);
    for (int64_t index : *kept)
      alive[index] = 1;

    // Every index fills a run; the runs of all indices repeat.
    int64_t inner = 1;
    for (int64_t size : shape.drop_front(dim + 1))
      inner *= size;
    int64_t period = shape[dim] * inner, total = type.getNumElements();
    std::vector<uint8_t> bytes(total);
    for (auto [index, byte] : llvm::enumerate(alive))
      std::fill_n(bytes.data() + index * inner, inner, byte);
    for (int64_t done = period; done < total; done *= 2)
      std::copy_n(bytes.data(), std::min(done, total - done), bytes.data() + done);

    ArrayRef<int32_t> units = coupling.getUnits(ref, plan.choices[coupling.getComponent(ref)]);
    auto pattern = cast<PatternAttrInterface>(SliceAttr::get(module.getContext(), dim, getBlockSize(units)));
    std::string maskName = makeName(name + ":" + Twine(dim));
    Value mask =
        arith::ConstantOp::create(builder, constant.getLoc(), makeMaskAttr(maskType, bytes, maskName + ".mask"));
    masked = ApplyOp::create(builder, constant.getLoc(), type, masked, mask, pattern, builder.getStringAttr(maskName),
                             kept->empty() ? builder.getUnitAttr() : UnitAttr());
    OpBuilder atEnd = OpBuilder::atBlockEnd(module.getBody());
    RecordOp::create(atEnd, constant.getLoc(), builder.getStringAttr(maskName), pattern,
                     builder.getI64IntegerAttr(static_cast<int64_t>(kept->size()) * (total / shape[dim])),
                     builder.getI64IntegerAttr(total), builder.getStringAttr(digestMask(shape, bytes)), StringAttr(),
                     StringAttr());
    ++numMasks;
  }
  for (OpOperand *use : uses)
    use->set(masked);
}

FailureOr<int64_t> SliceMasker::run() {
  module.walk([&](Operation *op) {
    if (auto apply = dyn_cast<ApplyOp>(op); apply && apply.getName())
      taken.insert(*apply.getName());
    else if (auto record = dyn_cast<RecordOp>(op))
      taken.insert(record.getWeight());
  });
  // By constant, in the order of the groups.
  struct Weight {
    StringRef name;
    SmallVector<int64_t> dims;
  };
  llvm::MapVector<Value, Weight> weights;
  for (const DimGroup &group : coupling.getGroups()) {
    if (llvm::none_of(group.units, [&](int32_t unit) { return plan.removed.test(unit); }))
      continue;
    for (const GroupMember &member : group.members) {
      Weight &weight = weights[member.dim.value];
      weight.name = member.name;
      if (!llvm::is_contained(weight.dims, member.dim.dim))
        weight.dims.push_back(member.dim.dim);
    }
  }
  for (auto &[value, weight] : weights) {
    llvm::sort(weight.dims);
    mask(value.getDefiningOp<arith::ConstantOp>(), weight.name.empty() ? "weight" : weight.name, weight.dims);
  }
  return numMasks;
}

FailureOr<int64_t> mlir::prune::maskRemovedUnits(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan) {
  return SliceMasker(module, coupling, plan).run();
}
