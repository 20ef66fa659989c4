//===- BuildTraining.cpp - From a model to the functions that train it --------===//

#include "BatchNorm.h"
#include "Distillation.h"
#include "Emit.h"
#include "Losses.h"
#include "MaskUpdates.h"
#include "Optimizers.h"
#include "Parameterize.h"
#include "Ports.h"
#include "Schedules.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/FineTune/FineTune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEBUILDTRAINING
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// True if `weights` has one number for each row of `output`, or for each block of rows.
static bool hasRowsOf(Type output, Type weights) {
  ArrayRef<int64_t> shape = cast<RankedTensorType>(output).getShape();
  ArrayRef<int64_t> rows = cast<RankedTensorType>(weights).getShape();
  return rows.size() < shape.size() && shape.take_front(rows.size()) == rows;
}

namespace {

class TrainingBuilder {
public:
  TrainingBuilder(ModuleOp module, const PruneBuildTrainingOptions &options)
      : module(module), options(options), loc(module.getLoc()), b(loc, module.getContext()) {}

  FailureOr<BuildTrainingResult> run();

private:
  LogicalResult readModel();
  LogicalResult readLosses();
  LogicalResult checkNames();
  func::FuncOp createFunction(StringRef name, ArrayRef<Ports> arguments, ArrayRef<Ports> results) {
    return createPortFunction(b, module, name, arguments, results);
  }
  void finish(func::FuncOp function, ValueRange results);

  /// The parameters with zeros where their masks prune.
  SmallVector<Value> emitMasked(ValueRange values, ValueRange maskValues);
  Value emitConstant(RankedTensorType type, ElementsAttr value);
  /// The results of the loss for a batch (inputs, then labels), and its gradients by the masked parameters.
  SmallVector<Value> emitGradients(ValueRange values, ValueRange statValues, ValueRange maskValues, ValueRange batch);
  /// `share` of the way from the old statistics to those of a batch.
  SmallVector<Value> emitStatistics(ValueRange old, ValueRange batch, Value share);
  /// The losses that a step minimises, of a model's outputs.
  Value emitObjective(ValueRange results, Value target, ValueRange taughtValues, ValueRange modelInputs);
  /// The teacher's outputs that are learnt from.
  SmallVector<Value> callTeacher(ValueRange modelInputs);
  Value getRowWeights(ValueRange modelInputs, Type output);

  void buildForward();
  void buildLoss();
  void buildInit();
  void buildTrainStep();
  void buildEvalStep();
  void buildEstimateStatistics();
  void buildGradients();

  ModuleOp module;
  const PruneBuildTrainingOptions &options;
  Location loc;
  ImplicitLocOpBuilder b;

  func::FuncOp entry, forward, loss;
  /// `forward` with batch norms that use the statistics of the batch, which are further results; `forward` if there are
  /// no statistics.
  func::FuncOp forwardOnBatch;
  SmallVector<Parameter> parameters, statistics;
  MaskPlan plan;
  Loss labelLoss;
  Distillation distillation;
  std::optional<unsigned> rowWeights; ///< index of an input
  SmallVector<StringRef> stateNames;
  Ports params, stats, masks, fixedMasks, states, scores, step, inputs, labels, outputs, lossPorts, taught;
};

} // namespace

