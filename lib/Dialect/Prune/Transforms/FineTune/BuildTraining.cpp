//===- BuildTraining.cpp - From a model to the functions that train it --------===//

#include "Emit.h"
#include "Losses.h"
#include "Optimizers.h"
#include "Parameterize.h"
#include "Schedules.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/FineTune/FineTune.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEBUILDTRAINING
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// An argument or result of a function that a driver calls.
struct Port {
  std::string name;
  Type type;
};
using Ports = SmallVector<Port>;

class TrainingBuilder {
public:
  TrainingBuilder(ModuleOp module, const PruneBuildTrainingOptions &options)
      : module(module), options(options), loc(module.getLoc()), b(loc, module.getContext()) {}

  LogicalResult run();

private:
  LogicalResult readModel();
  LogicalResult checkNames();
  func::FuncOp createFunction(StringRef name, ArrayRef<Ports> arguments, ArrayRef<Ports> results);
  void finish(func::FuncOp function, ValueRange results);

  /// The parameters with zeros where their masks prune.
  SmallVector<Value> emitMasked(ValueRange values, ValueRange maskValues);
  /// The mask of each parameter, null where it has none.
  SmallVector<Value> spreadMasks(ValueRange maskValues);
  Value emitConstant(RankedTensorType type, ElementsAttr value);

  void buildLoss();
  void buildInit();
  void buildTrainStep();
  void buildEvalStep();

  ModuleOp module;
  const PruneBuildTrainingOptions &options;
  Location loc;
  ImplicitLocOpBuilder b;

  func::FuncOp entry, forward, loss;
  SmallVector<Parameter> parameters;
  LossSignature signature;
  SmallVector<StringRef> stateNames;
  Ports params, masks, fixedMasks, states, step, inputs, labels, outputs, lossPorts;
};

} // namespace

LogicalResult TrainingBuilder::readModel() {
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
  FailureOr<LossSignature> found = getLossSignature(loc, entry.getResultTypes().front(), options);
  FailureOr<SmallVector<Parameter>> weights = findParameters(entry, options);
  if (failed(found) || failed(weights))
    return failure();
  signature = *found;
  parameters = std::move(*weights);
  if (options.sparse && failed(compressParameters(parameters)))
    return failure();
  stateNames = getStateNames(options);

  auto getName = [](StringAttr given, StringRef prefix, unsigned index) {
    return given ? given.str() : (prefix + Twine(index)).str();
  };
  for (auto [i, type] : llvm::enumerate(entry.getArgumentTypes()))
    inputs.push_back({getName(entry.getArgAttrOfType<StringAttr>(i, "prune.name"), "in", i), type});
  for (auto [i, type] : llvm::enumerate(entry.getResultTypes()))
    outputs.push_back({getName(entry.getResultAttrOfType<StringAttr>(i, "prune.name"), "out", i), type});
  for (Parameter &parameter : parameters) {
    params.push_back({"param:" + parameter.name, parameter.type});
    if (parameter.isMasked())
      masks.push_back({"mask:" + parameter.name, parameter.getMaskType()});
    if (parameter.compressedBy)
      fixedMasks.push_back({"mask:" + parameter.name, parameter.compressedBy.getType()});
    for (StringRef state : stateNames)
      states.push_back({"state:" + parameter.name + ":" + state.str(), parameter.type});
    if (parameter.undecided)
      return emitError(parameter.undecided.getLoc())
             << "mask of '" << parameter.name << "' is not decided (run prune-evaluate-masks)";
  }
  step = {{"step", RankedTensorType::get({}, b.getI64Type())}};
  labels = {{signature.labelName.str(), signature.labelType}};
  lossPorts = {{"loss", RankedTensorType::get({}, b.getF32Type())}};
  if (signature.countsCorrect)
    lossPorts.push_back({"correct", RankedTensorType::get({}, b.getI64Type())});
  return checkNames();
}

