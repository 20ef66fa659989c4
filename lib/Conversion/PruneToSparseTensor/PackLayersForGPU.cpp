//===- PackLayersForGPU.cpp - prune-pack-gpu ------------------------------------===//
//
// Decides the storage of each constant weight of a contraction by the cost model of the chip, packs it at compile time
// into constants, and replaces the contraction by `prune.linear` on activations as they lie.
//
//===----------------------------------------------------------------------===//

#include "ConstantStorage.h"
#include "LayerWeight.h"
#include "SumColumns.h"
#include "UnfoldConvolutions.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "prune/Conversion/Passes.h"
#include "prune/Conversion/PruneToSparseTensor/GPUChoice.h"
#include "prune/Conversion/PruneToSparseTensor/TensorCorePacking.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <limits>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEPACKGPU
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

struct GPUPackOptions {
  GPUPrecision precision = GPUPrecision::F32;
  std::optional<GPUKernelKind> kernel; ///< what masked weights get, and columns others too; none: the fastest
  std::string tiles = "auto";          ///< who reads tiles: warp, warp_group, or auto
  SmallVector<std::string> libraries;  ///< that multiply in place of kernels
  GPUCostModel model;
  llvm::json::Array *report = nullptr;
};

/// Whether a library is asked for that multiplies by the storage of a candidate, and why it cannot.
struct LibraryChoice {
  StringRef name; ///< empty: none is asked for
  std::string refusal;

  bool isPossible() const { return !name.empty() && refusal.empty(); }
};

} // namespace

static Type getElementType(MLIRContext *context, GPUPrecision precision) {
  switch (precision) {
  case GPUPrecision::F16:
    return Float16Type::get(context);
  case GPUPrecision::BF16:
    return BFloat16Type::get(context);
  case GPUPrecision::I8:
    return IntegerType::get(context, 8);
  default:
    return Float32Type::get(context);
  }
}

/// A constant of the values that `packed` takes from the weight, rounded to `element`.
static Value makeValues(ImplicitLocOpBuilder &b, const PackedWeight &packed, const LayerWeight &weight,
                        ArrayRef<int64_t> shape, Type element) {
  std::vector<float> values = packed.getValues(weight.matrix.weight);
  // Storage is never empty: kernels take its address.
  values.resize(ShapedType::getNumElements(shape));
  if (element.isF32())
    return makeConstant<float>(b, values, shape, element, weight.name + ".values");
  const llvm::fltSemantics &semantics = cast<FloatType>(element).getFloatSemantics();
  std::vector<uint16_t> halves;
  halves.reserve(values.size());
  for (float value : values) {
    llvm::APFloat rounded(value);
    bool losesInfo;
    rounded.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &losesInfo);
    halves.push_back(rounded.bitcastToAPInt().getZExtValue());
  }
  return makeConstant<uint16_t>(b, halves, shape, element, weight.name + ".values");
}

/// The storage operands of `prune.linear`.
static SmallVector<Value> makeGPUStorage(ImplicitLocOpBuilder &b, PackedWeight packed, const LayerWeight &weight,
                                         Type element, bool isFragmented) {
  StringRef name = weight.name;
  if (packed.format == StorageFormat::Matrix)
    return {makeValues(b, packed, weight, {packed.numRows, packed.numColumns}, element)};
  if (packed.format == StorageFormat::Columns)
    return {
        makeValues(b, packed, weight, {packed.numColumns, getNumColumnsRows(packed.numRows, packed.rows)}, element)};
  bool isBlocked = packed.format == StorageFormat::BlockCSR;
  if (packed.coordinates.empty())
    packed.coordinates.resize(isBlocked ? 1 : kCSRStep);
  int64_t numEntries = packed.coordinates.size();
  SmallVector<Value> storage;
  storage.push_back(makeConstant<int32_t>(b, packed.positions, static_cast<int64_t>(packed.positions.size()),
                                          b.getI32Type(), name + ".positions"));
  storage.push_back(makeConstant<uint16_t>(b, packed.coordinates, numEntries, b.getI16Type(), name + ".coordinates"));
  if (isBlocked) {
    SmallVector<int64_t> shape{numEntries, packed.rows, packed.chunk};
    if (isFragmented)
      shape = {numEntries, kFragmentSide * kFragmentSide};
    storage.push_back(makeValues(b, packed, weight, shape, element));
  } else {
    storage.push_back(makeValues(b, packed, weight, numEntries, element));
  }
  if (!packed.rowOrder.empty())
    storage.push_back(makeConstant<int32_t>(b, packed.rowOrder, static_cast<int64_t>(packed.rowOrder.size()),
                                            b.getI32Type(), name + ".rows"));
  return storage;
}

