//===- PackLayers.cpp - prune-pack: constant weights into storage order ---------===//
//
// Decides the storage of each constant weight of a `linalg.contract`, packs it at compile time into constants held
// together by `sparse_tensor.assemble`, and replaces the contraction by `prune.linear` on activations with contiguous
// lanes.
//
//===----------------------------------------------------------------------===//

#include "KeptResults.h"
#include "LaneLayout.h"
#include "LayerWeight.h"
#include "SumColumns.h"
#include "UpstreamStorage.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SparseTensor/IR/SparseTensor.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "prune/Conversion/Passes.h"
#include "prune/Conversion/PruneToSparseTensor/LayerMeasurement.h"
#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include "prune/Conversion/PruneToSparseTensor/PruneToSparseTensor.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Support/Progress.h"
#include "prune/Support/Target.h"
#include "llvm/ADT/StringExtras.h"
#include <chrono>
#include <limits>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEEXPANDSTORAGE
#define GEN_PASS_DEF_PRUNEPACK
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

bool mlir::prune::isZeroFill(Value value) {
  auto fill = value.getDefiningOp<linalg::FillOp>();
  return fill &&
         (matchPattern(fill.getInputs().front(), m_AnyZeroFloat()) || matchPattern(fill.getInputs().front(), m_Zero()));
}

bool mlir::prune::isQuantizedProduct(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || !generic.hasPureTensorSemantics() || generic.getNumDpsInputs() != 2 ||
      !linalg::isaContractionOpInterface(generic))
    return false;
  // sum + zext(x) * sext(w)
  auto isI8 = [](Value value) { return value.getType().isInteger(8); };
  Block *body = generic.getBody();
  auto add = body->getTerminator()->getOperand(0).getDefiningOp<arith::AddIOp>();
  if (!add || !add.getType().isInteger(32) || !isI8(body->getArgument(0)) || !isI8(body->getArgument(1)))
    return false;
  Value sum = body->getArgument(2);
  auto product = (add.getLhs() == sum ? add.getRhs() : add.getLhs()).getDefiningOp<arith::MulIOp>();
  auto isProduct = [&](Value x, Value w) {
    auto unsignedX = x.getDefiningOp<arith::ExtUIOp>();
    auto signedW = w.getDefiningOp<arith::ExtSIOp>();
    return unsignedX && signedW && unsignedX.getIn() == body->getArgument(0) && signedW.getIn() == body->getArgument(1);
  };
  return product && (isProduct(product.getLhs(), product.getRhs()) || isProduct(product.getRhs(), product.getLhs()));
}

FailureOr<LayerMatch> mlir::prune::matchLayer(linalg::LinalgOp op, function_ref<void(const Twine &)> decline) {
  OpOperand *input = op.getDpsInputOperand(0), *weight = op.getDpsInputOperand(1);
  if (input->get().getDefiningOp<DecompressOp>())
    std::swap(input, weight);
  LayerMatch match;
  match.activations = input->get();
  match.weight = weight->get();
  if (!LayerWeight::isKnown(match.weight))
    return failure(); // a product of activations
  auto type = cast<RankedTensorType>(match.activations.getType());
  if (!type.getElementType().isF32() && !isQuantizedProduct(op))
    return decline("element type is not f32"), failure();
  if (!type.hasStaticShape())
    return decline("dynamic shape"), failure();
  OpOperand *init = op.getDpsInitOperand(0);
  AffineMap x = op.getMatchingIndexingMap(input), w = op.getMatchingIndexingMap(weight),
            y = op.getMatchingIndexingMap(init);
  if (w.getNumResults() != 2 || x.getNumResults() != y.getNumResults())
    return decline("weight is not a matrix"), failure();
  AffineExpr n = w.getResult(0), k = w.getResult(1);
  match.isTransposed = x.getResultPosition(n) && match.weight.getDefiningOp<DecompressOp>();
  if (match.isTransposed)
    std::swap(n, k);
  std::optional<unsigned> columnDim = x.getResultPosition(k), rowDim = y.getResultPosition(n);
  if (!columnDim || !rowDim || x.getResultPosition(n) || y.getResultPosition(k) || *columnDim != *rowDim)
    return decline("row and column dimension are not at one position"), failure();
  for (unsigned dim = 0; dim < x.getNumResults(); ++dim)
    if (dim != *columnDim && x.getResult(dim) != y.getResult(dim))
      return decline("activations and result have their other dimensions in different orders"), failure();
  if (!isZeroFill(init->get()))
    return decline("the destination is not filled with zero"), failure();
  match.columnDim = *columnDim;
  if (x.getNumResults() < 2)
    return decline("a vector, not a matrix, of activations"), failure();
  return match;
}

