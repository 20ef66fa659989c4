//===- ScoreRunner.cpp - Scores of dynamic masks on examples ----------------------===//

#include "ScoreRunner.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/bit.h"
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

/// A number whose order as an integer is that of `score`.
static uint32_t getKey(float score) {
  auto bits = llvm::bit_cast<uint32_t>(score);
  return bits >> 31 ? ~bits : bits | (uint32_t(1) << 31);
}

static float getScore(uint32_t key) { return llvm::bit_cast<float>(key >> 31 ? key & ~(uint32_t(1) << 31) : ~key); }

float ScoreRunner::getNoThreshold(DynamicMaskOp mask) {
  return mask.getIsSigned() ? -std::numeric_limits<float>::infinity() : -1.0f;
}

OwningOpRef<ModuleOp> ScoreRunner::cloneFunction(func::FuncOp &clone, SmallVectorImpl<DynamicMaskOp> &clonedMasks) {
  OpBuilder builder(function.getContext());
  OwningOpRef<ModuleOp> part(ModuleOp::create(builder, builder.getUnknownLoc()));
  builder.setInsertionPointToStart(part->getBody());
  IRMapping mapping;
  clone = cast<func::FuncOp>(builder.clone(*function, mapping));
  clone.setName("main");
  clone.setPublic();
  clone.removeResAttrsAttr();
  for (DynamicMaskOp mask : masks)
    clonedMasks.push_back(mapping.lookup(mask.getMask()).getDefiningOp<DynamicMaskOp>());
  return part;
}

LogicalResult ScoreRunner::compile(ModuleOp part, func::FuncOp clone, std::unique_ptr<ModelCode> &code,
                                   std::vector<RankedTensorType> &types) {
  Operation *end = clone.getBody().front().getTerminator();
  clone.setType(FunctionType::get(part.getContext(), clone.getArgumentTypes(), end->getOperandTypes()));
  for (Type type : end->getOperandTypes())
    types.push_back(cast<RankedTensorType>(type));
  const auto *execution =
      part.getContext()->getLoadedDialect<PruneDialect>()->getRegisteredInterface<ModelExecutionInterface>();
  if (!execution)
    return emitError(function.getLoc())
           << "prune-calibrate-gates: no way to run code here: link PrunePipelines and register it";
  llvm::Expected<std::unique_ptr<ModelCode>> compiled = execution->compile(writeModule(part), pool.getNumThreads());
  if (!compiled)
    return emitError(function.getLoc()) << "'" << function.getName() << "' " << llvm::toString(compiled.takeError());
  code = std::move(*compiled);
  return success();
}

LogicalResult ScoreRunner::prepareScores() {
  func::FuncOp clone;
  SmallVector<DynamicMaskOp> clonedMasks;
  OwningOpRef<ModuleOp> part = cloneFunction(clone, clonedMasks);
  SmallVector<Value> scores;
  for (DynamicMaskOp mask : clonedMasks) {
    scores.push_back(emitUnitScores(mask));
    for (Operation *gate : llvm::to_vector(mask->getUsers())) {
      gate->getResult(0).replaceAllUsesWith(cast<GateOp>(gate).getInput());
      gate->erase();
    }
    mask.erase();
  }
  clone.getBody().front().getTerminator()->setOperands(scores);
  return compile(*part, clone, scoreCode, scoreTypes);
}