/// The order of the weight's tiles, if tensor cores multiply it from such.
static std::optional<TensorCoreLayout> chooseTiles(const GPULayer &layer, const GPUCandidate &candidate,
                                                   const GPUPackOptions &options) {
  if (candidate.kind != GPUKernelKind::Matrix && candidate.kind != GPUKernelKind::TwoOfFour)
    return std::nullopt;
  TensorCoreLayout layout;
  layout.isSparse = candidate.kind == GPUKernelKind::TwoOfFour;
  switch (candidate.precision) {
  case GPUPrecision::F32:
    return std::nullopt;
  case GPUPrecision::TF32:
    layout.type = TensorCoreType::TF32;
    break;
  case GPUPrecision::F16:
    layout.type = TensorCoreType::F16;
    break;
  case GPUPrecision::BF16:
    layout.type = TensorCoreType::BF16;
    break;
  case GPUPrecision::I8:
    layout.type = TensorCoreType::I8;
    break;
  }
  if (layout.isSparse && layout.type == TensorCoreType::I8)
    return layout; // which warp groups have no kernel for
  GPULayerCounts counts;
  counts.kind = candidate.kind;
  counts.precision = candidate.precision;
  counts.tokens = layer.tokens;
  counts.rows = layer.matrix.numRows;
  counts.columns = layer.matrix.numColumns;
  layout.isWarpGroup =
      options.tiles == "warp_group" || (options.tiles == "auto" && options.model.suitsWarpGroups(counts));
  return layout;
}

static LibraryChoice chooseLibrary(const GPULayer &layer, const GPUCandidate &candidate,
                                   const GPUPackOptions &options) {
  LibraryChoice choice;
  switch (candidate.kind) {
  case GPUKernelKind::Matrix:
    choice.name = "cublas";
    break;
  case GPUKernelKind::TwoOfFour:
    choice.name = "cusparselt";
    break;
  case GPUKernelKind::CSR:
    choice.name = "cusparse";
    break;
  case GPUKernelKind::BlockCSR:
  case GPUKernelKind::Columns:
    return choice;
  }
  if (!llvm::is_contained(options.libraries, choice.name))
    choice.name = "";
  else if (candidate.precision == GPUPrecision::I8 ||
           (candidate.kind == GPUKernelKind::TwoOfFour && candidate.precision == GPUPrecision::TF32))
    choice.refusal = (stringifyGPUPrecision(candidate.precision) + " has no form for it").str();
  else if (candidate.kind == GPUKernelKind::TwoOfFour)
    for (auto [letter, size, unit] :
         {std::tuple('M', layer.tokens, 8), {'N', layer.matrix.numRows, 16}, {'K', layer.matrix.numColumns, 16}})
      if (size % unit != 0 && choice.refusal.empty())
        choice.refusal = llvm::formatv("{0} = {1} is no multiple of {2}", letter, size, unit);
  return choice;
}

/// What cuSPARSE reads: positions [N + 1], columns and values of the kept elements.
static SmallVector<Value> makeLibraryCSR(ImplicitLocOpBuilder &b, const LayerWeight &weight) {
  const MaskedMatrix &matrix = weight.matrix;
  std::vector<int32_t> positions{0}, columns;
  std::vector<float> values;
  for (int64_t row = 0; row < matrix.numRows; ++row) {
    for (int64_t column = 0; column < matrix.numColumns; ++column)
      if (matrix.isKept(row, column)) {
        columns.push_back(static_cast<int32_t>(column));
        values.push_back(matrix.at(row, column));
      }
    positions.push_back(static_cast<int32_t>(columns.size()));
  }
  if (columns.empty()) { // storage is never empty: an explicit zero
    columns.push_back(0);
    values.push_back(0);
    positions.back() = 1;
  }
  auto entries = static_cast<int64_t>(columns.size());
  return {makeConstant<int32_t>(b, positions, matrix.numRows + 1, b.getI32Type(), weight.name + ".positions"),
          makeConstant<int32_t>(b, columns, entries, b.getI32Type(), weight.name + ".columns"),
          makeConstant<float>(b, values, entries, b.getF32Type(), weight.name + ".values")};
}

