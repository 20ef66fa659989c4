//===- ChooseCode.cpp - prune-pack: the code of a layer, and why ----------------===//

#include "ConstantStorage.h"
#include "LayerWeight.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

static llvm::json::Object reportLayer(const LayerWeight &weight, const LayerShape &shape, const LayerChoice &choice) {
  llvm::json::Array candidates;
  for (const LayerCandidate &candidate : choice.candidates) {
    llvm::json::Object entry{{"kernel", stringifyKernelKind(candidate.kind)},
                             {"rows", candidate.rows},
                             {"chunk", candidate.chunk},
                             {"vectors", candidate.vectors},
                             {"estimated_us", candidate.estimatedNs / 1e3}};
    if (candidate.measuredNs)
      entry["measured_us"] = *candidate.measuredNs / 1e3;
    candidates.push_back(std::move(entry));
  }
  int64_t groups = shape.tokens.convolution ? shape.tokens.convolution->groups : 1;
  llvm::json::Object layer{{"name", weight.name},
                           {"rows", shape.matrix.numRows},
                           {"columns", shape.matrix.numColumns / groups},
                           {"tokens", shape.tokens.batches * shape.tokens.lanes},
                           {"pattern", weight.pattern},
                           {"density", choice.density},
                           {"choice", choice.explain()},
                           {"candidates", std::move(candidates)}};
  if (choice.breakEven)
    layer["break_even"] = *choice.breakEven;
  if (choice.activationDensity)
    layer["activation_density"] = *choice.activationDensity;
  if (choice.activationBreakEven)
    layer["activation_break_even"] = *choice.activationBreakEven;
  return layer;
}

/// Says of a choice that was made what the user asked to hear.
static void tell(Operation *op, const LayerWeight &weight, const LayerShape &shape, const LayerChoice &choice,
                 const PackOptions &options) {
  if (options.report)
    options.report->push_back(reportLayer(weight, shape, choice));
  if (!weight.isMasked() && !choice.activationBreakEven)
    return;
  auto remarkOptions = remark::RemarkOpts::name("Pack").category("prune-pack");
  std::string text = weight.name + ": " + choice.explain();
  if (choice.getBest().isSparse() || choice.getBest().skipsActivations())
    remark::passed(op->getLoc(), remarkOptions) << text;
  else
    remark::missed(op->getLoc(), remarkOptions) << text;
}

LayerChoice mlir::prune::chooseCode(Operation *op, const LayerWeight &weight, const LayerShape &shape,
                                    const PackOptions &options) {
  bool isGrouped = shape.tokens.convolution && shape.tokens.convolution->groups > 1;
  ChoiceOptions choiceOptions;
  choiceOptions.allowSparse = weight.isMasked() && options.kernel != "dense";
  choiceOptions.allowColumns = options.kernel != "dense";
  bool hasOther = choiceOptions.allowSparse || shape.activationDensity;
  choiceOptions.allowDense = !hasOther || options.kernel != "sparse";
  choiceOptions.allowContract = choiceOptions.allowDense && (options.denseRows == 0 || isGrouped);
  choiceOptions.chunk = options.chunk;
  choiceOptions.vectors = options.vectors;
  choiceOptions.denseRows = options.denseRows;
  choiceOptions.contractLanes = options.contractLanes;
  choiceOptions.threads = options.threads;
  choiceOptions.measure = options.measure;
  LayerChoice choice = chooseLayer(shape, options.model, choiceOptions);
  tell(op, weight, shape, choice, options);
  return choice;
}

void mlir::prune::reportOnlyCode(Operation *op, const LayerWeight &weight, const LayerShape &shape,
                                 const LayerCandidate &candidate, const PackOptions &options) {
  LayerChoice choice;
  choice.candidates.push_back(candidate);
  choice.density = getDensity(shape);
  tell(op, weight, shape, choice, options);
}

Value mlir::prune::makeShares(ImplicitLocOpBuilder &b, const LayerChoice &choice, const PackOptions &options,
                              StringRef name) {
  if (!choice.splitsRows)
    return {};
  PackedWeight packed = choice.packed;
  packed.chunk = choice.getBest().chunk; // dense storage does not know it
  std::vector<int32_t> shares = splitGroups(packed, options.threads);
  return makeConstant<int32_t>(b, shares, {packed.getNumChunks(), options.threads + 1}, b.getI32Type(),
                               name + ".shares");
}
