//===- prune-run.cpp - Compiles a lowered model in process and runs it ---------===//
//
//   prune-run model.mlir --inputs=x.npz --outputs=y.npz [--benchmark=30] [--json=report.json] [--compare=ref.npz]
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "prune/ExecutionEngine/Benchmark.h"
#include "prune/ExecutionEngine/CompiledModule.h"
#include "prune/ExecutionEngine/LowerModule.h"
#include "prune/InitAll.h"
#include "prune/Support/Compare.h"
#include "prune/Support/InputFile.h"
#include "prune/Support/Npy.h"
#include "prune/Support/Progress.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/WithColor.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>
#include <cmath>
#include <cstdio>
#include <thread>

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;
namespace cl = llvm::cl;

namespace {
/// Not global variables: libLLVM registers options of its own when it is loaded, and one of them is --threads.
struct Options {
  cl::opt<std::string> modulePath{cl::Positional, cl::desc("<module, as prune-opt --prune-to-cpu writes it>"),
                                  cl::init("-")};
  cl::list<std::string> inputPaths{"inputs", cl::desc("Inputs: .npz by name, or .npy for a model of one input"),
                                   cl::value_desc("file")};
  cl::opt<std::string> outputPath{"outputs", cl::desc("Write the outputs to this .npz (.npy: a single output)"),
                                  cl::value_desc("file")};
  cl::opt<unsigned> benchmarkRuns{"benchmark", cl::ValueOptional, cl::value_desc("runs"), cl::init(0),
                                  cl::desc("Time so many calls (30) after a warm-up; without --inputs on random ones")};
  cl::opt<bool> benchmarkOnRequest{
      "benchmark-on-request", cl::desc("For each number read from stdin, time so many calls and print them as JSON")};
  cl::opt<bool> cases{"cases",
                      cl::desc("The files hold many cases: a leading dimension more than the model's tensors")};
  cl::opt<std::string> jsonPath{"json", cl::desc("Write a report of the run"), cl::value_desc("file")};
  cl::opt<std::string> comparePath{"compare", cl::desc("Compare the outputs with those of this file"),
                                   cl::value_desc("file")};
  cl::opt<double> rtol{"rtol", cl::desc("Relative tolerance of --compare (1e-4)"), cl::init(1e-4)};
  cl::opt<double> atol{"atol", cl::desc("Absolute tolerance of --compare (1e-5)"), cl::init(1e-5)};
  cl::opt<unsigned> threads{"threads", cl::desc("Threads of a call, at most what the module is compiled for"),
                            cl::init(0)};
  cl::opt<std::string> gpu{"gpu", cl::value_desc("chip"),
                           cl::desc("Lower a module on tensors by prune-to-gpu: sm_80, sm_86, sm_89, sm_90 or opencl")};
  cl::opt<unsigned> optLevel{"O", cl::Prefix, cl::desc("Level of LLVM's optimisation, 0 to 3 (2)"), cl::init(2)};
  cl::opt<bool> verbose{"verbose", cl::desc("Print sizes and the seconds of each phase")};
};
} // namespace

/// Lowers `module` by the pipeline prune-to-cpu or prune-to-gpu.
static llvm::Error lower(ModuleOp module, const Options &options) {
  mlir::registerAllPasses();
  prune::registerAllPasses();
  std::string pipeline = options.gpu.empty() ? "prune-to-cpu" : "prune-to-gpu", chosen;
  if (!options.gpu.empty())
    chosen = "chip=" + options.gpu;
  else if (options.threads > 1)
    chosen = "threads=" + llvm::utostr(options.threads);
  llvm::errs() << "prune-run: note: '" << options.modulePath << "' is not lowered; lowering it by " << pipeline << " ("
               << "prune-opt " << options.modulePath << " --" << pipeline << " -o OUT saves that)\n";
  if (llvm::Error error = lowerModule(module, pipeline, chosen))
    return createStringError("cannot lower '" + options.modulePath + "': " + llvm::toString(std::move(error)));
  return llvm::Error::success();
}

