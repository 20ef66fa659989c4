//===- GPUCode.cpp - From lowered kernels to device code ----------------------===//

#include "prune/ExecutionEngine/GPUCode.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "prune/ExecutionEngine/CodeGen.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;

llvm::Expected<GPUCodeFormat> mlir::prune::parseGPUCodeFormat(llvm::StringRef format, const GPUTarget &target) {
  if (format != "ptx" && format != "cubin")
    return createStringError("expected format ptx or cubin, got '" + format + "'");
  if (target.isOpenCL)
    return GPUCodeFormat::SPIRV;
  return format == "ptx" ? GPUCodeFormat::PTX : GPUCodeFormat::Cubin;
}

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createMachine(const GPUTarget &target) {
  static const bool initialised = [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
    return true;
  }();
  (void)initialised;
  llvm::Triple triple(target.isOpenCL ? "spirv64-unknown-unknown" : "nvptx64-nvidia-cuda");
  std::string message;
  const llvm::Target *backend = llvm::TargetRegistry::lookupTarget(triple, message);
  if (!backend)
    return createStringError("this LLVM has no code generator for " + target.chip + ": " + message);
  llvm::TargetOptions options;
  // Kernels say themselves what they multiply and add in one step; reductions of linalg do not.
  options.AllowFPOpFusion = llvm::FPOpFusion::Fast;
  // What wgmma and its sparse form need; LLVM would stop at the version that it takes for sm_90 by itself.
  std::unique_ptr<llvm::TargetMachine> machine(
      backend->createTargetMachine(triple, target.isOpenCL ? "" : target.getArchitecture(),
                                   target.isOpenCL ? "" : "+ptx85", options, std::nullopt, std::nullopt,
                                   // Loop strength reduction makes integers of 4 bits, which LLVM 22 turns into SPIR-V
                                   // of 8 bits; drivers do their own.
                                   target.isOpenCL ? llvm::CodeGenOptLevel::None : llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return createStringError("this LLVM has no code generator for " + target.chip);
  return machine;
}

static llvm::Expected<std::string> findAssembler() {
  llvm::SmallVector<std::string> folders;
  if (auto home = llvm::sys::Process::GetEnv("CUDA_HOME"))
    folders.push_back(*home + "/bin");
  for (const std::string &folder : folders)
    if (auto program = llvm::sys::findProgramByName("ptxas", {folder}))
      return *program;
  if (auto program = llvm::sys::findProgramByName("ptxas"))
    return *program;
  if (auto program = llvm::sys::findProgramByName("ptxas", {"/usr/local/cuda/bin"}))
    return *program;
  return createStringError("format=cubin needs ptxas of the CUDA toolkit, which is neither in $CUDA_HOME/bin, nor in "
                           "the path, nor in /usr/local/cuda/bin (format=ptx needs none)");
}

static llvm::Expected<std::string> assemble(llvm::StringRef ptx, const GPUTarget &target) {
  llvm::Expected<std::string> assembler = findAssembler();
  if (!assembler)
    return assembler.takeError();
  llvm::SmallString<128> folder;
  if (std::error_code error = llvm::sys::fs::createUniqueDirectory("prune-ptxas", folder))
    return createStringError("cannot make a temporary folder: " + error.message());
  llvm::scope_exit cleanUp([&] { llvm::sys::fs::remove_directories(folder); });
  auto in = [&](llvm::StringRef file) { return (folder + "/" + file).str(); };
  std::string source = in("kernels.ptx"), result = in("kernels.cubin"), log = in("log");
  std::error_code error;
  {
    llvm::raw_fd_ostream os(source, error);
    if (error)
      return createStringError("cannot write '" + source + "': " + error.message());
    os << ptx;
  }
  std::string architecture = "-arch=" + target.getArchitecture();
  llvm::StringRef arguments[] = {*assembler, architecture, "-O3", source, "-o", result};
  std::optional<llvm::StringRef> redirects[] = {llvm::StringRef(""), llvm::StringRef(log), llvm::StringRef(log)};
  std::string message;
  int status =
      llvm::sys::ExecuteAndWait(*assembler, arguments, std::nullopt, redirects, /*SecondsToWait=*/0, 0, &message);
  if (status != 0) {
    if (auto text = llvm::MemoryBuffer::getFile(log))
      message = (*text)->getBuffer().ltrim().split('\n').first.str();
    return createStringError("ptxas does not take the code: " +
                             (message.empty() ? "status " + llvm::itostr(status) : message));
  }
  auto cubin = llvm::MemoryBuffer::getFile(result, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!cubin)
    return createStringError("cannot read what ptxas wrote: " + cubin.getError().message());
  return (*cubin)->getBuffer().str();
}

/// The name of a type that a kernel computes with and the code generator for SPIR-V does not take (bf16), or makes
/// wider without a word (integers of 4 bits and the like); empty if there is none.
static std::string findTypeWithoutSPIRV(const llvm::Module &module) {
  for (const llvm::Function &function : module)
    for (const llvm::Instruction &instruction : llvm::instructions(function)) {
      llvm::Type *type = instruction.getType()->getScalarType();
      if (type->isBFloatTy())
        return "bf16";
      unsigned bits = type->isIntegerTy() ? type->getIntegerBitWidth() : 8;
      if (bits != 1 && bits != 8 && bits != 16 && bits != 32 && bits != 64)
        return "i" + std::to_string(bits);
    }
  return "";
}

llvm::Expected<std::string> mlir::prune::compileKernels(gpu::GPUModuleOp kernels, const GPUTarget &target,
                                                        GPUCodeFormat format) {
  auto machine = createMachine(target);
  if (!machine)
    return machine.takeError();
  std::string message;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module;
  {
    ScopedDiagnosticHandler handler(kernels.getContext(), [&](Diagnostic &diag) {
      if (message.empty() && diag.getSeverity() == DiagnosticSeverity::Error)
        message = diag.str();
      return success();
    });
    module = translateModuleToLLVMIR(kernels, context, "kernels");
  }
  if (!module)
    return createStringError("cannot translate the kernels to LLVM IR: " + message);
  module->setDataLayout((*machine)->createDataLayout());
  module->setTargetTriple((*machine)->getTargetTriple());
  // Drivers of OpenCL optimise by themselves, and some crash on what LLVM's levels make.
  optimizeModule(*module, target.isOpenCL ? 0 : 3, /*vectorize=*/false, **machine);

  if (std::string type = target.isOpenCL ? findTypeWithoutSPIRV(*module) : ""; !type.empty())
    return createStringError("opencl has no type " + type + ", which a kernel computes with");
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream os(bytes);
  llvm::legacy::PassManager passes;
  auto fileType = target.isOpenCL ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile;
  if ((*machine)->addPassesToEmitFile(passes, os, nullptr, fileType))
    return createStringError("the code generator for " + target.chip + " cannot write its format");
  passes.run(*module);
  std::string code(bytes.begin(), bytes.end());
  return format == GPUCodeFormat::Cubin ? assemble(code, target) : std::move(code);
}
