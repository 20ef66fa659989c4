//===- LayerTiming.cpp - Layers compiled and timed alone -----------------------===//

#include "prune/Pipelines/LayerTiming.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Pass/PassManager.h"
#include "prune/Conversion/PruneToSparseTensor/LayerMeasurement.h"
#include "prune/Conversion/PruneToSparseTensor/PruneToSparseTensor.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"
#include "prune/ExecutionEngine/Benchmark.h"
#include "prune/Pipelines/CPU.h"
#include "llvm/Support/FormatVariadic.h"
#include <chrono>
#include <random>

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

namespace {
/// Builds a module whose `main` is one layer.
class LayerBuilder {
public:
  LayerBuilder(MLIRContext *context, const LayerShape &shape)
      : builder(context), b(UnknownLoc::get(context), builder), shape(shape), matrix(shape.matrix) {}

  OwningOpRef<ModuleOp> build(KernelKind kind);

private:
  RankedTensorType getType(ArrayRef<int64_t> sizes) { return RankedTensorType::get(sizes, b.getF32Type()); }
  Value makeWeight(ArrayRef<int64_t> sizes, ArrayRef<float> values, ArrayRef<uint8_t> bytes);
  Value applyMask(Value weight, ArrayRef<uint8_t> bytes);
  Value buildProduct(KernelKind kind);
  Value buildWordProduct();
  Value buildByColumns(KernelKind kind);
  Value buildConvolution(bool isDepthwise);
  Value startFunction(RankedTensorType x, RankedTensorType y);

  OpBuilder builder;
  ImplicitLocOpBuilder b;
  const LayerShape &shape;
  const MaskedMatrix &matrix;
  Value x, init; ///< activations, and zeros to add to
};
} // namespace

OwningOpRef<ModuleOp> LayerBuilder::build(KernelKind kind) {
  OwningOpRef<ModuleOp> module(ModuleOp::create(b.getLoc()));
  b.setInsertionPointToStart(module->getBody());
  Value y = shape.tokens.convolution ? buildConvolution(kind == KernelKind::Depthwise)
            : shape.wordColumns > 1  ? buildWordProduct()
                                     : buildProduct(kind);
  func::ReturnOp::create(b, y);
  return module;
}

Value LayerBuilder::startFunction(RankedTensorType xType, RankedTensorType yType) {
  auto function = func::FuncOp::create(b, "main", b.getFunctionType({xType}, {yType}));
  b.setInsertionPointToStart(function.addEntryBlock());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(yType.getElementType()));
  Value empty = tensor::EmptyOp::create(b, yType.getShape(), yType.getElementType());
  init = linalg::FillOp::create(b, ValueRange{zero}, ValueRange{empty}).getResult(0);
  x = function.getArgument(0);
  return zero;
}

template <typename T> static ArrayRef<char> viewBytes(ArrayRef<T> array) {
  return ArrayRef<char>(reinterpret_cast<const char *>(array.data()), array.size() * sizeof(T));
}

Value LayerBuilder::makeWeight(ArrayRef<int64_t> sizes, ArrayRef<float> values, ArrayRef<uint8_t> bytes) {
  auto type = getType(sizes);
  // Values that come at run time may be any.
  std::vector<float> ones(values.empty() ? type.getNumElements() : 0, 1.0f);
  ArrayRef<float> known = values.empty() ? ArrayRef(ones) : values;
  return applyMask(arith::ConstantOp::create(b, cast<TypedAttr>(makeResourceAttr(type, viewBytes(known), "weight"))),
                   bytes);
}

/// `weight` with what `bytes` keep, all of it where there are none.
Value LayerBuilder::applyMask(Value weight, ArrayRef<uint8_t> bytes) {
  if (bytes.empty())
    return weight;
  auto maskType = cast<RankedTensorType>(weight.getType()).clone(b.getI1Type());
  Value mask = arith::ConstantOp::create(b, cast<TypedAttr>(makeResourceAttr(maskType, viewBytes(bytes), "mask")));
  auto pattern = cast<PatternAttrInterface>(UnstructuredAttr::get(b.getContext()));
  if (shape.blockRows > 1)
    pattern = cast<PatternAttrInterface>(BlockAttr::get(b.getContext(), shape.blockRows, 1));
  return ApplyOp::create(b, weight, mask, pattern, StringAttr());
}