static std::string listSpecs(llvm::ArrayRef<TensorSpec> specs) {
  std::string text;
  for (const TensorSpec &spec : specs)
    text += (text.empty() ? "" : ", ") + ("'" + spec.name + "' ") + describe(spec.kind, spec.shape);
  return text.empty() ? "none" : text;
}

/// Checks an input of many cases; `numCases` is 0 until the first one says how many.
static llvm::Error checkCases(const TensorSpec &spec, const HostTensor &tensor, int64_t &numCases) {
  TensorSpec stacked = spec;
  bool agrees = !tensor.shape.empty() && tensor.shape[0] > 0 && (numCases == 0 || tensor.shape[0] == numCases);
  if (agrees)
    numCases = tensor.shape[0];
  stacked.shape.insert(stacked.shape.begin(), std::max<int64_t>(numCases, 1));
  return checkTensor(stacked, tensor);
}

/// The inputs of the model in its order, from all files given. `numCases` becomes the number of cases they hold.
static llvm::Expected<std::vector<HostTensor>> readInputs(llvm::ArrayRef<TensorSpec> specs, const Options &options,
                                                          int64_t &numCases) {
  std::vector<std::optional<HostTensor>> found(specs.size());
  for (const std::string &path : options.inputPaths) {
    llvm::Expected<std::vector<NamedTensor>> tensors = readTensors(path);
    if (!tensors)
      return tensors.takeError();
    for (NamedTensor &item : *tensors) {
      auto spec = llvm::find_if(specs, [&](const TensorSpec &s) { return s.name == item.name; });
      if (item.name.empty() && specs.size() == 1)
        spec = specs.begin();
      else if (item.name.empty())
        return createStringError("'" + path + "': expected a .npz of the model's inputs " + listSpecs(specs) +
                                 ", got one .npy");
      if (spec == specs.end())
        return createStringError("'" + path + "': expected the model's inputs " + listSpecs(specs) + ", got '" +
                                 item.name + "'");
      if (llvm::Error error =
              options.cases ? checkCases(*spec, item.tensor, numCases) : checkTensor(*spec, item.tensor))
        return createStringError("'" + path + "': input '" + spec->name + "': " + llvm::toString(std::move(error)));
      std::optional<HostTensor> &slot = found[spec - specs.begin()];
      if (slot)
        return createStringError("'" + path + "': expected one value for input '" + spec->name + "', got another");
      slot = std::move(item.tensor);
    }
  }
  std::vector<TensorSpec> missing;
  std::vector<HostTensor> inputs;
  for (auto [spec, tensor] : llvm::zip(specs, found)) {
    if (tensor)
      inputs.push_back(std::move(*tensor));
    else
      missing.push_back(spec);
  }
  if (!missing.empty())
    return createStringError("missing input " + listSpecs(missing) + "; the model's inputs are " + listSpecs(specs) +
                             " (--inputs=FILE.npz)");
  return inputs;
}

/// JSON has no infinity.
static llvm::json::Value toJSON(double number) {
  return std::isfinite(number) ? llvm::json::Value(number) : llvm::json::Value(nullptr);
}