LogicalResult TrainingBuilder::readModel() {
  for (StringRef name : {"init", "train_step", "eval_step", "loss", "forward", "forward_on_batch",
                         "estimate_statistics", "gradients", "schedule", "update_masks"})
    if (Operation *other = module.lookupSymbol(name))
      return other->emitError() << "expected no function '" << name << "' in the module: training makes one";
  entry = module.lookupSymbol<func::FuncOp>(options.entry);
  if (!entry || entry.isExternal())
    return emitError(loc) << "entry: expected a function with a body, got '" << options.entry << "'";
  if (!entry.getBody().hasOneBlock())
    return entry.emitError() << "expected one block in the function to train, got "
                             << entry.getBody().getBlocks().size();
  for (TypeRange types : {TypeRange(entry.getArgumentTypes()), TypeRange(entry.getResultTypes())})
    for (Type type : types)
      if (auto tensor = dyn_cast<RankedTensorType>(type); !tensor || !tensor.hasStaticShape())
        return entry.emitError() << "expected tensors of static shape in the function to train, got " << type;
  if (!entry.getNumResults())
    return entry.emitError() << "expected a function with a result to train, got none";
  if (failed(checkOptimizer(loc, options)) || failed(checkSchedules(loc, options)))
    return failure();
  if (!llvm::is_contained({"train", "frozen"}, options.batchNorm))
    return emitError(loc) << "batch-norm: expected train or frozen, got '" << options.batchNorm << "'";
  if (!(options.batchNormMomentum > 0 && options.batchNormMomentum <= 1))
    return emitError(loc) << "batch-norm-momentum: expected a value in (0, 1], got "
                          << formatNumber(options.batchNormMomentum);
  FailureOr<SmallVector<Parameter>> weights = findParameters(entry, options);
  if (failed(weights))
    return failure();
  for (Parameter &weight : *weights)
    (weight.isStatistic ? statistics : parameters).push_back(std::move(weight));
  FailureOr<MaskPlan> planned = planMasks(entry, parameters, options);
  if (failed(planned))
    return failure();
  plan = std::move(*planned);
  if (options.sparse && failed(compressParameters(loc, parameters, plan)))
    return failure();
  stateNames = getStateNames(options);

  auto getName = [](StringAttr given, StringRef prefix, unsigned index) {
    return given ? given.str() : (prefix + Twine(index)).str();
  };
  for (auto [i, type] : llvm::enumerate(entry.getArgumentTypes()))
    inputs.push_back({getName(entry.getArgAttrOfType<StringAttr>(i, "prune.name"), "in", i), type});
  for (auto [i, type] : llvm::enumerate(entry.getResultTypes()))
    outputs.push_back({getName(entry.getResultAttrOfType<StringAttr>(i, "prune.name"), "out", i), type});
  for (Parameter &statistic : statistics)
    stats.push_back({"stat:" + statistic.name, statistic.type});
  for (Parameter &parameter : parameters) {
    params.push_back({"param:" + parameter.name, parameter.type});
    if (parameter.isMasked())
      masks.push_back({"mask:" + parameter.name, parameter.getMaskType()});
    if (parameter.compressedBy)
      fixedMasks.push_back({"mask:" + parameter.name, parameter.compressedBy.getType()});
    for (StringRef state : stateNames)
      states.push_back({"state:" + parameter.name + ":" + state.str(), parameter.type});
    if (getKeptScores(parameter))
      scores.push_back({"state:" + parameter.name + ":score", parameter.type});
  }
  step = {{"step", RankedTensorType::get({}, b.getI64Type())}};
  if (failed(readLosses()))
    return failure();
  return checkNames();
}

