//===- InsertGates.cpp - prune-insert-gates ---------------------------------------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/RegionUtils.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"
#include "prune/Support/RegexOption.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEINSERTGATES
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// The reads of one activation that get one gate.
struct GatedInput {
  std::string name; ///< of the first weight
  SmallVector<OpOperand *> reads;
};

class GateInserter {
public:
  GateInserter(ModuleOp module, const PruneInsertGatesOptions &options) : module(module), options(options) {}
  FailureOr<InsertGatesResult> run();

private:
  /// An activation and the dimension that is summed over.
  using Input = std::pair<Value, int64_t>;

  InFlightDiagnostic fail() { return emitError(module.getLoc()); }
  LogicalResult readOptions();
  LogicalResult readGroup();
  void skip(const PrunableLayer &layer, const Twine &reason);
  std::optional<Input> findInput(const PrunableLayer &layer, OpOperand *&read);
  LogicalResult collect();
  FailureOr<int64_t> countKept(StringRef name, int64_t columns);
  FailureOr<Value> findScores(Value value, const GatedInput &gated);
  LogicalResult insert(Input input, const GatedInput &gated);

  ModuleOp module;
  const PruneInsertGatesOptions &options;
  InsertGatesResult result;
  std::shared_ptr<llvm::Regex> include, exclude;
  std::optional<double> sparsity, threshold;
  int64_t keepOfGroup = 0, groupSize = 0; ///< of N:M
  llvm::MapVector<Input, GatedInput> inputs;
};

} // namespace

/// Reads `kind` as N:M.
LogicalResult GateInserter::readGroup() {
  auto [n, m] = StringRef(options.kind).split(':');
  if (n.getAsInteger(10, keepOfGroup) || m.getAsInteger(10, groupSize))
    return fail() << "kind: expected threshold, top-k or N:M, got '" << options.kind << "'";
  if (keepOfGroup < 1 || keepOfGroup > groupSize)
    return fail() << "kind: expected N:M with N from 1 to M, got '" << options.kind << "'";
  if (sparsity)
    return fail() << "sparsity: " << options.kind << " says what is pruned, got " << formatNumber(*sparsity) << " too";
  return success();
}

LogicalResult GateInserter::readOptions() {
  // NaN says "not given", as in prune-create-masks.
  if (!std::isnan(options.sparsity))
    sparsity = options.sparsity;
  if (!std::isnan(options.threshold))
    threshold = options.threshold;
  bool isThreshold = options.kind == "threshold", isTopK = options.kind == "top-k";
  if (!isThreshold && !isTopK && failed(readGroup()))
    return failure();
  if (sparsity && !(*sparsity >= 0 && *sparsity <= 1))
    return fail() << "sparsity: expected a value in [0, 1], got " << formatNumber(*sparsity);
  if (threshold && !isThreshold)
    return fail() << "threshold: expected with kind=threshold, got it with kind=" << options.kind;
  if (threshold && !(*threshold >= 0))
    return fail() << "threshold: expected a value of 0 or more, got " << formatNumber(*threshold);
  if (threshold && sparsity)
    return fail() << "sparsity and threshold exclude each other, got " << formatNumber(*sparsity) << " and "
                  << formatNumber(*threshold);
  if (options.keep != -1) {
    if (!isTopK)
      return fail() << "keep: expected with kind=top-k, got it with kind=" << options.kind;
    if (sparsity)
      return fail() << "sparsity and keep exclude each other, got " << formatNumber(*sparsity) << " and "
                    << options.keep;
    if (options.keep < 1)
      return fail() << "keep: expected 1 or more columns, got " << options.keep;
  }
  if (options.scores < -1)
    return fail() << "scores: expected the number of a result, or -1, got " << options.scores;
  if (!sparsity && !threshold)
    sparsity = 0.5;
  auto emit = [&] { return fail(); };
  LogicalResult readsInclude = readRegex("include", options.include, include, emit);
  return success(succeeded(readRegex("exclude", options.exclude, exclude, emit)) && succeeded(readsInclude));
}

void GateInserter::skip(const PrunableLayer &layer, const Twine &reason) {
  ++result.skippedLayers;
  remark::missed(layer.op->getLoc(), remark::RemarkOpts::name("NoGate").category("dynamic"))
      << remark::add("'{0}' skipped because {1}", layer.name, reason.str());
}

/// What the layer multiplies its weight with, if columns of the weight are one dimension of it.
std::optional<GateInserter::Input> GateInserter::findInput(const PrunableLayer &layer, OpOperand *&read) {
  auto op = dyn_cast<linalg::LinalgOp>(layer.op);
  if (!op || layer.weight->getOwner() != layer.op)
    return std::nullopt;
  read = op.getDpsInputOperand(layer.weight == op.getDpsInputOperand(0) ? 1 : 0);
  auto type = dyn_cast<RankedTensorType>(read->get().getType());
  AffineMap weightMap = op.getMatchingIndexingMap(layer.weight), map = op.getMatchingIndexingMap(read);
  if (!type || !type.hasStaticShape() || !type.getElementType().isF32() || weightMap.getNumResults() != 2)
    return std::nullopt;
  std::optional<unsigned> along = map.getResultPosition(weightMap.getResult(1));
  if (!along)
    return std::nullopt;
  return Input(read->get(), *along);
}

