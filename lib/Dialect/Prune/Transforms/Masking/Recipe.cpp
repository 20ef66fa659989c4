//===- Recipe.cpp - Reading recipes -------------------------------------------===//
//
// Walks the YAML tree by hand: messages shall name the line of each key, also for entries that turn out to match
// nothing.
//
//===----------------------------------------------------------------------===//

#include "prune/Dialect/Prune/Transforms/Masking/Recipe.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/YAMLParser.h"

using namespace mlir;
using namespace mlir::prune;
namespace yaml = llvm::yaml;

std::optional<LayerSplit> mlir::prune::symbolizeLayerSplit(StringRef text) {
  return llvm::StringSwitch<std::optional<LayerSplit>>(text)
      .Case("uniform", LayerSplit::Uniform)
      .Case("erk", LayerSplit::ERK)
      .Case("l2", LayerSplit::L2)
      .Case("lamp", LayerSplit::LAMP)
      .Default(std::nullopt);
}

StringRef mlir::prune::stringifyLayerSplit(LayerSplit split) {
  switch (split) {
  case LayerSplit::Uniform:
    return "uniform";
  case LayerSplit::ERK:
    return "erk";
  case LayerSplit::L2:
    return "l2";
  case LayerSplit::LAMP:
    return "lamp";
  }
  llvm_unreachable("unknown layer split");
}

void MaskSettings::inherit(const MaskSettings &other) {
  if (!criterion)
    criterion = other.criterion;
  if (!pattern)
    pattern = other.pattern;
  if (!sparsity && !threshold) {
    sparsity = other.sparsity;
    threshold = other.threshold;
  }
  if (!minKeep)
    minKeep = other.minKeep;
  if (!scope)
    scope = other.scope;
  if (!layerSplit)
    layerSplit = other.layerSplit;
  if (group.empty())
    group = other.group;
}

namespace {
/// Larger files are no recipes.
constexpr uint64_t kMaxRecipeBytes = 1 << 20;

class RecipeReader {
public:
  RecipeReader(StringRef path, MLIRContext *context) : path(path), context(context) {}

  FailureOr<Recipe> read();
  StringRef getError() const { return error; }

private:
  std::string place(const yaml::Node *node);
  LogicalResult fail(const yaml::Node *node, const Twine &message) {
    if (error.empty())
      error = place(node) + ": " + message.str();
    return failure();
  }
  /// Calls `visit(key, value node)` for each pair of a mapping; keys are plain and appear once.
  LogicalResult visitMapping(yaml::Node *node, const Twine &what,
                             function_ref<LogicalResult(StringRef, yaml::Node *)> visit);
  LogicalResult readSetting(StringRef key, yaml::Node *value, MaskSettings &settings, bool isEntry);
  LogicalResult readEntry(yaml::Node *node, Recipe &recipe);
  FailureOr<std::string> readScalar(StringRef key, yaml::Node *node);
  FailureOr<double> readNumber(StringRef key, yaml::Node *node);

  StringRef path;
  MLIRContext *context;
  llvm::SourceMgr sources;
  /// The first thing that went wrong, in the parser of YAML or here.
  std::string error;
};
} // namespace

std::string RecipeReader::place(const yaml::Node *node) {
  std::string text = path.str();
  if (node && node->getSourceRange().Start.isValid())
    text += ":" + std::to_string(sources.getLineAndColumn(node->getSourceRange().Start).first);
  return text;
}

LogicalResult RecipeReader::visitMapping(yaml::Node *node, const Twine &what,
                                         function_ref<LogicalResult(StringRef, yaml::Node *)> visit) {
  auto *mapping = dyn_cast_or_null<yaml::MappingNode>(node);
  if (!mapping)
    return fail(node, "expected " + what + " as a mapping of keys to values");
  llvm::StringSet<> seen;
  for (yaml::KeyValueNode &pair : *mapping) {
    auto *keyNode = dyn_cast_or_null<yaml::ScalarNode>(pair.getKey());
    if (!keyNode)
      return fail(&pair, "expected a plain key in " + what);
    SmallString<32> storage;
    std::string key = keyNode->getValue(storage).str();
    if (!seen.insert(key).second)
      return fail(keyNode, "key '" + key + "' appears twice");
    yaml::Node *value = pair.getValue();
    // A bad value reports its own line, which for plain values is that of the key.
    if (failed(visit(key, value ? value : keyNode)))
      return failure();
  }
  return success(error.empty());
}

FailureOr<std::string> RecipeReader::readScalar(StringRef key, yaml::Node *node) {
  SmallString<64> storage;
  if (auto *scalar = dyn_cast_or_null<yaml::ScalarNode>(node))
    return scalar->getValue(storage).str();
  (void)fail(node, "key '" + key + "': expected a single value");
  return failure();
}

FailureOr<double> RecipeReader::readNumber(StringRef key, yaml::Node *node) {
  FailureOr<std::string> text = readScalar(key, node);
  if (failed(text))
    return failure();
  double number;
  if (StringRef(*text).getAsDouble(number)) {
    (void)fail(node, "key '" + key + "': expected a number, got '" + *text + "'");
    return failure();
  }
  return number;
}