LogicalResult TrainingBuilder::readLosses() {
  std::optional<LossKind> kind = parseLossKind(options.loss);
  if (!kind || *kind == LossKind::Divergence)
    return emitError(loc) << "loss: expected cross-entropy, mse, bce or cosine, got '" << options.loss << "'";
  if (!(options.labelSmoothing >= 0 && options.labelSmoothing < 1))
    return emitError(loc) << "label-smoothing: expected a value in [0, 1), got "
                          << formatNumber(options.labelSmoothing);
  labelLoss.kind = *kind;
  labelLoss.labelSmoothing = options.labelSmoothing;
  SmallVector<StringRef> outputNames;
  for (const Port &output : outputs)
    outputNames.push_back(output.name);
  FailureOr<Distillation> read = readDistillation(entry, outputNames, labelLoss, options);
  if (failed(read))
    return failure();
  distillation = std::move(*read);
  for (const DistilledOutput &output : distillation.outputs)
    taught.push_back(outputs[output.index]);

  lossPorts = {{"loss", RankedTensorType::get({}, b.getF32Type())}};
  if (distillation.needsLabels()) {
    if (failed(labelLoss.verify(loc, "loss", outputs.front().type)))
      return failure();
    bool areClasses = labelLoss.kind == LossKind::CrossEntropy;
    labels = {
        {areClasses ? "labels" : "target", labelLoss.getTargetType(cast<RankedTensorType>(outputs.front().type))}};
    if (areClasses)
      lossPorts.push_back({"correct", RankedTensorType::get({}, b.getI64Type())});
  }

  if (options.rowWeights.empty())
    return success();
  auto input = llvm::find_if(inputs, [&](const Port &port) { return port.name == options.rowWeights; });
  if (input == inputs.end())
    return emitError(loc) << "row-weights: expected an input of the model, got '" << options.rowWeights << "'";
  rowWeights = input - inputs.begin();
  Ports weighed = taught;
  if (distillation.needsLabels())
    weighed.push_back(outputs.front());
  auto hasRows = [&](const Port &port) { return hasRowsOf(port.type, input->type); };
  if (llvm::none_of(weighed, hasRows) || !cast<RankedTensorType>(input->type).getElementType().isIntOrFloat())
    return emitError(loc)
           << "row-weights: expected numbers of a shape that the shape of an output in a loss begins with, "
           << weighed.front().type << " for one, got " << input->type;
  return success();
}

/// Names tell arguments and results apart: those of the model must not be ours.
LogicalResult TrainingBuilder::checkNames() {
  llvm::StringSet<> taken;
  for (StringRef name : {"step", "loss", "correct", "learning_rate", "gradient_norm", "sparsity", "update", "batches",
                         "labels", "target"})
    taken.insert(name);
  for (const Ports *ports : {&inputs, &outputs})
    for (const Port &port : *ports) {
      StringRef name = port.name;
      if (!taken.insert(name).second || name.starts_with("param:") || name.starts_with("mask:") ||
          name.starts_with("state:") || name.starts_with("stat:"))
        return entry.emitError() << "expected an input or output of the model to have a name of its own, got '" << name
                                 << "', which training uses";
    }
  return success();
}

void TrainingBuilder::finish(func::FuncOp function, ValueRange results) { func::ReturnOp::create(b, results); }

SmallVector<Value> TrainingBuilder::emitMasked(ValueRange values, ValueRange maskValues) {
  SmallVector<Value> masked(values);
  for (auto [value, mask] : llvm::zip_equal(masked, spreadMasks(parameters, maskValues))) {
    if (!mask)
      continue;
    value = emitSelected(b, mask, value).front();
  }
  return masked;
}

Value TrainingBuilder::emitConstant(RankedTensorType type, ElementsAttr value) {
  return arith::ConstantOp::create(b, type, cast<TypedAttr>(value));
}

void TrainingBuilder::buildInit() {
  func::FuncOp function = createFunction("init", {}, {params, stats, masks, fixedMasks, states, scores, step});
  SmallVector<Value> results, maskResults, fixedResults;
  for (Parameter &parameter : parameters) {
    ElementsAttr value = parameter.value;
    if (parameter.mask) {
      FailureOr<WeightData> data = WeightData::read(value);
      SmallVector<float> kept;
      for (auto [weight, keeps] : llvm::zip_equal(data->values(), *parameter.mask))
        kept.push_back(keeps ? weight : 0.0f);
      value = makeWeightAttr(parameter.type, kept, parameter.name + ".masked");
      maskResults.push_back(emitConstant(
          parameter.getMaskType(), makeMaskAttr(parameter.getMaskType(), *parameter.mask, parameter.name + ".mask")));
    } else if (parameter.undecided) {
      // Nothing is pruned before the first update.
      maskResults.push_back(
          emitConstant(parameter.getMaskType(), DenseElementsAttr::get(parameter.getMaskType(), true)));
    }
    if (ElementsAttr mask = parameter.compressedBy)
      fixedResults.push_back(emitConstant(cast<RankedTensorType>(mask.getType()), mask));
    results.push_back(emitConstant(parameter.type, value));
  }
  for (Parameter &statistic : statistics)
    results.push_back(emitConstant(statistic.type, statistic.value));
  llvm::append_range(results, maskResults);
  llvm::append_range(results, fixedResults);
  for (const Ports *zeros : {&states, &scores, &step})
    for (const Port &port : *zeros)
      results.push_back(emitConstant(cast<RankedTensorType>(port.type), cast<ElementsAttr>(b.getZeroAttr(port.type))));
  finish(function, results);
}

