//===- ModelExecution.cpp - Whole models run from inside passes ---------------===//

#include "prune/Pipelines/ModelExecution.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Structured/ModelExecution.h"
#include "prune/Dialect/Prune/Transforms/Structured/Shrink.h"
#include "prune/ExecutionEngine/Benchmark.h"
#include "prune/Pipelines/CPU.h"
#include "prune/Support/Compare.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// A module compiled for this machine, one thread, with the units of `plan`, if any, removed first. In a context of its
/// own: this runs inside passes of another.
llvm::Expected<std::unique_ptr<CompiledModule>> compileModule(const DialectRegistry &registry, StringRef bytecode,
                                                              const ShrinkPlan *plan = nullptr) {
  DialectRegistry all;
  registry.appendTo(all);
  registerCodeGenTranslations(all);
  MLIRContext context(all, MLIRContext::Threading::DISABLED);
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (message.empty() && diagnostic.getSeverity() == DiagnosticSeverity::Error)
      message = diagnostic.str();
    return success();
  });
  // Bytecode with resources wants an aligned buffer.
  auto buffer = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(bytecode.size(), "copy", llvm::Align(64));
  llvm::copy(bytecode, buffer->getBufferStart());
  auto sources = std::make_shared<llvm::SourceMgr>();
  sources->AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
  PassManager passes(&context);
  buildCPUPipeline(passes, CPUPipelineOptions());
  // The units of a copy have the same numbers.
  if (!module || (plan && failed(shrinkDims(*module, *DimCoupling::create(*module), *plan))) ||
      failed(passes.run(*module)))
    return llvm::createStringError("does not compile: " + message);
  return CompiledModule::create(*module);
}

/// The largest difference of an element, as a share of the largest absolute value of its output in `expected`. Infinite
/// if the outputs differ in number or shape, or hold NaN in different places.
double getDifference(ArrayRef<HostTensor> expected, ArrayRef<HostTensor> actual) {
  double worst = expected.size() == actual.size() ? 0 : INFINITY;
  for (auto [e, a] : llvm::zip(expected, actual)) {
    llvm::Expected<Difference> difference = compareTensors(a, e, /*rtol=*/0, /*atol=*/0);
    HostTensor zero(e.kind, e.shape);
    llvm::Expected<Difference> size = compareTensors(zero, e, /*rtol=*/0, /*atol=*/0);
    if (!difference || !size) {
      llvm::consumeError(difference.takeError());
      llvm::consumeError(size.takeError());
      return INFINITY;
    }
    if (difference->maxAbs > 0 || std::isnan(difference->maxAbs))
      worst = std::max(worst, size->maxAbs > 0 ? difference->maxAbs / size->maxAbs : INFINITY);
  }
  return worst;
}

/// Each worker has a workspace of its own.
class CompiledModel : public ModelCode {
public:
  static llvm::Expected<std::unique_ptr<ModelCode>> create(std::unique_ptr<CompiledModule> module, unsigned workers) {
    auto model = std::make_unique<CompiledModel>();
    for (unsigned worker = 0; worker < workers; ++worker) {
      auto memory = MappedMemory::allocate(module->getEntry().workspaceBytes);
      if (!memory)
        return memory.takeError();
      model->workspaces.push_back(std::move(*memory));
    }
    model->module = std::move(module);
    return model;
  }

  void run(ArrayRef<const void *> inputs, ArrayRef<void *> outputs, unsigned worker) const override {
    module->run(inputs, outputs, workspaces[worker].data());
  }

private:
  std::unique_ptr<CompiledModule> module;
  std::vector<MappedMemory> workspaces;
};

struct ModelExecution : ModelExecutionInterface {
  using ModelExecutionInterface::ModelExecutionInterface;

  llvm::Expected<OutputDifference> compare(StringRef expected, StringRef actual) const override {
    auto first = compileModule(getContext()->getDialectRegistry(), expected);
    if (!first)
      return llvm::joinErrors(llvm::createStringError("the masked module"), first.takeError());
    auto second = compileModule(getContext()->getDialectRegistry(), actual);
    if (!second)
      return llvm::joinErrors(llvm::createStringError("the shrunk module"), second.takeError());
    OutputDifference result;
    std::vector<HostTensor> previous;
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      std::vector<HostTensor> inputs = makeRandomInputs((*first)->getInputs(), seed);
      auto reference = (*first)->run(inputs);
      auto shrunk = (*second)->run(inputs);
      if (!reference)
        return reference.takeError();
      if (!shrunk)
        return shrunk.takeError();
      result.relative = std::max(result.relative, getDifference(*reference, *shrunk));
      if (!previous.empty())
        result.spread = std::max(result.spread, getDifference(*reference, previous));
      previous = std::move(*reference);
    }
    return result;
  }

  llvm::Expected<double> measure(StringRef bytecode, const ShrinkPlan &plan) const override {
    auto copy = compileModule(getContext()->getDialectRegistry(), bytecode, &plan);
    if (!copy)
      return llvm::joinErrors(llvm::createStringError("a shrunk module"), copy.takeError());
    CompiledModule &module = **copy;
    std::vector<HostTensor> inputs = makeRandomInputs(module.getInputs()), outputs;
    std::vector<const void *> inputPointers;
    std::vector<void *> outputPointers;
    for (const TensorSpec &spec : module.getOutputs())
      outputs.emplace_back(spec.kind, spec.shape);
    for (HostTensor &tensor : inputs)
      inputPointers.push_back(tensor.data.data());
    for (HostTensor &tensor : outputs)
      outputPointers.push_back(tensor.data.data());
    // The fastest run: others on this machine only ever add time, and a search goes astray by one wrong figure.
    return benchmark(module, inputPointers, outputPointers, /*runs=*/50).min * 1e6;
  }

  llvm::Expected<std::unique_ptr<ModelCode>> compile(StringRef bytecode, unsigned workers) const override {
    auto module = compileModule(getContext()->getDialectRegistry(), bytecode);
    if (!module)
      return module.takeError();
    return CompiledModel::create(std::move(*module), workers);
  }
};

} // namespace

void mlir::prune::registerModelExecution(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *, PruneDialect *dialect) { dialect->addInterfaces<ModelExecution>(); });
}
