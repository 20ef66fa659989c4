//===- Stack.cpp - prune-bench stack ------------------------------------------===//
//
// How fast the masks of a large network are decided by its activations, and how much memory that takes: a stack of
// layers with random weights goes through prune-opt as a file. The process that writes the file stays small, since what
// the system counts for a process begins with what the one before it took.
//
//===----------------------------------------------------------------------===//

#include "Stack.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/MLIRContext.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/Constants.h"
#include "prune/Support/Npy.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cmath>
#include <random>

using namespace mlir;
using namespace mlir::prune;

namespace {

class Stack {
public:
  explicit Stack(const StackOptions &options) : options(options) {}
  int run();

private:
  llvm::Error check() const;
  llvm::Error makeFolder();
  llvm::Error writeModel() const;
  llvm::Error writeExamples() const;
  llvm::Error measure(const std::string &criterion) const;

  std::string getPath(StringRef name) const { return (folder + "/" + name).str(); }
  int64_t getNumParameters() const { return options.layers * options.width * options.width; }

  const StackOptions &options;
  llvm::SmallString<128> folder;
};

/// Floats by which the weights of two layers are apart in one random sequence: no multiple of a width, and aligned.
constexpr int64_t kShift = 16 * 67;

constexpr llvm::StringLiteral kModel = "stack.mlirbc", kExamples = "x.npz", kPruned = "pruned.mlirbc";

} // namespace

template <typename... Values> static llvm::Error fail(const char *format, Values &&...values) {
  return llvm::createStringError(llvm::formatv(format, std::forward<Values>(values)...).str());
}

static double toGB(double bytes) { return bytes / 1e9; }

llvm::Error Stack::check() const {
  for (auto [name, value] : {std::pair("layers", options.layers), std::pair("width", options.width),
                             std::pair("tokens", options.tokens), std::pair("batch", options.batch)})
    if (value < 1 || value > (1 << 20))
      return fail("{0}: expected a number from 1 to {1}, got {2}", name, 1 << 20, value);
  if (!(options.sparsity >= 0 && options.sparsity <= 1))
    return fail("sparsity: expected a share in [0, 1], got {0}", options.sparsity);
  return llvm::Error::success();
}

llvm::Error Stack::makeFolder() {
  llvm::SmallString<128> place(options.folder);
  if (place.empty())
    llvm::sys::path::system_temp_directory(/*ErasedOnReboot=*/false, place);
  llvm::ErrorOr<llvm::sys::fs::space_info> space = llvm::sys::fs::disk_space(place);
  if (!space)
    return fail("folder '{0}': {1}", place, space.getError().message());
  // The model, with masks in a byte each what comes out, and the examples.
  double needed =
      9.0 * static_cast<double>(getNumParameters()) + 4.0 * static_cast<double>(options.tokens * options.width);
  if (static_cast<double>(space->available) < needed)
    return fail("folder '{0}': expected {1:f1} GB that are free, got {2:f1}", place, toGB(needed),
                toGB(static_cast<double>(space->available)));
  llvm::sys::path::append(place, "prune-stack-%%%%%%");
  llvm::sys::fs::createUniquePath(place, folder, /*MakeAbsolute=*/true);
  if (std::error_code error = llvm::sys::fs::create_directory(folder))
    return fail("folder '{0}': {1}", folder, error.message());
  for (StringRef name : {kModel, kExamples, kPruned})
    llvm::sys::RemoveFileOnSignal(getPath(name));
  return llvm::Error::success();
}