/// How the tokens of a matched layer will lie.
static TokenShape getTokenShape(const LayerMatch &match, const LaneLayout &layout, const PackOptions &options) {
  auto type = cast<RankedTensorType>(match.activations.getType());
  TokenShape tokens;
  tokens.lanes = layout.getPanelLanes();
  tokens.batches = type.getNumElements() / std::max<int64_t>(1, type.getDimSize(match.columnDim) * tokens.lanes);
  tokens.registerLanes = options.lanes;
  tokens.registers = options.registers;
  tokens.vectors = options.vectors ? options.vectors : std::max<int64_t>(1, options.panel / options.lanes);
  return tokens;
}

LogicalResult mlir::prune::packLayer(RewriterBase &rewriter, linalg::LinalgOp op, const PackOptions &options) {
  auto declined = [&](const Twine &why) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack")) << why.str();
  };
  FailureOr<LayerMatch> match = matchLayer(op, declined);
  if (failed(match))
    return failure();
  bool usesSparsifier = options.kernel == "sparsifier";
  LaneLayout layout(cast<RankedTensorType>(match->activations.getType()), match->columnDim, options.panel);
  if (layout.getNumLanes() < options.minLanes && !usesSparsifier) {
    declined(llvm::formatv("{0} tokens or pixels, fewer than the {1} that fill vector lanes", layout.getNumLanes(),
                           options.minLanes)
                 .str());
    return failure();
  }
  if (options.kernel == "contract")
    return declined("left to the code of linalg.contract"), failure();
  FailureOr<LayerWeight> weight = LayerWeight::read(op, match->weight, match->isTransposed);
  if (failed(weight))
    return failure();
  const MaskedMatrix &matrix = weight->matrix;
  if (options.chunk > 65536)
    return op->emitOpError() << "expected at most 65536 columns in a chunk, got " << options.chunk;
  constexpr int64_t maxElements = std::numeric_limits<int32_t>::max();
  if (int64_t size = matrix.numRows * matrix.numColumns; size > maxElements)
    return declined(
               llvm::formatv("a weight of {0} elements, more than the {1} of packed storage", size, maxElements).str()),
           failure();

  bool isQuantized = isQuantizedProduct(op);
  if (usesSparsifier) {
    auto apply = match->weight.getDefiningOp<ApplyOp>();
    if (isQuantized)
      return declined("int8, and the sparsifier was asked for"), failure();
    if (!apply)
      return declined("not masked, and the sparsifier was asked for"), failure();
    rewriter.setInsertionPoint(op);
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value assembled = assembleForSparsifier(b, matrix, apply.getPattern(), options.byColumn, weight->name);
    rewriter.modifyOpInPlace(op, [&] { op->setOperand(1, assembled); });
    return success();
  }
  LayerShape layer;
  layer.matrix = matrix;
  layer.tokens = getTokenShape(*match, layout, options);
  layer.blockRows = weight->blockRows;
  std::optional<LayerWeight> words;
  LayerChoice choice;
  KeptResults kept;
  if (isQuantized) {
    FailureOr<LayerChoice> chosen = chooseQuantizedCode(op, match->weight, *weight, layer, options, words);
    if (failed(chosen))
      return failure();
    choice = std::move(*chosen);
  } else {
    layer.allowsColumns =
        !weight->values && match->columnDim + 1 == cast<RankedTensorType>(match->activations.getType()).getRank();
    if (options.kernel != "dense") {
      layer.activationDensity = findActivationDensity(op, match->activations, match->columnDim, *weight, "prune-pack");
      kept = findKeptResults(op, *weight, layer);
      layer.resultDensity = kept.density;
    }
    choice = chooseCode(op, *weight, layer, options);
  }
  const LayerCandidate &best = choice.getBest();
  if (best.skipsActivations() || best.kind == KernelKind::AllColumns) {
    sumColumns(rewriter, op, match->activations, *weight, choice, options);
    return success();
  }
  if (best.skipsResults())
    return multiplyRows(rewriter, op, match->activations, *weight, kept.mask, options), success();
  if (best.kind == KernelKind::Contract)
    return failure(); // its columns are the lanes of the general loops
  const PackedWeight &packed = choice.packed;

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  bool inFloats = isQuantized && !words;
  Value x = match->activations;
  if (inFloats) {
    auto integers = cast<RankedTensorType>(x.getType());
    x = arith::ExtUIOp::create(b, integers.clone(b.getI32Type()), x);
    x = arith::SIToFPOp::create(b, integers.clone(b.getF32Type()), x);
  }
  x = layout.enter(b, x);
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape[type.getRank() - 1 - layout.getLaneDims()] = matrix.numRows;
  Value init = tensor::EmptyOp::create(b, shape, words ? b.getI32Type() : type.getElementType());
  SmallVector<Value> storage = makeStorage(b, packed, words ? *words : *weight);
  auto linear =
      LinearOp::create(b, storage, x, init, packed.format, packed.rows, best.chunk, best.vectors, layout.getLaneDims(),
                       WindowAttr(), makeShares(b, choice, options, weight->name), words ? words->wordColumns : 1);
  Value result = layout.leave(b, linear.getResult(0), matrix.numRows);
  if (inFloats)
    result = arith::FPToSIOp::create(b, op->getResult(0).getType(), result);
  rewriter.replaceOp(op, result);
  return success();
}

