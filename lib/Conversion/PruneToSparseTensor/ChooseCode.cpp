//===- ChooseCode.cpp - prune-pack: the code of a layer, and why ----------------===//

#include "ConstantStorage.h"
#include "LayerWeight.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

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
                           {"type", weight.words ? "int8" : "f32"},
                           {"tokens", shape.tokens.batches * shape.tokens.lanes},
                           {"pattern", weight.pattern},
                           {"density", choice.density},
                           {"choice", choice.explain()},
                           {"candidates", std::move(candidates)}};
  if (choice.breakEven)
    layer["break_even"] = *choice.breakEven;
  if (weight.words)
    layer["word_columns"] = weight.wordColumns;
  if (choice.activationDensity)
    layer["activation_density"] = *choice.activationDensity;
  if (choice.activationBreakEven)
    layer["activation_break_even"] = *choice.activationBreakEven;
  if (choice.resultDensity)
    layer["result_density"] = *choice.resultDensity;
  if (choice.resultBreakEven)
    layer["result_break_even"] = *choice.resultBreakEven;
  return layer;
}

/// Says of a choice that was made what the user asked to hear.
static void tell(Operation *op, const LayerWeight &weight, const LayerShape &shape, const LayerChoice &choice,
                 const PackOptions &options) {
  if (options.report)
    options.report->push_back(reportLayer(weight, shape, choice));
  if (!weight.isMasked() && !choice.activationBreakEven && !choice.resultBreakEven)
    return;
  auto remarkOptions = remark::RemarkOpts::name("Pack").category("prune-pack");
  std::string text = weight.name + ": " + choice.explain();
  const LayerCandidate &best = choice.getBest();
  if (best.isSparse() || best.skipsActivations() || best.skipsResults())
    remark::passed(op->getLoc(), remarkOptions) << text;
  else
    remark::missed(op->getLoc(), remarkOptions) << text;
}

static ChoiceOptions getChoiceOptions(const LayerWeight &weight, const LayerShape &shape, const PackOptions &options) {
  bool isGrouped = shape.tokens.convolution && shape.tokens.convolution->groups > 1;
  ChoiceOptions choiceOptions;
  choiceOptions.allowSparse = weight.isMasked() && options.kernel != "dense";
  choiceOptions.allowDynamic = options.kernel != "dense";
  bool hasOther = choiceOptions.allowSparse || shape.activationDensity || shape.resultDensity;
  choiceOptions.allowDense = !hasOther || options.kernel != "sparse";
  choiceOptions.allowContract = choiceOptions.allowDense && (options.denseRows == 0 || isGrouped);
  choiceOptions.chunk = options.chunk;
  choiceOptions.vectors = options.vectors;
  choiceOptions.denseRows = options.denseRows;
  choiceOptions.contractLanes = options.contractLanes;
  choiceOptions.threads = options.threads;
  choiceOptions.measure = options.measure;
  return choiceOptions;
}

LayerChoice mlir::prune::chooseCode(Operation *op, const LayerWeight &weight, const LayerShape &shape,
                                    const PackOptions &options) {
  LayerChoice choice = chooseLayer(shape, options.model, getChoiceOptions(weight, shape, options));
  tell(op, weight, shape, choice, options);
  return choice;
}

/// The largest number that a sum of products by unsigned bytes can reach, whatever the order and the signs.
static double getLargestSum(const MaskedMatrix &matrix) {
  double largest = 0;
  for (int64_t row = 0; row < matrix.numRows; ++row) {
    double sum = 0;
    for (int64_t column = 0; column < matrix.numColumns; ++column)
      if (matrix.isKept(row, column))
        sum += std::abs(matrix.weight[row * matrix.numColumns + column]);
    largest = std::max(largest, 255 * sum);
  }
  return largest;
}

FailureOr<LayerChoice> mlir::prune::chooseQuantizedCode(Operation *op, Value constant, const LayerWeight &weight,
                                                        const LayerShape &shape, const PackOptions &options,
                                                        std::optional<LayerWeight> &words) {
  // Whole numbers that f32 holds exactly, and a limit below which the rounded sums of longer rows stay in i32.
  constexpr double exactLimit = 1 << 24, roundedLimit = 1 << 30;
  double largestSum = getLargestSum(weight.matrix);
  auto choose = [&](const LayerWeight &stored, const LayerShape &layer, const CostModel &model) {
    ChoiceOptions choiceOptions = getChoiceOptions(stored, layer, options);
    choiceOptions.allowContract = false;
    choiceOptions.measure = {};
    return chooseLayer(layer, model, choiceOptions);
  };
  LayerChoice inFloats = choose(weight, shape, options.model);
  auto remarkOptions = remark::RemarkOpts::name("Pack").category("prune-pack");
  auto keepFloats = [&](StringRef why) {
    std::string rounded =
        largestSum > exactLimit ? llvm::formatv("; sums up to {0:f0} are rounded to 24 bits", largestSum).str() : "";
    remark::missed(op->getLoc(), remarkOptions) << llvm::formatv("{0}: int8 declined: {1}; computes in f32: {2}{3}",
                                                                 weight.name, why, inFloats.explain(), rounded)
                                                       .str();
    if (options.report)
      options.report->push_back(reportLayer(weight, shape, inFloats));
    return inFloats;
  };
  if (!options.hasVNNI && !options.wordColumns && largestSum < roundedLimit)
    return keepFloats("the target has no VNNI instructions");

  FailureOr<LayerWeight> read = LayerWeight::read(op, constant, /*isTransposed=*/false,
                                                  options.wordColumns ? options.wordColumns
                                                  : options.hasVNNI   ? 4
                                                                      : 2);
  if (failed(read))
    return failure();
  words = std::move(*read);
  LayerShape wordShape = shape;
  wordShape.matrix = words->matrix;
  wordShape.blockRows = words->blockRows;
  wordShape.wordColumns = words->wordColumns;
  LayerChoice inWords = choose(*words, wordShape, options.model.forWords());
  double wordNs = inWords.getBest().estimatedNs, floatNs = inFloats.getBest().estimatedNs;
  if (options.hasVNNI && !options.wordColumns && floatNs < wordNs && largestSum <= exactLimit) {
    words.reset();
    return keepFloats(llvm::formatv("words of 4 columns would take {0:f1} us", wordNs / 1e3).str());
  }
  std::string text = llvm::formatv("{0}: int8, density {1:f2} in words of {2} columns: {3}", weight.name,
                                   getDensity(shape), words->wordColumns, inWords.explain())
                         .str();
  if (options.hasVNNI)
    text += llvm::formatv("; f32 would take {0:f1} us", floatNs / 1e3).str();
  else
    text += "; the times are with VNNI instructions, which the target lacks";
  if (options.hasVNNI && wordNs <= floatNs)
    remark::passed(op->getLoc(), remarkOptions) << text;
  else
    remark::missed(op->getLoc(), remarkOptions) << text;
  if (options.report) {
    llvm::json::Object layer = reportLayer(*words, wordShape, inWords);
    layer["columns"] = shape.matrix.numColumns;
    options.report->push_back(std::move(layer));
  }
  return inWords;
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
