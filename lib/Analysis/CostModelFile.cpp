//===- CostModelFile.cpp - Cost models in JSON, and those built in -------------===//

#include "prune/Analysis/CostModel.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cmath>

using namespace mlir::prune;
using llvm::StringRef;

namespace {
struct BuiltIn {
  StringRef cpu, text;
};
} // namespace

/// By cpu; the last one for each register width is what other processors of that width get.
static const BuiltIn kBuiltIns[] = {
#include "CostModels.inc"
};

/// Names of `Cost`, in its order.
static constexpr StringRef kCostNames[kNumCosts] = {"shared", "rest", "single", "group", "partial",
                                                    "column", "miss", "byte",   "call"};

static constexpr size_t kMaxFileBytes = 1 << 20;
static constexpr unsigned kMaxNesting = 16;

namespace {
/// Reads members and says what is wrong with them, by their path.
class Reader {
public:
  Reader(StringRef file) : file(file) {}

  std::string error;

  void fail(const llvm::Twine &path, const llvm::Twine &rule, const llvm::json::Value *got) {
    if (!error.empty())
      return;
    std::string text = got ? llvm::formatv("{0}", *got).str() : "nothing";
    if (text.size() > 60)
      text = text.substr(0, 57) + "...";
    error = ("cost model '" + file + "': expected " + rule + " at " + path + ", got " + text).str();
  }
  double number(const llvm::json::Object &object, StringRef key, const llvm::Twine &path) {
    const llvm::json::Value *value = object.get(key);
    std::optional<double> result = value ? value->getAsNumber() : std::nullopt;
    if (!result || !std::isfinite(*result) || *result < 0) {
      fail(path + "." + key, "a number of 0 or more", value);
      return 0;
    }
    return *result;
  }
  int64_t count(const llvm::json::Object &object, StringRef key, const llvm::Twine &path) {
    const llvm::json::Value *value = object.get(key);
    std::optional<int64_t> result = value ? value->getAsInteger() : std::nullopt;
    if (!result || *result < 1 || *result > (int64_t(1) << 40)) {
      fail(path + "." + key, "an integer of 1 or more", value);
      return 1;
    }
    return *result;
  }
  std::string string(const llvm::json::Object &object, StringRef key, const llvm::Twine &path) {
    const llvm::json::Value *value = object.get(key);
    std::optional<StringRef> result = value ? value->getAsString() : std::nullopt;
    if (!result)
      fail(path + "." + key, "a string", value);
    return result ? result->str() : "";
  }

private:
  StringRef file;
};
} // namespace

