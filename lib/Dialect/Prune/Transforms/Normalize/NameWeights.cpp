//===- NameWeights.cpp - Stable names for constants ---------------------------===//

#include "ConstantStore.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/Transforms/Normalize.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace mlir::prune;

/// A parameter name from the scope of a node: `/encoder/layer.0/query/MatMul` -> `encoder.layer.0.query.weight`.
/// PyTorch repeats the path inside a list of modules: `/layer1/layer1.0/conv1/Conv` -> `layer1.0.conv1.weight`.
std::string prune::nameFromScope(StringRef scope, StringRef kind) {
  StringRef suffix = kind == "bias" ? ".bias" : kind == "table" || kind == "constant" ? ".constant" : ".weight";
  if (!scope.consume_front("/"))
    return (scope + suffix).str();
  SmallVector<StringRef> parts;
  scope.split(parts, '/', -1, /*KeepEmpty=*/false);
  if (parts.size() > 1)
    parts.pop_back(); // The operator.
  std::string name;
  StringRef last;
  for (StringRef part : parts) {
    if (!last.empty() && part.starts_with((last + ".").str()))
      name.resize(name.size() - last.size());
    else if (!name.empty())
      name += ".";
    name += part;
    last = part;
  }
  return name + suffix.str();
}

static DenseResourceElementsAttr getResource(arith::ConstantOp constant) {
  return dyn_cast<DenseResourceElementsAttr>(constant.getValue());
}

void ConstantStore::mergeEqual(ModuleOp module) {
  llvm::DenseMap<std::pair<Type, uint64_t>, SmallVector<DenseResourceElementsAttr, 1>> seen;
  module.walk([&](arith::ConstantOp constant) {
    DenseResourceElementsAttr attr = getResource(constant);
    if (!attr || attr.getNumElements() <= inlineLimit)
      return;
    FailureOr<ConstantBytes> bytes = getConstantBytes(attr);
    if (failed(bytes))
      return;
    auto hash = llvm::xxh3_64bits(ArrayRef(reinterpret_cast<const uint8_t *>(bytes->data.data()), bytes->data.size()));
    auto &candidates = seen[{attr.getType(), hash}];
    for (DenseResourceElementsAttr candidate : candidates) {
      FailureOr<ConstantBytes> other = getConstantBytes(candidate);
      if (candidate == attr)
        return;
      if (succeeded(other) && other->data == bytes->data) {
        constant.setValueAttr(candidate);
        return;
      }
    }
    candidates.push_back(attr);
  });
}

int64_t ConstantStore::nameWeights(ModuleOp module) {
  mergeEqual(module);
  // What each constant is for, in the order of its first use.
  llvm::MapVector<Operation *, std::string> names;
  for (const PrunableLayer &layer : findPrunableLayers(module)) {
    arith::ConstantOp constant = layer.getConstant();
    if (!constant || names.count(constant))
      continue;
    std::string &name = names[constant];
    DenseResourceElementsAttr attr = getResource(constant);
    name = attr ? getOrigin(attr) : std::string();
    if (name.empty())
      name = getConstantName(constant).str();
    if (!name.empty())
      continue;
    StringRef scope = getLocationName(layer.op->getLoc());
    name = scope.empty() ? layer.name : nameFromScope(scope, layer.kind);
  }
  llvm::StringMap<unsigned> nextIndex;
  llvm::StringSet<> liveKeys;
  module.walk([&](arith::ConstantOp constant) {
    DenseResourceElementsAttr attr = getResource(constant);
    if (!attr)
      return;
    liveKeys.insert(attr.getRawHandle().getKey());
    if (names.count(constant))
      return;
    std::string name = getOrigin(attr);
    if (name.empty()) {
      auto function = constant->getParentOfType<FunctionOpInterface>();
      std::string stem = ((function ? function.getName() : StringRef("module")) + ".constant").str();
      name = stem + "_" + std::to_string(nextIndex[stem]++);
    }
    names[constant] = name;
  });

  auto &manager = DenseResourceElementsHandle::getManagerInterface(context);
  std::map<std::string, DenseResourceElementsHandle> renamed; // By temporary key.
  for (auto &[op, name] : names) {
    auto constant = cast<arith::ConstantOp>(op);
    DenseResourceElementsAttr attr = getResource(constant);
    if (!attr) {
      if (getConstantName(constant).empty())
        constant->setLoc(NameLoc::get(StringAttr::get(context, name), constant.getLoc()));
      continue;
    }
    DenseResourceElementsHandle handle = attr.getRawHandle();
    if (!origins.count(handle.getKey()))
      continue;
    auto it = renamed.find(handle.getKey().str());
    if (it == renamed.end()) {
      AsmResourceBlob blob(std::move(*handle.getBlob()));
      handle.getResource()->setBlob(AsmResourceBlob());
      // The key of a resource that this module no longer uses is free.
      auto *former = manager.getBlobManager().lookup(name);
      if (former && liveKeys.insert(name).second) {
        former->setBlob(std::move(blob));
        DenseResourceElementsHandle named(former, context->getLoadedDialect<BuiltinDialect>());
        it = renamed.emplace(handle.getKey().str(), named).first;
      } else {
        it = renamed.emplace(handle.getKey().str(), manager.insert(name, std::move(blob))).first;
        liveKeys.insert(it->second.getKey());
      }
    }
    constant.setValueAttr(DenseResourceElementsAttr::get(cast<ShapedType>(attr.getType()), it->second));
    constant->setLoc(NameLoc::get(StringAttr::get(context, it->second.getKey())));
  }
  // Temporaries that did not stay.
  for (auto &entry : origins)
    if (auto *blob = manager.getBlobManager().lookup(entry.getKey()); blob && blob->getBlob())
      blob->setBlob(AsmResourceBlob());
  int64_t count = renamed.size();
  origins.clear();
  moved.clear();
  return count;
}

int64_t prune::nameWeights(ModuleOp module, int64_t inlineLimit) {
  ConstantStore store(module.getContext(), inlineLimit);
  store.externalize(module);
  return store.nameWeights(module);
}