LogicalResult ScoreRunner::prepareErrors(int64_t numBatches) {
  func::FuncOp clone;
  SmallVector<DynamicMaskOp> clonedMasks;
  OwningOpRef<ModuleOp> part = cloneFunction(clone, clonedMasks);
  auto type = RankedTensorType::get(static_cast<int64_t>(masks.size()), Float32Type::get(clone.getContext()));
  unsigned last = clone.getNumArguments();
  if (failed(clone.insertArgument(last, type, {}, clone.getLoc())))
    return failure();
  for (auto [index, mask] : llvm::enumerate(clonedMasks)) {
    ImplicitLocOpBuilder b(mask.getLoc(), mask);
    Value place = arith::ConstantIndexOp::create(b, index);
    Value threshold = tensor::ExtractOp::create(b, clone.getArgument(last), place);
    mask.replaceAllUsesWith(emitDynamicMask(mask, threshold));
    mask.erase();
  }
  if (failed(compile(*part, clone, errorCode, resultTypes)))
    return failure();
  std::vector<float> thresholds;
  for (DynamicMaskOp mask : masks)
    thresholds.push_back(getNoThreshold(mask));
  run(*errorCode, resultTypes, numBatches, thresholds.data(),
      [&](int64_t, Outputs &outputs) { expected.push_back(std::move(outputs)); });
  for (auto [batch, outputs] : llvm::enumerate(expected))
    for (const HostTensor &tensor : outputs)
      expectedSquares += sumSquares(tensor, batch, [&](int64_t i) { return tensor.getElement(i); });
  return success();
}

void ScoreRunner::run(const ModelCode &code, ArrayRef<RankedTensorType> types, int64_t numBatches,
                      const void *extraInput, function_ref<void(int64_t, Outputs &)> consume) {
  int64_t workers = std::min<int64_t>(pool.getNumThreads(), numBatches);
  std::vector<Outputs> outputs(workers);
  for (int64_t first = 0; first < numBatches; first += workers) {
    int64_t count = std::min(workers, numBatches - first);
    pool.forEach(count, [&](int64_t worker) {
      SmallVector<const void *> inputs;
      SmallVector<void *> results;
      for (unsigned i = 0; i < function.getNumArguments(); ++i)
        inputs.push_back(examples.getBatch(i, first + worker));
      if (extraInput)
        inputs.push_back(extraInput);
      outputs[worker].clear();
      for (RankedTensorType type : types) {
        outputs[worker].emplace_back(*getElementKind(type.getElementType()), type.getShape());
        results.push_back(outputs[worker].back().data.data());
      }
      code.run(inputs, results, worker);
    });
    for (int64_t worker = 0; worker < count; ++worker) // in the order of the batches, for any number of workers
      consume(first + worker, outputs[worker]);
  }
}

std::vector<char> ScoreRunner::findPaddingRows(int64_t numRows, int64_t batch) {
  std::vector<char> isPadding(numRows, 0);
  if (!padding || cast<RankedTensorType>(padding.getType()).getNumElements() != numRows)
    return isPadding;
  int64_t width = getByteWidth(*getElementKind(getElementTypeOrSelf(padding.getType())));
  const char *marks = examples.getBatch(padding.getArgNumber(), batch);
  for (int64_t row = 0; row < numRows; ++row)
    isPadding[row] = std::all_of(marks + row * width, marks + (row + 1) * width, [](char byte) { return byte == 0; });
  return isPadding;
}

double ScoreRunner::sumSquares(const HostTensor &tensor, int64_t batch, function_ref<double(int64_t)> get) {
  if (tensor.kind != ElementKind::Float32 || tensor.getNumElements() == 0)
    return 0;
  int64_t inner = tensor.shape.empty() ? 1 : tensor.shape.back();
  std::vector<char> isPadding = findPaddingRows(tensor.getNumElements() / inner, batch);
  double sum = 0;
  for (int64_t i = 0, e = tensor.getNumElements(); i < e; ++i)
    if (!isPadding[i / inner]) {
      double element = get(i);
      sum += element * element;
    }
  return sum;
}

bool ScoreRunner::visitScores(unsigned index, const HostTensor &scores, int64_t batch,
                              function_ref<void(uint32_t)> consume) {
  // A row is what has one index in all dimensions but that of the units.
  ArrayRef<int64_t> shape = scores.shape;
  int64_t unitDim = getUnitDim(masks[index]), numUnits = shape[unitDim];
  auto inner = std::accumulate(shape.begin() + unitDim + 1, shape.end(), int64_t(1), std::multiplies<>());
  const auto *values = reinterpret_cast<const float *>(scores.data.data());
  std::vector<char> isPadding = findPaddingRows(scores.getNumElements() / numUnits, batch);
  bool isFinite = true;
  for (int64_t i = 0, e = scores.getNumElements(); i < e; ++i) {
    if (isPadding[i / (inner * numUnits) * inner + i % inner])
      continue;
    isFinite &= std::isfinite(values[i]);
    consume(getKey(values[i]));
  }
  return isFinite;
}

