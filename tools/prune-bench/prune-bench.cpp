//===- prune-bench.cpp - Times the compiler and what it makes -----------------===//
//
// `masks`: how fast masks are selected, and how much memory that takes. `stack`: the same for masks that activations
// decide, in a large network. The other commands compare compiled models with
// other programs, which are Python packages: they are in python/prune/bench and this program hands over to them.
// docs/Benchmarks.md holds measured figures.
//
//===----------------------------------------------------------------------===//

#include "Calibrate.h"
#include "Stack.h"
#include "mlir/IR/MLIRContext.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include <chrono>
#include <random>
#include <sys/resource.h>
#include <unistd.h>

using namespace mlir;
using namespace mlir::prune;
namespace cl = llvm::cl;

/// Options of a subcommand do not meet those that LLVM's libraries register.
static cl::SubCommand masks("masks", "Times the selection of masks");

static cl::opt<int64_t> rows("rows", cl::sub(masks), cl::desc("Rows of the weight"), cl::init(16384));
static cl::opt<int64_t> columns("columns", cl::sub(masks), cl::desc("Columns of the weight"), cl::init(4096));
static cl::opt<unsigned> threads("threads", cl::sub(masks), cl::desc("Threads; 0 = all cores"), cl::init(0));
static cl::opt<unsigned> runs("runs", cl::sub(masks), cl::desc("Timed runs of each pattern; the median is shown"),
                              cl::init(5));
static cl::opt<double> sparsity("sparsity", cl::sub(masks), cl::desc("Target sparsity"), cl::init(0.9));
static cl::list<std::string> patterns("pattern", cl::sub(masks),
                                      cl::desc("Pattern, short or attribute; may be repeated"));

static cl::SubCommand calibrateCommand("calibrate", "Measures kernels on this machine and writes a cost model of it");

static CalibrateOptions calibration;
static cl::opt<std::string, true> calibrationOutput("output", cl::sub(calibrateCommand), cl::desc("File of the model"),
                                                    cl::location(calibration.output), cl::value_desc("file"));
static cl::opt<std::string, true> calibrationCPU("cpu", cl::sub(calibrateCommand),
                                                 cl::desc("Processor to compile for, as LLVM names it (host)"),
                                                 cl::location(calibration.cpu), cl::value_desc("name"));
static cl::opt<std::string, true> calibrationFeatures("features", cl::sub(calibrateCommand),
                                                      cl::desc("Instruction sets to add or take away"),
                                                      cl::location(calibration.features), cl::value_desc("+a,-b"));
static cl::opt<std::string, true>
    calibrationKinds("kinds", cl::sub(calibrateCommand),
                     cl::desc("Kernels to measure: contract, convolution, depthwise, dense, chunked_csr, "
                              "block_rows, window, columns, and words of int8 where the target has VNNI (all)"),
                     cl::location(calibration.kinds), cl::value_desc("names"));
static cl::opt<std::string, true> calibrationBase("base", cl::sub(calibrateCommand),
                                                  cl::desc("Model whose constants stay where none are measured"),
                                                  cl::location(calibration.base), cl::value_desc("name or file"));
static cl::opt<std::string, true>
    calibrationCheck("check", cl::sub(calibrateCommand),
                     cl::desc("Print how far this model is from what is measured; fit nothing"),
                     cl::location(calibration.check), cl::value_desc("name or file"));
static cl::opt<unsigned, true> calibrationRounds("rounds", cl::sub(calibrateCommand),
                                                 cl::desc("Turns of each layer, the best of which counts (5)"),
                                                 cl::location(calibration.rounds));

static cl::SubCommand stackCommand("stack", "Prunes a large stack of layers by what they see: throughput and memory");

static StackOptions stack;
static cl::opt<int64_t, true> stackLayers("layers", cl::sub(stackCommand),
                                          cl::desc("Layers of width x width weights (240)"),
                                          cl::location(stack.layers));
static cl::opt<int64_t, true> stackWidth("width", cl::sub(stackCommand),
                                         cl::desc("Rows and columns of a weight (2048)"), cl::location(stack.width));
static cl::opt<int64_t, true> stackTokens("tokens", cl::sub(stackCommand), cl::desc("Examples (4096)"),
                                          cl::location(stack.tokens));
static cl::opt<int64_t, true> stackBatch("batch", cl::sub(stackCommand), cl::desc("Examples at a time (512)"),
                                         cl::location(stack.batch));
static cl::opt<double, true> stackSparsity("sparsity", cl::sub(stackCommand), cl::desc("Target sparsity (0.5)"),
                                           cl::location(stack.sparsity));