void TrainingBuilder::buildForward() {
  SmallVector<Parameter> weights = parameters;
  llvm::append_range(weights, statistics);
  forward = forwardOnBatch = cloneWithParameters(entry, weights, "forward");
  if (statistics.empty())
    return;
  IRMapping mapping;
  forwardOnBatch = clonePrivate(forward, "forward_on_batch", mapping);
  unsigned first = parameters.size();
  auto getIndex = [&](Value value) -> std::optional<unsigned> {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument || argument.getOwner() != &forwardOnBatch.front() || argument.getArgNumber() < first ||
        argument.getArgNumber() >= first + statistics.size())
      return std::nullopt;
    return argument.getArgNumber() - first;
  };
  SmallVector<Value> found(statistics.size());
  for (const BatchNorm &norm :
       findBatchNorms(forwardOnBatch, [&](Value value) { return getIndex(value).has_value(); })) {
    unsigned mean = *getIndex(norm.mean->get()), variance = *getIndex(norm.variance->get());
    BatchStatistics batch = useBatchStatistics(b, norm);
    found[mean] = batch.mean;
    found[variance] = batch.variance;
  }
  forwardOnBatch.front().getTerminator()->insertOperands(entry.getNumResults(), found);
  SmallVector<Type> types(entry.getResultTypes());
  llvm::append_range(types, ValueRange(found).getTypes());
  forwardOnBatch.setFunctionType(b.getFunctionType(forwardOnBatch.getArgumentTypes(), types));
  forwardOnBatch.setAllResultAttrs(SmallVector<DictionaryAttr>(types.size()));
}

Value TrainingBuilder::getRowWeights(ValueRange modelInputs, Type output) {
  if (!rowWeights || !hasRowsOf(output, modelInputs[*rowWeights].getType()))
    return Value();
  return modelInputs[*rowWeights];
}

Value TrainingBuilder::emitObjective(ValueRange results, Value target, ValueRange taughtValues,
                                     ValueRange modelInputs) {
  auto scalar = RankedTensorType::get({}, b.getF32Type());
  SmallVector<Value> terms;
  SmallVector<double> weights;
  if (target) {
    Value output = results.front();
    terms.push_back(labelLoss.emit(b, output, target, getRowWeights(modelInputs, output.getType())));
    weights.push_back(1 - distillation.hardness);
  }
  for (auto [output, value] : llvm::zip_equal(distillation.outputs, taughtValues)) {
    Value own = results[output.index];
    terms.push_back(output.loss.emit(b, own, value, getRowWeights(modelInputs, own.getType())));
    weights.push_back(distillation.hardness * output.weight);
  }
  if (terms.size() == 1 && weights.front() == 1)
    return terms.front();
  return emitMap(b, terms, scalar,
                 [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value sum;
                   for (auto [term, weight] : llvm::zip_equal(args, weights)) {
                     Value share = arith::MulFOp::create(b, term, emitFloat(b, weight, term.getType()));
                     sum = sum ? Value(arith::AddFOp::create(b, sum, share)) : share;
                   }
                   return SmallVector<Value>{sum};
                 })
      .front();
}

SmallVector<Value> TrainingBuilder::callTeacher(ValueRange modelInputs) {
  if (!distillation.teacher)
    return {};
  auto call = func::CallOp::create(b, distillation.teacher, modelInputs);
  SmallVector<Value> values;
  for (const DistilledOutput &output : distillation.outputs)
    values.push_back(call.getResult(output.index));
  return values;
}

