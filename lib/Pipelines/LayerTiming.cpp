//===- LayerTiming.cpp - Layers compiled and timed alone -----------------------===//

#include "prune/Pipelines/LayerTiming.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Pass/PassManager.h"
#include "prune/Conversion/PruneToSparseTensor/LayerMeasurement.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/ExecutionEngine/Benchmark.h"
#include "prune/Pipelines/CPU.h"
#include "llvm/Support/FormatVariadic.h"
#include <chrono>

using namespace mlir;
using namespace mlir::prune;

TimedLayer::~TimedLayer() = default;

namespace {

class CompiledLayer : public TimedLayer {
public:
  CompiledLayer(std::unique_ptr<CompiledModule> module) : module(std::move(module)) {
    inputs = makeRandomInputs(this->module->getInputs());
    for (const TensorSpec &spec : this->module->getOutputs())
      outputs.emplace_back(spec.kind, spec.shape);
    for (HostTensor &tensor : inputs)
      inputPointers.push_back(tensor.data.data());
    for (HostTensor &tensor : outputs)
      outputPointers.push_back(tensor.data.data());
  }

  double time(double least) override {
    using Clock = std::chrono::steady_clock;
    auto measure = [&](int64_t calls) {
      auto start = Clock::now();
      for (int64_t i = 0; i < calls; ++i)
        module->run(inputPointers, outputPointers);
      return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    };
    measure(1); // brings the weights back into the caches
    double once = measure(1);
    int64_t calls = std::max<int64_t>(1, static_cast<int64_t>(least / std::max(once, 100.0)));
    return measure(calls) / calls;
  }

private:
  std::unique_ptr<CompiledModule> module;
  std::vector<HostTensor> inputs, outputs;
  std::vector<const void *> inputPointers;
  std::vector<void *> outputPointers;
};

} // namespace

/// main(x) = x w^T: activations [panel, column, token], or [token, column] for linalg.contract.
static OwningOpRef<ModuleOp> buildLayer(MLIRContext *context, const LayerShape &shape, KernelKind kind) {
  OpBuilder builder(context);
  ImplicitLocOpBuilder b(UnknownLoc::get(context), builder);
  OwningOpRef<ModuleOp> module(ModuleOp::create(b.getLoc()));
  const MaskedMatrix &matrix = shape.matrix;
  Type f32 = b.getF32Type();
  bool isContract = kind == KernelKind::Contract;
  auto getType = [&](int64_t size) {
    if (isContract)
      return RankedTensorType::get({shape.tokens.batches * shape.tokens.lanes, size}, f32);
    return RankedTensorType::get({shape.tokens.batches, size, shape.tokens.lanes}, f32);
  };
  RankedTensorType xType = getType(matrix.numColumns), yType = getType(matrix.numRows);
  b.setInsertionPointToStart(module->getBody());
  auto function = func::FuncOp::create(b, "main", b.getFunctionType({xType}, {yType}));
  b.setInsertionPointToStart(function.addEntryBlock());
  auto weightType = RankedTensorType::get({matrix.numRows, matrix.numColumns}, f32);
  auto bytes = [](const auto &array) {
    return ArrayRef<char>(reinterpret_cast<const char *>(array.data()), array.size() * sizeof(array[0]));
  };
  // Values that come at run time may be any.
  std::vector<float> ones(matrix.weight.empty() ? weightType.getNumElements() : 0, 1.0f);
  ArrayRef<float> values = matrix.weight.empty() ? ArrayRef(ones) : matrix.weight;
  Value weight = arith::ConstantOp::create(b, cast<TypedAttr>(makeResourceAttr(weightType, bytes(values), "weight")));
  if (!matrix.mask.empty()) {
    auto maskType = RankedTensorType::get(weightType.getShape(), b.getI1Type());
    Value mask = arith::ConstantOp::create(b, cast<TypedAttr>(makeResourceAttr(maskType, bytes(matrix.mask), "mask")));
    PatternAttrInterface pattern = cast<PatternAttrInterface>(UnstructuredAttr::get(context));
    if (shape.blockRows > 1)
      pattern = cast<PatternAttrInterface>(BlockAttr::get(context, shape.blockRows, 1));
    weight = ApplyOp::create(b, weight, mask, pattern, StringAttr());
  }
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value empty = tensor::EmptyOp::create(b, yType.getShape(), f32);
  Value init = linalg::FillOp::create(b, ValueRange{zero}, ValueRange{empty}).getResult(0);
  SmallVector<AffineExpr> d(4);
  bindDimsList<AffineExpr>(context, d);
  auto maps = isContract ? SmallVector<AffineMap>{AffineMap::get(3, 0, {d[0], d[2]}, context),
                                                  AffineMap::get(3, 0, {d[1], d[2]}, context),
                                                  AffineMap::get(3, 0, {d[0], d[1]}, context)}
                         : SmallVector<AffineMap>{AffineMap::get(4, 0, {d[0], d[3], d[2]}, context),
                                                  AffineMap::get(4, 0, {d[1], d[3]}, context),
                                                  AffineMap::get(4, 0, {d[0], d[1], d[2]}, context)};
  Value product = linalg::ContractOp::create(b, TypeRange{yType}, ValueRange{function.getArgument(0), weight},
                                             ValueRange{init}, b.getAffineMapArrayAttr(maps))
                      ->getResult(0);
  func::ReturnOp::create(b, product);
  return module;
}