LogicalResult RecipeReader::readSetting(StringRef key, yaml::Node *value, MaskSettings &settings, bool isEntry) {
  std::string message;
  auto failKey = [&](const Twine &why) { return fail(value, "key '" + key + "': " + why); };
  if (key == "sparsity" || key == "threshold") {
    FailureOr<double> number = readNumber(key, value);
    if (failed(number))
      return failure();
    if (key == "sparsity" && !(*number >= 0 && *number <= 1))
      return failKey("expected a value in [0, 1], got " + formatNumber(*number));
    if (key == "threshold" && !(*number >= 0))
      return failKey("expected a value of 0 or more, got " + formatNumber(*number));
    (key == "sparsity" ? settings.sparsity : settings.threshold) = *number;
    if (settings.sparsity && settings.threshold)
      return failKey("sparsity and threshold exclude each other");
    return success();
  }
  FailureOr<std::string> text = readScalar(key, value);
  if (failed(text))
    return failure();
  if (key == "criterion") {
    settings.criterion = parseCriterion(*text, context, message);
    return settings.criterion ? success() : failKey(message);
  }
  if (key == "pattern") {
    settings.pattern = parsePattern(*text, context, message);
    return settings.pattern ? success() : failKey(message);
  }
  if (key == "scope") {
    if (*text != "layer" && *text != "global")
      return failKey("expected layer or global, got '" + *text + "'");
    settings.scope = *text == "layer" ? MaskScope::Layer : MaskScope::Global;
    return success();
  }
  if (key == "layer-split") {
    settings.layerSplit = symbolizeLayerSplit(*text);
    return settings.layerSplit ? success() : failKey("expected uniform, erk, l2 or lamp, got '" + *text + "'");
  }
  if (key == "group") {
    settings.group = *text;
    return success();
  }
  if (key == "min-keep") {
    int64_t number;
    if (StringRef(*text).getAsInteger(10, number) || number < 0)
      return failKey("expected a whole number of 0 or more, got '" + *text + "'");
    settings.minKeep = number;
    return success();
  }
  if (key == "skip" && isEntry) {
    if (*text != "true" && *text != "false")
      return failKey("expected true or false, got '" + *text + "'");
    settings.skip = *text == "true";
    return success();
  }
  return fail(value, "unknown key '" + key + "'");
}

LogicalResult RecipeReader::readEntry(yaml::Node *node, Recipe &recipe) {
  RecipeEntry entry;
  entry.place = place(node);
  bool hasMatch = false;
  auto visit = [&](StringRef key, yaml::Node *value) -> LogicalResult {
    if (key != "match")
      return readSetting(key, value, entry.settings, /*isEntry=*/true);
    FailureOr<std::string> text = readScalar(key, value);
    if (failed(text))
      return failure();
    std::string why;
    if (!llvm::Regex(*text).isValid(why))
      return fail(value, "key 'match': '" + *text + "' is no regular expression: " + why);
    entry.match = *text;
    hasMatch = true;
    return success();
  };
  if (failed(visitMapping(node, "an entry of layers", visit)))
    return failure();
  if (!hasMatch)
    return fail(node, "entry of layers has no key 'match'");
  recipe.entries.push_back(std::move(entry));
  return success();
}

FailureOr<Recipe> RecipeReader::read() {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!file)
    return fail(nullptr, "cannot read recipe: " + file.getError().message());
  if ((*file)->getBufferSize() > kMaxRecipeBytes)
    return fail(nullptr, "recipe of " + Twine((*file)->getBufferSize()) + " bytes, at most " + Twine(kMaxRecipeBytes) +
                             " are read");
  sources.setDiagHandler(
      [](const llvm::SMDiagnostic &diagnostic, void *self) {
        auto *reader = static_cast<RecipeReader *>(self);
        if (reader->error.empty())
          reader->error = (reader->path + ":" + Twine(diagnostic.getLineNo()) + ": " + diagnostic.getMessage()).str();
      },
      this);
  yaml::Stream stream((*file)->getMemBufferRef(), sources, /*ShowColors=*/false);
  Recipe recipe;
  auto visit = [&](StringRef key, yaml::Node *value) -> LogicalResult {
    if (key != "layers")
      return readSetting(key, value, recipe.defaults, /*isEntry=*/false);
    auto *sequence = dyn_cast<yaml::SequenceNode>(value);
    if (!sequence)
      return fail(value, "key 'layers': expected a list of entries");
    for (yaml::Node &entry : *sequence)
      if (failed(readEntry(&entry, recipe)))
        return failure();
    return success();
  };
  yaml::document_iterator document = stream.begin();
  yaml::Node *root = document == stream.end() ? nullptr : document->getRoot();
  if (!root || isa<yaml::NullNode>(root))
    return fail(nullptr, "recipe is empty");
  if (failed(visitMapping(root, "the recipe", visit)))
    return failure();
  if (++document != stream.end())
    return fail(document->getRoot(), "expected one document, got a second");
  return recipe;
}

FailureOr<Recipe> Recipe::read(StringRef path, MLIRContext *context, function_ref<InFlightDiagnostic()> emitError) {
  RecipeReader reader(path, context);
  FailureOr<Recipe> recipe = reader.read();
  if (failed(recipe))
    emitError() << reader.getError();
  return recipe;
}