static llvm::json::Object reportLayer(const LayerWeight &weight, const GPULayer &layer, const GPUChoice &choice,
                                      StringRef text) {
  llvm::json::Array candidates;
  for (const GPUCandidate &candidate : choice.candidates) {
    llvm::json::Object entry{{"kernel", stringifyGPUKernel(candidate.kind)},
                             {"precision", stringifyGPUPrecision(candidate.precision)}};
    if (candidate.isPossible())
      entry["estimated_us"] = candidate.estimatedNs / 1e3;
    else
      entry["declined"] = candidate.refusal;
    candidates.push_back(std::move(entry));
  }
  llvm::json::Object entry{{"name", std::string(weight.name)},
                           {"rows", layer.matrix.numRows},
                           {"columns", layer.matrix.numColumns},
                           {"tokens", layer.tokens},
                           {"pattern", std::string(weight.pattern)},
                           {"density", choice.density},
                           {"choice", text.str()},
                           {"candidates", std::move(candidates)}};
  if (choice.activationDensity)
    entry["activation_density"] = *choice.activationDensity;
  if (choice.activationBreakEven)
    entry["activation_break_even"] = *choice.activationBreakEven;
  return entry;
}

/// `x` as whole numbers, of which 127 stands for the largest magnitude of its row (a token), and these magnitudes, of
/// the shape of `x` with one column.
static std::pair<Value, Value> quantizeTokens(ImplicitLocOpBuilder &b, Value x) {
  auto type = cast<RankedTensorType>(x.getType());
  int64_t rank = type.getRank();
  Type f32 = b.getF32Type();
  AffineMap whole = b.getMultiDimIdentityMap(rank);
  AffineMap perToken = AffineMap::getMultiDimIdentityMap(rank, b.getContext()).dropResult(rank - 1);
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto constant = [](OpBuilder &b, Location loc, float value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
  };
  Value empty = tensor::EmptyOp::create(b, type.getShape().drop_back(), f32);
  Value largest = linalg::FillOp::create(b, constant(b, b.getLoc(), 0), empty).getResult(0);
  SmallVector<utils::IteratorType> reduceLoops(loops);
  reduceLoops.back() = utils::IteratorType::reduction;
  largest = linalg::GenericOp::create(b, TypeRange{largest.getType()}, x, largest, {whole, perToken}, reduceLoops,
                                      [](OpBuilder &b, Location loc, ValueRange args) {
                                        Value magnitude = math::AbsFOp::create(b, loc, args[0]);
                                        Value larger = arith::MaximumFOp::create(b, loc, magnitude, args[1]);
                                        linalg::YieldOp::create(b, loc, larger);
                                      })
                .getResult(0);
  Value target = tensor::EmptyOp::create(b, type.getShape(), b.getI8Type());
  Value quantized =
      linalg::GenericOp::create(
          b, TypeRange{target.getType()}, ValueRange{x, largest}, target, {whole, perToken, whole}, loops,
          [&](OpBuilder &b, Location loc, ValueRange args) {
            // Tokens of smaller numbers count as zeros: the quotient must be finite. Where something is not finite, the
            // result of the layer is not either, by the factor `largest`.
            constexpr float kLeast = 1e-30f;
            Value most = constant(b, loc, kMostI8), least = constant(b, loc, -kMostI8);
            Value isZero = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, args[1], constant(b, loc, kLeast));
            Value factor = arith::DivFOp::create(b, loc, most, args[1]);
            factor = arith::SelectOp::create(b, loc, isZero, constant(b, loc, 0), factor);
            Value rounded = math::RoundEvenOp::create(b, loc, arith::MulFOp::create(b, loc, args[0], factor));
            auto pickIf = [&](arith::CmpFPredicate holds, Value bound) -> Value { // the bound for what is no number
              Value isInside = arith::CmpFOp::create(b, loc, holds, rounded, bound);
              return arith::SelectOp::create(b, loc, isInside, rounded, bound);
            };
            rounded = pickIf(arith::CmpFPredicate::OLT, most);
            rounded = pickIf(arith::CmpFPredicate::OGT, least);
            Value word = arith::FPToSIOp::create(b, loc, b.getI32Type(), rounded);
            Value byte = arith::TruncIOp::create(b, loc, b.getI8Type(), word);
            linalg::YieldOp::create(b, loc, byte);
          })
          .getResult(0);
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = 1;
  SmallVector<ReassociationIndices> groups; // the last dimension of all belongs to the one before it
  for (int64_t dim = 0; dim < rank - 1; ++dim)
    groups.push_back({dim});
  if (rank > 1)
    groups.back().push_back(rank - 1);
  auto column = RankedTensorType::get(shape, f32);
  return {quantized, tensor::ExpandShapeOp::create(b, column, largest, groups)};
}

