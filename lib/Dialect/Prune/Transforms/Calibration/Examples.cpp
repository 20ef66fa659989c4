//===- Examples.cpp - Examples of a function's inputs in batches --------------===//

#include "Examples.h"
#include "mlir/IR/TypeUtilities.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Support/Npy.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace mlir::prune;

std::string mlir::prune::getInputName(func::FuncOp function, unsigned index) {
  if (auto name = function.getArgAttrOfType<StringAttr>(index, "prune.name"))
    return name.str();
  return "in" + std::to_string(index);
}

FailureOr<BlockArgument> mlir::prune::findPadding(func::FuncOp function, StringRef name,
                                                  function_ref<InFlightDiagnostic()> emitError) {
  if (name.empty())
    return BlockArgument();
  for (BlockArgument argument : function.getArguments()) {
    if (getInputName(function, argument.getArgNumber()) != name)
      continue;
    if (Type type = getElementTypeOrSelf(argument.getType()); !type.isSignlessInteger() && !type.isF32())
      return emitError() << "padding: expected an input of integers or f32, got '" << name << "' of " << type;
    return argument;
  }
  return emitError() << "padding: expected an input of '" << function.getName() << "', got '" << name << "'";
}

/// "float32[examples, 64]".
static std::string describeExamples(ElementKind kind, ArrayRef<int64_t> shape) {
  std::string text = getName(kind).str() + "[examples";
  for (int64_t size : shape)
    text += ", " + std::to_string(size);
  return text + "]";
}

llvm::Expected<Examples> Examples::read(StringRef path, func::FuncOp function) {
  auto fail = [](auto &&...values) { return llvm::createStringError(llvm::formatv(values...).str()); };
  llvm::Expected<std::vector<NamedTensor>> tensors = readTensors(path);
  if (!tensors)
    return tensors.takeError();
  Examples examples;
  for (auto [index, type] : llvm::enumerate(function.getArgumentTypes())) {
    std::string name = getInputName(function, index);
    auto tensor = dyn_cast<RankedTensorType>(type);
    std::optional<ElementKind> kind = tensor ? getElementKind(tensor.getElementType()) : std::nullopt;
    if (!kind || !tensor.hasStaticShape() || tensor.getRank() == 0 || tensor.getDimSize(0) == 0)
      return fail("input '{0}' of '{1}': expected a tensor of static shape whose first dimension is the batch, got {2}",
                  name, function.getName(), llvm::formatv("{0}", type).str());
    if (index == 0)
      examples.batchSize = tensor.getDimSize(0);
    if (tensor.getDimSize(0) != examples.batchSize)
      return fail("input '{0}' of '{1}': expected a batch of {2} as in '{3}', got {4}", name, function.getName(),
                  examples.batchSize, getInputName(function, 0), tensor.getDimSize(0));
    ArrayRef<int64_t> shape = tensor.getShape().drop_front();
    auto found = llvm::find_if(*tensors, [&](const NamedTensor &array) { return array.name == name; });
    if (found == tensors->end())
      return fail("{0}: expected an array '{1}' of {2}, got none among {3} arrays", path, name,
                  describeExamples(*kind, shape), tensors->size());
    HostTensor &array = found->tensor;
    ArrayRef<int64_t> given = array.shape;
    if (!isCompatible(*kind, array.kind) || given.empty() || given.drop_front() != shape)
      return fail("{0}: array '{1}': expected {2}, got {3}", path, name, describeExamples(*kind, shape),
                  describe(array.kind, given));
    if (index == 0)
      examples.numExamples = given.front();
    if (given.front() != examples.numExamples || given.front() == 0)
      return fail("{0}: array '{1}': expected {2}, got {3} examples", path, name,
                  index
                      ? llvm::formatv("{0} examples as in '{1}'", examples.numExamples, getInputName(function, 0)).str()
                      : "at least one example",
                  given.front());
    if (isa<FloatType>(tensor.getElementType()))
      for (int64_t i = 0, e = array.getNumElements(); i < e; ++i)
        if (!std::isfinite(array.getElement(i)))
          return fail("{0}: array '{1}': expected finite numbers, got {2} at index {3}", path, name,
                      array.getElement(i), formatIndex(given, i));
    Input input;
    input.bytesOfBatch = tensor.getNumElements() * getByteWidth(*kind);
    int64_t size = array.data.size(), rest = size % input.bytesOfBatch;
    if (rest) {
      // From the first example on until the batch is full.
      input.last = AlignedBuffer(input.bytesOfBatch);
      std::memcpy(input.last.data(), array.data.data() + size - rest, rest);
      for (int64_t filled = rest; filled < input.bytesOfBatch;) {
        int64_t part = std::min(size, input.bytesOfBatch - filled);
        std::memcpy(input.last.data() + filled, array.data.data(), part);
        filled += part;
      }
    }
    input.array = std::move(array);
    examples.inputs.push_back(std::move(input));
  }
  return examples;
}

const char *Examples::getBatch(unsigned index, int64_t batch) const {
  const Input &input = inputs[index];
  if (input.last.size() && batch == getNumBatches() - 1)
    return input.last.data();
  return input.array.data.data() + batch * input.bytesOfBatch;
}

int64_t Examples::countNonzeros(unsigned index) const {
  const Input &input = inputs[index];
  int64_t count = 0, numElements = input.array.getNumElements();
  // Those that fill the last batch count twice, as they do in the statistics.
  int64_t all = getNumBatches() * (input.bytesOfBatch / getByteWidth(input.array.kind));
  for (int64_t i = 0; i < all; ++i)
    count += input.array.getElement(i % numElements) != 0;
  return count;
}