llvm::Expected<std::unique_ptr<TimedLayer>> TimedLayer::create(const DialectRegistry &registry, const LayerShape &shape,
                                                               const LayerCandidate &candidate, StringRef cpu,
                                                               StringRef features, int64_t threads) {
  // A context of its own: this runs inside passes of another.
  DialectRegistry all;
  registry.appendTo(all);
  registerCodeGenTranslations(all);
  MLIRContext context(all, MLIRContext::Threading::DISABLED);
  context.loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect, tensor::TensorDialect,
                      PruneDialect>();
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (message.empty() && diagnostic.getSeverity() == DiagnosticSeverity::Error)
      message = diagnostic.str();
    return success();
  });
  OwningOpRef<ModuleOp> module = buildLayer(&context, shape, candidate.kind);
  CPUPipelineOptions options;
  options.cpu = cpu.str();
  options.features = features.str();
  options.threads = threads;
  options.kernel = candidate.isSparse() ? "sparse" : candidate.kind == KernelKind::Contract ? "contract" : "dense";
  options.chunk = candidate.chunk;
  options.vectors = candidate.vectors;
  options.denseRows = candidate.kind == KernelKind::Dense ? candidate.rows : 0;
  PassManager passes(&context);
  buildCPUPipeline(passes, options);
  if (failed(passes.run(*module)))
    return llvm::createStringError("a layer alone does not compile: " + message);
  auto compiled = CompiledModule::create(*module);
  if (!compiled)
    return compiled.takeError();
  return std::make_unique<CompiledLayer>(std::move(*compiled));
}

std::vector<double> mlir::prune::timeInTurn(ArrayRef<std::unique_ptr<TimedLayer>> layers, unsigned rounds,
                                            double leastNs) {
  std::vector<double> best(layers.size(), std::numeric_limits<double>::infinity());
  for (unsigned round = 0; round < rounds; ++round)
    for (auto [time, layer] : llvm::zip(best, layers))
      if (layer)
        time = std::min(time, layer->time(leastNs));
  return best;
}

namespace {
struct LayerMeasurement : LayerMeasurementInterface {
  using LayerMeasurementInterface::LayerMeasurementInterface;

  std::vector<double> measure(EntryOp entry, const LayerShape &shape,
                              ArrayRef<LayerCandidate> candidates) const override {
    std::vector<std::unique_ptr<TimedLayer>> layers;
    for (const LayerCandidate &candidate : candidates) {
      auto layer =
          TimedLayer::create(getContext()->getDialectRegistry(), shape, candidate, entry.getCpu().value_or("host"),
                             entry.getFeatures().value_or(""), entry.getThreads());
      if (!layer)
        llvm::consumeError(layer.takeError());
      layers.push_back(layer ? std::move(*layer) : nullptr);
    }
    // A few milliseconds for each candidate.
    return timeInTurn(layers, /*rounds=*/9, /*leastNs=*/2e5);
  }
};
} // namespace

void mlir::prune::registerLayerMeasurement(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *, PruneDialect *dialect) { dialect->addInterfaces<LayerMeasurement>(); });
}
