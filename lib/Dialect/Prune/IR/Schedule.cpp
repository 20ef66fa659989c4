//===- Schedule.cpp - Sparsity as a function of the step ----------------------===//
//
// Built with -ffp-contract=off: `emitSparsity` (FineTune/Schedules.cpp) makes code of the same formulas, operation by
// operation, and both have to agree.
//
//===----------------------------------------------------------------------===//

#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

static constexpr int64_t kDefaultEvery = 100;
static constexpr double kDefaultPower = 3;

LogicalResult ScheduleAttr::verify(function_ref<InFlightDiagnostic()> emitError, ScheduleKind kind, int64_t begin,
                                   int64_t end, int64_t every, APFloat initialSparsity, APFloat givenPower,
                                   ArrayRef<int64_t> milestones) {
  StringRef name = stringifyScheduleKind(kind);
  double initial = initialSparsity.convertToDouble(), power = givenPower.convertToDouble();
  // schedule_c1
  if (begin < 0)
    return emitError() << "expected a schedule to begin at step 0 or later, got " << begin;
  if (end < begin)
    return emitError() << "expected a schedule to end at or after its begin " << begin << ", got " << end;
  // schedule_c2
  if (every <= 0)
    return emitError() << "expected 1 or more steps between two updates of masks, got " << every;
  // schedule_c3
  if (!(initial >= 0 && initial < 1))
    return emitError() << "expected an initial sparsity in [0, 1), got " << formatNumber(initial);
  if (kind == ScheduleKind::Constant && initial != 0)
    return emitError() << "expected no initial sparsity in a constant schedule, got " << formatNumber(initial);
  // schedule_c4
  if (!(power > 0) || !std::isfinite(power))
    return emitError() << "expected a positive power, got " << formatNumber(power);
  if (kind != ScheduleKind::Polynomial && power != kDefaultPower)
    return emitError() << "expected a power in a polynomial schedule only, got " << formatNumber(power) << " in a "
                       << name << " one";
  // schedule_c5
  if ((kind == ScheduleKind::MultiStep) == milestones.empty())
    return emitError() << "expected milestones in a multi_step schedule and in no other, got " << milestones.size()
                       << " in a " << name << " one";
  int64_t last = begin - 1;
  for (int64_t milestone : milestones) {
    if (milestone <= last || milestone > end)
      return emitError() << "expected milestones that rise from " << begin << " to at most " << end << ", got "
                         << milestone << (last < begin ? "" : " after " + std::to_string(last));
    if ((milestone - begin) % every != 0 && milestone != end)
      return emitError() << "expected milestones at which masks are updated, every " << every << " steps from " << begin
                         << ", got " << milestone;
    last = milestone;
  }
  return success();
}

Attribute ScheduleAttr::parse(AsmParser &parser, Type) {
  std::optional<int64_t> begin, end, every;
  std::optional<double> initial, power;
  std::optional<SmallVector<int64_t>> milestones;
  auto parseInteger = [&](std::optional<int64_t> &value) { return parser.parseInteger(value.emplace()); };
  auto parseReal = [&](std::optional<double> &value) { return parseNumber(parser, value.emplace()); };
  auto parseList = [&] {
    milestones.emplace();
    return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                          [&] { return parser.parseInteger(milestones->emplace_back()); });
  };

  StringRef word;
  SMLoc place;
  if (parser.parseLess() || parser.getCurrentLocation(&place) || parser.parseKeyword(&word))
    return {};
  std::optional<ScheduleKind> kind = symbolizeScheduleKind(word);
  if (!kind) {
    parser.emitError(place) << "expected constant, polynomial, exponential, cosine, multi_step or geometric, got "
                            << word;
    return {};
  }
  while (succeeded(parser.parseOptionalComma())) {
    if (parser.getCurrentLocation(&place) || parser.parseKeyword(&word) || parser.parseEqual())
      return {};
    bool isKnown = true, isNew = true;
    ParseResult parsed = success();
    auto take = [&](auto &value, auto parse) {
      isNew = !value;
      if (isNew)
        parsed = parse();
    };
    if (word == "begin")
      take(begin, [&] { return parseInteger(begin); });
    else if (word == "end")
      take(end, [&] { return parseInteger(end); });
    else if (word == "every")
      take(every, [&] { return parseInteger(every); });
    else if (word == "initial")
      take(initial, [&] { return parseReal(initial); });
    else if (word == "power")
      take(power, [&] { return parseReal(power); });
    else if (word == "milestones")
      take(milestones, parseList);
    else
      isKnown = false;
    if (!isKnown || !isNew) {
      parser.emitError(place) << "expected begin, end, every, initial, power or milestones" << (isKnown ? " once" : "")
                              << ", got " << word << (isKnown ? " twice" : "");
      return {};
    }
    if (parsed)
      return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<ScheduleAttr>(parser.getContext(), *kind, begin.value_or(0), end.value_or(begin.value_or(0)),
                                         every.value_or(kDefaultEvery), APFloat(initial.value_or(0)),
                                         APFloat(power.value_or(kDefaultPower)),
                                         milestones ? ArrayRef<int64_t>(*milestones) : ArrayRef<int64_t>());
}

void ScheduleAttr::print(AsmPrinter &printer) const {
  printer << "<" << stringifyScheduleKind(getKind());
  if (getBegin() != 0)
    printer << ", begin = " << getBegin();
  if (getEnd() != getBegin())
    printer << ", end = " << getEnd();
  if (getEvery() != kDefaultEvery)
    printer << ", every = " << getEvery();
  if (!getInitial().isZero())
    printer << ", initial = " << getInitial().convertToDouble();
  if (!getPower().isExactlyValue(kDefaultPower))
    printer << ", power = " << getPower().convertToDouble();
  if (!getMilestones().empty()) {
    printer << ", milestones = [";
    llvm::interleaveComma(getMilestones(), printer);
    printer << "]";
  }
  printer << ">";
}

bool ScheduleAttr::isUpdate(int64_t step) const {
  return step == getEnd() || (step >= getBegin() && step < getEnd() && (step - getBegin()) % getEvery() == 0);
}

double ScheduleAttr::getSparsity(int64_t step, double target) const {
  if (step >= getEnd() || getBegin() == getEnd() || getKind() == ScheduleKind::Constant)
    return target;
  int64_t done = std::max<int64_t>(step - getBegin(), 0);
  double initial = getInitial().convertToDouble();
  double p = static_cast<double>(done) / static_cast<double>(getEnd() - getBegin());
  // The share of the way from the target back to the initial sparsity that is left.
  auto mix = [&](double left) { return target + (initial - target) * left; };
  auto decay = [&](double share) { return 1 - (1 - initial) * std::pow((1 - target) / (1 - initial), share); };
  switch (getKind()) {
  case ScheduleKind::Constant:
    break;
  case ScheduleKind::Polynomial:
    return mix(std::pow(1 - p, getPower().convertToDouble()));
  case ScheduleKind::Exponential:
    return decay(p);
  case ScheduleKind::Cosine:
    return mix((1 + std::cos(p * 3.14159265358979323846)) * 0.5);
  case ScheduleKind::MultiStep: {
    int64_t past = llvm::count_if(getMilestones(), [&](int64_t milestone) { return milestone <= step; });
    return initial + (target - initial) * (static_cast<double>(past) / static_cast<double>(getMilestones().size()));
  }
  case ScheduleKind::Geometric:
    return decay(static_cast<double>(done / getEvery()) / static_cast<double>(getNumRounds()));
  }
  return target;
}
