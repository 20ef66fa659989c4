//===- MaskUpdates.cpp - Masks that change while a model is trained -----------===//

#include "MaskUpdates.h"
#include "Emit.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/Transforms/FineTune/FineTune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

std::optional<double> MaskGroup::getTarget() const {
  MaskOp first = masks.front();
  return first.getTargetSparsity() ? std::optional(first.getTargetSparsity()->convertToDouble()) : std::nullopt;
}

CriterionAttrInterface mlir::prune::getKeptScores(const Parameter &parameter) {
  MaskOp mask = parameter.undecided;
  return mask && mask.getCriterion().keepsScores() ? mask.getCriterion() : CriterionAttrInterface();
}

//===----------------------------------------------------------------------===//
// Planning
//===----------------------------------------------------------------------===//

/// Whether a mask can be decided in training; says why not.
static LogicalResult checkMask(MaskOp mask, const MaskPlan &plan) {
  auto fail = [&](const Twine &why) {
    return emitError(mask.getLoc()) << "mask of '" << getWeightName(mask) << "' cannot be decided in training: " << why;
  };
  CriterionAttrInterface criterion = mask.getCriterion();
  if (!mask.getPattern().getUnitBoxes(mask.getMask().getType().getShape()))
    return fail("pattern " + spell(mask.getPattern()) + " is for the compiler only (run prune-evaluate-masks)");
  if (!criterion.isWeightItself() && !criterion.keepsScores() && criterion.getRequiredInputs() != 0)
    return fail("criterion " + spell(criterion) + " has no scores there");
  std::optional<double> target;
  if (mask.getTargetSparsity())
    target = mask.getTargetSparsity()->convertToDouble();
  ScheduleKind kind = plan.schedule.getKind();
  if (target == 1 && (kind == ScheduleKind::Exponential || kind == ScheduleKind::Geometric))
    return fail("schedule: expected a target sparsity below 1 with " + stringifyScheduleKind(kind) + ", got 1");
  if (!criterion.keepsScores())
    return success();
  if (!plan.trainsPruned)
    return fail("criterion " + spell(criterion) + " expects update=straight-through, got masked");
  if (plan.schedule.isUpdate(0) && (!target || plan.schedule.getSparsity(0, *target) > 0))
    return fail("schedule: criterion " + spell(criterion) +
                " has no scores before the first step; expected a begin of 1 or more, got 0");
  return success();
}

/// "5 updates, steps 10 to 50".
static std::string describe(ScheduleAttr schedule) {
  return llvm::formatv("{0} updates, steps {1} to {2}", static_cast<uint64_t>(schedule.getNumRounds()) + 1,
                       schedule.getBegin(), schedule.getEnd());
}

static LogicalResult planRegrowth(Location loc, ArrayRef<Parameter> parameters, const MaskPlan &plan) {
  auto fail = [&](const Twine &what) { return emitError(loc) << "regrow: expected " << what; };
  if (!(plan.regrow >= 0 && plan.regrow <= 1))
    return fail("a share in [0, 1], got " + formatNumber(plan.regrow));
  if (plan.regrow == 0)
    return success();
  if (plan.trainsPruned)
    return fail("update=masked, got straight-through");
  if (plan.schedule.getKind() != ScheduleKind::Constant)
    return fail("a constant schedule, which keeps the sparsity, got " + stringifyScheduleKind(plan.schedule.getKind()));
  if (plan.schedule.getBegin() == plan.schedule.getEnd())
    return fail("a schedule with a begin before its end, got " + Twine(plan.schedule.getBegin()) + " and " +
                Twine(plan.schedule.getEnd()));
  bool hasMasks = false;
  for (const Parameter &parameter : parameters) {
    if (parameter.undecided)
      return fail("decided masks, but that of '" + parameter.name + "' is not (run prune-evaluate-masks)");
    if (!parameter.isMasked())
      continue;
    hasMasks = true;
    ApplyOp apply = parameter.applies.front();
    PatternAttrInterface pattern = apply.getPattern();
    std::optional<UnitBoxes> boxes = pattern.getUnitBoxes(parameter.type.getShape());
    if (!boxes || boxes->m != 0)
      return fail("a pattern of boxes without groups, got " + spell(pattern) + " of '" + parameter.name + "'");
  }
  if (!hasMasks)
    return fail("masks, got none");
  remark::analysis(loc, remark::RemarkOpts::name("ChangingMask").category("fine-tune"))
      << remark::add("masks exchange a share of {0} at first: {1}", formatNumber(plan.regrow), describe(plan.schedule));
  return success();
}