static cl::list<std::string, std::vector<std::string>>
    stackCriteria("criterion", cl::sub(stackCommand), cl::desc("Criterion; may be repeated (wanda, sparsegpt)"),
                  cl::location(stack.criteria));
static cl::opt<std::string, true> stackFolder("folder", cl::sub(stackCommand),
                                              cl::desc("Where the files lie meanwhile (the system's)"),
                                              cl::location(stack.folder));

static int64_t getPeakMemory() {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return int64_t(usage.ru_maxrss) * 1024;
}

/// Becomes the Python program that knows `argv[1]`; returns only if that fails.
static int handOver(int argc, char **argv) {
  llvm::SmallString<256> build(
      llvm::sys::fs::getMainExecutable(argv[0], reinterpret_cast<void *>(reinterpret_cast<intptr_t>(&handOver))));
  llvm::sys::path::remove_filename(build);
  llvm::sys::path::remove_filename(build);
  std::string script = PRUNE_SOURCE_DIR "/tools/lib/bench.sh";
  build.push_back('\0');
  std::vector<char *> arguments{script.data(), build.data()};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  arguments.push_back(nullptr);
  execv(script.c_str(), arguments.data());
  llvm::errs() << "prune-bench: cannot run '" << script << "': " << strerror(errno)
               << " (this command needs the source tree)\n";
  return 1;
}

int main(int argc, char **argv) {
  if (argc > 1 && llvm::is_contained({"minilm", "kernels", "nets", "train", "oneshot", "distill", "digits", "dynamic",
                                      "gated", "gpu"},
                                     llvm::StringRef(argv[1])))
    return handOver(argc, argv);
  llvm::InitLLVM init(argc, argv);
  cl::ParseCommandLineOptions(
      argc, argv,
      "prune-bench: times compiled models against other programs (minilm, kernels, nets, train, oneshot, distill, "
      "digits, dynamic, gated, gpu: "
      "prune-bench minilm --help) and parts of the compiler (masks, stack), or measures what its cost "
      "model needs (calibrate)\n");
  if (calibrateCommand)
    return calibrate(calibration);
  if (stackCommand) {
    if (stack.criteria.empty())
      stack.criteria = {"wanda", "sparsegpt"};
    return runStack(stack);
  }
  if (!masks) {
    llvm::errs() << "prune-bench: expected what to time: minilm, kernels, nets, train, oneshot, distill, digits, "
                    "dynamic, gated, gpu, masks, stack or calibrate"
                 << (argc > 1 ? llvm::Twine(", got '") + argv[1] + "'" : llvm::Twine()) << "\n";
    return 1;
  }
  MLIRContext context;
  context.loadDialect<PruneDialect>();
  if (rows < 1 || columns < 1 || runs < 1) {
    llvm::errs() << "prune-bench: rows, columns and runs must be at least 1\n";
    return 1;
  }
  int64_t shape[] = {rows, columns};
  std::vector<float> weight(rows * columns);
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  for (float &value : weight)
    value = normal(engine);
  std::vector<uint8_t> mask(weight.size(), 0);
  WorkerPool pool(threads);
  int64_t before = getPeakMemory();
  llvm::outs() << "pattern        threads   Mweights/s        ms   kept %   memory on top / weight\n";
  if (patterns.empty())
    for (StringRef name : {"unstructured", "2:4", "4x1", "4x4", "slice:0"})
      patterns.push_back(name.str());
  for (const std::string &name : patterns) {
    std::string error;
    PatternAttrInterface pattern = parsePattern(name, &context, error);
    if (!pattern) {
      llvm::errs() << "prune-bench: " << error << "\n";
      return 1;
    }
    SelectionOptions options;
    options.pattern = pattern;
    if (pattern.getNumGroups(shape) == 0)
      options.sparsity = sparsity;
    SmallVector<double> times;
    for (unsigned run = 0; run < runs; ++run) {
      SelectionTensor tensor{shape, weight, 1, mask};
      auto start = std::chrono::steady_clock::now();
      if (findNaN(weight, pool) >= 0)
        return 1;
      selectMasks(MutableArrayRef(tensor), options, pool);
      times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    llvm::sort(times);
    double ms = times[times.size() / 2];
    double kept = 100.0 * static_cast<double>(llvm::count(mask, 1)) / static_cast<double>(mask.size());
    // The mask itself was there before; it is a quarter of an f32 weight.
    double memory = static_cast<double>(getPeakMemory() - before) / (4.0 * weight.size()) + 0.25;
    llvm::outs() << llvm::formatv("{0,-14} {1,7}", name, pool.getNumThreads())
                 << llvm::format(" %12.0f %9.1f %8.2f %8.2f\n", weight.size() / ms / 1e3, ms, kept, memory);
  }
  return 0;
}