llvm::Expected<CostModel> CostModel::parse(StringRef text, StringRef file) {
  auto fail = [&](const llvm::Twine &what) { return llvm::createStringError("cost model '" + file + "': " + what); };
  // What LLVM's parser takes for granted.
  if (text.size() > kMaxFileBytes)
    return fail("expected at most " + llvm::Twine(kMaxFileBytes) + " bytes, got " + llvm::Twine(text.size()));
  unsigned depth = 0;
  for (char c : text) {
    depth += c == '[' || c == '{';
    depth -= depth && (c == ']' || c == '}');
    if (depth > kMaxNesting)
      return fail("expected brackets nested at most " + llvm::Twine(kMaxNesting) + " deep, got more");
  }
  llvm::Expected<llvm::json::Value> value = llvm::json::parse(text);
  if (!value)
    return fail(llvm::toString(value.takeError()));
  Reader reader(file);
  const llvm::json::Object *root = value->getAsObject(), none;
  if (!root)
    reader.fail("the top level", "an object", &*value);
  root = root ? root : &none;
  int64_t version = reader.count(*root, "version", "$");
  if (reader.error.empty() && version != 1)
    reader.fail("$.version", "1", root->get("version"));
  CostModel model;
  model.cpu = reader.string(*root, "cpu", "$");
  model.machine = reader.string(*root, "machine", "$");
  model.lanes = reader.count(*root, "lanes", "$");
  model.firstLevelBytes = reader.count(*root, "first_level_bytes", "$");
  model.secondLevelBytes = reader.count(*root, "second_level_bytes", "$");
  const llvm::json::Array *kernels = root->getArray("kernels");
  if (!kernels)
    reader.fail("$.kernels", "an array", root->get("kernels"));
  for (size_t i = 0; kernels && i < kernels->size(); ++i) {
    std::string path = ("$.kernels[" + llvm::Twine(i) + "]").str();
    const llvm::json::Object *entry = (*kernels)[i].getAsObject();
    if (!entry) {
      reader.fail(path, "an object", &(*kernels)[i]);
      break;
    }
    KernelCosts costs;
    std::string kind = reader.string(*entry, "kind", path);
    const KernelKind *found = llvm::find_if(kKernelKinds, [&](KernelKind k) { return stringifyKernelKind(k) == kind; });
    if (found == std::end(kKernelKinds))
      reader.fail(path + ".kind", "one of " + llvm::join(llvm::map_range(kKernelKinds, stringifyKernelKind), ", "),
                  entry->get("kind"));
    else
      costs.tile.kind = *found;
    costs.tile.rows = reader.count(*entry, "rows", path);
    costs.tile.lanes = reader.count(*entry, "lanes", path);
    costs.tile.vectors = reader.count(*entry, "vectors", path);
    const llvm::json::Object *ns = entry->getObject("ns");
    if (!ns)
      reader.fail(path + ".ns", "an object", entry->get("ns"));
    for (size_t cost = 0; ns && cost < kNumCosts; ++cost)
      costs.ns[cost] = reader.number(*ns, kCostNames[cost], path + ".ns");
    model.kernels.push_back(costs);
  }
  for (KernelKind kind : {KernelKind::Dense, KernelKind::ChunkedCSR})
    if (llvm::none_of(model.kernels, [&](const KernelCosts &costs) { return costs.tile.kind == kind; }))
      reader.fail("$.kernels", "a kernel of kind " + stringifyKernelKind(kind), nullptr);
  if (!reader.error.empty())
    return llvm::createStringError(reader.error);
  return model;
}

llvm::Expected<CostModel> CostModel::load(StringRef nameOrFile) {
  for (const BuiltIn &builtIn : kBuiltIns)
    if (builtIn.cpu == nameOrFile)
      return parse(builtIn.text, nameOrFile);
  auto buffer = llvm::MemoryBuffer::getFile(nameOrFile);
  if (!buffer)
    return llvm::createStringError(
        "cost model '" + nameOrFile + "': " + buffer.getError().message() + ", and the built-in ones are " +
        llvm::join(llvm::map_range(kBuiltIns, [](const BuiltIn &b) { return b.cpu; }), ", "));
  return parse((*buffer)->getBuffer(), nameOrFile);
}

StringRef CostModel::findBuiltIn(StringRef cpu, const VectorUnits &units) {
  for (const BuiltIn &builtIn : kBuiltIns) {
    // A known processor may lack its widest registers here (virtual machines mask instruction sets).
    llvm::Expected<CostModel> model = parse(builtIn.text, builtIn.cpu);
    if (!model)
      llvm::consumeError(model.takeError());
    else if (builtIn.cpu == cpu && model->lanes == units.bits / 32)
      return builtIn.cpu;
  }
  return units.bits == 512 ? "znver4" : units.bits == 256 ? "x86-64-v3" : "x86-64";
}

llvm::json::Value CostModel::toJSON() const {
  llvm::json::Array list;
  for (const KernelCosts &costs : kernels) {
    llvm::json::Object ns;
    for (size_t cost = 0; cost < kNumCosts; ++cost)
      ns[kCostNames[cost]] = std::round(costs.ns[cost] * 1e5) / 1e5;
    list.push_back(llvm::json::Object{{"kind", stringifyKernelKind(costs.tile.kind)},
                                      {"rows", costs.tile.rows},
                                      {"lanes", costs.tile.lanes},
                                      {"vectors", costs.tile.vectors},
                                      {"ns", std::move(ns)}});
  }
  return llvm::json::Object{{"version", 1},
                            {"cpu", cpu},
                            {"machine", machine},
                            {"lanes", lanes},
                            {"first_level_bytes", firstLevelBytes},
                            {"second_level_bytes", secondLevelBytes},
                            {"kernels", std::move(list)}};
}
