//===- CompiledModule.cpp - A model as code in this process -------------------===//

#include "prune/ExecutionEngine/CompiledModule.h"
#include "prune/Runtime/GPU.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/DynamicLibrary.h"
#include "llvm/Support/MathExtras.h"
#include <dlfcn.h>
#include <sys/mman.h>

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

MappedMemory::~MappedMemory() {
  if (address)
    ::munmap(address, numBytes);
}

llvm::Expected<MappedMemory> MappedMemory::allocate(size_t size) {
  MappedMemory memory;
  if (size == 0)
    return memory;
  void *p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    return createStringError("out of memory: no " + llvm::Twine(size) + " bytes");
  // Fewer misses of the address cache; a hint only.
  if (size >= (size_t(4) << 20))
    ::madvise(p, size, MADV_HUGEPAGE);
  memory.address = static_cast<char *>(p);
  memory.numBytes = size;
  return memory;
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

/// Loads libomp for the rest of the process: by the loader's own search, else from beside LLVM.
static llvm::Error loadOpenMP(int64_t threads) {
  std::vector<std::string> candidates{"libomp.so.5"};
  Dl_info info;
  if (::dladdr(reinterpret_cast<void *>(&llvm::sys::DynamicLibrary::LoadLibraryPermanently), &info) && info.dli_fname) {
    char *real = ::realpath(info.dli_fname, nullptr);
    llvm::StringRef folder = llvm::StringRef(real ? real : info.dli_fname).rsplit('/').first;
    candidates.push_back((folder + "/libomp.so.5").str());
    candidates.push_back((folder + "/../llvm-22/lib/libomp.so.5").str());
    ::free(real);
  }
  candidates.push_back(PRUNE_LLVM_LIBRARY_DIR "/libomp.so.5");
  for (const std::string &path : candidates)
    if (!llvm::sys::DynamicLibrary::LoadLibraryPermanently(path.c_str()))
      return llvm::Error::success();
  return createStringError("the module is compiled for " + llvm::Twine(threads) +
                           " threads and needs libomp.so.5, which cannot be loaded (Debian: libomp5-22)");
}

llvm::Error CompiledModule::setUpThreads(llvm::ArrayRef<std::string> undefined) {
  bool parallel = llvm::any_of(
      undefined, [](llvm::StringRef name) { return name.starts_with("__kmpc_") || name.starts_with("omp_"); });
  if (!parallel) {
    threads = 1;
    return llvm::Error::success();
  }
  if (llvm::Error error = loadOpenMP(threads))
    return error;
  setNumThreads =
      reinterpret_cast<void (*)(int)>(llvm::sys::DynamicLibrary::SearchForAddressOfSymbol("omp_set_num_threads"));
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Compiling
//===----------------------------------------------------------------------===//

CompiledModule::~CompiledModule() {
  if (program)
    prune_gpu_release(program);
}

llvm::Error CompiledModule::setUpGPU() {
  program->run = prune_gpu_run;
  char error[512];
  if (prune_gpu_prepare(program, weights.data(), error, sizeof(error)) == 0)
    return llvm::Error::success();
  program = nullptr;
  return createStringError(llvm::StringRef(error));
}

std::string CompiledModule::getError() const { return program ? prune_gpu_error(program) : ""; }

llvm::Expected<double> CompiledModule::timeLaunches(unsigned calls) {
  double milliseconds = 0;
  if (prune_gpu_time(program, static_cast<int>(calls), &milliseconds) != 0)
    return createStringError(getError());
  return milliseconds;
}

llvm::Expected<std::unique_ptr<CompiledModule>> CompiledModule::create(ModuleOp module, const CompileOptions &options) {
  llvm::Expected<EntryDescription> entry = describeEntry(module);
  if (!entry)
    return entry.takeError();
  auto missing = findMissingFeatures(entry->target);
  if (!missing)
    return missing.takeError();
  if (!missing->empty())
    return createStringError("the module is compiled for cpu '" + entry->target.cpu + "' with " +
                             llvm::join(*missing, ", ") + ", which this machine lacks");
  llvm::Expected<llvm::ArrayRef<char>> weights = prune::getWeightBytes(module);
  if (!weights)
    return weights.takeError();
  llvm::Expected<ObjectCode> code = generateObject(module, *entry, options.codeGen);
  if (!code)
    return code.takeError();

  std::unique_ptr<CompiledModule> result(new CompiledModule());
  result->entry = std::move(*entry);
  result->times = code->times;
  result->threads = options.threads ? options.threads : result->entry.threads;
  result->callsMalloc = llvm::is_contained(code->undefined, "malloc");
  if (llvm::Error error = result->setUpThreads(code->undefined))
    return error;
  if (options.borrowWeights && llvm::isAddrAligned(llvm::Align(64), weights->data())) {
    result->weights = *weights;
  } else {
    llvm::Expected<MappedMemory> copy = MappedMemory::allocate(weights->size());
    if (!copy)
      return copy.takeError();
    llvm::copy(*weights, copy->data());
    result->weights = {copy->data(), weights->size()};
    result->weightCopy = std::move(*copy);
  }
  llvm::Expected<MappedMemory> workspace = MappedMemory::allocate(result->entry.workspaceBytes);
  if (!workspace)
    return workspace.takeError();
  result->workspace = std::move(*workspace);
  if (llvm::Error error = result->link(std::move(*code), options.codeGen.symbol))
    return error;
  if (result->program)
    if (llvm::Error error = result->setUpGPU())
      return error;
  return result;
}

llvm::Error CompiledModule::link(ObjectCode code, llvm::StringRef symbol) {
  auto fail = [](llvm::Error error) {
    std::string message = llvm::toString(std::move(error));
    llvm::replace(message, '\n', ' ');
    return createStringError("cannot link the code: " + message);
  };
  // The object is complete: no runtime of LLVM around it.
  auto created = llvm::orc::LLJITBuilder().setPlatformSetUp(llvm::orc::setUpInactivePlatform).create();
  if (!created)
    return fail(created.takeError());
  jit = std::move(*created);
  // Errors of ORC come back from the look-up; its own report would say them twice.
  std::string reported;
  jit->getExecutionSession().setErrorReporter([&](llvm::Error error) {
    if (reported.empty())
      reported = llvm::toString(std::move(error));
    else
      llvm::consumeError(std::move(error));
  });
  auto result = [&]() -> llvm::Error {
    if (llvm::Error error = jit->addObjectFile(std::move(code.object)))
      return error;
    auto address = jit->lookup(symbol);
    if (!address)
      return address.takeError();
    function = address->toPtr<EntryFunction>();
    if (entry.gpu.empty())
      return llvm::Error::success();
    auto table = jit->lookup((symbol + "_program").str());
    if (!table)
      return table.takeError();
    program = table->toPtr<prune_gpu_program *>();
    return llvm::Error::success();
  }();
  jit->getExecutionSession().setErrorReporter([](llvm::Error error) { llvm::consumeError(std::move(error)); });
  if (!result)
    return llvm::Error::success();
  if (reported.empty())
    return fail(std::move(result));
  llvm::consumeError(std::move(result));
  return fail(createStringError(reported));
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

void CompiledModule::run(llvm::ArrayRef<const void *> inputs, llvm::ArrayRef<void *> outputs) {
  // A setting of the calling thread: another one may have called before.
  if (setNumThreads)
    setNumThreads(static_cast<int>(threads));
  run(inputs, outputs, workspace.data());
}

void CompiledModule::run(llvm::ArrayRef<const void *> inputs, llvm::ArrayRef<void *> outputs, char *memory) const {
  function(inputs.data(), outputs.data(), weights.data(), memory);
}

llvm::Error mlir::prune::checkTensor(const TensorSpec &spec, const HostTensor &tensor) {
  if (isCompatible(spec.kind, tensor.kind) && llvm::equal(spec.shape, tensor.shape))
    return llvm::Error::success();
  return createStringError("expected " + describe(spec.kind, spec.shape) + ", got " +
                           describe(tensor.kind, tensor.shape));
}

llvm::Expected<std::vector<HostTensor>> CompiledModule::run(llvm::ArrayRef<HostTensor> inputs) {
  if (inputs.size() != entry.inputs.size())
    return createStringError("expected " + llvm::Twine(entry.inputs.size()) + " inputs, got " +
                             llvm::Twine(inputs.size()));
  std::vector<const void *> in;
  for (auto [spec, tensor] : llvm::zip(entry.inputs, inputs)) {
    if (llvm::Error error = checkTensor(spec, tensor))
      return createStringError("input '" + spec.name + "': " + llvm::toString(std::move(error)));
    in.push_back(tensor.data.data());
  }
  std::vector<HostTensor> results;
  std::vector<void *> out;
  for (const TensorSpec &spec : entry.outputs) {
    results.emplace_back(spec.kind, spec.shape);
    out.push_back(results.back().data.data());
  }
  run(in, out);
  return results;
}
