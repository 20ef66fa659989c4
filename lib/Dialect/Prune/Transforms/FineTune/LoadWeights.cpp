//===- LoadWeights.cpp - Trained weights and masks back into a model ----------===//

#include "Parameterize.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/FineTune/FineTune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Support/Constants.h"
#include "prune/Support/Npy.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNELOADWEIGHTS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Checks all arrays before it changes anything.
class WeightLoader {
public:
  WeightLoader(ModuleOp module, const PruneLoadWeightsOptions &options) : module(module), options(options) {}

  FailureOr<LoadWeightsResult> run();

private:
  /// An array of the file and what it is for.
  struct Load {
    const NamedTensor *array;
    Parameter *parameter;
  };

  /// An error on `array`.
  InFlightDiagnostic fail(const NamedTensor &array) {
    return emitError(module.getLoc()) << options.file << ": array '" << array.name << "': ";
  }
  LogicalResult checkType(const Load &load, RankedTensorType type);
  LogicalResult checkWeight(const Load &load);
  LogicalResult checkMask(const Load &load);
  void loadWeight(const Load &load);
  void loadMask(const Load &load);

  ModuleOp module;
  const PruneLoadWeightsOptions &options;
  /// Records by the weight whose mask is in use, and by the constant that a mask was folded into.
  llvm::StringMap<SmallVector<RecordOp>> records, foldedRecords;
};

} // namespace

template <typename T> static ArrayRef<T> getData(const NamedTensor &array) {
  return {reinterpret_cast<const T *>(array.tensor.data.data()), array.tensor.data.size() / sizeof(T)};
}

/// The name under which the mask of `parameter` is recorded for `apply`.
static StringRef getRecordName(ApplyOp apply, const Parameter &parameter) {
  return apply.getName().value_or(parameter.name);
}

LogicalResult WeightLoader::checkType(const Load &load, RankedTensorType type) {
  const HostTensor &tensor = load.array->tensor;
  ElementKind kind = *getElementKind(type.getElementType());
  if (tensor.kind != kind || ArrayRef<int64_t>(tensor.shape) != type.getShape())
    return fail(*load.array) << "expected " << describe(kind, type.getShape()) << ", got "
                             << describe(tensor.kind, tensor.shape);
  return success();
}

LogicalResult WeightLoader::checkWeight(const Load &load) {
  if (failed(checkType(load, load.parameter->type)))
    return failure();
  for (RecordOp record : foldedRecords.lookup(load.parameter->name)) {
    ArrayRef<float> values = getData<float>(*load.array);
    std::vector<uint8_t> nonzero(values.size());
    llvm::transform(values, nonzero.begin(), [](float value) { return value != 0; });
    if (std::string digest = digestMask(load.parameter->type.getShape(), nonzero); digest != *record.getStoredDigest())
      return fail(*load.array) << "expected zeros where the mask of '" << record.getWeight()
                               << "' was folded into the weight (at most " << record.getKept() << " nonzero, digest "
                               << *record.getStoredDigest() << "), got " << llvm::count(nonzero, 1)
                               << " nonzero, digest " << digest;
  }
  return success();
}

LogicalResult WeightLoader::checkMask(const Load &load) {
  const Parameter &parameter = *load.parameter;
  if (!parameter.isMasked())
    return fail(*load.array) << "expected a mask of a weight with prune.apply, got one of '" << parameter.name
                             << "', which has none";
  if (failed(checkType(load, parameter.getMaskType())))
    return failure();
  ArrayRef<uint8_t> bytes = getData<uint8_t>(*load.array);
  auto emit = [&] { return fail(*load.array); };
  for (ApplyOp apply : parameter.applies) {
    if (!apply.getAllowEmpty() && !llvm::is_contained(bytes, 1))
      return emit() << "mask keeps none of " << bytes.size() << " weights, and allow_empty is not set";
    if (failed(apply.getPattern().verifyMask(emit, parameter.type.getShape(), bytes)))
      return failure();
  }
  return success();
}

void WeightLoader::loadWeight(const Load &load) {
  for (arith::ConstantOp constant : load.parameter->constants)
    setConstantBytes(constant, getData<char>(*load.array));
}