/// Makes the layer's result sum * largest of the row * largest of the token / 127^2.
static void addScales(ImplicitLocOpBuilder &b, LinearOp layer, Value ofRows, Value ofTokens) {
  layer.getExtrasMutable().assign({ofRows, ofTokens});
  Block &epilogue = layer.getEpilogue().front();
  Type f32 = b.getF32Type();
  Value sum = epilogue.getArgument(0), row = epilogue.addArgument(f32, b.getLoc()),
        token = epilogue.addArgument(f32, b.getLoc());
  auto yield = cast<YieldOp>(epilogue.getTerminator());
  b.setInsertionPoint(yield);
  Value scaled = arith::MulFOp::create(b, sum, arith::MulFOp::create(b, row, token));
  yield.getValuesMutable().assign(scaled);
}

static PackedWeight packCandidate(const GPULayer &layer, const GPUCandidate &candidate) {
  switch (candidate.kind) {
  case GPUKernelKind::CSR:
    return packCSR(layer.matrix, candidate.tile);
  case GPUKernelKind::BlockCSR:
    return packBlocks(layer, candidate.tile);
  case GPUKernelKind::Columns:
    return packColumns(layer.matrix, candidate.tile);
  default:
    return packMatrix(layer.matrix);
  }
}

/// Packs the layer that `op` is; `kind` is what it got.
static LogicalResult packLayerForGPU(RewriterBase &rewriter, linalg::LinalgOp op, const GPUPackOptions &options,
                                     GPUKernelKind &kind) {
  constexpr StringLiteral category = "prune-pack-gpu";
  auto remarkOptions = remark::RemarkOpts::name("Pack").category(category);
  auto declined = [&](const Twine &why) { remark::missed(op.getLoc(), remarkOptions) << why.str(); };
  FailureOr<LayerMatch> match = matchLayer(op, declined);
  if (failed(match))
    return failure();
  auto type = cast<RankedTensorType>(match->activations.getType());
  if (isQuantizedProduct(op))
    return declined("int8, left to the general loops"), failure();
  if (match->columnDim != type.getRank() - 1)
    return declined("columns are not the last dimension of the activations"), failure();
  if (match->weight.getDefiningOp<DecompressOp>())
    return declined("the values of the weight come at run time"), failure();
  FailureOr<LayerWeight> weight = LayerWeight::read(op, match->weight);
  if (failed(weight))
    return failure();
  constexpr int64_t maxElements = std::numeric_limits<int32_t>::max();
  int64_t numElements = weight->matrix.numRows * weight->matrix.numColumns;
  if (numElements == 0 || type.getNumElements() == 0 || numElements > maxElements)
    return declined(llvm::formatv("a weight of {0} elements and {1} activations: expected some, and at most {2}",
                                  numElements, type.getNumElements(), maxElements)
                        .str()),
           failure();

  GPULayer layer;
  layer.matrix = weight->matrix;
  layer.tokens = type.getNumElements() / weight->matrix.numColumns;
  if (auto apply = match->weight.getDefiningOp<ApplyOp>()) {
    Attribute pattern = apply.getPattern();
    if (auto block = dyn_cast<BlockAttr>(pattern); block && block.getRows() * block.getColumns() > 1) {
      layer.blockRows = block.getRows();
      layer.blockColumns = block.getColumns();
    }
    layer.isTwoOfFour = isa<NOfMAttr, TransposableAttr, VNMAttr>(pattern) && !findOverfullGroup(layer.matrix, 2, 4);
  }
  if (options.kernel == GPUKernelKind::TwoOfFour && layer.isTwoOfFour &&
      layer.matrix.numColumns % kTwoOfFourColumns != 0)
    return op->emitOpError() << "expected columns in a multiple of " << kTwoOfFourColumns << " for two_of_four, got "
                             << layer.matrix.numColumns << " in '" << weight->name << "'";
  if (!options.kernel || options.kernel == GPUKernelKind::Columns)
    layer.activationDensity = findActivationDensity(op, match->activations, match->columnDim, *weight, category);
  GPUChoice choice = chooseGPUStorage(layer, options.precision, options.model, options.kernel);
  const GPUCandidate &best = choice.getBest();
  kind = best.kind;
  std::string text = choice.explain(/*wasForced=*/options.kernel == best.kind);
  LibraryChoice library = chooseLibrary(layer, best, options);
  if (library.isPossible())
    text += "; by " + library.name.str();
  else if (!library.name.empty())
    text += "; " + library.name.str() + " declined: " + library.refusal;
  if (options.report)
    options.report->push_back(reportLayer(*weight, layer, choice, text));
  if (weight->isMasked() || layer.activationDensity || !choice.fallback.empty() || !library.name.empty()) {
    text = weight->name + ": " + text;
    if (kind != GPUKernelKind::Matrix || (!weight->isMasked() && library.isPossible()))
      remark::passed(op->getLoc(), remarkOptions) << text;
    else
      remark::missed(op->getLoc(), remarkOptions) << text;
  }

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Type element = getElementType(b.getContext(), best.precision);
  SmallVector<Value> storage;
  PackedWeight packed;
  Value x = match->activations, rowScales, tokenScales;
  std::optional<TensorCoreLayout> layout;
  if (!library.isPossible())
    layout = chooseTiles(layer, best, options);
  if (layout) {
    QuantizedMatrix quantized;
    if (layout->type == TensorCoreType::I8) {
      quantized = quantizeRows(layer.matrix);
      layer.matrix.weight = quantized.values;
      for (float &scale : quantized.largest)
        scale /= kMostI8 * kMostI8;
      rowScales =
          makeConstant<float>(b, quantized.largest, layer.matrix.numRows, b.getF32Type(), weight->name + ".scales");
      std::tie(x, tokenScales) = quantizeTokens(b, x);
    }
    llvm::Expected<std::vector<char>> tiles = packForTensorCores(layer.matrix, *layout);
    if (!tiles)
      return op->emitOpError() << "'" << weight->name << "': " << llvm::toString(tiles.takeError());
    packed.format = layout->isSparse ? StorageFormat::TwoOfFour : StorageFormat::Tiles;
    packed.rows = layout->getRows();
    packed.chunk = layout->getColumns();
    storage.push_back(
        makeConstant<char>(b, *tiles, static_cast<int64_t>(tiles->size()), b.getI8Type(), weight->name + ".tiles"));
  } else if (library.isPossible() && best.kind == GPUKernelKind::CSR) {
    packed = packMatrix(layer.matrix);
    packed.format = StorageFormat::CSR;
    storage = makeLibraryCSR(b, *weight);
  } else {
    packed = packCandidate(layer, best);
    storage = makeGPUStorage(b, packed, *weight, element, best.tile.vectors != 0);
    if (best.kind == GPUKernelKind::TwoOfFour) // a matrix, which cuSPARSELt compresses
      packed.format = StorageFormat::TwoOfFour;
  }
  // `columns` takes the activations as they are.
  if (isa<FloatType>(element) && element != type.getElementType() && kind != GPUKernelKind::Columns)
    x = arith::TruncFOp::create(b, type.clone(element), x);
  auto resultType = cast<RankedTensorType>(op->getResult(0).getType());
  Value init = tensor::EmptyOp::create(b, resultType.getShape(), resultType.getElementType());
  auto linear = LinearOp::create(rewriter, op.getLoc(), storage, x, init, packed.format, packed.rows, packed.chunk,
                                 best.tile.vectors, /*laneDims=*/0);
  if (tokenScales)
    addScales(b, linear, rowScales, tokenScales);
  rewriter.replaceOp(op, linear);
  return success();
}

