//===- CLibrary.cpp - A model as a C library ----------------------------------===//

#include "prune/Target/CLibrary.h"
#include "prune/Support/Npy.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;
using llvm::StringRef;

/// Runs the C compiler; its first line of complaint is the error.
static llvm::Error runCompiler(StringRef compiler, llvm::ArrayRef<std::string> args, StringRef folder) {
  auto program = llvm::sys::findProgramByName(compiler);
  if (!program)
    return createStringError("expected a C compiler to link the library, got no program '" + compiler +
                             "' (Debian: gcc; or --cc=PROGRAM)");
  std::vector<StringRef> argv{*program};
  argv.insert(argv.end(), args.begin(), args.end());
  std::string log = (folder + "/log").str();
  std::optional<StringRef> redirects[] = {StringRef(""), StringRef(log), StringRef(log)};
  std::string message;
  int status = llvm::sys::ExecuteAndWait(*program, argv, std::nullopt, redirects, /*SecondsToWait=*/0,
                                         /*MemoryLimit=*/0, &message);
  if (status == 0)
    return llvm::Error::success();
  if (auto buffer = llvm::MemoryBuffer::getFile(log))
    for (StringRef line : llvm::split((*buffer)->getBuffer(), '\n'))
      if (line.contains("error") || line.contains("undefined")) {
        message = line.str();
        break;
      }
  return createStringError("'" + compiler +
                           "' failed: " + (message.empty() ? "status " + llvm::itostr(status) : message));
}

static llvm::Error writeText(StringRef path, StringRef text) {
  return writeFileAtomically(path, [&](llvm::raw_ostream &os) {
    os << text;
    return llvm::Error::success();
  });
}

static llvm::Error writeWeights(StringRef path, llvm::ArrayRef<char> weights, uint64_t digest) {
  return writeFileAtomically(path, [&](llvm::raw_ostream &os) {
    // The three words that the C source compares.
    char header[kWeightsHeaderBytes] = {};
    llvm::support::endian::write64le(header, kWeightsMagic);
    llvm::support::endian::write64le(header + 8, weights.size());
    llvm::support::endian::write64le(header + 16, digest);
    os.write(header, sizeof(header));
    os.write(weights.data(), weights.size());
    return llvm::Error::success();
  });
}

/// The C compiler's arguments that link libomp, wherever it lies.
static std::vector<std::string> getOpenMPArguments() {
  if (!llvm::sys::fs::exists(PRUNE_LLVM_LIBRARY_DIR "/libomp.so.5"))
    return {"-lomp"};
  return {PRUNE_LLVM_LIBRARY_DIR "/libomp.so.5", "-Wl,-rpath," PRUNE_LLVM_LIBRARY_DIR};
}

llvm::Expected<CLibrary> mlir::prune::writeCLibrary(ModuleOp module, const CLibraryOptions &options) {
  namespace path = llvm::sys::path;
  CLibrary result;
  result.outputPath = options.outputPath;
  StringRef extension = path::extension(options.outputPath);
  if (extension != ".so" && extension != ".o")
    return createStringError("expected an output that ends in .so or .o, got '" + options.outputPath + "'");
  StringRef stem = path::stem(options.outputPath);
  if (extension == ".so")
    stem.consume_front("lib");
  result.name = makeIdentifier(options.name.empty() ? stem : StringRef(options.name));
  llvm::SmallString<128> folder(path::parent_path(options.outputPath));
  auto beside = [&](const llvm::Twine &file) {
    llvm::SmallString<128> joined(folder);
    path::append(joined, file);
    return joined.str().str();
  };
  result.headerPath = options.headerPath.empty() ? beside(result.name + ".h") : options.headerPath;
  result.weightsPath = beside(result.name + ".weights");

  llvm::Expected<EntryDescription> entry = describeEntry(module);
  if (!entry)
    return entry.takeError();
  llvm::Expected<llvm::ArrayRef<char>> weights = getWeightBytes(module);
  if (!weights)
    return weights.takeError();
  auto instructionSets = getInstructionSets(entry->target);
  if (!instructionSets)
    return instructionSets.takeError();
  CodeGenOptions codeGen = options.codeGen;
  codeGen.symbol = result.name + "_entry";
  codeGen.hidden = true;
  llvm::Expected<ObjectCode> code = generateObject(module, *entry, codeGen);
  if (!code)
    return code.takeError();
  bool parallel = llvm::any_of(code->undefined, [](StringRef symbol) { return symbol.starts_with("__kmpc_"); });
  if (!parallel)
    entry->threads = 1;
  result.weightBytes = weights->size();
  uint64_t digest =
      llvm::xxh3_64bits(llvm::ArrayRef(reinterpret_cast<const uint8_t *>(weights->data()), weights->size()));

  // Everything is made in a folder of its own first.
  llvm::SmallString<128> temp;
  if (std::error_code error = llvm::sys::fs::createUniqueDirectory("prune-compile", temp))
    return createStringError("cannot make a temporary folder: " + error.message());
  llvm::scope_exit cleanUp([&] { llvm::sys::fs::remove_directories(temp); });
  auto in = [&](const llvm::Twine &file) { return (temp + "/" + file).str(); };
  std::string header = emitCHeader(*entry, result.name);
  if (llvm::Error error = writeText(in(result.name + ".h"), header))
    return error;
  if (llvm::Error error = writeText(
          in("interface.c"), emitCSource(*entry, result.name, weights->size(), digest, parallel, *instructionSets)))
    return error;
  if (llvm::Error error = writeText(in("code.o"), code->object->getBuffer()))
    return error;
  // The interface of a GPU's model only makes calls; optimizing it takes a second, as long as all the rest.
  std::vector<std::string> args{entry->gpu.empty() ? "-O2" : "-O1",
                                "-fPIC",
                                "-fvisibility=hidden",
                                "-c",
                                in("interface.c"),
                                "-o",
                                in("interface.o")};
  if (llvm::Error error = runCompiler(options.compiler, args, temp))
    return error;
  std::string linked = in("linked");
  if (extension == ".so") {
    // No soname: a program linked with a path looks for that path.
    args = {"-shared", "-o", linked, in("interface.o"), in("code.o"), "-Wl,--no-undefined", "-Wl,-z,noexecstack"};
    if (parallel)
      llvm::append_range(args, getOpenMPArguments());
    args.push_back("-lm");
    args.push_back("-ldl");
  } else {
    args = {"-r", "-nostdlib", "-o", linked, in("interface.o"), in("code.o")};
  }
  if (llvm::Error error = runCompiler(options.compiler, args, temp))
    return error;
  auto buffer = llvm::MemoryBuffer::getFile(linked, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return createStringError("cannot read the linked library: " + buffer.getError().message());

  // Weights first: code without its weights is of no use.
  if (!weights->empty())
    if (llvm::Error error = writeWeights(result.weightsPath, *weights, digest))
      return error;
  if (llvm::Error error = writeText(result.headerPath, header))
    return error;
  if (llvm::Error error = writeText(options.outputPath, (*buffer)->getBuffer()))
    return error;
  if (weights->empty())
    result.weightsPath.clear();
  return result;
}