/// Says what the schedule will do to a group.
static void report(const MaskGroup &group, ScheduleAttr schedule) {
  MaskOp first = group.masks.front();
  std::string what = "by " + spell(first.getCriterion()) + " as " + spell(first.getPattern());
  if (std::optional<double> target = group.getTarget())
    what += ", sparsity " + formatNumber(schedule.getSparsity(schedule.getBegin(), *target)) + " to " +
            formatNumber(*target);
  std::string others = group.masks.size() > 1 ? " and " + std::to_string(group.masks.size() - 1) + " more" : "";
  remark::analysis(first.getLoc(), remark::RemarkOpts::name("ChangingMask").category("fine-tune")) << remark::add(
      "'{0}'{1} decided in training {2}: {3}", getWeightName(first).str(), others, what, describe(schedule));
}

FailureOr<MaskPlan> mlir::prune::planMasks(func::FuncOp function, ArrayRef<Parameter> parameters,
                                           const PruneBuildTrainingOptions &options) {
  Location loc = function.getLoc();
  MaskPlan plan;
  std::string error;
  plan.schedule = parseSchedule(options.schedule.empty() ? "constant" : options.schedule, function.getContext(), error);
  if (!plan.schedule)
    return emitError(loc) << error;
  if (options.update != "masked" && options.update != "straight-through")
    return emitError(loc) << "update: expected masked or straight-through, got '" << options.update << "'";
  plan.trainsPruned = options.update == "straight-through";
  plan.regrow = options.regrow;
  if (failed(planRegrowth(loc, parameters, plan)))
    return failure();

  llvm::DenseMap<Operation *, unsigned> places;
  unsigned numMasked = 0;
  for (auto [index, parameter] : llvm::enumerate(parameters)) {
    numMasked += parameter.isMasked();
    if (parameter.undecided)
      places[parameter.undecided] = index;
  }
  for (ArrayRef<MaskOp> masks : collectMaskGroups(function)) {
    if (failed(checkMaskGroup(masks)))
      return failure();
    MaskGroup &group = plan.groups.emplace_back();
    for (MaskOp mask : masks) {
      auto place = places.find(mask);
      if (place == places.end())
        return emitError(mask.getLoc()) << "mask of '" << getWeightName(mask)
                                        << "' cannot be decided in training: its weight is not trained with it";
      if (failed(checkMask(mask, plan)))
        return failure();
      group.masks.push_back(mask);
      group.parameters.push_back(place->second);
    }
    report(group, plan.schedule);
  }
  if (!plan.hasUpdates() && !options.schedule.empty())
    return emitError(loc) << "schedule: expected masks that are not decided, or regrow, got " << numMasked
                          << " decided masks";
  if (plan.trainsPruned && numMasked == 0)
    return emitError(loc) << "update: expected masks with straight-through, got none";
  return plan;
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

/// Scores that depend on nothing, such as random ones.
static Value emitConstantScores(ImplicitLocOpBuilder &b, MaskOp mask) {
  RankedTensorType type = mask.getWeight().getType();
  ScoreInputs inputs;
  inputs.name = getWeightName(mask);
  inputs.shape = type.getShape();
  std::vector<float> scores(type.getNumElements());
  mask.getCriterion().scoreElements(inputs, 0, scores.size(), scores.data());
  auto bytes = ArrayRef(reinterpret_cast<const char *>(scores.data()), scores.size() * sizeof(float));
  return arith::ConstantOp::create(b, type, makeResourceAttr(type, bytes, (inputs.name + ".scores").str()));
}

/// Decides the masks of a group at `step`.
static SmallVector<Value> emitGroupMasks(ImplicitLocOpBuilder &b, Value step, const MaskPlan &plan,
                                         const MaskGroup &group, ValueRange weights,
                                         const llvm::DenseMap<unsigned, Value> &scoresKept) {
  MaskOp first = group.masks.front();
  CriterionAttrInterface criterion = first.getCriterion();
  SmallVector<Value> scores, inits;
  SmallVector<Type> types;
  SmallVector<int64_t> minKeep;
  for (auto [op, parameter] : llvm::zip_equal(group.masks, group.parameters)) {
    MaskOp mask = op;
    if (criterion.isWeightItself())
      scores.push_back(weights[parameter]);
    else if (criterion.keepsScores())
      scores.push_back(scoresKept.lookup(parameter));
    else
      scores.push_back(emitConstantScores(b, mask));
    RankedTensorType type = mask.getMask().getType();
    types.push_back(type);
    inits.push_back(tensor::EmptyOp::create(b, type.getShape(), type.getElementType()));
    minKeep.push_back(mask.getMinKeep() ? static_cast<int64_t>(*mask.getMinKeep()) : -1);
  }
  Value sparsity;
  if (std::optional<double> target = group.getTarget())
    sparsity = emitSparsity(b, step, plan.schedule, *target);
  FloatAttr threshold = first.getThresholdAttr();
  if (threshold)
    // The verifier of the mask has accepted it.
    threshold = b.getF64FloatAttr(
        *criterion.getScoreThreshold([&] { return first.emitOpError(); }, threshold.getValueAsDouble()));
  bool isUsual = llvm::all_of(minKeep, [](int64_t count) { return count < 0; });
  auto select = SelectMasksOp::create(b, types, scores, sparsity, inits, criterion, first.getPattern(), threshold,
                                      first.getNormalizationAttr(),
                                      isUsual ? DenseI64ArrayAttr() : b.getDenseI64ArrayAttr(minKeep));
  return SmallVector<Value>(select.getMasks());
}

/// The mask of `parameter` after an exchange of the share regrow / 2 (1 + cos(pi step / end)).
static Value emitRegrownMask(ImplicitLocOpBuilder &b, Value step, const MaskPlan &plan, const Parameter &parameter,
                             Value weight, Value gradient, Value mask) {
  Type f64 = b.getF64Type();
  auto number = [&](double value) { return emitFloat(b, value, f64); };
  Value part = arith::DivFOp::create(b, arith::SIToFPOp::create(b, f64, step),
                                     number(static_cast<double>(plan.schedule.getEnd())));
  Value cosine = math::CosOp::create(b, arith::MulFOp::create(b, part, number(3.14159265358979323846)));
  Value share = arith::MulFOp::create(b, number(plan.regrow / 2), arith::AddFOp::create(b, number(1), cosine));
  ApplyOp apply = parameter.applies.front();
  RankedTensorType type = parameter.getMaskType();
  Value init = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
  return RegrowMaskOp::create(b, type, weight, gradient, mask, share, init, apply.getPattern()).getResult();
}

SmallVector<Value> mlir::prune::spreadMasks(ArrayRef<Parameter> parameters, ValueRange masks) {
  SmallVector<Value> spread;
  for (const Parameter &parameter : parameters) {
    spread.push_back(parameter.isMasked() ? masks.front() : Value());
    if (parameter.isMasked())
      masks = masks.drop_front();
  }
  return spread;
}

SmallVector<Value> mlir::prune::emitScoreSteps(ImplicitLocOpBuilder &b, ArrayRef<Parameter> parameters,
                                               ValueRange scores, ValueRange weights, ValueRange gradients) {
  SmallVector<Value> next;
  for (auto [index, parameter] : llvm::enumerate(parameters)) {
    CriterionAttrInterface criterion = getKeptScores(parameter);
    if (!criterion)
      continue;
    next.push_back(emitMap(b, {scores[next.size()], weights[index], gradients[index]}, parameter.type,
                           [&](ImplicitLocOpBuilder &b, ValueRange args) {
                             return SmallVector<Value>{
                                 criterion.emitScoreStep(b, b.getLoc(), args[0], args[1], args[2])};
                           })
                       .front());
  }
  return next;
}

/// Replaces the masks in `masks` that change. `masks`, `weights` and, if masks regrow, `gradients` have an entry for
/// each parameter, `scores` one for each with `getKeptScores`.
static void emitNextMasks(ImplicitLocOpBuilder &b, Value step, const MaskPlan &plan, ArrayRef<Parameter> parameters,
                          ValueRange weights, ValueRange scores, ValueRange gradients, MutableArrayRef<Value> masks) {
  if (plan.regrow > 0)
    for (auto [index, mask] : llvm::enumerate(masks))
      if (mask)
        mask = emitRegrownMask(b, step, plan, parameters[index], weights[index], gradients[index], mask);
  llvm::DenseMap<unsigned, Value> scoresKept;
  for (auto [index, parameter] : llvm::enumerate(parameters))
    if (getKeptScores(parameter))
      scoresKept.try_emplace(index, scores[scoresKept.size()]);
  for (const MaskGroup &group : plan.groups)
    for (auto [index, mask] :
         llvm::zip_equal(group.parameters, emitGroupMasks(b, step, plan, group, weights, scoresKept)))
      masks[index] = mask;
}

/// `pruned` (f64) of `total` elements, as a driver takes it.
static Value toFigure(ImplicitLocOpBuilder &b, Value pruned, int64_t total) {
  Value share = arith::DivFOp::create(b, pruned, emitFloat(b, static_cast<double>(total), b.getF64Type()));
  return emitScalarTensor(b, arith::TruncFOp::create(b, b.getF32Type(), share));
}

/// Share of all masked elements that the schedule wants to be pruned; `plan` has targets.
static Value emitWantedSparsity(ImplicitLocOpBuilder &b, Value step, const MaskPlan &plan,
                                ArrayRef<Parameter> parameters) {
  Type f64 = b.getF64Type();
  int64_t total = 0, decided = 0;
  for (const Parameter &parameter : parameters) {
    if (parameter.isMasked())
      total += parameter.type.getNumElements();
    if (parameter.mask)
      decided += llvm::count(*parameter.mask, 0);
  }
  // Nothing is pruned before the first update.
  Value begin = arith::ConstantOp::create(b, b.getI64IntegerAttr(plan.schedule.getBegin()));
  Value hasBegun = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, step, begin);
  Value pruned = emitFloat(b, static_cast<double>(decided), f64);
  for (const MaskGroup &group : plan.groups) {
    int64_t size = 0;
    for (unsigned parameter : group.parameters)
      size += parameters[parameter].type.getNumElements();
    Value sparsity = emitSparsity(b, step, plan.schedule, *group.getTarget());
    Value wanted = arith::SelectOp::create(b, hasBegun, sparsity, emitFloat(b, 0, f64));
    pruned = arith::AddFOp::create(b, pruned,
                                   arith::MulFOp::create(b, wanted, emitFloat(b, static_cast<double>(size), f64)));
  }
  return toFigure(b, pruned, total);
}