namespace {
struct PrunePackGPU : prune::impl::PrunePackGPUBase<PrunePackGPU> {
  using Base::Base;

  void runOnOperation() override {
    GPUPackOptions options;
    llvm::json::Array layers;
    if (failed(readOptions(options)))
      return signalPassFailure();
    if (!report.empty())
      options.report = &layers;
    IRRewriter rewriter(&getContext());
    getOperation()->walk([&](linalg::Conv2DNchwFchwOp op) {
      if (op.hasPureTensorSemantics())
        numUnfolded += succeeded(unfoldConvolution(rewriter, op));
    });
    getOperation()->walk([&](linalg::Conv2DNgchwGfchwOp op) {
      if (op.hasPureTensorSemantics())
        numUnfolded += succeeded(unfoldGroupedConvolution(rewriter, op, options.kernel, options.model));
    });
    SmallVector<linalg::LinalgOp> targets;
    getOperation()->walk([&](linalg::LinalgOp op) {
      if ((op.hasPureTensorSemantics() && linalg::isaContractionOpInterface(op) && op.getNumDpsInputs() == 2) ||
          isProductByCompressed(op))
        targets.push_back(op);
    });
    for (linalg::LinalgOp op : targets) {
      bool hadError = false;
      GPUKernelKind kind = GPUKernelKind::Matrix;
      ScopedDiagnosticHandler handler(&getContext(), [&](Diagnostic &diagnostic) {
        hadError |= diagnostic.getSeverity() == DiagnosticSeverity::Error;
        return failure(); // let it through
      });
      if (succeeded(packLayerForGPU(rewriter, op, options, kind))) {
        ++numPacked;
        numSkipping += kind == GPUKernelKind::Columns;
        numSparse += kind != GPUKernelKind::Matrix && kind != GPUKernelKind::Columns;
      } else {
        ++numDeclined;
      }
      if (hadError)
        return signalPassFailure();
    }
    if (!report.empty() && failed(writeReport(std::move(layers), options.model)))
      return signalPassFailure();
    // How a mask was chosen says nothing of the code.
    SmallVector<RecordOp> records;
    getOperation()->walk([&](RecordOp record) { records.push_back(record); });
    for (RecordOp record : records)
      record.erase();
  }

private:
  InFlightDiagnostic emitOptionError() { return emitError(UnknownLoc::get(&getContext())) << "prune-pack-gpu: "; }