FailureOr<std::vector<std::vector<FoundThreshold>>>
ScoreRunner::findThresholds(ArrayRef<std::vector<double>> sparsities) {
  // Counts by the upper half of the keys, then by the lower half where a threshold lies.
  constexpr size_t half = size_t(1) << 16;
  size_t numMasks = masks.size();
  std::vector<std::vector<int64_t>> upper(numMasks, std::vector<int64_t>(half));
  std::vector<std::map<uint32_t, std::vector<int64_t>>> lower(numMasks);
  std::vector<char> isFinite(numMasks, 1);
  auto count = [&](function_ref<void(int64_t mask, uint32_t key)> add) {
    run(*scoreCode, scoreTypes, examples.getNumBatches(), nullptr, [&](int64_t batch, Outputs &outputs) {
      pool.forEach(numMasks, [&](int64_t mask) {
        isFinite[mask] &= visitScores(mask, outputs[mask], batch, [&](uint32_t key) { add(mask, key); });
      });
    });
  };
  count([&](int64_t mask, uint32_t key) { ++upper[mask][key >> 16]; });
  for (auto [mask, finite] : llvm::zip_equal(masks, isFinite))
    if (!finite)
      return DynamicMaskOp(mask).emitOpError() << "expected finite scores on the examples, got infinity or NaN";

  std::vector<std::vector<FoundThreshold>> found(numMasks);
  std::vector<std::vector<uint32_t>> buckets(numMasks);
  std::vector<std::vector<int64_t>> ranks(numMasks); // within the bucket, from 1 on; 0: nothing is pruned
  for (size_t mask = 0; mask < numMasks; ++mask) {
    int64_t total = std::accumulate(upper[mask].begin(), upper[mask].end(), int64_t(0));
    for (double sparsity : sparsities[mask]) {
      FoundThreshold threshold;
      threshold.numScores = total;
      int64_t rank = static_cast<int64_t>(std::nearbyint(sparsity * static_cast<double>(total)));
      uint32_t bucket = 0;
      if (rank > 0) {
        while (rank > upper[mask][bucket]) {
          rank -= upper[mask][bucket];
          threshold.numPruned += upper[mask][bucket++];
        }
        lower[mask].try_emplace(bucket, half);
      }
      found[mask].push_back(threshold);
      buckets[mask].push_back(bucket);
      ranks[mask].push_back(rank);
    }
  }
  count([&](int64_t mask, uint32_t key) {
    if (auto table = lower[mask].find(key >> 16); table != lower[mask].end())
      ++table->second[key & (half - 1)];
  });
  for (size_t mask = 0; mask < numMasks; ++mask)
    for (size_t i = 0; i < found[mask].size(); ++i) {
      FoundThreshold &threshold = found[mask][i];
      int64_t rank = ranks[mask][i];
      if (rank == 0) {
        threshold.value = DynamicMaskOp(masks[mask]).getIsSigned() ? -std::numeric_limits<double>::infinity() : 0;
        continue;
      }
      const std::vector<int64_t> &table = lower[mask].find(buckets[mask][i])->second;
      uint32_t low = 0;
      for (int64_t seen = table[0]; seen < rank; seen += table[low])
        ++low;
      threshold.value = getScore(buckets[mask][i] << 16 | low);
      threshold.numPruned += std::accumulate(table.begin(), table.begin() + low + 1, int64_t(0));
    }
  return found;
}

double ScoreRunner::findError(ArrayRef<float> thresholds) {
  double error = 0;
  run(*errorCode, resultTypes, expected.size(), thresholds.data(), [&](int64_t batch, Outputs &outputs) {
    for (auto [actual, wanted] : llvm::zip_equal(outputs, expected[batch]))
      error += sumSquares(actual, batch, [&](int64_t i) { return actual.getElement(i) - wanted.getElement(i); });
  });
  return expectedSquares > 0 ? error / expectedSquares : error;
}
