//===- Schedules.cpp - Learning rate and sparsity as functions of the step ----===//

#include "Schedules.h"
#include "Emit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "prune/Dialect/Prune/Transforms/FineTune/FineTune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

LogicalResult mlir::prune::checkSchedules(Location loc, const PruneBuildTrainingOptions &options) {
  auto fail = [&](StringRef option, StringRef rule, const Twine &value) {
    return emitError(loc) << option << ": expected " << rule << ", got " << value;
  };
  if (!(options.lr > 0) || !std::isfinite(options.lr))
    return fail("lr", "a positive number", formatNumber(options.lr));
  if (!(options.lrMin >= 0 && options.lrMin <= options.lr))
    return fail("lr-min", "a value in [0, lr]", formatNumber(options.lrMin));
  if (!llvm::is_contained({"constant", "step", "multi-step", "cosine", "linear"}, options.lrSchedule))
    return fail("lr-schedule", "constant, step, multi-step, cosine or linear", "'" + options.lrSchedule + "'");
  if (options.warmup < 0)
    return fail("warmup", "a number of steps of 0 or more", Twine(options.warmup));
  if (options.rewindEvery < 0)
    return fail("rewind-every", "a number of steps of 0 or more", Twine(options.rewindEvery));
  if (!(options.lrGamma > 0 && options.lrGamma <= 1))
    return fail("lr-gamma", "a value in (0, 1]", formatNumber(options.lrGamma));
  if (options.lrSchedule == "step" && options.lrPeriod < 1)
    return fail("lr-period", "a number of steps of 1 or more with lr-schedule=step", Twine(options.lrPeriod));
  if (options.lrSchedule == "multi-step" && options.lrMilestones.empty())
    return fail("lr-milestones", "at least one step with lr-schedule=multi-step", "none");
  int64_t last = 0;
  for (int64_t milestone : options.lrMilestones) {
    if (milestone <= last)
      return fail("lr-milestones", "rising steps of 1 or more", Twine(milestone) + " after " + Twine(last));
    last = milestone;
  }
  if (options.lrSchedule == "cosine" || options.lrSchedule == "linear") {
    int64_t total = options.rewindEvery ? options.rewindEvery : options.steps;
    if (total <= options.warmup)
      return fail(options.rewindEvery ? "rewind-every" : "steps",
                  "more steps than warmup with lr-schedule=" + options.lrSchedule,
                  Twine(total) + " with warmup " + Twine(options.warmup));
  }
  return success();
}

Value mlir::prune::emitLearningRate(ImplicitLocOpBuilder &b, Value step, const PruneBuildTrainingOptions &options) {
  Type f64 = b.getF64Type();
  auto number = [&](double value) { return emitFloat(b, value, f64); };
  auto integer = [&](int64_t value) -> Value { return arith::ConstantOp::create(b, b.getI64IntegerAttr(value)); };
  // Rewinding replays the schedule: the step counts from the last rewind.
  if (options.rewindEvery)
    step = arith::RemSIOp::create(b, step, integer(options.rewindEvery));
  int64_t total = options.rewindEvery ? options.rewindEvery : options.steps;
  Value peak = number(options.lr), rate = peak;
  if (options.lrSchedule == "step") {
    // gamma^k as exp(k log gamma), exact for k = 0.
    Value k = arith::SIToFPOp::create(b, f64, arith::DivSIOp::create(b, step, integer(options.lrPeriod)));
    Value factor = math::ExpOp::create(b, arith::MulFOp::create(b, k, number(std::log(options.lrGamma))));
    rate = arith::MulFOp::create(b, peak, factor);
  } else if (options.lrSchedule == "multi-step") {
    double value = options.lr;
    for (int64_t milestone : options.lrMilestones) {
      value *= options.lrGamma;
      Value past = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, step, integer(milestone));
      rate = arith::SelectOp::create(b, past, number(value), rate);
    }
  } else if (options.lrSchedule == "cosine" || options.lrSchedule == "linear") {
    Value done = arith::SIToFPOp::create(b, f64, arith::SubIOp::create(b, step, integer(options.warmup)));
    Value p = arith::DivFOp::create(b, done, number(double(total - options.warmup)));
    p = arith::MinimumFOp::create(b, arith::MaximumFOp::create(b, p, number(0)), number(1));
    Value share; // of the way from the peak to the minimum that is left
    if (options.lrSchedule == "linear") {
      share = arith::SubFOp::create(b, number(1), p);
    } else {
      Value cosine = math::CosOp::create(b, arith::MulFOp::create(b, p, number(3.14159265358979323846)));
      share = arith::MulFOp::create(b, number(0.5), arith::AddFOp::create(b, number(1), cosine));
    }
    rate = arith::AddFOp::create(b, number(options.lrMin),
                                 arith::MulFOp::create(b, number(options.lr - options.lrMin), share));
  }
  if (options.warmup) {
    Value next = arith::SIToFPOp::create(b, f64, arith::AddIOp::create(b, step, integer(1)));
    Value ramp = arith::DivFOp::create(b, arith::MulFOp::create(b, peak, next), number(double(options.warmup)));
    Value warming = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, step, integer(options.warmup));
    rate = arith::SelectOp::create(b, warming, ramp, rate);
  }
  return rate;
}