void TrainingBuilder::buildLoss() {
  loss = createFunction("loss", {params, stats, inputs, labels, taught}, {lossPorts, stats});
  loss.setPrivate();
  for (unsigned i = 0; i < loss.getNumArguments(); ++i)
    loss.setArgAttrs(i, DictionaryAttr());
  for (unsigned i = 0; i < loss.getNumResults(); ++i)
    loss.setResultAttrs(i, DictionaryAttr());
  ValueRange arguments = loss.getArguments();
  auto call = func::CallOp::create(b, forwardOnBatch, arguments.take_front(forwardOnBatch.getNumArguments()));
  arguments = arguments.drop_front(params.size() + stats.size());
  ValueRange modelInputs = take(arguments, inputs), target = take(arguments, labels);
  SmallVector<Value> results = {
      emitObjective(call.getResults(), labels.empty() ? Value() : target.front(), arguments, modelInputs)};
  if (lossPorts.size() > 1)
    results.push_back(emitCorrect(b, call.getResult(0), target.front()));
  llvm::append_range(results, call.getResults().drop_front(outputs.size()));
  finish(loss, results);
}

SmallVector<Value> TrainingBuilder::emitStatistics(ValueRange old, ValueRange batch, Value share) {
  SmallVector<Value> next;
  for (auto [before, now] : llvm::zip_equal(old, batch))
    next.push_back(emitMap(b, {before, now, share}, cast<RankedTensorType>(before.getType()),
                           [&](ImplicitLocOpBuilder &b, ValueRange args) {
                             Value change = arith::SubFOp::create(b, args[1], args[0]);
                             Value step = arith::MulFOp::create(b, args[2], change);
                             return SmallVector<Value>{arith::AddFOp::create(b, args[0], step)};
                           })
                       .front());
  return next;
}

SmallVector<Value> TrainingBuilder::emitGradients(ValueRange values, ValueRange statValues, ValueRange maskValues,
                                                  ValueRange batch) {
  SmallVector<Value> operands = emitMasked(values, maskValues);
  llvm::append_range(operands, statValues);
  llvm::append_range(operands, batch);
  llvm::append_range(operands, callTeacher(batch.take_front(inputs.size())));
  SmallVector<Type> types(loss.getResultTypes());
  SmallVector<int64_t> by;
  for (auto [index, port] : llvm::enumerate(params)) {
    types.push_back(port.type);
    by.push_back(index);
  }
  return SmallVector<Value>(GradientOp::create(b, types, loss.getName(), operands, by)->getResults());
}

void TrainingBuilder::buildTrainStep() {
  Ports reports = {{"learning_rate", RankedTensorType::get({}, b.getF32Type())}};
  if (options.clipNorm > 0)
    reports.push_back({"gradient_norm", RankedTensorType::get({}, b.getF32Type())});
  func::FuncOp function = createFunction("train_step", {params, stats, masks, states, scores, step, inputs, labels},
                                         {params, stats, states, scores, step, lossPorts, reports});
  ValueRange arguments = function.getArguments();
  ValueRange oldParams = take(arguments, params), oldStats = take(arguments, stats),
             maskValues = take(arguments, masks);
  ValueRange oldStates = take(arguments, states), oldScores = take(arguments, scores);
  ValueRange oldStep = take(arguments, step);

  SmallVector<Value> computed = emitGradients(oldParams, oldStats, maskValues, arguments);
  ValueRange gradients = computed;
  ValueRange lossResults = take(gradients, lossPorts), batchStats = take(gradients, stats);

  // Straight-through: the gradient by the masked weight is taken for that by the weight, which no mask then touches.
  SmallVector<Value> spread =
      plan.trainsPruned ? SmallVector<Value>(params.size()) : spreadMasks(parameters, maskValues);
  Value stepValue = emitExtract(b, oldStep.front());
  Value rate = emitLearningRate(b, stepValue, options);
  StepScalars scalars = emitStepScalars(b, stepValue, rate, gradients, spread, options);
  SmallVector<Value> newParams, newStates;
  for (auto [index, parameter] : llvm::enumerate(oldParams)) {
    ValueRange own = oldStates.slice(index * stateNames.size(), stateNames.size());
    SmallVector<Value> next = emitUpdate(b, parameter, gradients[index], spread[index], own, scalars, options);
    newParams.push_back(next.front());
    newStates.append(next.begin() + 1, next.end());
  }
  SmallVector<Value> results = newParams;
  if (!stats.empty()) {
    Value momentum = emitFloat(b, options.batchNormMomentum, b.getF32Type());
    llvm::append_range(results, emitStatistics(oldStats, batchStats, emitScalarTensor(b, momentum)));
  }
  llvm::append_range(results, newStates);
  llvm::append_range(results, emitScoreSteps(b, parameters, oldScores, oldParams, gradients));
  Value one = arith::ConstantOp::create(b, b.getI64IntegerAttr(1));
  results.push_back(emitScalarTensor(b, arith::AddIOp::create(b, stepValue, one)));
  llvm::append_range(results, lossResults);
  results.push_back(scalars.rate);
  if (scalars.gradientNorm)
    results.push_back(scalars.gradientNorm);
  finish(function, results);
}

