//===- CostModelFile.cpp - Cost models in JSON, and those built in -------------===//

#include "JSONReader.h"
#include "prune/Analysis/CostModel.h"
#include "llvm/ADT/SmallVectorExtras.h"
#include "llvm/ADT/StringExtras.h"
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

static std::vector<KernelCosts> parseKernels(JSONReader &reader, const llvm::json::Object &object,
                                             const std::string &objectPath) {
  std::vector<KernelCosts> result;
  const llvm::json::Array *kernels = reader.array(object, "kernels", objectPath);
  auto kindNames = llvm::map_to_vector(kKernelKinds, stringifyKernelKind);
  for (size_t i = 0; i < kernels->size() && reader.error.empty(); ++i) {
    std::string path = (objectPath + ".kernels[" + llvm::Twine(i) + "]").str();
    const llvm::json::Object *entry = reader.entry(*kernels, i, path);
    KernelCosts costs;
    costs.tile.kind = kKernelKinds[reader.choice(*entry, "kind", kindNames, path)];
    costs.tile.rows = reader.count(*entry, "rows", path);
    costs.tile.lanes = reader.count(*entry, "lanes", path);
    costs.tile.vectors = reader.count(*entry, "vectors", path);
    const llvm::json::Object *ns = entry->getObject("ns");
    if (!ns)
      reader.fail(path + ".ns", "an object", entry->get("ns"));
    for (size_t cost = 0; ns && cost < kNumCosts; ++cost)
      costs.ns[cost] = reader.number(*ns, kCostNames[cost], path + ".ns");
    result.push_back(costs);
  }
  return result;
}

llvm::Expected<CostModel> CostModel::parse(StringRef text, StringRef file) {
  llvm::Expected<llvm::json::Value> value = JSONReader::parse(text, file);
  if (!value)
    return value.takeError();
  JSONReader reader(file);
  const llvm::json::Object *root = reader.root(*value);
  CostModel model;
  model.cpu = reader.string(*root, "cpu", "$");
  model.machine = reader.string(*root, "machine", "$");
  model.lanes = reader.count(*root, "lanes", "$");
  model.firstLevelBytes = reader.count(*root, "first_level_bytes", "$");
  model.secondLevelBytes = reader.count(*root, "second_level_bytes", "$");
  if (const llvm::json::Value *entry = root->get("word")) {
    const llvm::json::Object *word = entry->getAsObject();
    if (!word)
      reader.fail("$.word", "an object", entry);
    else
      model.word = {reader.number(*word, "step", "$.word"), reader.number(*word, "column", "$.word"),
                    reader.string(*word, "source", "$.word")};
    if (word && word->get("kernels"))
      model.word.kernels = parseKernels(reader, *word, "$.word");
  }
  model.kernels = parseKernels(reader, *root, "$");
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

static llvm::json::Array printKernels(llvm::ArrayRef<KernelCosts> kernels) {
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
  return list;
}

llvm::json::Value CostModel::toJSON() const {
  llvm::json::Object words{{"step", word.step}, {"column", word.column}, {"source", word.source}};
  if (!word.kernels.empty())
    words["kernels"] = printKernels(word.kernels);
  return llvm::json::Object{{"version", 1},
                            {"cpu", cpu},
                            {"machine", machine},
                            {"lanes", lanes},
                            {"first_level_bytes", firstLevelBytes},
                            {"second_level_bytes", secondLevelBytes},
                            {"word", std::move(words)},
                            {"kernels", printKernels(kernels)}};
}
