//===- prune-compile.cpp - A model as a C library -----------------------------===//
//
//   prune-compile model.mlirbc -o model.so --header model.h
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "prune/ExecutionEngine/LowerModule.h"
#include "prune/InitAll.h"
#include "prune/Support/InputFile.h"
#include "prune/Target/CLibrary.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;
namespace cl = llvm::cl;

namespace {
/// Not global variables: see prune-run.
struct Options {
  cl::opt<std::string> modulePath{cl::Positional, cl::Required, cl::desc("<module, lowered or on tensors>")};
  cl::opt<std::string> outputPath{"o", cl::Required, cl::desc("Library (.so) or object file (.o) to write"),
                                  cl::value_desc("file")};
  cl::opt<std::string> headerPath{"header", cl::desc("Header to write (default: NAME.h beside the output)"),
                                  cl::value_desc("file")};
  cl::opt<std::string> name{"name", cl::desc("Prefix of the C names (default: the output's name)")};
  cl::opt<std::string> cpu{"cpu", cl::desc("Processor to compile for, such as znver3, skylake-avx512 or host")};
  cl::opt<std::string> features{"features", cl::desc("Instruction sets to add or take away, such as +avx2,-fma")};
  cl::opt<unsigned> threads{"threads", cl::desc("Threads that one call may use"), cl::init(0)};
  cl::opt<std::string> gpu{"gpu", cl::desc("Chip to compile for by prune-to-gpu: sm_80, sm_86, sm_89, sm_90 or opencl"),
                           cl::value_desc("chip")};
  cl::opt<std::string> pipelineOptions{"pipeline-options", cl::desc("Further options of prune-to-cpu or prune-to-gpu")};
  cl::opt<std::string> compiler{"cc", cl::desc("C compiler that links (cc)"), cl::init("cc")};
  cl::opt<unsigned> optLevel{"O", cl::Prefix, cl::desc("Level of LLVM's optimisation, 0 to 3 (2)"), cl::init(2)};
};
} // namespace

static std::string describeTarget(EntryOp entry) {
  return entry.getGpu() ? ("gpu '" + *entry.getGpu() + "'").str()
                        : ("cpu '" + entry.getCpu().value_or("generic") + "'").str();
}

static llvm::Error compile(const Options &options) {
  DialectRegistry registry;
  mlir::registerAllDialects(registry);
  registerAllExtensions(registry);
  prune::registerAllDialects(registry);
  registerCodeGenTranslations(registry);
  MLIRContext context(registry);
  if (options.optLevel > 3)
    return createStringError("expected -O0 to -O3, got -O" + llvm::Twine(+options.optLevel));
  llvm::Expected<OwningOpRef<ModuleOp>> module = parseModuleFile(options.modulePath, context);
  if (!module)
    return module.takeError();

  std::string pipeline;
  auto add = [&](llvm::StringRef key, const std::string &value) {
    if (!value.empty())
      pipeline += (llvm::Twine(pipeline.empty() ? "" : " ") + key + "=" + value).str();
  };
  if (!options.gpu.empty() && (!options.cpu.empty() || !options.features.empty() || options.threads))
    return createStringError("expected --gpu or options of a processor (--cpu, --features, --threads), got both");
  add("chip", options.gpu);
  add("cpu", options.cpu);
  add("features", options.features);
  add("threads", options.threads ? llvm::utostr(options.threads) : "");
  if (!options.pipelineOptions.empty())
    pipeline += (pipeline.empty() ? "" : " ") + options.pipelineOptions;
  auto entries = (*module)->getOps<EntryOp>();
  if (entries.empty()) {
    mlir::registerAllPasses();
    prune::registerAllPasses();
    if (llvm::Error error = lowerModule(**module, options.gpu.empty() ? "prune-to-cpu" : "prune-to-gpu", pipeline))
      return createStringError("cannot lower '" + options.modulePath + "': " + llvm::toString(std::move(error)));
  } else if (!pipeline.empty()) {
    return createStringError("'" + options.modulePath + "' is lowered for " + describeTarget(*entries.begin()) +
                             " already: '" + pipeline + "' needs a module on tensors");
  }

  CLibraryOptions library;
  library.outputPath = options.outputPath;
  library.headerPath = options.headerPath;
  library.name = options.name;
  library.compiler = options.compiler;
  library.codeGen.optLevel = options.optLevel;
  llvm::Expected<CLibrary> written = writeCLibrary(**module, library);
  if (!written)
    return createStringError("'" + options.modulePath + "': " + llvm::toString(written.takeError()));
  auto sizeOf = [](const std::string &path) {
    uint64_t size = 0;
    llvm::sys::fs::file_size(path, size);
    return size;
  };
  llvm::outs() << written->outputPath << ": " << sizeOf(written->outputPath) << " bytes\n"
               << written->headerPath << ": C interface, names begin with " << written->name << "_\n";
  if (!written->weightsPath.empty())
    llvm::outs() << written->weightsPath << ": " << written->weightBytes << " bytes of weights\n";
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  exitOnFatalErrors("prune-compile");
  cl::ResetCommandLineParser();
  Options options;
  cl::ParseCommandLineOptions(argc, argv, "Compiles a model to a C library.\n");
  if (llvm::Error error = compile(options)) {
    llvm::errs() << "prune-compile: error: " << llvm::toString(std::move(error)) << "\n";
    return 1;
  }
  return 0;
}