/// main(x) = x w^T by the columns or rows that are needed: those of activations above a threshold, or random rows.
Value LayerBuilder::buildByColumns(KernelKind kind) {
  int64_t tokens = shape.getNumTokens(), rows = matrix.numRows, columns = matrix.numColumns;
  startFunction(getType({tokens, columns}), getType({tokens, rows}));
  bool isByRows = kind == KernelKind::Rows;
  std::vector<float> values;
  values.reserve(rows * columns);
  for (int64_t i = 0; i < rows * columns; ++i)
    values.push_back(isByRows ? matrix.at(i / columns, i % columns) : matrix.at(i % rows, i / rows));
  Value weight = isByRows ? makeWeight({rows, columns}, values, {}) : makeWeight({columns, rows}, values, {});
  Type type = init.getType();
  if (kind == KernelKind::AllColumns)
    return SumAllColumnsOp::create(b, type, weight, x, init).getResult(0);
  if (isByRows) {
    // Other rows for each token.
    std::mt19937 engine(1);
    auto kept = static_cast<uint32_t>(shape.resultDensity.value_or(1) * engine.max());
    std::vector<float> ones(tokens * rows);
    for (float &one : ones)
      one = engine() <= kept;
    ListNonzerosOp lists = listNonzeros(b, makeWeight({tokens, rows}, ones, {}));
    return MultiplyRowsOp::create(b, type, weight, x, lists.getResult(0), lists.getResult(2), init).getResult(0);
  }
  // Random inputs are uniform in [-1, 1).
  auto mask = DynamicMaskOp::create(b, cast<RankedTensorType>(x.getType()).clone(b.getI1Type()), x, /*along=*/1,
                                    /*unit=*/1, /*whole=*/ArrayRef<int64_t>(), /*is_signed=*/false,
                                    b.getF64FloatAttr(1 - shape.activationDensity.value_or(1)),
                                    /*target_sparsity=*/FloatAttr(), /*keep=*/IntegerAttr(), /*of=*/IntegerAttr(),
                                    /*name=*/StringAttr());
  ListNonzerosOp lists = listNonzeros(b, GateOp::create(b, x.getType(), x, mask));
  return SumColumnsOp::create(b, type, weight, lists.getResult(0), lists.getResult(1), lists.getResult(2), init)
      .getResult(0);
}

/// main(x) = x w^T: activations [panel, column, token], or [token, column] for linalg.contract.
Value LayerBuilder::buildProduct(KernelKind kind) {
  if (llvm::is_contained({KernelKind::Columns, KernelKind::Rows, KernelKind::AllColumns}, kind))
    return buildByColumns(kind);
  bool isContract = kind == KernelKind::Contract;
  auto getActivations = [&](int64_t size) {
    return isContract ? getType({shape.getNumTokens(), size})
                      : getType({shape.tokens.batches, size, shape.tokens.lanes});
  };
  RankedTensorType yType = getActivations(matrix.numRows);
  startFunction(getActivations(matrix.numColumns), yType);
  Value weight = makeWeight({matrix.numRows, matrix.numColumns}, matrix.weight, matrix.mask);
  MLIRContext *context = b.getContext();
  SmallVector<AffineExpr> d(4);
  bindDimsList<AffineExpr>(context, d);
  auto maps = isContract ? SmallVector<AffineMap>{AffineMap::get(3, 0, {d[0], d[2]}, context),
                                                  AffineMap::get(3, 0, {d[1], d[2]}, context),
                                                  AffineMap::get(3, 0, {d[0], d[1]}, context)}
                         : SmallVector<AffineMap>{AffineMap::get(4, 0, {d[0], d[3], d[2]}, context),
                                                  AffineMap::get(4, 0, {d[1], d[3]}, context),
                                                  AffineMap::get(4, 0, {d[0], d[1], d[2]}, context)};
  return linalg::ContractOp::create(b, TypeRange{yType}, ValueRange{x, weight}, ValueRange{init},
                                    b.getAffineMapArrayAttr(maps))
      ->getResult(0);
}

/// main(x) = x w^T in integers, as prune-quantize has them: activations [panel, column, token].
Value LayerBuilder::buildWordProduct() {
  int64_t rows = matrix.numRows, columns = matrix.numColumns * shape.wordColumns;
  auto getActivations = [&](int64_t size, unsigned bits) {
    return RankedTensorType::get({shape.tokens.batches, size, shape.tokens.lanes}, b.getIntegerType(bits));
  };
  RankedTensorType yType = getActivations(rows, 32);
  startFunction(getActivations(columns, 8), yType);
  std::vector<int8_t> values(rows * columns);
  std::vector<uint8_t> bytes(matrix.mask.empty() ? 0 : values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int8_t>(i % 255 - 127);
    if (!bytes.empty())
      bytes[i] = matrix.mask[i / shape.wordColumns];
  }
  auto type = RankedTensorType::get({rows, columns}, b.getI8Type());
  auto attr = makeResourceAttr(type, viewBytes(ArrayRef(values)), "weight");
  Value weight = applyMask(arith::ConstantOp::create(b, cast<TypedAttr>(attr)), bytes);
  MLIRContext *context = b.getContext();
  SmallVector<AffineExpr> d(4);
  bindDimsList<AffineExpr>(context, d);
  SmallVector<AffineMap> maps{AffineMap::get(4, 0, {d[0], d[3], d[2]}, context),
                              AffineMap::get(4, 0, {d[1], d[3]}, context),
                              AffineMap::get(4, 0, {d[0], d[1], d[2]}, context)};
  SmallVector<utils::IteratorType> loops(4, utils::IteratorType::parallel);
  loops.back() = utils::IteratorType::reduction;
  return linalg::GenericOp::create(
             b, yType, ValueRange{x, weight}, init, maps, loops,
             [](OpBuilder &builder, Location loc, ValueRange args) {
               ImplicitLocOpBuilder body(loc, builder);
               Type i32 = body.getI32Type();
               Value product = arith::MulIOp::create(body, arith::ExtUIOp::create(body, i32, args[0]),
                                                     arith::ExtSIOp::create(body, i32, args[1]));
               linalg::YieldOp::create(body, arith::AddIOp::create(body, args[2], product).getResult());
             })
      .getResult(0);
}

