//===- StageRunner.cpp - Stages as code, run on all examples ------------------===//

#include "StageRunner.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/Calibration/Calibration.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/DenseSet.h"
#include <functional>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

static int64_t getProduct(ArrayRef<int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t(1), std::multiplies<>());
}

LogicalResult StageRunner::prepare(const Stage &stage) {
  for (Value value : stage.keeps) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type || !type.hasStaticShape() || !getElementKind(type.getElementType()))
      return value.getDefiningOp()->emitOpError()
             << "expected a tensor of static shape to keep for layers behind, got " << value.getType();
  }
  for (Value value : stage.reads) {
    if (auto constant = value.getDefiningOp<arith::ConstantOp>()) {
      if (failed(getConstantBytes(cast<ElementsAttr>(constant.getValue()))))
        return constant.emitOpError() << "expected a constant whose data is at hand to calibrate";
      continue;
    }
    auto apply = value.getDefiningOp<ApplyOp>();
    if (!apply)
      continue;
    Attribute weightAttr = getConstantAttr(apply.getWeight()), maskAttr = getConstantAttr(apply.getMask());
    if (!weightAttr || !apply.getWeight().getType().getElementType().isF32() ||
        (!maskAttr && !apply.getMask().getDefiningOp<MaskOp>()))
      return apply.emitOpError() << "expected a constant weight of f32 and a constant mask to calibrate";
    auto emit = [&] { return apply.emitOpError(); };
    if (failed(WeightData::read(weightAttr, emit)) || (maskAttr && failed(MaskData::read(maskAttr, emit))))
      return failure();
  }
  return success();
}

void StageRunner::load(ApplyOp apply) {
  std::vector<float> values(WeightData::read(getConstantAttr(apply.getWeight()))->values());
  if (Attribute maskAttr = getConstantAttr(apply.getMask())) {
    FailureOr<MaskData> mask = MaskData::read(maskAttr);
    for (auto [value, keeps] : llvm::zip_equal(values, mask->bytes()))
      value = keeps ? value : 0.0f;
  }
  setMasked(apply, values);
}

void StageRunner::setMasked(ApplyOp apply, ArrayRef<float> values) {
  HostTensor tensor(ElementKind::Float32, apply.getWeight().getType().getShape());
  llvm::copy(values, reinterpret_cast<float *>(tensor.data.data()));
  masked[apply.getResult()] = std::move(tensor);
}

void StageRunner::release(ArrayRef<Stage> later) {
  llvm::DenseSet<Value> reads;
  for (const Stage &stage : later)
    reads.insert_range(stage.reads);
  auto erase = [&](auto &tensors) {
    SmallVector<Value> done;
    for (auto &entry : tensors)
      if (!reads.contains(entry.first))
        done.push_back(entry.first);
    for (Value value : done)
      tensors.erase(value);
  };
  erase(kept);
  erase(masked);
}

FailureOr<const ModelCode *> StageRunner::compile(const Stage &stage, Statistic kind, Location loc) {
  OwningOpRef<ModuleOp> part = buildStage(stage, kind, padding);
  expandObservations(*part);
  std::string text;
  llvm::raw_string_ostream(text) << *part;
  if (auto found = codes.find(text); found != codes.end())
    return found->second.get();
  const auto *execution =
      loc.getContext()->getLoadedDialect<PruneDialect>()->getRegisteredInterface<ModelExecutionInterface>();
  if (!execution)
    return emitError(loc) << "prune-calibrate-masks: no way to run code here: link PrunePipelines and register it";
  llvm::Expected<std::unique_ptr<ModelCode>> code = execution->compile(writeModule(*part), pool.getNumThreads());
  if (!code)
    return emitError(loc) << "the part of the network before this weight " << llvm::toString(code.takeError());
  return (codes[text] = std::move(*code)).get();
}

const void *StageRunner::getData(Value value, int64_t batch) const {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return examples.getBatch(argument.getArgNumber(), batch);
  if (auto found = kept.find(value); found != kept.end())
    return found->second[batch].data.data();
  if (auto found = masked.find(value); found != masked.end())
    return found->second.data.data();
  return getConstantBytes(cast<ElementsAttr>(getConstantAttr(value)))->data.data();
}

FailureOr<InputStatistic> StageRunner::run(const Stage &stage, Statistic kind, Location loc) {
  FailureOr<const ModelCode *> code = compile(stage, kind, loc);
  if (failed(code))
    return failure();
  for (Value value : stage.reads)
    if (auto apply = value.getDefiningOp<ApplyOp>(); apply && !masked.contains(value))
      load(apply);
  InputStatistic statistic;
  statistic.kind = kind;
  statistic.numGroups = stage.inputs.front().numGroups;
  statistic.numColumns = getProduct(stage.inputs.front().columns);
  int64_t size = statistic.numGroups * statistic.numColumns * (kind == Statistic::Gram ? statistic.numColumns : 1);
  statistic.sums.assign(size, 0.0);
  int64_t numBatches = examples.getNumBatches(), workers = std::min<int64_t>(pool.getNumThreads(), numBatches);
  SmallVector<std::vector<HostTensor> *> keeps;
  for (Value value : stage.keeps)
    kept[value].resize(numBatches);
  for (Value value : stage.keeps)
    keeps.push_back(&kept[value]);
  std::vector<std::vector<HostTensor>> parts(workers);
  for (std::vector<HostTensor> &part : parts)
    for (size_t i = 0; i < stage.inputs.size(); ++i)
      part.emplace_back(ElementKind::Float64, size);
  for (int64_t first = 0; first < numBatches; first += workers) {
    int64_t count = std::min(workers, numBatches - first);
    pool.forEach(count, [&](int64_t worker) {
      int64_t batch = first + worker;
      SmallVector<const void *> inputs;
      SmallVector<void *> outputs;
      for (Value value : stage.reads)
        inputs.push_back(getData(value, batch));
      for (auto [value, tensors] : llvm::zip_equal(stage.keeps, keeps)) {
        auto type = cast<RankedTensorType>(value.getType());
        (*tensors)[batch] = HostTensor(*getElementKind(type.getElementType()), type.getShape());
        outputs.push_back((*tensors)[batch].data.data());
      }
      for (HostTensor &part : parts[worker])
        outputs.push_back(part.data.data());
      (*code)->run(inputs, outputs, worker);
    });
    // In the order of the batches, for any number of workers.
    pool.forEachChunk(size, 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t worker = 0; worker < count; ++worker)
        for (const HostTensor &part : parts[worker]) {
          const auto *values = reinterpret_cast<const double *>(part.data.data());
          for (int64_t i = begin; i < end; ++i)
            statistic.sums[i] += values[i];
        }
    });
  }
  for (const LayerInput &input : stage.inputs)
    statistic.numRows +=
        isPadded(input, padding) ? examples.countNonzeros(padding.getArgNumber()) : getProduct(input.rows) * numBatches;
  return statistic;
}