/// A convolution that has sparse code, or a mask and should hear why it gets none.
static bool isConvolution(Operation *op) {
  if (isa<linalg::Conv2DNchwFchwOp, linalg::Conv2DNgchwGfchwOp, linalg::DepthwiseConv2DNchwChwOp>(op))
    return true;
  return isa<linalg::ConvolutionOpInterface>(op) &&
         isa_and_nonnull<ApplyOp, DecompressOp>(op->getOperand(1).getDefiningOp());
}

bool mlir::prune::isProductByCompressed(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && generic.hasPureTensorSemantics() && generic.getNumDpsInputs() == 2 &&
         llvm::any_of(generic.getInputs(), [](Value v) { return v.getDefiningOp<DecompressOp>(); }) &&
         linalg::isaContractionOpInterface(generic);
}

namespace {
struct PrunePack : prune::impl::PrunePackBase<PrunePack> {
  using Base::Base;

  void runOnOperation() override {
    if (!llvm::is_contained({"auto", "contract", "dense", "sparse", "sparsifier"}, StringRef(kernel))) {
      emitError(UnknownLoc::get(&getContext()))
          << "prune-pack: expected kernel auto, contract, sparse, sparsifier or dense, got '" << kernel << "'";
      return signalPassFailure();
    }
    PackOptions options;
    options.kernel = kernel;
    options.panel = panel;
    options.lanes = lanes;
    options.registers = registers;
    options.chunk = chunk;
    options.vectors = vectors;
    options.denseRows = denseRows;
    options.minLanes = minLanes;
    options.byColumn = byColumn;
    options.threads = threads;
    options.hasVNNI = vnni;
    options.wordColumns = wordColumns;
    if (wordColumns != 0 && wordColumns != 2 && wordColumns != 4) {
      emitError(UnknownLoc::get(&getContext()))
          << "prune-pack: expected word-columns of 0, 2 or 4, got " << wordColumns.getValue();
      return signalPassFailure();
    }
    llvm::Expected<CostModel> model = CostModel::load(costModel);
    if (!model) {
      emitError(UnknownLoc::get(&getContext())) << "prune-pack: " << llvm::toString(model.takeError());
      return signalPassFailure();
    }
    options.model = std::move(*model);
    if (options.model.lanes != lanes) {
      emitError(UnknownLoc::get(&getContext()))
          << "prune-pack: cost model '" << costModel << "': expected a model for registers of " << lanes.getValue()
          << " lanes, got one for " << options.model.lanes;
      return signalPassFailure();
    }
    llvm::json::Array layers;
    if (!report.empty())
      options.report = &layers;
    LayerTimer timer;
    if (measure && failed(setUpMeasuring(options, timer)))
      return signalPassFailure();
    SmallVector<Operation *> targets;
    getOperation()->walk([&](Operation *op) {
      if (isa<linalg::ContractOp, CompressOp>(op) || isConvolution(op) || isProductByCompressed(op) ||
          isQuantizedProduct(op))
        targets.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    timer.numLayers = targets.size();
    for (Operation *op : targets) {
      ++timer.layer;
      bool hadError = false;
      ScopedDiagnosticHandler handler(&getContext(), [&](Diagnostic &diagnostic) {
        hadError |= diagnostic.getSeverity() == DiagnosticSeverity::Error;
        return failure(); // let it through
      });
      LogicalResult packed = failure();
      if (auto compress = dyn_cast<CompressOp>(op))
        packed = packWeightGradient(rewriter, compress, options);
      else if (auto depthwise = dyn_cast<linalg::DepthwiseConv2DNchwChwOp>(op))
        packed = packDepthwise(rewriter, depthwise, options);
      else if (isConvolution(op))
        packed = packConvolution(rewriter, cast<linalg::LinalgOp>(op), options);
      else
        packed = packLayer(rewriter, cast<linalg::LinalgOp>(op), options);
      if (succeeded(packed))
        ++numPacked;
      else
        ++numDeclined;
      if (hadError)
        return signalPassFailure();
    }
    if (timer.numLeft)
      remark::missed(getOperation()->getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack"))
          << llvm::formatv("{0} of {1} layers left to the estimate because measure-limit={2} seconds were over",
                           timer.numLeft, timer.numLeft + timer.numTimed, formatNumber(measureLimit))
                 .str();
    if (!report.empty() && failed(writeReport(std::move(layers), options.model)))
      return signalPassFailure();
  }

private:
  /// Times layers until the limit is reached, and says on a terminal how far it is.
  struct LayerTimer {
    std::optional<Progress> progress;
    std::chrono::steady_clock::time_point begin;
    size_t layer = 0, numLayers = 0; ///< the one that is being packed, from 1 on
    size_t numTimed = 0, numLeft = 0;
  };

  LogicalResult setUpMeasuring(PackOptions &options, LayerTimer &timer) {
    if (!(measureLimit >= 0))
      return emitError(UnknownLoc::get(&getContext()))
             << "prune-pack: expected measure-limit of 0 or more seconds, got " << formatNumber(measureLimit);
    auto *dialect = getContext().getLoadedDialect<PruneDialect>();
    auto *interface = dialect ? dialect->getRegisteredInterface<LayerMeasurementInterface>() : nullptr;
    EntryOp entry;
    getOperation()->walk([&](EntryOp op) { entry = op; });
    if (!interface || !entry)
      return emitError(UnknownLoc::get(&getContext()))
             << "prune-pack: expected "
             << (interface ? "prune.entry, which says for what processor to measure" : "a tool that runs code")
             << " with measure=true";
    auto target = resolveTarget(entry.getCpu().value_or("host"), entry.getFeatures().value_or(""));
    if (!target)
      return emitError(entry.getLoc()) << "prune-pack: " << llvm::toString(target.takeError());
    auto missing = findMissingFeatures(*target);
    if (!missing)
      return emitError(entry.getLoc()) << "prune-pack: " << llvm::toString(missing.takeError());
    if (!missing->empty())
      return emitError(entry.getLoc()) << "prune-pack: cannot measure for cpu '" << target->cpu
                                       << "': this machine lacks " << llvm::join(*missing, ", ");
    timer.progress.emplace();
    timer.begin = std::chrono::steady_clock::now();
    double limit = measureLimit;
    options.measure = [interface, entry, limit, &timer](const LayerShape &shape, ArrayRef<LayerCandidate> candidates) {
      std::chrono::duration<double> past = std::chrono::steady_clock::now() - timer.begin;
      if (limit > 0 && past.count() >= limit) {
        ++timer.numLeft;
        return std::vector<double>(candidates.size(), std::numeric_limits<double>::infinity());
      }
      ++timer.numTimed;
      timer.progress->start(llvm::formatv("timing code of layer {0} of {1}", timer.layer, timer.numLayers).str());
      return interface->measure(entry, shape, candidates);
    };
    return success();
  }

  LogicalResult writeReport(llvm::json::Array layers, const CostModel &model) {
    llvm::json::Object root{{"cost_model", model.cpu}, {"machine", model.machine}, {"layers", std::move(layers)}};
    llvm::Error error = llvm::writeToOutput(report, [&](raw_ostream &os) {
      os << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(root)));
      return llvm::Error::success();
    });
    if (!error)
      return success();
    return emitError(UnknownLoc::get(&getContext()))
           << "prune-pack: cannot write report '" << report << "': " << llvm::toString(std::move(error));
  }
};

struct PruneExpandStorage : prune::impl::PruneExpandStorageBase<PruneExpandStorage> {
  using Base::Base;

  void runOnOperation() override {
    SetVector<Operation *> taken;
    WalkResult walk = getOperation()->walk([&](LinearOp op) {
      SmallVector<Value> storage;
      for (Value operand : op.getStorage()) {
        if (!sparse_tensor::getSparseTensorEncoding(operand.getType())) {
          storage.push_back(operand);
          continue;
        }
        auto assembled = operand.getDefiningOp<sparse_tensor::AssembleOp>();
        if (!assembled) {
          op.emitOpError() << "expected sparse storage made by sparse_tensor.assemble";
          return WalkResult::interrupt();
        }
        llvm::append_range(storage, assembled.getLevels());
        storage.push_back(assembled.getValues());
        taken.insert(assembled);
      }
      op.getStorageMutable().assign(storage);
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();
    for (Operation *assembled : taken)
      if (assembled->use_empty())
        assembled->erase();
    SmallVector<RecordOp> records;
    getOperation()->walk([&](RecordOp record) { records.push_back(record); });
    for (RecordOp record : records)
      record.erase();
  }
};
} // namespace