/// Names tell arguments and results apart: those of the model must not be ours.
LogicalResult TrainingBuilder::checkNames() {
  llvm::StringSet<> taken;
  for (StringRef name : {"step", "loss", "correct", "learning_rate", "gradient_norm", "sparsity", "update"})
    taken.insert(name);
  taken.insert(signature.labelName);
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

func::FuncOp TrainingBuilder::createFunction(StringRef name, ArrayRef<Ports> arguments, ArrayRef<Ports> results) {
  SmallVector<Type> argumentTypes, resultTypes;
  SmallVector<DictionaryAttr> argumentAttrs, resultAttrs;
  auto add = [&](ArrayRef<Ports> groups, SmallVector<Type> &types, SmallVector<DictionaryAttr> &attrs) {
    for (const Ports &group : groups)
      for (const Port &port : group) {
        types.push_back(port.type);
        attrs.push_back(b.getDictionaryAttr(b.getNamedAttr("prune.name", b.getStringAttr(port.name))));
      }
  };
  add(arguments, argumentTypes, argumentAttrs);
  add(results, resultTypes, resultAttrs);
  b.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(b, name, b.getFunctionType(argumentTypes, resultTypes));
  function.setAllArgAttrs(argumentAttrs);
  function.setAllResultAttrs(resultAttrs);
  b.setInsertionPointToStart(function.addEntryBlock());
  return function;
}

void TrainingBuilder::finish(func::FuncOp function, ValueRange results) { func::ReturnOp::create(b, results); }

/// Takes the values of `ports` off the front of `values`.
static ValueRange take(ValueRange &values, const Ports &ports) {
  ValueRange front = values.take_front(ports.size());
  values = values.drop_front(ports.size());
  return front;
}

SmallVector<Value> TrainingBuilder::spreadMasks(ValueRange maskValues) {
  SmallVector<Value> spread;
  for (Parameter &parameter : parameters) {
    if (!parameter.isMasked()) {
      spread.push_back(Value());
      continue;
    }
    spread.push_back(maskValues.front());
    maskValues = maskValues.drop_front();
  }
  return spread;
}

SmallVector<Value> TrainingBuilder::emitMasked(ValueRange values, ValueRange maskValues) {
  SmallVector<Value> masked(values);
  for (auto [value, mask] : llvm::zip_equal(masked, spreadMasks(maskValues))) {
    if (!mask)
      continue;
    auto type = cast<RankedTensorType>(value.getType());
    value = emitMap(b, {value, mask}, type, [&](ImplicitLocOpBuilder &b, ValueRange args) {
              Value zero = emitFloat(b, 0, type.getElementType());
              return SmallVector<Value>{arith::SelectOp::create(b, args[1], args[0], zero)};
            }).front();
  }
  return masked;
}

Value TrainingBuilder::emitConstant(RankedTensorType type, ElementsAttr value) {
  return arith::ConstantOp::create(b, type, cast<TypedAttr>(value));
}

void TrainingBuilder::buildInit() {
  func::FuncOp function = createFunction("init", {}, {params, masks, fixedMasks, states, step});
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
    }
    if (ElementsAttr mask = parameter.compressedBy)
      fixedResults.push_back(emitConstant(cast<RankedTensorType>(mask.getType()), mask));
    results.push_back(emitConstant(parameter.type, value));
  }
  llvm::append_range(results, maskResults);
  llvm::append_range(results, fixedResults);
  for (const Port &port : states)
    results.push_back(emitConstant(cast<RankedTensorType>(port.type), cast<ElementsAttr>(b.getZeroAttr(port.type))));
  results.push_back(
      emitConstant(cast<RankedTensorType>(step[0].type), cast<ElementsAttr>(b.getZeroAttr(step[0].type))));
  finish(function, results);
}

void TrainingBuilder::buildLoss() {
  loss = createFunction("loss", {params, inputs, labels}, {lossPorts});
  loss.setPrivate();
  for (unsigned i = 0; i < loss.getNumArguments(); ++i)
    loss.setArgAttrs(i, DictionaryAttr());
  for (unsigned i = 0; i < loss.getNumResults(); ++i)
    loss.setResultAttrs(i, DictionaryAttr());
  auto call = func::CallOp::create(b, forward, loss.getArguments().drop_back());
  Value target = loss.getArguments().back();
  SmallVector<Value> results = {emitLoss(b, call.getResult(0), target, options)};
  if (signature.countsCorrect)
    results.push_back(emitCorrect(b, call.getResult(0), target));
  finish(loss, results);
}