/// Share of the elements of `masks` that is pruned.
static Value emitPrunedShare(ImplicitLocOpBuilder &b, ValueRange masks) {
  int64_t total = 0;
  Value pruned;
  for (Value mask : masks) {
    total += cast<RankedTensorType>(mask.getType()).getNumElements();
    Value count = emitExtract(b, emitSum(b, mask, b.getI64Type(), [](ImplicitLocOpBuilder &b, ValueRange args) {
                                Value one = arith::ConstantOp::create(b, b.getI64IntegerAttr(1));
                                Value zero = arith::ConstantOp::create(b, b.getI64IntegerAttr(0));
                                return SmallVector<Value>{arith::SelectOp::create(b, args[0], zero, one)};
                              }));
    pruned = pruned ? Value(arith::AddIOp::create(b, pruned, count)) : count;
  }
  return toFigure(b, arith::SIToFPOp::create(b, b.getF64Type(), pruned), total);
}

static Port getStepPort(OpBuilder &b) { return {"step", RankedTensorType::get({}, b.getI64Type())}; }
static Port getSparsityPort(OpBuilder &b) { return {"sparsity", RankedTensorType::get({}, b.getF32Type())}; }

void mlir::prune::buildSchedule(ImplicitLocOpBuilder &b, ModuleOp module, const MaskPlan &plan,
                                ArrayRef<Parameter> parameters) {
  Ports results = {{"update", RankedTensorType::get({}, b.getI1Type())}};
  if (plan.hasTargets())
    results.push_back(getSparsityPort(b));
  func::FuncOp function = createPortFunction(b, module, "schedule", {Ports{getStepPort(b)}}, {results});
  Value step = emitExtract(b, function.getArgument(0));
  SmallVector<Value> values = {emitScalarTensor(b, emitIsUpdate(b, step, plan.schedule))};
  if (plan.hasTargets())
    values.push_back(emitWantedSparsity(b, step, plan, parameters));
  func::ReturnOp::create(b, values);
}

