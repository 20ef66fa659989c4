//===- Spelling.cpp - Short spellings of patterns and criteria ----------------===//

#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Turns the diagnostics of attribute parsers and verifiers into a string.
class Catcher {
public:
  Catcher(MLIRContext *context, std::string &error)
      : context(context), handler(context, [&error](Diagnostic &diagnostic) {
          if (error.empty())
            error = diagnostic.str();
          return success();
        }) {}
  InFlightDiagnostic emit() { return emitError(UnknownLoc::get(context)); }

private:
  MLIRContext *context;
  ScopedDiagnosticHandler handler;
};

} // namespace

/// Splits `text` at `separator` into numbers; false unless all parts are.
static bool splitNumbers(StringRef text, StringRef separator, SmallVectorImpl<int64_t> &numbers) {
  SmallVector<StringRef> parts;
  text.split(parts, separator);
  for (StringRef part : parts) {
    int64_t number;
    if (part.empty() || part.getAsInteger(10, number))
      return false;
    numbers.push_back(number);
  }
  return true;
}

/// Reads numbers between colons into `numbers`, as many as there are at most; false if `text` is something else.
static bool readNumbers(StringRef text, MutableArrayRef<double> numbers) {
  SmallVector<StringRef> parts;
  text.split(parts, ':');
  if (parts.size() > numbers.size())
    return false;
  for (auto [part, number] : llvm::zip(parts, numbers))
    if (part.getAsDouble(number))
      return false;
  return true;
}

/// Parses `text`, or what it is short for, as an attribute.
template <typename Interface>
static Interface parseAs(StringRef text, MLIRContext *context, StringRef kind, std::string &error,
                         StringRef full = StringRef()) {
  Attribute attr;
  {
    Catcher catcher(context, error);
    attr = parseAttribute(full.empty() ? text : full, context);
  }
  if (auto result = dyn_cast_or_null<Interface>(attr))
    return result;
  error = (kind + " '" + text + "': " + (attr ? "the attribute is no " + kind : Twine(error))).str();
  return {};
}

PatternAttrInterface mlir::prune::parsePattern(StringRef text, MLIRContext *context, std::string &error) {
  error.clear();
  if (text.starts_with("#"))
    return parseAs<PatternAttrInterface>(text, context, "pattern", error);
  if (text == "unstructured")
    return UnstructuredAttr::get(context);
  PatternAttrInterface result;
  {
    Catcher catcher(context, error);
    auto emit = [&] { return catcher.emit(); };
    SmallVector<int64_t> numbers;
    if (StringRef rest = text; rest.consume_front("slice:")) {
      if (splitNumbers(rest, ":", numbers) && numbers.size() <= 2)
        result = SliceAttr::getChecked(emit, context, numbers[0], numbers.size() == 2 ? numbers[1] : 1);
    } else if (rest.consume_front("transposable:")) {
      if (splitNumbers(rest, ":", numbers) && numbers.size() == 2)
        result = TransposableAttr::getChecked(emit, context, numbers[0], numbers[1]);
    } else if (text.contains(':')) {
      if (!splitNumbers(text, ":", numbers))
        numbers.clear();
      if (numbers.size() == 2)
        result = NOfMAttr::getChecked(emit, context, numbers[0], numbers[1]);
      else if (numbers.size() == 3)
        result = VNMAttr::getChecked(emit, context, numbers[0], numbers[1], numbers[2]);
    } else if (splitNumbers(text, "x", numbers) && numbers.size() == 2) {
      result = BlockAttr::getChecked(emit, context, numbers[0], numbers[1]);
    }
  }
  if (!result) {
    if (error.empty())
      error = "expected unstructured, N:M, V:N:M, transposable:N:M, RxC, slice:DIM, slice:DIM:GROUP or an attribute";
    error = ("pattern '" + text + "': " + error).str();
  }
  return result;
}

CriterionAttrInterface mlir::prune::parseCriterion(StringRef text, MLIRContext *context, std::string &error) {
  error.clear();
  if (text.starts_with("#"))
    return parseAs<CriterionAttrInterface>(text, context, "criterion", error);
  auto [name, argument] = text.split(':');
  bool hasArgument = text.contains(':');
  Catcher catcher(context, error);
  auto emit = [&] { return catcher.emit(); };
  CriterionAttrInterface result;
  if (name == "magnitude") {
    std::optional<Norm> norm = hasArgument ? symbolizeNorm(argument) : Norm::l1;
    if (norm)
      return MagnitudeAttr::get(context, *norm);
  } else if (name == "random") {
    uint64_t seed = 0;
    if (!hasArgument || !argument.getAsInteger(10, seed))
      return RandomAttr::get(context, seed);
  } else if (text == "taylor") {
    return TaylorAttr::get(context);
  } else if (text == "fisher") {
    return FisherAttr::get(context);
  } else if (text == "wanda") {
    return WandaAttr::get(context);
  } else if (text == "sparsegpt") {
    return SparseGPTAttr::get(context);
  } else if (name == "obs") {
    double damping = OBSAttr::kUsualDamping;
    if (!hasArgument || readNumbers(argument, damping))
      result = OBSAttr::getChecked(emit, context, APFloat(damping));
  } else if (name == "movement") {
    double rate = 1;
    if (!hasArgument || readNumbers(argument, rate))
      result = MovementAttr::getChecked(emit, context, APFloat(rate));
  } else if (name == "soft-movement") {
    double numbers[] = {1, 0};
    if (!hasArgument || readNumbers(argument, numbers))
      result = SoftMovementAttr::getChecked(emit, context, APFloat(numbers[0]), APFloat(numbers[1]));
  }
  if (result)
    return result;
  if (error.empty())
    error = "expected magnitude, magnitude:l1, magnitude:l2, magnitude:linf, random, random:SEED, taylor, fisher, obs, "
            "obs:DAMPING, wanda, sparsegpt, movement, movement:RATE, soft-movement, soft-movement:RATE, "
            "soft-movement:RATE:PENALTY or an attribute";
  error = ("criterion '" + text + "': " + error).str();
  return {};
}

ScheduleAttr mlir::prune::parseSchedule(StringRef text, MLIRContext *context, std::string &error) {
  error.clear();
  if (text.starts_with("#"))
    return parseAs<ScheduleAttr>(text, context, "schedule", error);
  // The short spelling is that of the attribute with other separators.
  auto [kind, parameters] = text.split(':');
  std::string full = kind.str();
  llvm::replace(full, '-', '_');
  if (text.contains(':'))
    full += "," + parameters.str();
  llvm::replace(full, ':', ',');
  return parseAs<ScheduleAttr>(text, context, "schedule", error, "#prune.schedule<" + full + ">");
}

std::string mlir::prune::spell(PatternAttrInterface pattern) {
  std::string text;
  llvm::raw_string_ostream os(text);
  pattern.printShort(os);
  return text;
}

std::string mlir::prune::spell(CriterionAttrInterface criterion) {
  std::string text;
  llvm::raw_string_ostream os(text);
  criterion.printShort(os);
  return text;
}