void TrainingBuilder::buildEvalStep() {
  func::FuncOp function = createFunction("eval_step", {params, stats, masks, inputs, labels}, {lossPorts, outputs});
  ValueRange arguments = function.getArguments();
  ValueRange values = take(arguments, params), oldStats = take(arguments, stats), maskValues = take(arguments, masks);
  ValueRange modelInputs = take(arguments, inputs), target = take(arguments, labels);
  SmallVector<Value> operands = emitMasked(values, maskValues);
  llvm::append_range(operands, oldStats);
  llvm::append_range(operands, modelInputs);
  auto call = func::CallOp::create(b, forward, operands);
  Value output = call.getResult(0);
  SmallVector<Value> results;
  if (labels.empty())
    results.push_back(emitObjective(call.getResults(), Value(), callTeacher(modelInputs), modelInputs));
  else
    results.push_back(labelLoss.emit(b, output, target.front(), getRowWeights(modelInputs, output.getType())));
  if (lossPorts.size() > 1)
    results.push_back(emitCorrect(b, output, target.front()));
  llvm::append_range(results, call.getResults());
  finish(function, results);
}

void TrainingBuilder::buildGradients() {
  Ports gradients;
  for (auto [port, parameter] : llvm::zip_equal(params, parameters))
    gradients.push_back({"gradient:" + parameter.name, port.type});
  func::FuncOp function = createFunction("gradients", {params, stats, masks, inputs, labels}, {lossPorts, gradients});
  ValueRange arguments = function.getArguments();
  ValueRange values = take(arguments, params), oldStats = take(arguments, stats), maskValues = take(arguments, masks);
  SmallVector<Value> results = emitGradients(values, oldStats, maskValues, arguments);
  results.erase(results.begin() + lossPorts.size(), results.begin() + lossPorts.size() + stats.size());
  finish(function, results);
}

void TrainingBuilder::buildEstimateStatistics() {
  Ports batches = {{"batches", RankedTensorType::get({}, b.getI64Type())}};
  func::FuncOp function = createFunction("estimate_statistics", {params, stats, masks, batches, inputs}, {stats});
  ValueRange arguments = function.getArguments();
  ValueRange values = take(arguments, params), oldStats = take(arguments, stats), maskValues = take(arguments, masks);
  ValueRange count = take(arguments, batches);
  SmallVector<Value> operands = emitMasked(values, maskValues);
  llvm::append_range(operands, oldStats);
  llvm::append_range(operands, arguments);
  auto call = func::CallOp::create(b, forwardOnBatch, operands);
  // The mean over all batches so far and this one.
  Value share =
      emitMap(b, count, RankedTensorType::get({}, b.getF32Type()), [](ImplicitLocOpBuilder &b, ValueRange args) {
        Value before = arith::SIToFPOp::create(b, b.getF32Type(), args[0]);
        Value one = emitFloat(b, 1, b.getF32Type());
        return SmallVector<Value>{arith::DivFOp::create(b, one, arith::AddFOp::create(b, before, one))};
      }).front();
  finish(function, emitStatistics(oldStats, call.getResults().drop_front(outputs.size()), share));
}

