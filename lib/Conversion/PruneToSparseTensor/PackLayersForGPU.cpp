//===- PackLayersForGPU.cpp - prune-pack-gpu ------------------------------------===//
//
// Decides the storage of each constant weight of a contraction by the cost model of the chip, packs it at compile time
// into constants, and replaces the contraction by `prune.linear` on activations as they lie.
//
//===----------------------------------------------------------------------===//

#include "ConstantStorage.h"
#include "LayerWeight.h"
#include "SumColumns.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
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
  GPUCostModel model;
  llvm::json::Array *report = nullptr;
};

} // namespace

static Type getElementType(MLIRContext *context, GPUPrecision precision) {
  switch (precision) {
  case GPUPrecision::F16:
    return Float16Type::get(context);
  case GPUPrecision::BF16:
    return BFloat16Type::get(context);
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
    return storage;
  }
  storage.push_back(makeValues(b, packed, weight, numEntries, element));
  storage.push_back(makeConstant<int32_t>(b, packed.rowOrder, static_cast<int64_t>(packed.rowOrder.size()),
                                          b.getI32Type(), name + ".rows"));
  return storage;
}

/// The order of the weight's tiles, if tensor cores multiply it from such.
static std::optional<TensorCoreLayout> chooseTiles(const GPULayer &layer, const GPUCandidate &candidate,
                                                   const GPUPackOptions &options) {
  bool isHalf = candidate.precision == GPUPrecision::F16 || candidate.precision == GPUPrecision::BF16;
  bool isTF32 = candidate.precision == GPUPrecision::TF32 && candidate.kind == GPUKernelKind::Matrix;
  if (!isTF32 && (!isHalf || (candidate.kind != GPUKernelKind::Matrix && candidate.kind != GPUKernelKind::TwoOfFour)))
    return std::nullopt;
  TensorCoreLayout layout;
  layout.isSparse = candidate.kind == GPUKernelKind::TwoOfFour;
  layout.type = isTF32                                     ? TensorCoreType::TF32
                : candidate.precision == GPUPrecision::F16 ? TensorCoreType::F16
                                                           : TensorCoreType::BF16;
  // With fewer tokens or rows most of a warp group's tile would be in vain. The tensor copy engine wants rows of whole
  // 16 bytes.
  constexpr int64_t kLeastTokens = 48, kLeastRows = 128;
  layout.isWarpGroup =
      options.tiles == "warp_group" ||
      (options.tiles == "auto" && options.model.chip == "sm_90" && layer.tokens >= kLeastTokens &&
       layer.matrix.numRows >= kLeastRows && layer.matrix.numColumns * layout.getElementBytes() % 16 == 0);
  return layout;
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
  if (options.report)
    options.report->push_back(reportLayer(*weight, layer, choice, text));
  if (weight->isMasked() || layer.activationDensity) {
    text = weight->name + ": " + text;
    if (kind != GPUKernelKind::Matrix)
      remark::passed(op->getLoc(), remarkOptions) << text;
    else
      remark::missed(op->getLoc(), remarkOptions) << text;
  }

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Type element = getElementType(b.getContext(), best.precision);
  SmallVector<Value> storage;
  PackedWeight packed;
  if (std::optional<TensorCoreLayout> layout = chooseTiles(layer, best, options)) {
    llvm::Expected<std::vector<char>> tiles = packForTensorCores(layer.matrix, *layout);
    if (!tiles)
      return op->emitOpError() << "'" << weight->name << "': " << llvm::toString(tiles.takeError());
    packed.format = layout->isSparse ? StorageFormat::TwoOfFour : StorageFormat::Tiles;
    packed.rows = layout->getRows();
    packed.chunk = layout->getColumns();
    storage.push_back(
        makeConstant<char>(b, *tiles, static_cast<int64_t>(tiles->size()), b.getI8Type(), weight->name + ".tiles"));
  } else {
    packed = packCandidate(layer, best);
    storage = makeGPUStorage(b, packed, *weight, element, best.tile.vectors != 0);
  }
  Value x = match->activations;
  if (element != type.getElementType() && kind != GPUKernelKind::Columns) // which takes them as they are
    x = arith::TruncFOp::create(b, type.clone(element), x);
  auto resultType = cast<RankedTensorType>(op->getResult(0).getType());
  Value init = tensor::EmptyOp::create(b, resultType.getShape(), resultType.getElementType());
  rewriter.replaceOpWithNewOp<LinearOp>(op, storage, x, init, packed.format, packed.rows, packed.chunk,
                                        best.tile.vectors, /*laneDims=*/0);
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
    SmallVector<linalg::LinalgOp> targets;
    getOperation()->walk([&](linalg::LinalgOp op) {
      if ((op.hasPureTensorSemantics() && linalg::isaContractionOpInterface(op) && op.getNumDpsInputs() == 2) ||
          isProductByCompressed(op))
        targets.push_back(op);
    });
    IRRewriter rewriter(&getContext());
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
      return emitOptionError() << "expected precision f32, tf32, f16 or bf16, got '" << precision << "'";
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
