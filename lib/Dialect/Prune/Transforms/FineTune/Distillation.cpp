//===- Distillation.cpp - Learning from the outputs of a teacher --------------===//

#include "Distillation.h"
#include "Parameterize.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "prune/Support/InputFile.h"
#include "llvm/Support/Regex.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

namespace {
/// One entry of the option `distill`: REGEX=KIND or REGEX=KIND:WEIGHT.
struct Rule {
  StringRef text;
  llvm::Regex match;
  Loss loss;
  double weight = 1;
};
} // namespace

static FailureOr<Rule> parseRule(Location loc, StringRef text, double temperature) {
  auto fail = [&](const Twine &rule, StringRef value) {
    return emitError(loc) << "distill: expected " << rule << ", got '" << value << "'";
  };
  // The regular expression may have both signs.
  auto [regex, settings] = text.rsplit('=');
  if (settings.empty() || settings == text)
    return fail("REGEX=KIND or REGEX=KIND:WEIGHT", text);
  auto [name, weight] = settings.split(':');
  Rule rule{text, llvm::Regex(regex), Loss(), 1};
  if (std::string error; !rule.match.isValid(error))
    return fail("a regular expression (" + error + ")", regex);
  std::optional<LossKind> kind = parseLossKind(name);
  if (!kind || *kind == LossKind::CrossEntropy)
    return fail("a kind of loss (kl, mse, bce or cosine)", name);
  rule.loss.kind = *kind;
  rule.loss.temperature = temperature;
  if (settings.contains(':') && (weight.getAsDouble(rule.weight) || !(rule.weight > 0) || !std::isfinite(rule.weight)))
    return fail("a positive weight", weight);
  return rule;
}

/// The function that `teacher` names, private and in the module of `entry`: the model without its masks, another function
/// of the module, or the function of that name in another file.
static FailureOr<func::FuncOp> provideTeacher(func::FuncOp entry, const PruneBuildTrainingOptions &options) {
  auto module = entry->getParentOfType<ModuleOp>();
  StringRef name = options.teacher;
  bool isFile = name.ends_with(".mlir") || name.ends_with(".mlirbc");
  if (Operation *other = module.lookupSymbol("teacher"); other && (isFile || name == "self"))
    return other->emitError() << "expected no function 'teacher' in the module: training makes one";
  if (name == "self")
    return cloneWithoutMasks(entry, "teacher");
  auto checkType = [&](func::FuncOp function) -> LogicalResult {
    if (function.getFunctionType() == entry.getFunctionType())
      return success();
    return emitError(module.getLoc()) << "teacher: expected the type of '" << entry.getName() << "', "
                                      << entry.getFunctionType() << ", got " << function.getFunctionType();
  };
  if (!isFile) {
    auto function = module.lookupSymbol<func::FuncOp>(name);
    if (!function || function.isExternal() || function == entry)
      return emitError(module.getLoc()) << "teacher: expected 'self', another function with a body, or a file .mlir or "
                                           ".mlirbc, got '"
                                        << name << "'";
    if (failed(checkType(function)))
      return failure();
    function.setPrivate();
    return function;
  }
  llvm::Expected<OwningOpRef<ModuleOp>> file = parseModuleFile(name, *entry.getContext());
  if (!file)
    return emitError(module.getLoc()) << "teacher: " << llvm::toString(file.takeError());
  auto function = (*file)->lookupSymbol<func::FuncOp>(options.entry);
  if (!function || function.isExternal() ||
      function.walk([](CallOpInterface) { return WalkResult::interrupt(); }).wasInterrupted())
    return emitError(module.getLoc()) << "teacher: expected a function '" << options.entry
                                      << "' with a body and no calls in '" << name << "', got none";
  if (failed(checkType(function)))
    return failure();
  function->remove();
  module.getBody()->push_back(function);
  function.setName("teacher");
  function.setPrivate();
  return function;
}

FailureOr<Distillation> mlir::prune::readDistillation(func::FuncOp entry, ArrayRef<StringRef> outputNames,
                                                      const Loss &labelLoss, const PruneBuildTrainingOptions &options) {
  Location loc = entry->getParentOfType<ModuleOp>().getLoc();
  if (options.teacher.empty()) {
    if (!options.distill.empty())
      return emitError(loc) << "distill: expected a teacher, got none";
    return Distillation();
  }
  Distillation distillation;
  distillation.hardness = options.hardness;
  if (!(options.hardness > 0 && options.hardness <= 1))
    return emitError(loc) << "hardness: expected a value in (0, 1], got " << formatNumber(options.hardness);
  if (!(options.temperature > 0) || !std::isfinite(options.temperature))
    return emitError(loc) << "temperature: expected a positive number, got " << formatNumber(options.temperature);

  SmallVector<Rule> rules;
  for (const std::string &text : options.distill) {
    FailureOr<Rule> rule = parseRule(loc, text, options.temperature);
    if (failed(rule))
      return failure();
    rules.push_back(std::move(*rule));
  }
  if (rules.empty()) {
    Loss loss = labelLoss;
    loss.temperature = options.temperature;
    if (loss.kind == LossKind::CrossEntropy)
      loss.kind = LossKind::Divergence;
    distillation.outputs.push_back({0, loss, 1});
  }
  llvm::SmallPtrSet<const Rule *, 4> used;
  if (!rules.empty())
    for (auto [index, name] : llvm::enumerate(outputNames)) {
      auto rule = llvm::find_if(rules, [&, name = name](Rule &rule) { return rule.match.match(name); });
      if (rule == rules.end())
        continue;
      used.insert(rule);
      distillation.outputs.push_back({static_cast<unsigned>(index), rule->loss, rule->weight});
    }
  for (const Rule &rule : rules)
    if (!used.contains(&rule))
      return emitError(loc) << "distill: expected each entry to be the first that matches an output, got '" << rule.text
                            << "', which is not";
  for (const DistilledOutput &output : distillation.outputs)
    if (failed(output.loss.verify(loc, "distill", entry.getResultTypes()[output.index])))
      return failure();
  FailureOr<func::FuncOp> teacher = provideTeacher(entry, options);
  if (failed(teacher))
    return failure();
  distillation.teacher = *teacher;
  return distillation;
}