FailureOr<BuildTrainingResult> TrainingBuilder::run() {
  if (failed(readModel()))
    return failure();
  buildForward();
  buildLoss();
  buildInit();
  buildTrainStep();
  buildEvalStep();
  if (!stats.empty())
    buildEstimateStatistics();
  if (options.gradients)
    buildGradients();
  if (plan.hasUpdates()) {
    buildSchedule(b, module, plan, parameters);
    MaskUpdatePorts ports{params, stats, masks, states, scores, {}};
    // Where masks regrow, the gradient of a batch decides.
    if (plan.regrow > 0) {
      ports.batch = inputs;
      llvm::append_range(ports.batch, labels);
    }
    auto getGradients = [&](ValueRange values, ValueRange statValues, ValueRange maskValues, ValueRange batch) {
      SmallVector<Value> gradients = emitGradients(values, statValues, maskValues, batch);
      gradients.erase(gradients.begin(), gradients.begin() + lossPorts.size() + stats.size());
      return gradients;
    };
    buildUpdateMasks(b, module, plan, parameters, ports, getGradients);
  }
  BuildTrainingResult result;
  result.parameters = params.size();
  result.masks = masks.size() + fixedMasks.size();
  result.changingMasks =
      llvm::count_if(parameters, [&](const Parameter &parameter) { return plan.changes(parameter); });
  // What is decided about the weights of the model holds for its arguments no more.
  for (RecordOp record : llvm::make_early_inc_range(module.getOps<RecordOp>()))
    record.erase();
  entry.erase();
  remark::analysis(loc, remark::RemarkOpts::name("Parameters").category("fine-tune"))
      << remark::add("{0} parameters, {1} of them masked, {2} held as their kept elements, {3} by masks that change, "
                     "and {4} statistics "
                     "of batch norms",
                     result.parameters, result.masks, static_cast<int64_t>(fixedMasks.size()), result.changingMasks,
                     static_cast<int64_t>(stats.size()));
  return result;
}

FailureOr<BuildTrainingResult> mlir::prune::buildTraining(ModuleOp module, const PruneBuildTrainingOptions &options) {
  return TrainingBuilder(module, options).run();
}

namespace {
struct BuildTraining : prune::impl::PruneBuildTrainingBase<BuildTraining> {
  using PruneBuildTrainingBase::PruneBuildTrainingBase;

  void runOnOperation() override {
    PruneBuildTrainingOptions options;
    options.entry = entry;
    options.loss = loss;
    options.labelSmoothing = labelSmoothing;
    options.optimizer = optimizer;
    options.lr = lr;
    options.momentum = momentum;
    options.nesterov = nesterov;
    options.weightDecay = weightDecay;
    options.beta1 = beta1;
    options.beta2 = beta2;
    options.epsilon = epsilon;
    options.clipNorm = clipNorm;
    options.clipValue = clipValue;
    options.lrSchedule = lrSchedule;
    options.lrMin = lrMin;
    options.lrGamma = lrGamma;
    options.lrPeriod = lrPeriod;
    options.lrMilestones = llvm::to_vector(lrMilestones);
    options.warmup = warmup;
    options.steps = steps;
    options.rewindEvery = rewindEvery;
    options.freeze = freeze;
    options.batchNorm = batchNorm;
    options.batchNormMomentum = batchNormMomentum;
    options.teacher = teacher;
    options.hardness = hardness;
    options.temperature = temperature;
    options.distill = llvm::to_vector(distill);
    options.rowWeights = rowWeights;
    options.schedule = schedule;
    options.update = update;
    options.regrow = regrow;
    options.sparse = sparse;
    options.gradients = gradients;
    FailureOr<BuildTrainingResult> result = buildTraining(getOperation(), options);
    if (failed(result))
      return signalPassFailure();
    numParameters = result->parameters;
    numMasks = result->masks;
    numChangingMasks = result->changingMasks;
  }
};
} // namespace