void TrainingBuilder::buildTrainStep() {
  Ports reports = {{"learning_rate", RankedTensorType::get({}, b.getF32Type())}};
  if (options.clipNorm > 0)
    reports.push_back({"gradient_norm", RankedTensorType::get({}, b.getF32Type())});
  func::FuncOp function = createFunction("train_step", {params, masks, states, step, inputs, labels},
                                         {params, states, step, lossPorts, reports});
  ValueRange arguments = function.getArguments();
  ValueRange oldParams = take(arguments, params), maskValues = take(arguments, masks);
  ValueRange oldStates = take(arguments, states), oldStep = take(arguments, step);

  SmallVector<Value> operands = emitMasked(oldParams, maskValues);
  llvm::append_range(operands, arguments);
  SmallVector<Type> types(loss.getResultTypes());
  SmallVector<int64_t> by;
  for (auto [index, port] : llvm::enumerate(params)) {
    types.push_back(port.type);
    by.push_back(index);
  }
  auto gradient = GradientOp::create(b, types, loss.getName(), operands, by);
  ValueRange lossResults = gradient->getResults().take_front(lossPorts.size());
  ValueRange gradients = gradient->getResults().drop_front(lossPorts.size());

  SmallVector<Value> spread = spreadMasks(maskValues);
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
  llvm::append_range(results, newStates);
  Value one = arith::ConstantOp::create(b, b.getI64IntegerAttr(1));
  results.push_back(emitScalarTensor(b, arith::AddIOp::create(b, stepValue, one)));
  llvm::append_range(results, lossResults);
  results.push_back(scalars.rate);
  if (scalars.gradientNorm)
    results.push_back(scalars.gradientNorm);
  finish(function, results);
}

void TrainingBuilder::buildEvalStep() {
  func::FuncOp function = createFunction("eval_step", {params, masks, inputs, labels}, {lossPorts, outputs});
  ValueRange arguments = function.getArguments();
  ValueRange values = take(arguments, params), maskValues = take(arguments, masks);
  ValueRange modelInputs = take(arguments, inputs);
  SmallVector<Value> operands = emitMasked(values, maskValues);
  llvm::append_range(operands, modelInputs);
  auto call = func::CallOp::create(b, forward, operands);
  SmallVector<Value> results = {emitLoss(b, call.getResult(0), arguments.front(), options)};
  if (signature.countsCorrect)
    results.push_back(emitCorrect(b, call.getResult(0), arguments.front()));
  llvm::append_range(results, call.getResults());
  finish(function, results);
}

LogicalResult TrainingBuilder::run() {
  if (failed(readModel()))
    return failure();
  for (StringRef name : {"init", "train_step", "eval_step", "loss", "forward"})
    if (Operation *other = module.lookupSymbol(name))
      return other->emitError() << "expected no function '" << name << "' in the module: training makes one";
  forward = cloneWithParameters(entry, parameters, "forward");
  buildLoss();
  buildInit();
  buildTrainStep();
  buildEvalStep();
  // What is decided about the weights of the model holds for its arguments no more.
  for (RecordOp record : llvm::make_early_inc_range(module.getOps<RecordOp>()))
    record.erase();
  entry.erase();
  remark::analysis(loc, remark::RemarkOpts::name("Parameters").category("fine-tune")) << remark::add(
      "{0} parameters, {1} of them masked, {2} held as their kept elements", static_cast<int64_t>(params.size()),
      static_cast<int64_t>(masks.size() + fixedMasks.size()), static_cast<int64_t>(fixedMasks.size()));
  return success();
}

LogicalResult mlir::prune::buildTraining(ModuleOp module, const PruneBuildTrainingOptions &options) {
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
    options.sparse = sparse;
    if (failed(buildTraining(getOperation(), options)))
      signalPassFailure();
  }
};
} // namespace