/// Prints one line for each output and returns false if one is beyond the tolerance.
static llvm::Expected<bool> compareOutputs(llvm::ArrayRef<NamedTensor> outputs, const Options &options,
                                           llvm::json::Object &report) {
  llvm::Expected<std::vector<NamedTensor>> references = readTensors(options.comparePath);
  if (!references)
    return references.takeError();
  bool within = true;
  llvm::json::Object details;
  size_t compared = 0;
  for (const NamedTensor &output : outputs) {
    auto reference = llvm::find_if(*references, [&](const NamedTensor &r) {
      return r.name == output.name || (r.name.empty() && outputs.size() == 1);
    });
    if (reference == references->end()) {
      llvm::outs() << output.name << ": not in '" << options.comparePath << "', not compared\n";
      continue;
    }
    ++compared;
    llvm::Expected<Difference> difference =
        compareTensors(output.tensor, reference->tensor, options.rtol, options.atol);
    if (!difference)
      return createStringError("'" + options.comparePath + "': output '" + output.name +
                               "': " + llvm::toString(difference.takeError()));
    bool ok = difference->numBeyond == 0;
    within &= ok;
    llvm::outs() << output.name << ": " << (ok ? "equal" : "DIFFERENT") << " within rtol "
                 << llvm::format("%g", +options.rtol) << " atol " << llvm::format("%g", +options.atol)
                 << ", largest difference "
                 << llvm::format("%.3g absolute, %.3g relative", difference->maxAbs, difference->maxRel);
    if (!ok)
      llvm::outs() << ", " << difference->numBeyond << " of " << difference->numElements << " beyond; at "
                   << difference->worst << " got "
                   << llvm::format("%.9g, expected %.9g", output.tensor.getElement(difference->worst),
                                   reference->tensor.getElement(difference->worst));
    llvm::outs() << "\n";
    details[output.name] = llvm::json::Object{{"within", ok},
                                              {"max_abs", toJSON(difference->maxAbs)},
                                              {"max_rel", toJSON(difference->maxRel)},
                                              {"beyond", difference->numBeyond},
                                              {"elements", difference->numElements}};
  }
  if (compared == 0)
    return createStringError("'" + options.comparePath + "': expected an output of the model, got none of them");
  report["compare"] = llvm::json::Object{
      {"rtol", +options.rtol}, {"atol", +options.atol}, {"within", within}, {"outputs", std::move(details)}};
  return within;
}

static llvm::Error writeOutputs(llvm::ArrayRef<NamedTensor> outputs, const Options &options) {
  bool single = llvm::StringRef(options.outputPath).ends_with(".npy");
  if (single && outputs.size() != 1)
    return createStringError("expected a .npz for " + llvm::Twine(outputs.size()) + " outputs, got '" +
                             options.outputPath + "'");
  return writeFileAtomically(options.outputPath, [&](llvm::raw_ostream &os) -> llvm::Error {
    if (!single)
      return writeNpz(os, outputs);
    writeNpy(os, outputs.front().tensor);
    return llvm::Error::success();
  });
}

