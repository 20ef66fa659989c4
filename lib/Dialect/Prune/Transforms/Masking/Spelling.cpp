//===- Spelling.cpp - Short spellings of patterns and criteria ----------------===//

#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Turns the diagnostics of attribute parsers and verifiers into a string.
class Catcher {
public:
  Catcher(MLIRContext *context, std::string &error)
      : context(context), error(error), handler(context, [&error](Diagnostic &diagnostic) {
          if (error.empty())
            error = diagnostic.str();
          return success();
        }) {}
  InFlightDiagnostic emit() { return emitError(UnknownLoc::get(context)); }

private:
  MLIRContext *context;
  std::string &error;
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

template <typename Interface>
static Interface parseAs(StringRef text, MLIRContext *context, StringRef kind, std::string &error) {
  Attribute attr;
  {
    Catcher catcher(context, error);
    attr = parseAttribute(text, context);
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
    } else if (text.contains(':')) {
      if (splitNumbers(text, ":", numbers) && numbers.size() == 2)
        result = NOfMAttr::getChecked(emit, context, numbers[0], numbers[1]);
    } else if (splitNumbers(text, "x", numbers) && numbers.size() == 2) {
      result = BlockAttr::getChecked(emit, context, numbers[0], numbers[1]);
    }
  }
  if (!result) {
    if (error.empty())
      error = "expected unstructured, N:M, RxC, slice:DIM, slice:DIM:GROUP or an attribute";
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
  } else if (text == "wanda") {
    return WandaAttr::get(context);
  } else if (text == "sparsegpt") {
    return SparseGPTAttr::get(context);
  }
  error = ("criterion '" + text + "': expected magnitude, magnitude:l1, magnitude:l2, magnitude:linf, random, " +
           "random:SEED, taylor, wanda, sparsegpt or an attribute")
              .str();
  return {};
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

std::string mlir::prune::formatNumber(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%g", value);
  return text;
}