LogicalResult GateInserter::collect() {
  int64_t linear = 0, included = 0;
  for (const PrunableLayer &layer : findPrunableLayers(module)) {
    if (layer.kind != "linear")
      continue;
    if (!layer.isPrunable()) {
      skip(layer, layer.reason);
      continue;
    }
    ++linear;
    if (include && !include->match(layer.name)) {
      skip(layer, "include does not match it");
      continue;
    }
    ++included;
    if (exclude && exclude->match(layer.name)) {
      skip(layer, "exclude matches it");
      continue;
    }
    OpOperand *read = nullptr;
    std::optional<Input> input = findInput(layer, read);
    if (!input) {
      skip(layer, "its activations are no tensor of f32 of static shape with the columns of the weight as a dimension");
      continue;
    }
    if (read->get().getDefiningOp<GateOp>()) {
      skip(layer, "its activations have a gate already");
      continue;
    }
    int64_t columns = cast<RankedTensorType>(read->get().getType()).getDimSize(input->second);
    if (groupSize && columns % groupSize != 0) {
      skip(layer, llvm::formatv("groups of {0} do not divide its {1} columns", groupSize, columns).str());
      continue;
    }
    GatedInput &gated = inputs[*input];
    if (gated.reads.empty())
      gated.name = layer.name;
    gated.reads.push_back(read);
  }
  if (include && !included)
    return fail() << "include: '" << options.include << "' matches none of " << linear << " linear layers";
  if (!linear)
    emitWarning(module.getLoc())
        << "no gates: the module has no linear layer with a prunable weight (see prune-identify)";
  return success();
}

/// Columns that top-k keeps.
FailureOr<int64_t> GateInserter::countKept(StringRef name, int64_t columns) {
  if (options.keep == -1)
    return std::max<int64_t>(columns - static_cast<int64_t>(std::nearbyint(*sparsity * static_cast<double>(columns))),
                             1);
  if (options.keep > columns)
    return fail() << "keep: expected at most the " << columns << " columns of '" << name << "', got " << options.keep;
  return options.keep;
}

/// The result of the function that decides, made before the first layer behind the gate of `value`.
FailureOr<Value> GateInserter::findScores(Value value, const GatedInput &gated) {
  Operation *layer = gated.reads.front()->getOwner(), *end = layer->getBlock()->getTerminator();
  for (OpOperand *read : gated.reads)
    if (read->getOwner()->getBlock() == layer->getBlock() && read->getOwner()->isBeforeInBlock(layer))
      layer = read->getOwner();
  if (!isa<func::ReturnOp>(end) || options.scores >= end->getNumOperands())
    return layer->emitOpError() << "scores: expected the number of a result, from 0 to " << end->getNumOperands() - 1
                                << ", got " << options.scores;
  Value scores = end->getOperand(options.scores);
  if (scores.getType() != value.getType())
    return layer->emitOpError() << "scores: expected result " << options.scores << " to be of " << value.getType()
                                << " as what is gated before '" << gated.name << "', got " << scores.getType();
  IRRewriter rewriter(module.getContext());
  if (failed(moveValueDefinitions(rewriter, {scores, value}, layer)))
    return layer->emitOpError() << "scores: expected result " << options.scores << " not to depend on '" << gated.name
                                << "', which it decides on";
  return scores;
}

LogicalResult GateInserter::insert(Input input, const GatedInput &gated) {
  auto [value, along] = input;
  OpBuilder builder(module.getContext());
  builder.setInsertionPointAfterValue(value);
  Value scores = value;
  if (options.scores != -1) {
    FailureOr<Value> found = findScores(value, gated);
    if (failed(found))
      return failure();
    scores = *found;
    if (Operation *definition = scores.getDefiningOp();
        definition && (!value.getDefiningOp() || value.getDefiningOp()->isBeforeInBlock(definition)))
      builder.setInsertionPointAfter(definition);
  }
  ImplicitLocOpBuilder b(gated.reads.front()->getOwner()->getLoc(), builder);
  auto type = cast<RankedTensorType>(value.getType());
  FloatAttr thresholdAttr, sparsityAttr;
  IntegerAttr keep, of;
  if (options.kind == "threshold") {
    if (threshold)
      thresholdAttr = b.getF64FloatAttr(*threshold);
    else
      sparsityAttr = b.getF64FloatAttr(*sparsity);
  } else if (groupSize) {
    keep = b.getI64IntegerAttr(keepOfGroup);
    of = b.getI64IntegerAttr(groupSize);
  } else {
    FailureOr<int64_t> count = countKept(gated.name, type.getDimSize(along));
    if (failed(count))
      return failure();
    keep = b.getI64IntegerAttr(*count);
  }
  auto mask = DynamicMaskOp::create(b, type.clone(b.getI1Type()), scores, along, /*unit=*/1,
                                    /*whole=*/ArrayRef<int64_t>(), /*is_signed=*/false, thresholdAttr, sparsityAttr,
                                    keep, of, b.getStringAttr(gated.name));
  Value gate = GateOp::create(b, type, value, mask);
  for (OpOperand *read : gated.reads)
    read->set(gate);
  ++result.gates;
  return success();
}

FailureOr<InsertGatesResult> GateInserter::run() {
  if (failed(readOptions()) || failed(collect()))
    return failure();
  for (auto &[input, gated] : inputs)
    if (failed(insert(input, gated)))
      return failure();
  return result;
}

FailureOr<InsertGatesResult> mlir::prune::insertGates(ModuleOp module, const PruneInsertGatesOptions &options) {
  return GateInserter(module, options).run();
}

namespace {
struct InsertGates : prune::impl::PruneInsertGatesBase<InsertGates> {
  using PruneInsertGatesBase::PruneInsertGatesBase;

  void runOnOperation() override {
    PruneInsertGatesOptions options;
    options.kind = kind;
    options.sparsity = sparsity;
    options.threshold = threshold;
    options.keep = keep;
    options.include = include;
    options.exclude = exclude;
    options.scores = scores;
    FailureOr<InsertGatesResult> result = insertGates(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numGates = result->gates;
    numSkipped = result->skippedLayers;
  }
};
} // namespace