/// Answers requests until the end of stdin, so that a script can time several programs in turn without compiling each
/// anew. No warm-up: the script decides what to drop.
static llvm::Error serveBenchmarks(CompiledModule &code, llvm::ArrayRef<const void *> in, llvm::ArrayRef<void *> out) {
  char line[64];
  while (std::fgets(line, sizeof(line), stdin)) {
    unsigned runs;
    if (llvm::StringRef(line).trim().getAsInteger(10, runs) || runs == 0 || runs > 1000000)
      return createStringError("--benchmark-on-request: expected a number of calls from 1 to 1000000, got '" +
                               llvm::StringRef(line).trim() + "'");
    llvm::json::Array times;
    for (unsigned i = 0; i < runs; ++i) {
      auto start = std::chrono::steady_clock::now();
      code.run(in, out);
      times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    llvm::outs() << llvm::json::Value(llvm::json::Object{{"ms", std::move(times)}}) << "\n";
    llvm::outs().flush();
  }
  return llvm::Error::success();
}

static void printTiming(const Timing &timing, int64_t usedThreads) {
  llvm::outs() << llvm::format("median %.3f ms, p10 %.3f, p90 %.3f, min %.3f, spread %.1f %%", timing.median,
                               timing.p10, timing.p90, timing.min, 100 * timing.getSpread())
               << " (" << timing.runs.size() << " runs, " << timing.warmUps << " to warm up, " << usedThreads
               << (usedThreads == 1 ? " thread)\n" : " threads)\n");
}

/// Does everything; returns whether the comparison held.
static llvm::Expected<bool> runMain(Options &options) {
  if (options.benchmarkRuns.getNumOccurrences() && options.benchmarkRuns == 0)
    options.benchmarkRuns = 30;
  if (options.inputPaths.empty() && !options.comparePath.empty())
    return createStringError("--compare needs --inputs");
  if (!(options.rtol >= 0) || !(options.atol >= 0))
    return createStringError("expected tolerances of at least 0");
  if (options.optLevel > 3)
    return createStringError("expected -O0 to -O3, got -O" + llvm::Twine(+options.optLevel));

  Progress progress;
  auto start = std::chrono::steady_clock::now();
  auto lap = [&] {
    auto now = std::chrono::steady_clock::now();
    double seconds = std::chrono::duration<double>(now - start).count();
    start = now;
    return seconds;
  };
  DialectRegistry registry;
  mlir::registerAllDialects(registry);
  registerAllExtensions(registry);
  prune::registerAllDialects(registry);
  registerCodeGenTranslations(registry);
  MLIRContext context(registry);
  progress.start("reading " + options.modulePath);
  llvm::Expected<OwningOpRef<ModuleOp>> module = parseModuleFile(options.modulePath, context);
  if (!module)
    return module.takeError();
  double parseSeconds = lap(), lowerSeconds = 0;
  if ((*module)->getOps<EntryOp>().empty()) {
    progress.start("lowering " + options.modulePath);
    if (llvm::Error error = lower(**module, options))
      return error;
    lowerSeconds = lap();
  } else if (!options.gpu.empty()) {
    return createStringError("'" + options.modulePath + "' is lowered already: --gpu=" + options.gpu +
                             " needs a module on tensors");
  }
  llvm::Expected<EntryDescription> entry = describeEntry(**module);
  if (!entry)
    return createStringError("'" + options.modulePath + "': " + llvm::toString(entry.takeError()));

  // Before the code is compiled: what is wrong with the inputs should not take long to learn.
  bool random = options.inputPaths.empty() && options.benchmarkRuns > 0;
  std::vector<HostTensor> inputs;
  int64_t numCases = 0;
  if (random) {
    inputs = makeRandomInputs(entry->inputs);
    llvm::errs() << "prune-run: note: no --inputs, running on random numbers (floats in [-1, 1), integers 0 or 1)\n";
  } else {
    llvm::Expected<std::vector<HostTensor>> read = readInputs(entry->inputs, options, numCases);
    if (!read)
      return read.takeError();
    inputs = std::move(*read);
  }
  if (options.threads > entry->threads)
    return createStringError("expected at most the " + llvm::Twine(entry->threads) + " threads that '" +
                             options.modulePath + "' is compiled for, got " + llvm::Twine(+options.threads));

  progress.start("compiling " + options.modulePath);
  lap();
  CompileOptions compileOptions;
  compileOptions.codeGen.optLevel = options.optLevel;
  compileOptions.borrowWeights = true;
  compileOptions.threads = options.threads;
  llvm::Expected<std::unique_ptr<CompiledModule>> compiled = CompiledModule::create(**module, compileOptions);
  if (!compiled)
    return createStringError("'" + options.modulePath + "': " + llvm::toString(compiled.takeError()));
  double compileSeconds = lap();
  CompiledModule &code = **compiled;
  if (code.allocatesDuringCalls())
    llvm::errs() << "prune-run: note: the code allocates memory in each call (prune-plan-memory did not run)\n";

  std::vector<const void *> in;
  for (const HostTensor &tensor : inputs)
    in.push_back(tensor.data.data());
  std::vector<NamedTensor> outputs;
  std::vector<void *> out;
  for (const TensorSpec &spec : code.getOutputs()) {
    llvm::SmallVector<int64_t, 4> shape(spec.shape);
    if (numCases > 0)
      shape.insert(shape.begin(), numCases);
    outputs.push_back({spec.name, HostTensor(spec.kind, shape)});
  }
  for (NamedTensor &output : outputs)
    out.push_back(output.tensor.data.data());
  progress.start("running " + options.modulePath);
  code.run(in, out);
  for (int64_t i = 1; i < numCases; ++i) {
    std::vector<const void *> inCase;
    std::vector<void *> outCase;
    for (const HostTensor &tensor : inputs)
      inCase.push_back(tensor.data.data() + i * (tensor.data.size() / numCases));
    for (NamedTensor &output : outputs)
      outCase.push_back(output.tensor.data.data() + i * (output.tensor.data.size() / numCases));
    code.run(inCase, outCase);
  }

  if (std::string error = code.getError(); !error.empty())
    return createStringError(error);

  llvm::json::Object report;
  report["module"] = options.modulePath.getValue();
  report["machine"] = llvm::json::Object{{"cpu", llvm::sys::getHostCPUName()},
                                         {"hardware_threads", std::thread::hardware_concurrency()}};
  report["target"] =
      llvm::json::Object{{"cpu", code.getEntry().target.cpu}, {"features", code.getEntry().target.features}};
  if (!code.getEntry().gpu.empty())
    report["gpu"] = code.getEntry().gpu;
  report["threads"] = code.getThreads();
  report["weight_bytes"] = static_cast<int64_t>(code.getWeightBytes());
  report["workspace_bytes"] = code.getEntry().workspaceBytes;
  report["random_inputs"] = random;
  const CodeGenTimes &times = code.getTimes();
  report["seconds"] =
      llvm::json::Object{{"parse", parseSeconds},      {"lower", lowerSeconds}, {"translate", times.translate},
                         {"optimize", times.optimize}, {"emit", times.emit},    {"compile", compileSeconds}};
  if (options.verbose)
    llvm::outs() << llvm::format(
                        "parse %.2f s, lower %.2f s, compile %.2f s (translate %.2f, optimize %.2f, emit %.2f)\n",
                        parseSeconds, lowerSeconds, compileSeconds, times.translate, times.optimize, times.emit)
                 << "weights " << code.getWeightBytes() << " bytes, workspace " << code.getEntry().workspaceBytes
                 << " bytes\n";
  if (options.benchmarkRuns > 0) {
    Timing timing = benchmark(code, in, out, options.benchmarkRuns);
    progress.finish();
    printTiming(timing, code.getThreads());
    report["ms"] = timing.toJSON();
    if (!code.getEntry().gpu.empty()) {
      llvm::Expected<double> launches = code.timeLaunches(options.benchmarkRuns);
      if (!launches)
        return launches.takeError();
      llvm::outs() << llvm::format("launches without copies %.4f ms\n", *launches);
      report["ms_launches"] = *launches;
    }
  }
  progress.finish();
  if (options.benchmarkOnRequest)
    if (llvm::Error error = serveBenchmarks(code, in, out))
      return error;
  bool within = true;
  if (!options.comparePath.empty()) {
    llvm::Expected<bool> compared = compareOutputs(outputs, options, report);
    if (!compared)
      return compared.takeError();
    within = *compared;
  }
  if (!options.outputPath.empty())
    if (llvm::Error error = writeOutputs(outputs, options))
      return error;
  if (!options.jsonPath.empty())
    if (llvm::Error error = writeFileAtomically(options.jsonPath, [&](llvm::raw_ostream &os) {
          os << llvm::formatv("{0:2}", llvm::json::Value(std::move(report))) << "\n";
          return llvm::Error::success();
        }))
      return error;
  return within;
}

int main(int argc, char **argv) {
  exitOnFatalErrors("prune-run");
  cl::ResetCommandLineParser();
  Options options;
  cl::ParseCommandLineOptions(argc, argv, "Compiles a lowered model in process and runs it.\n");
  llvm::Expected<bool> result = runMain(options);
  if (!result) {
    llvm::errs() << "prune-run: error: " << llvm::toString(result.takeError()) << "\n";
    return 1;
  }
  // Beyond tolerance is an answer, not an error: a status of its own.
  return *result ? 0 : 2;
}
