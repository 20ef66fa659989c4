//===- CodeGen.cpp - From the LLVM dialect to machine code --------------------===//

#include "prune/ExecutionEngine/CodeGen.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/OpenMP/OpenMPToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"
#include <chrono>

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;

void mlir::prune::registerCodeGenTranslations(DialectRegistry &registry) {
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerOpenMPDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
}

static llvm::Expected<EntryOp> findEntry(ModuleOp module) {
  auto entries = llvm::to_vector(module.getOps<EntryOp>());
  if (entries.size() != 1)
    return createStringError("expected one prune.entry in the module, got " + llvm::Twine(entries.size()) +
                             (entries.empty() ? " (the module is not lowered)" : ""));
  return entries.front();
}

static llvm::Expected<std::vector<TensorSpec>> describeTensors(ArrayAttr names, ArrayAttr types) {
  std::vector<TensorSpec> specs;
  for (auto [name, type] : llvm::zip(names.getAsRange<StringAttr>(), types.getAsRange<TypeAttr>())) {
    auto tensor = cast<RankedTensorType>(type.getValue());
    std::optional<ElementKind> kind = getElementKind(tensor.getElementType());
    if (!kind || !getNumElements(tensor.getShape()))
      return createStringError("tensor '" + name.getValue() + "' is of a type that does not fit memory");
    specs.push_back({name.str(), *kind, llvm::SmallVector<int64_t, 4>(tensor.getShape())});
  }
  return specs;
}

llvm::Expected<EntryDescription> mlir::prune::describeEntry(ModuleOp module) {
  llvm::Expected<EntryOp> entry = findEntry(module);
  if (!entry)
    return entry.takeError();
  EntryDescription result;
  result.function = entry->getFunction().str();
  auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(result.function);
  if (!function || function.isExternal())
    return createStringError("expected the entry function '" + result.function +
                             "' in the LLVM dialect (the module is not lowered)");
  // A first op that is left over names the culprit better than the translation would.
  Operation *stranger = nullptr;
  module.walk([&](Operation *op) {
    if (isa<ModuleOp, EntryOp, BlobOp>(op) || isa_and_present<LLVM::LLVMDialect, omp::OpenMPDialect>(op->getDialect()))
      return WalkResult::advance();
    stranger = op;
    return WalkResult::interrupt();
  });
  if (stranger)
    return createStringError("expected operations of the LLVM dialect only, got '" +
                             stranger->getName().getStringRef() + "' (the module is not lowered)");
  auto inputs = describeTensors(entry->getInputNames(), entry->getInputTypes());
  if (!inputs)
    return inputs.takeError();
  auto outputs = describeTensors(entry->getOutputNames(), entry->getOutputTypes());
  if (!outputs)
    return outputs.takeError();
  result.inputs = std::move(*inputs);
  result.outputs = std::move(*outputs);
  result.workspaceBytes = entry->getWorkspaceSize().value_or(0);
  result.threads = entry->getThreads();
  result.gpu = entry->getGpu().value_or("").str();
  result.target = {entry->getCpu().value_or("").str(), entry->getFeatures().value_or("").str()};
  return result;
}

llvm::Expected<llvm::ArrayRef<char>> mlir::prune::getWeightBytes(ModuleOp module) {
  llvm::Expected<EntryOp> entry = findEntry(module);
  if (!entry)
    return entry.takeError();
  if (!entry->getWeights())
    return llvm::ArrayRef<char>();
  auto blob = module.lookupSymbol<BlobOp>(*entry->getWeights());
  if (!blob)
    return createStringError("expected the weights '" + *entry->getWeights() + "' in the module");
  size_t size = blob.getData().getShapedType().getNumElements();
  if (auto dense = dyn_cast<DenseElementsAttr>(blob.getData())) {
    if (dense.isSplat() && size != 1)
      return createStringError("expected the weights as a resource or as single bytes, got one repeated value");
    return dense.getRawData();
  }
  auto resource = cast<DenseResourceElementsAttr>(blob.getData());
  AsmResourceBlob *data = resource.getRawHandle().getBlob();
  if (!data || data->getData().size() != size)
    return createStringError("expected " + llvm::Twine(size) + " bytes of weights in resource '" +
                             resource.getRawHandle().getKey() + "', got " +
                             llvm::Twine(data ? data->getData().size() : 0) + " (was it elided when printing?)");
  return data->getData();
}