/// main(x) = the convolution of padded images, in the form that models have.
Value LayerBuilder::buildConvolution(bool isDepthwise) {
  const ConvolutionShape &convolution = *shape.tokens.convolution;
  int64_t taps = convolution.getNumTaps(), groups = convolution.groups, rows = matrix.numRows;
  int64_t channels = isDepthwise ? rows : matrix.numColumns / taps, batches = shape.tokens.batches;
  auto getImages = [&](int64_t planes, int64_t height, int64_t width) {
    return groups == 1 ? getType({batches, planes, height, width})
                       : getType({batches, groups, planes / groups, height, width});
  };
  auto [height, width] = convolution.input;
  RankedTensorType xType = getImages(channels, height, width),
                   yType = getImages(rows, convolution.result[0], convolution.result[1]);
  Value zero = startFunction(xType, yType);
  auto [lowY, lowX] = convolution.low;
  auto [highY, highX] = convolution.high;
  if (lowY + lowX + highY + highX > 0) {
    SmallVector<OpFoldResult> low(xType.getRank() - 2, b.getIndexAttr(0)), high(low);
    low.append({b.getIndexAttr(lowY), b.getIndexAttr(lowX)});
    high.append({b.getIndexAttr(highY), b.getIndexAttr(highX)});
    x = tensor::PadOp::create(b, getImages(channels, height + lowY + highY, width + lowX + highX), x, low, high, zero);
  }
  Attribute strides = b.getI64VectorAttr(convolution.strides), dilations = b.getI64VectorAttr(convolution.dilations);
  auto [kernelY, kernelX] = convolution.kernel;
  if (isDepthwise) {
    Value weight = makeWeight({rows, kernelY, kernelX}, matrix.weight, matrix.mask);
    return linalg::DepthwiseConv2DNchwChwOp::create(b, TypeRange{yType}, ValueRange{x, weight}, ValueRange{init},
                                                    strides, dilations)
        ->getResult(0);
  }
  if (groups == 1) {
    Value weight = makeWeight({rows, channels, kernelY, kernelX}, matrix.weight, matrix.mask);
    return linalg::Conv2DNchwFchwOp::create(b, TypeRange{yType}, ValueRange{x, weight}, ValueRange{init}, strides,
                                            dilations)
        ->getResult(0);
  }
  // The columns of each row's own group.
  int64_t columns = matrix.numColumns / groups;
  std::vector<float> values;
  std::vector<uint8_t> bytes;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t from = row * matrix.numColumns + row / (rows / groups) * columns;
    if (!matrix.weight.empty())
      llvm::append_range(values, matrix.weight.slice(from, columns));
    if (!matrix.mask.empty())
      llvm::append_range(bytes, matrix.mask.slice(from, columns));
  }
  Value weight = makeWeight({rows, channels / groups, kernelY, kernelX}, values, bytes);
  SmallVector<ReassociationIndices> split{{0, 1}, {2}, {3}, {4}};
  weight = tensor::ExpandShapeOp::create(b, getType({groups, rows / groups, channels / groups, kernelY, kernelX}),
                                         weight, split);
  return linalg::Conv2DNgchwGfchwOp::create(b, TypeRange{yType}, ValueRange{x, weight}, ValueRange{init}, strides,
                                            dilations)
      ->getResult(0);
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
  OwningOpRef<ModuleOp> module = LayerBuilder(&context, shape).build(candidate.kind);
  CPUPipelineOptions options;
  options.cpu = cpu.str();
  options.features = features.str();
  options.threads = threads;
  bool isLeft = candidate.kind == KernelKind::Contract || candidate.kind == KernelKind::Convolution;
  options.kernel = candidate.isSparse() ? "sparse" : isLeft ? "contract" : "dense";
  options.chunk = candidate.chunk;
  options.vectors = candidate.vectors;
  options.denseRows = candidate.kind == KernelKind::Dense ? candidate.rows : 0;
  options.wordColumns = shape.wordColumns > 1 ? shape.wordColumns : 0;
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