llvm::Error Stack::writeModel() const {
  MLIRContext context;
  context.loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect, PruneDialect>();
  ImplicitLocOpBuilder b(UnknownLoc::get(&context), &context);
  int64_t width = options.width;
  // Each weight is a window of one sequence, so this takes no more memory than one layer.
  std::vector<float> sequence(width * width + (options.layers - 1) * kShift);
  std::mt19937 engine(1);
  // Scaled so that activations stay of one size behind ReLU.
  std::normal_distribution<float> normal(0, std::sqrt(2.0f / static_cast<float>(width)));
  for (float &value : sequence)
    value = normal(engine);

  OwningOpRef<ModuleOp> module(ModuleOp::create(b.getLoc()));
  b.setInsertionPointToStart(module->getBody());
  auto activation = RankedTensorType::get({options.batch, width}, b.getF32Type());
  auto matrix = RankedTensorType::get({width, width}, b.getF32Type());
  auto function = func::FuncOp::create(b, "main", b.getFunctionType(activation, activation));
  function.setArgAttr(0, "prune.name", b.getStringAttr("x"));
  b.setInsertionPointToStart(function.addEntryBlock());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(activation));
  Value result = function.getArgument(0);
  AffineExpr m = b.getAffineDimExpr(0), n = b.getAffineDimExpr(1), k = b.getAffineDimExpr(2);
  auto getMap = [&](AffineExpr row, AffineExpr column) { return AffineMap::get(3, 0, {row, column}, &context); };
  ArrayAttr maps = b.getAffineMapArrayAttr({getMap(m, k), getMap(n, k), getMap(m, n)});
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    auto window = ArrayRef(sequence).slice(layer * kShift, width * width);
    ArrayRef<char> bytes(reinterpret_cast<const char *>(window.data()), window.size() * sizeof(float));
    std::string name = llvm::formatv("layer.{0}.weight", layer);
    Value weight = arith::ConstantOp::create(b, getUnmanagedResource(matrix, name, bytes));
    weight.setLoc(NameLoc::get(b.getStringAttr(name)));
    Value product =
        linalg::ContractOp::create(b, TypeRange{activation}, ValueRange{result, weight}, ValueRange{zero}, maps)
            .getResult(0);
    result = arith::MaximumFOp::create(b, product, zero);
  }
  func::ReturnOp::create(b, result);
  return writeFileAtomically(getPath(kModel), [&](llvm::raw_ostream &os) -> llvm::Error {
    if (failed(writeBytecodeToFile(*module, os)))
      return fail("cannot write a module of {0} layers", options.layers);
    return llvm::Error::success();
  });
}

llvm::Error Stack::writeExamples() const {
  NamedTensor examples{"x", HostTensor(ElementKind::Float32, {options.tokens, options.width})};
  auto *values = reinterpret_cast<float *>(examples.tensor.data.data());
  std::mt19937 engine(2);
  std::normal_distribution<float> normal;
  for (int64_t i = 0, e = examples.tensor.getNumElements(); i < e; ++i)
    values[i] = normal(engine);
  return writeFileAtomically(getPath(kExamples), [&](llvm::raw_ostream &os) { return writeNpz(os, examples); });
}

llvm::Error Stack::measure(const std::string &criterion) const {
  llvm::SmallString<128> program(llvm::sys::path::parent_path(llvm::sys::fs::getMainExecutable(
      "prune-bench", reinterpret_cast<void *>(reinterpret_cast<intptr_t>(&runStack)))));
  llvm::sys::path::append(program, "prune-opt");
  std::string model = getPath(kModel), output = getPath(kPruned);
  std::string pipeline =
      llvm::formatv("--prune=criterion={0} sparsity={1} data={2}", criterion, options.sparsity, getPath(kExamples));
  std::string message;
  std::optional<llvm::sys::ProcessStatistics> statistics;
  auto begin = std::chrono::steady_clock::now();
  int status = llvm::sys::ExecuteAndWait(program, {program, model, pipeline, "--emit-bytecode", "-o", output},
                                         /*Env=*/std::nullopt, /*Redirects=*/{}, /*SecondsToWait=*/0,
                                         /*MemoryLimit=*/0, &message, /*ExecutionFailed=*/nullptr, &statistics);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (status != 0)
    return fail("criterion {0}: expected prune-opt to end with status 0, got {1}{2}{3}", criterion, status,
                message.empty() ? "" : ": ", message);
  double parameters = static_cast<double>(getNumParameters());
  llvm::outs() << llvm::formatv("{0,-12} {1,11} {2,7} {3,9:f1} {4,14:f2} {5,9:f1} {6,11:f2} {7,8:f2}\n", criterion,
                                getNumParameters(), options.tokens, seconds, parameters / seconds / 1e6,
                                static_cast<double>(options.tokens) / seconds, toGB(4 * parameters),
                                toGB(1024.0 * static_cast<double>(statistics->PeakMemory)));
  llvm::outs().flush();
  return llvm::Error::success();
}

int Stack::run() {
  llvm::scope_exit remove([&] {
    if (!folder.empty())
      llvm::sys::fs::remove_directories(folder);
  });
  auto steps = [&]() -> llvm::Error {
    if (llvm::Error error = check())
      return error;
    if (llvm::Error error = makeFolder())
      return error;
    if (llvm::Error error = writeModel())
      return error;
    if (llvm::Error error = writeExamples())
      return error;
    llvm::outs() << "criterion     parameters  tokens   seconds  Mparameters/s  tokens/s  weights GB  peak GB\n";
    for (const std::string &criterion : options.criteria)
      if (llvm::Error error = measure(criterion))
        return error;
    return llvm::Error::success();
  };
  llvm::Error error = steps();
  if (!error)
    return 0;
  llvm::errs() << "prune-bench: " << llvm::toString(std::move(error)) << "\n";
  return 1;
}

int mlir::prune::runStack(const StackOptions &options) { return Stack(options).run(); }