Value mlir::prune::emitSparsity(ImplicitLocOpBuilder &b, Value step, ScheduleAttr schedule, double target) {
  Type f64 = b.getF64Type();
  auto number = [&](double value) { return emitFloat(b, value, f64); };
  auto integer = [&](int64_t value) -> Value { return arith::ConstantOp::create(b, b.getI64IntegerAttr(value)); };
  auto toFloat = [&](Value value) -> Value { return arith::SIToFPOp::create(b, f64, value); };
  auto add = [&](Value x, Value y) -> Value { return arith::AddFOp::create(b, x, y); };
  auto mul = [&](Value x, Value y) -> Value { return arith::MulFOp::create(b, x, y); };
  auto div = [&](Value x, double y) -> Value { return arith::DivFOp::create(b, x, number(y)); };
  auto isPast = [&](int64_t place) -> Value {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::sge, step, integer(place));
  };
  double initial = schedule.getInitial().convertToDouble();
  int64_t steps = schedule.getEnd() - schedule.getBegin();
  if (steps == 0 || schedule.getKind() == ScheduleKind::Constant)
    return number(target);

  // As ScheduleAttr::getSparsity, operation by operation.
  Value done = arith::SubIOp::create(b, step, integer(schedule.getBegin()));
  done = arith::MaxSIOp::create(b, done, integer(0));
  auto mix = [&](Value left) { return add(number(target), mul(number(initial - target), left)); };
  auto decay = [&](Value share) {
    Value power = math::PowFOp::create(b, number((1 - target) / (1 - initial)), share);
    return arith::SubFOp::create(b, number(1), mul(number(1 - initial), power)).getResult();
  };
  Value p = div(toFloat(done), static_cast<double>(steps)), sparsity;
  switch (schedule.getKind()) {
  case ScheduleKind::Constant:
    llvm_unreachable("handled above");
  case ScheduleKind::Polynomial: {
    Value rest = arith::SubFOp::create(b, number(1), p);
    sparsity = mix(math::PowFOp::create(b, rest, number(schedule.getPower().convertToDouble())));
    break;
  }
  case ScheduleKind::Exponential:
    sparsity = decay(p);
    break;
  case ScheduleKind::Cosine: {
    Value cosine = math::CosOp::create(b, mul(p, number(3.14159265358979323846)));
    sparsity = mix(mul(add(number(1), cosine), number(0.5)));
    break;
  }
  case ScheduleKind::MultiStep: {
    Value past = integer(0);
    for (int64_t milestone : schedule.getMilestones())
      past = arith::AddIOp::create(b, past, arith::ExtUIOp::create(b, b.getI64Type(), isPast(milestone)));
    Value share = div(toFloat(past), static_cast<double>(schedule.getMilestones().size()));
    sparsity = add(number(initial), mul(number(target - initial), share));
    break;
  }
  case ScheduleKind::Geometric: {
    Value rounds = arith::DivSIOp::create(b, done, integer(schedule.getEvery()));
    sparsity = decay(div(toFloat(rounds), static_cast<double>(schedule.getNumRounds())));
    break;
  }
  }
  return arith::SelectOp::create(b, isPast(schedule.getEnd()), number(target), sparsity);
}

Value mlir::prune::emitIsUpdate(ImplicitLocOpBuilder &b, Value step, ScheduleAttr schedule) {
  auto integer = [&](int64_t value) -> Value { return arith::ConstantOp::create(b, b.getI64IntegerAttr(value)); };
  auto compare = [&](arith::CmpIPredicate predicate, Value x, int64_t y) -> Value {
    return arith::CmpIOp::create(b, predicate, x, integer(y));
  };
  Value isEnd = compare(arith::CmpIPredicate::eq, step, schedule.getEnd());
  if (schedule.getBegin() == schedule.getEnd())
    return isEnd;
  Value done = arith::SubIOp::create(b, step, integer(schedule.getBegin()));
  Value rest = arith::RemSIOp::create(b, done, integer(schedule.getEvery()));
  Value isInside = arith::AndIOp::create(b, compare(arith::CmpIPredicate::sge, step, schedule.getBegin()),
                                         compare(arith::CmpIPredicate::slt, step, schedule.getEnd()));
  Value isTurn = arith::AndIOp::create(b, isInside, compare(arith::CmpIPredicate::eq, rest, 0));
  return arith::OrIOp::create(b, isEnd, isTurn);
}