/// Seconds since the last call.
static double lap(std::chrono::steady_clock::time_point &since) {
  auto now = std::chrono::steady_clock::now();
  double seconds = std::chrono::duration<double>(now - since).count();
  since = now;
  return seconds;
}

/// Gives each function the target, and hides all but the entry.
static void prepare(llvm::Module &module, const EntryDescription &entry, const CodeGenOptions &options,
                    llvm::TargetMachine &machine) {
  module.setDataLayout(machine.createDataLayout());
  module.setTargetTriple(machine.getTargetTriple());
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    if (!entry.target.cpu.empty())
      function.addFnAttr("target-cpu", entry.target.cpu);
    if (!entry.target.features.empty())
      function.addFnAttr("target-features", entry.target.features);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    function.addFnAttr("no-trapping-math", "true");
    if (function.getName() != entry.function)
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
  }
  llvm::Function *function = module.getFunction(entry.function);
  function->setName(options.symbol);
  if (options.hidden)
    function->setVisibility(llvm::GlobalValue::HiddenVisibility);
  if (llvm::GlobalVariable *program = module.getNamedGlobal(kGPUProgram)) {
    program->setName(options.symbol + "_program");
    if (options.hidden)
      program->setVisibility(llvm::GlobalValue::HiddenVisibility);
  }
}

void mlir::prune::optimizeModule(llvm::Module &module, unsigned optLevel, bool vectorize,
                                 llvm::TargetMachine &machine) {
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = vectorize;
  tuning.SLPVectorization = vectorize;
  llvm::PassBuilder builder(&machine, tuning);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  static const llvm::OptimizationLevel levels[] = {llvm::OptimizationLevel::O0, llvm::OptimizationLevel::O1,
                                                   llvm::OptimizationLevel::O2, llvm::OptimizationLevel::O3};
  llvm::OptimizationLevel level = levels[std::min(optLevel, 3u)];
  llvm::ModulePassManager passes =
      optLevel == 0 ? builder.buildO0DefaultPipeline(level) : builder.buildPerModuleDefaultPipeline(level);
  passes.run(module, modules);
}

llvm::Expected<ObjectCode> mlir::prune::generateObject(ModuleOp module, const EntryDescription &entry,
                                                       const CodeGenOptions &options) {
  auto machine = createTargetMachine(entry.target);
  if (!machine)
    return machine.takeError();
  ObjectCode result;
  auto since = std::chrono::steady_clock::now();

  // The blob and the entry are no code.
  OwningOpRef<ModuleOp> code = module.clone();
  for (Operation &op : llvm::make_early_inc_range(code->getBody()->getOperations()))
    if (isa<EntryOp, BlobOp>(op))
      op.erase();
  std::string message;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> translated;
  {
    ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diag) {
      if (message.empty() && diag.getSeverity() == DiagnosticSeverity::Error)
        message = diag.str();
      return success();
    });
    translated = translateModuleToLLVMIR(*code, context, "prune");
  }
  if (!translated)
    return createStringError("cannot translate the module to LLVM IR: " + message);
  prepare(*translated, entry, options, **machine);
  result.times.translate = lap(since);

  optimizeModule(*translated, options.optLevel, options.vectorize, **machine);
  result.times.optimize = lap(since);
  for (llvm::Function &function : *translated)
    if (function.isDeclaration() && !function.isIntrinsic() && !function.use_empty())
      result.undefined.push_back(function.getName().str());

  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream os(bytes);
  llvm::legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, os, nullptr, llvm::CodeGenFileType::ObjectFile))
    return createStringError("the target '" + entry.target.cpu + "' cannot emit object files");
  passes.run(*translated);
  result.object = std::make_unique<llvm::SmallVectorMemoryBuffer>(std::move(bytes), "prune.o",
                                                                  /*RequiresNullTerminator=*/false);
  result.times.emit = lap(since);
  return result;
}