  LogicalResult readOptions(GPUPackOptions &options) {
    std::optional<GPUPrecision> parsed = parseGPUPrecision(precision);
    if (!parsed)
      return emitOptionError() << "expected precision f32, tf32, f16, bf16 or i8, got '" << precision << "'";
    options.precision = *parsed;
    static constexpr std::pair<StringRef, GPUKernelKind> kernels[] = {{"dense", GPUKernelKind::Matrix},
                                                                      {"csr", GPUKernelKind::CSR},
                                                                      {"block", GPUKernelKind::BlockCSR},
                                                                      {"two_of_four", GPUKernelKind::TwoOfFour},
                                                                      {"columns", GPUKernelKind::Columns}};
    for (auto [name, kind] : kernels)
      if (kernel == name)
        options.kernel = kind;
    options.tiles = tiles;
    options.libraries.assign(libraries.begin(), libraries.end());
    for (const std::string &library : libraries)
      if (!llvm::is_contained({"cublas", "cusparselt", "cusparse"}, StringRef(library)))
        return emitOptionError() << "expected libraries cublas, cusparselt or cusparse, got '" << library << "'";
    if (!libraries.empty() && chip == "opencl")
      return emitOptionError() << "expected an NVIDIA chip for libraries, got 'opencl'";
    if (!llvm::is_contained({"auto", "warp", "warp_group"}, StringRef(tiles)))
      return emitOptionError() << "expected tiles auto, warp or warp_group, got '" << tiles << "'";
    if (!options.kernel && kernel != "auto")
      return emitOptionError() << "expected kernel auto, dense, csr, block, two_of_four or columns, got '" << kernel
                               << "'";
    if (!llvm::is_contained(GPUCostModel::getChips(), StringRef(chip)))
      return emitOptionError() << "expected chip sm_80, sm_86, sm_89, sm_90 or opencl, got '" << chip << "'";
    llvm::Expected<GPUCostModel> model = GPUCostModel::load(costModel.empty() ? chip : costModel);
    if (!model)
      return emitOptionError() << llvm::toString(model.takeError());
    options.model = std::move(*model);
    if (options.model.chip != chip)
      return emitOptionError() << "cost model '" << costModel << "': expected one of " << chip << ", got one of "
                               << options.model.chip;
    return success();
  }

  LogicalResult writeReport(llvm::json::Array layers, const GPUCostModel &model) {
    llvm::json::Object root{{"cost_model", model.chip}, {"machine", model.machine}, {"layers", std::move(layers)}};
    llvm::Error error = llvm::writeToOutput(report, [&](raw_ostream &os) {
      os << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(root)));
      return llvm::Error::success();
    });
    if (!error)
      return success();
    return emitOptionError() << "cannot write report '" << report << "': " << llvm::toString(std::move(error));
  }
};
} // namespace