void WeightLoader::loadMask(const Load &load) {
  Parameter &parameter = *load.parameter;
  ArrayRef<uint8_t> bytes = getData<uint8_t>(*load.array);
  ElementsAttr attr = makeMaskAttr(parameter.getMaskType(), bytes, parameter.name + ".mask");
  llvm::StringSet<> recorded;
  for (ApplyOp apply : parameter.applies) {
    Operation *old = apply.getMask().getDefiningOp();
    OpBuilder builder(apply);
    apply.getMaskMutable().assign(arith::ConstantOp::create(builder, old->getLoc(), attr));
    if (old->use_empty())
      old->erase();
    apply.setName(getRecordName(apply, parameter));
    StringRef name = *apply.getName();
    if (!recorded.insert(name).second)
      continue;
    for (RecordOp record : records.lookup(name))
      record.erase();
    records.erase(name);
    recordMask(module, apply.getLoc(), name, apply.getPattern(), parameter.type.getShape(), bytes);
  }
}

FailureOr<LoadWeightsResult> WeightLoader::run() {
  auto entry = module.lookupSymbol<func::FuncOp>(options.entry);
  if (!entry || entry.isExternal())
    return emitError(module.getLoc()) << "entry: expected a function with a body, got '" << options.entry << "'";
  llvm::Expected<std::vector<NamedTensor>> arrays = readTensors(options.file);
  if (!arrays)
    return emitError(module.getLoc()) << "file: " << llvm::toString(arrays.takeError());
  // The names are those of training: found in the same way.
  PruneBuildTrainingOptions training;
  training.entry = options.entry;
  FailureOr<SmallVector<Parameter>> parameters = findParameters(entry, training);
  if (failed(parameters))
    return failure();
  llvm::StringMap<Parameter *> byName;
  for (Parameter &parameter : *parameters)
    byName[parameter.name] = &parameter;
  for (RecordOp record : module.getOps<RecordOp>())
    if (record.getStored())
      foldedRecords[*record.getStored()].push_back(record);
    else
      records[record.getWeight()].push_back(record);

  SmallVector<Load> weights, masks;
  llvm::StringMap<const NamedTensor *> seen[2];
  for (const NamedTensor &array : *arrays) {
    StringRef name = array.name;
    bool isMask = name.consume_front("mask:"), isStatistic = !isMask && name.consume_front("stat:");
    if (!isMask && !isStatistic)
      name.consume_front("param:");
    Load load{&array, byName.lookup(name)};
    if (!load.parameter)
      return fail(array) << "expected one of the " << parameters->size() << " weights of '" << options.entry
                         << "' (the first is '" << parameters->front().name << "'), got '" << name << "'";
    if (isStatistic && !load.parameter->isStatistic)
      return fail(array) << "expected a statistic of a batch norm, got '" << name << "', which is trained by gradients";
    auto [first, isNew] = seen[isMask].try_emplace(name, &array);
    if (!isNew)
      return fail(array) << "expected one array for '" << name << "', got another in '" << first->second->name << "'";
    if (failed(isMask ? checkMask(load) : checkWeight(load)))
      return failure();
    (isMask ? masks : weights).push_back(load);
  }
  llvm::for_each(weights, [&](const Load &load) { loadWeight(load); });
  llvm::for_each(masks, [&](const Load &load) { loadMask(load); });
  LoadWeightsResult result{static_cast<int64_t>(weights.size()), static_cast<int64_t>(masks.size())};
  remark::analysis(module.getLoc(), remark::RemarkOpts::name("Loaded").category("fine-tune"))
      << remark::add("{0} of {1} weights and {2} masks loaded from '{3}'", result.weights,
                     static_cast<int64_t>(parameters->size()), result.masks, options.file);
  return result;
}

FailureOr<LoadWeightsResult> mlir::prune::loadWeights(ModuleOp module, const PruneLoadWeightsOptions &options) {
  return WeightLoader(module, options).run();
}

namespace {
struct LoadWeights : prune::impl::PruneLoadWeightsBase<LoadWeights> {
  using PruneLoadWeightsBase::PruneLoadWeightsBase;

  void runOnOperation() override {
    PruneLoadWeightsOptions options;
    options.file = file;
    options.entry = entry;
    FailureOr<LoadWeightsResult> result = loadWeights(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numWeights = result->weights;
    numMasks = result->masks;
  }
};
} // namespace
