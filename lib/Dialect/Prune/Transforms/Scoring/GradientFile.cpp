//===- GradientFile.cpp - Gradients for criteria ------------------------------===//

#include "prune/Dialect/Prune/Transforms/Scoring/GradientFile.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Support/Npy.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

/// Behind the name of a weight: the products of its gradients.
static constexpr llvm::StringLiteral kFisher = ":fisher";

/// The tensors of `path` that are wanted, all of floats.
static llvm::Expected<std::vector<NamedTensor>> readFloats(StringRef path, TensorFilter isWanted) {
  llvm::Expected<std::vector<NamedTensor>> tensors = readTensors(path, isWanted);
  if (!tensors)
    return tensors.takeError();
  for (const NamedTensor &named : *tensors)
    if (!llvm::is_contained({ElementKind::Float16, ElementKind::BFloat16, ElementKind::Float32, ElementKind::Float64},
                            named.tensor.kind))
      return llvm::createStringError("%s: '%s' is %s, expected floats", path.str().c_str(), named.name.c_str(),
                                     getName(named.tensor.kind).str().c_str());
  return tensors;
}

llvm::Expected<GradientFile> GradientFile::read(StringRef path) {
  llvm::Expected<std::vector<NamedTensor>> tensors =
      readFloats(path, [](StringRef name) { return !name.ends_with(kFisher); });
  if (!tensors)
    return tensors.takeError();
  GradientFile file;
  file.path = path.str();
  for (const NamedTensor &named : *tensors) {
    const HostTensor &tensor = named.tensor;
    Entry &entry = file.entries[named.name];
    entry.shape.assign(tensor.shape.begin(), tensor.shape.end());
    entry.values.resize(tensor.getNumElements());
    if (tensor.kind == ElementKind::Float32)
      std::memcpy(entry.values.data(), tensor.data.data(), entry.values.size() * sizeof(float));
    else
      for (size_t i = 0; i < entry.values.size(); ++i)
        entry.values[i] = static_cast<float>(tensor.getElement(i));
  }
  return file;
}

llvm::Expected<ArrayRef<float>> GradientFile::get(const llvm::Twine &twine, RankedTensorType type,
                                                  WorkerPool &pool) const {
  std::string name = twine.str();
  auto it = entries.find(name);
  if (it == entries.end())
    return llvm::createStringError(
        llvm::formatv("{0} has no gradient of '{1}' among its {2} tensors", path, name, entries.size()).str());
  const Entry &entry = it->second;
  if (ArrayRef<int64_t>(entry.shape) != type.getShape())
    return llvm::createStringError(llvm::formatv("{0}: the gradient of '{1}' is [{2:$[, ]}], the weight [{3:$[, ]}]",
                                                 path, name, llvm::make_range(entry.shape.begin(), entry.shape.end()),
                                                 llvm::make_range(type.getShape().begin(), type.getShape().end()))
                                       .str());
  if (int64_t place = findNaN(entry.values, pool); place >= 0)
    return llvm::createStringError("%s: the gradient of '%s' holds NaN at index %s", path.c_str(), name.c_str(),
                                   formatIndex(entry.shape, place).c_str());
  return ArrayRef<float>(entry.values);
}

llvm::Error GradientFile::provide(ScoreInputs &inputs, uint32_t needs, StringRef name, RankedTensorType type,
                                  WorkerPool &pool) const {
  if (needs & NeedsGradient) {
    llvm::Expected<ArrayRef<float>> gradient = get(name, type, pool);
    if (!gradient)
      return gradient.takeError();
    inputs.gradient = *gradient;
  }
  if (needs & NeedsSquaredGradient) {
    llvm::Expected<ArrayRef<float>> squared = get(name + ":squared", type, pool);
    if (!squared)
      return squared.takeError();
    inputs.squaredGradient = *squared;
  }
  return llvm::Error::success();
}

llvm::Expected<FisherBlocks> GradientFile::getFisherBlocks(StringRef name, RankedTensorType type,
                                                           WorkerPool &pool) const {
  std::string wanted = (name + kFisher).str();
  llvm::Expected<std::vector<NamedTensor>> tensors = readFloats(path, [&](StringRef other) { return other == wanted; });
  if (!tensors)
    return tensors.takeError();
  if (tensors->empty() || tensors->front().name != wanted)
    return llvm::createStringError(
        llvm::formatv("{0} has no '{1}' (python -m prune gradients --fisher-block)", path, wanted).str());
  llvm::Expected<FisherBlocks> blocks = FisherBlocks::get(std::move(tensors->front().tensor), type.getShape(), pool);
  if (!blocks)
    return llvm::createStringError(
        llvm::formatv("{0}: '{1}': {2}", path, wanted, llvm::toString(blocks.takeError())).str());
  return blocks;
}