void mlir::prune::buildUpdateMasks(ImplicitLocOpBuilder &b, ModuleOp module, const MaskPlan &plan,
                                   ArrayRef<Parameter> parameters, const MaskUpdatePorts &ports,
                                   EmitGradientsFn emitGradients) {
  // Parameters and states only change where pruned ones are zero.
  size_t numStates = ports.states.size() / parameters.size();
  Ports nextParams, nextMasks, nextStates;
  for (auto [index, parameter] : llvm::enumerate(parameters)) {
    if (!plan.changes(parameter))
      continue;
    nextMasks.push_back({"mask:" + parameter.name, parameter.getMaskType()});
    if (plan.trainsPruned)
      continue;
    nextParams.push_back(ports.params[index]);
    llvm::append_range(nextStates, ArrayRef(ports.states).slice(index * numStates, numStates));
  }
  func::FuncOp function = createPortFunction(
      b, module, "update_masks",
      {ports.params, ports.stats, ports.masks, ports.states, ports.scores, Ports{getStepPort(b)}, ports.batch},
      {nextParams, nextMasks, nextStates, Ports{getSparsityPort(b)}});
  ValueRange arguments = function.getArguments();
  ValueRange params = take(arguments, ports.params), stats = take(arguments, ports.stats);
  ValueRange masks = take(arguments, ports.masks), states = take(arguments, ports.states);
  ValueRange scores = take(arguments, ports.scores);
  Value step = emitExtract(b, arguments.front());
  SmallVector<Value> gradients;
  if (plan.regrow > 0)
    gradients = emitGradients(params, stats, masks, arguments.drop_front());

  SmallVector<Value> next = spreadMasks(parameters, masks);
  emitNextMasks(b, step, plan, parameters, params, scores, gradients, next);
  SmallVector<Value> results, maskResults, stateResults, all;
  for (auto [index, parameter] : llvm::enumerate(parameters)) {
    if (next[index])
      all.push_back(next[index]);
    if (!plan.changes(parameter))
      continue;
    maskResults.push_back(next[index]);
    if (plan.trainsPruned)
      continue;
    SmallVector<Value> old = {params[index]};
    llvm::append_range(old, states.slice(index * numStates, numStates));
    SmallVector<Value> selected = emitSelected(b, next[index], old);
    results.push_back(selected.front());
    stateResults.append(selected.begin() + 1, selected.end());
  }
  llvm::append_range(results, maskResults);
  llvm::append_range(results, stateResults);
  results.push_back(emitPrunedShare(b, all));
  func::ReturnOp::create(b, results);
}
