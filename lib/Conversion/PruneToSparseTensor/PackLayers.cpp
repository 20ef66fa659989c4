//===- PackLayers.cpp - prune-pack: constant weights into storage order ---------===//
//
// Decides the storage of each constant weight of a `linalg.contract`, packs it at compile time into constants held
// together by `sparse_tensor.assemble`, and replaces the contraction by `prune.linear` on activations with contiguous
// lanes.
//
//===----------------------------------------------------------------------===//

#include "ConstantStorage.h"
#include "LayerWeight.h"
#include "UpstreamStorage.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SparseTensor/IR/SparseTensor.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "prune/Conversion/Passes.h"
#include "prune/Conversion/PruneToSparseTensor/LayerMeasurement.h"
#include "prune/Conversion/PruneToSparseTensor/Packing.h"
#include "prune/Conversion/PruneToSparseTensor/PruneToSparseTensor.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEEXPANDSTORAGE
#define GEN_PASS_DEF_PRUNEPACK
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// A contraction with a constant weight, and how its activations lie.
struct LayerMatch {
  Value activations;
  Value weight;  ///< the constant or the prune.apply on it
  ApplyOp apply; ///< null when the weight is not masked
  /// Position of k in the activations and of n in the result.
  int64_t columnDim = 0;
  /// The activations are [.., m, k] and must become [.., k, m]; otherwise their lanes follow k already.
  bool lanesBeforeColumns = false;
  int64_t numLanes = 0;
};

} // namespace

bool mlir::prune::isZeroFill(Value value) {
  auto fill = value.getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.getInputs().front(), m_AnyZeroFloat());
}

/// Matches x(.., m, k) w(n, k) -> y(.., m, n) and x(b, k, ..) w(n, k) -> y(b, n, ..), both dims in one order.
static FailureOr<LayerMatch> matchLayer(linalg::ContractOp op, function_ref<void(const Twine &)> decline) {
  LayerMatch match;
  match.activations = op.getDpsInputOperand(0)->get();
  match.weight = op.getDpsInputOperand(1)->get();
  match.apply = match.weight.getDefiningOp<ApplyOp>();
  if (!getConstantAttr(match.apply ? match.apply.getWeight() : match.weight))
    return failure(); // a product of activations
  auto type = cast<RankedTensorType>(match.activations.getType());
  if (!type.getElementType().isF32())
    return decline("element type is not f32"), failure();
  if (!type.hasStaticShape())
    return decline("dynamic shape"), failure();
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  AffineMap x = maps[0], w = maps[1], y = maps[2];
  if (w.getNumResults() != 2 || x.getNumResults() != y.getNumResults())
    return decline("weight is not a matrix"), failure();
  AffineExpr n = w.getResult(0), k = w.getResult(1);
  std::optional<unsigned> columnDim = x.getResultPosition(k), rowDim = y.getResultPosition(n);
  if (!columnDim || !rowDim || x.getResultPosition(n) || y.getResultPosition(k) || *columnDim != *rowDim)
    return decline("row and column dimension are not at one position"), failure();
  for (unsigned dim = 0; dim < x.getNumResults(); ++dim)
    if (dim != *columnDim && x.getResult(dim) != y.getResult(dim))
      return decline("activations and result have their other dimensions in different orders"), failure();
  if (!isZeroFill(op.getDpsInitOperand(0)->get()))
    return decline("the destination is not filled with zero"), failure();
  match.columnDim = *columnDim;
  match.lanesBeforeColumns = *columnDim + 1 == x.getNumResults();
  if (match.lanesBeforeColumns && x.getNumResults() < 2)
    return decline("a vector, not a matrix, of activations"), failure();
  match.numLanes = 1;
  if (match.lanesBeforeColumns)
    match.numLanes = type.getDimSize(*columnDim - 1);
  else
    for (int64_t size : type.getShape().drop_front(*columnDim + 1))
      match.numLanes *= size;
  return match;
}

SmallVector<Value> mlir::prune::makeStorage(ImplicitLocOpBuilder &b, const PackedWeight &packed, StringRef name) {
  MLIRContext *context = b.getContext();
  Type f32 = b.getF32Type();
  int64_t chunks = packed.getNumChunks(), rows = packed.getNumStorageRows();
  if (packed.format == StorageFormat::Dense)
    return {makeConstant<float>(b, packed.values, {rows, packed.numColumns, packed.rows}, f32, name + ".values")};

  using namespace sparse_tensor;
  int64_t numEntries = packed.coordinates.size();
  Value positions = makeConstant<int32_t>(b, packed.positions, static_cast<int64_t>(packed.positions.size()),
                                          b.getI32Type(), name + ".positions");
  Value coordinates = makeConstant<uint16_t>(b, packed.coordinates, numEntries, b.getI16Type(), name + ".coordinates");
  Value values =
      makeConstant<float>(b, packed.values, static_cast<int64_t>(packed.values.size()), f32, name + ".values");
  bool isBlocked = packed.format == StorageFormat::BlockRows;
  // Shared columns come first and padding repeats a column: coordinates are neither sorted nor unique.
  auto compressed = isBlocked ? *buildLevelType(LevelFormat::Compressed, /*ordered=*/true, /*unique=*/true)
                              : *buildLevelType(LevelFormat::Compressed, /*ordered=*/false, /*unique=*/false);
  LevelType dense = *buildLevelType(LevelFormat::Dense, /*ordered=*/true, /*unique=*/true);
  SmallVector<LevelType> levels{dense, dense, compressed};
  SmallVector<int64_t> shape{chunks, rows, packed.chunk};
  if (isBlocked) {
    levels.push_back(dense);
    shape.push_back(packed.rows);
  }
  AffineMap identity = AffineMap::getMultiDimIdentityMap(levels.size(), context);
  auto encoding = SparseTensorEncodingAttr::get(context, levels, identity, identity, /*posWidth=*/32, /*crdWidth=*/16);
  Value assembled =
      AssembleOp::create(b, RankedTensorType::get(shape, f32, encoding), ValueRange{positions, coordinates}, values);
  Value rowOrder = makeConstant<int32_t>(b, packed.rowOrder, {chunks, rows}, b.getI32Type(), name + ".rows");
  if (isBlocked)
    return {assembled, rowOrder};
  return {assembled, rowOrder,
          makeConstant<uint16_t>(b, packed.sharedCounts, {chunks, rows / 2}, b.getI16Type(), name + ".shared")};
}

/// Rows of the blocks that a kernel can take; 0 for other masks.
static int64_t getBlockRows(ApplyOp apply, int64_t numRows) {
  auto block = dyn_cast<BlockAttr>(apply.getPattern());
  bool isBlocked = block && block.getRows() > 1 && numRows % block.getRows() == 0 && block.getRows() <= 8;
  return isBlocked ? block.getRows() : 0;
}

PackedWeight mlir::prune::choosePacking(const MaskedMatrix &matrix, ApplyOp apply, const PackOptions &options,
                                        std::string &reason) {
  // Shares of the multiply-add peak that sparse kernels reach, against dense ones.
  constexpr double unstructuredBreakEven = 0.65, blockBreakEven = 0.9;
  if (options.kernel == "dense") {
    reason = "dense because kernel=dense was asked for";
    return {};
  }
  int64_t size = matrix.numRows * matrix.numColumns;
  int64_t kept = llvm::count_if(matrix.mask, [](uint8_t bit) { return bit != 0; });
  double density = size ? static_cast<double>(kept) / size : 1.0;
  int64_t blockRows = getBlockRows(apply, matrix.numRows);
  double breakEven = options.kernel == "sparse" ? 1.0 : blockRows ? blockBreakEven : unstructuredBreakEven;
  if (density > breakEven) {
    reason = llvm::formatv("dense because density {0:f2} is above break-even {1:f2}", density, breakEven).str();
    return {};
  }
  int64_t chunk = std::min(options.chunk, matrix.numColumns);
  return blockRows ? packBlockRows(matrix, blockRows, chunk) : packChunkedCSR(matrix, chunk);
}

/// How the tokens of a matched layer will lie in panels.
static TokenShape getTokenShape(const LayerMatch &match, linalg::ContractOp op, const PackOptions &options) {
  auto type = cast<RankedTensorType>(match.activations.getType());
  TokenShape tokens;
  tokens.lanes = match.numLanes;
  tokens.batches = type.getNumElements() / std::max<int64_t>(1, type.getDimSize(match.columnDim) * match.numLanes);
  tokens.registerLanes = options.lanes;
  tokens.registers = options.registers;
  tokens.vectors = options.vectors ? options.vectors : std::max<int64_t>(1, options.panel / options.lanes);
  if (!match.lanesBeforeColumns)
    return tokens;
  if (tokens.lanes < options.panel) { // short sequences share a panel
    tokens.lanes *= tokens.batches;
    tokens.batches = 1;
  }
  if (tokens.lanes > options.panel && tokens.lanes % options.panel == 0) {
    tokens.batches *= tokens.lanes / options.panel;
    tokens.lanes = options.panel;
  }
  return tokens;
}

static llvm::json::Object reportLayer(StringRef name, const LayerShape &shape, ApplyOp apply,
                                      const LayerChoice &choice) {
  llvm::json::Array candidates;
  for (const LayerCandidate &candidate : choice.candidates) {
    llvm::json::Object entry{{"kernel", stringifyKernelKind(candidate.kind)},
                             {"rows", candidate.rows},
                             {"chunk", candidate.chunk},
                             {"vectors", candidate.vectors},
                             {"estimated_us", candidate.estimatedNs / 1e3}};
    if (candidate.measuredNs)
      entry["measured_us"] = *candidate.measuredNs / 1e3;
    candidates.push_back(std::move(entry));
  }
  llvm::json::Object layer{{"name", name.str()},
                           {"rows", shape.matrix.numRows},
                           {"columns", shape.matrix.numColumns},
                           {"tokens", shape.tokens.batches * shape.tokens.lanes},
                           {"pattern", ""},
                           {"density", choice.density},
                           {"choice", choice.explain()},
                           {"candidates", std::move(candidates)}};
  if (apply) {
    std::string pattern;
    llvm::raw_string_ostream os(pattern);
    apply.getPattern().printShort(os);
    layer["pattern"] = pattern;
  }
  if (choice.breakEven)
    layer["break_even"] = *choice.breakEven;
  return layer;
}

static Value transposeLastTwo(ImplicitLocOpBuilder &b, Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  SmallVector<int64_t> shape = applyPermutation(type.getShape(), order);
  Value empty = tensor::EmptyOp::create(b, shape, type.getElementType());
  return linalg::TransposeOp::create(b, value, empty, order)->getResult(0);
}

FailureOr<LayerWeight> LayerWeight::read(Operation *op, Value weight, ApplyOp apply) {
  auto emitError = [&] { return op->emitOpError(); };
  Attribute constant = getConstantAttr(apply ? apply.getWeight() : weight);
  FailureOr<WeightData> data = WeightData::read(constant, emitError);
  if (failed(data))
    return failure();
  LayerWeight result{std::move(*data), std::nullopt, {}, "weight"};
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t rows = type.getDimSize(0);
  result.matrix = {result.data.values(), {}, rows, rows ? type.getNumElements() / rows : 0};
  if (apply) {
    Attribute maskAttr = getConstantAttr(apply.getMask());
    if (!maskAttr)
      return op->emitOpError() << "expected a constant mask, run prune-evaluate-masks first";
    FailureOr<MaskData> mask = MaskData::read(maskAttr, emitError);
    if (failed(mask))
      return failure();
    result.mask.emplace(std::move(*mask));
    result.matrix.mask = result.mask->bytes();
  }
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant))
    result.name = resource.getRawHandle().getKey().str();
  return result;
}

LogicalResult mlir::prune::packLayer(RewriterBase &rewriter, linalg::ContractOp op, const PackOptions &options) {
  auto declined = [&](const Twine &why) {
    remark::missed(op.getLoc(), remark::RemarkOpts::name("Pack").category("prune-pack")) << why.str();
  };
  FailureOr<LayerMatch> match = matchLayer(op, declined);
  if (failed(match))
    return failure();
  auto resultType = cast<RankedTensorType>(op->getResult(0).getType()), flatType = resultType;
  int64_t rank = resultType.getRank();
  // Sequences too short for a panel lie side by side in it.
  bool isFlat = match->lanesBeforeColumns && rank > 2 && match->numLanes < options.panel;
  if (isFlat)
    match->numLanes = resultType.getNumElements() / resultType.getShape().back();
  if (match->numLanes < options.minLanes && options.kernel != "sparsifier") {
    declined(llvm::formatv("{0} tokens or pixels, fewer than the {1} that fill vector lanes", match->numLanes,
                           options.minLanes)
                 .str());
    return failure();
  }
  if (options.kernel == "contract")
    return declined("left to the code of linalg.contract"), failure();
  FailureOr<LayerWeight> weight = LayerWeight::read(op, match->weight, match->apply);
  if (failed(weight))
    return failure();
  const MaskedMatrix &matrix = weight->matrix;
  const std::string &name = weight->name;
  if (matrix.numRows > std::numeric_limits<int32_t>::max() || options.chunk > 65536)
    return op.emitOpError() << "expected at most 65536 columns in a chunk, got " << options.chunk;

  if (options.kernel == "sparsifier") {
    if (!match->apply)
      return declined("not masked, and the sparsifier was asked for"), failure();
    rewriter.setInsertionPoint(op);
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value assembled = assembleForSparsifier(b, matrix, match->apply.getPattern(), options.byColumn, name);
    rewriter.modifyOpInPlace(op, [&] { op->setOperand(1, assembled); });
    return success();
  }
  LayerShape layer;
  layer.matrix = matrix;
  layer.tokens = getTokenShape(*match, op, options);
  if (match->apply)
    layer.blockRows = getBlockRows(match->apply, matrix.numRows);
  ChoiceOptions choiceOptions;
  choiceOptions.allowSparse = match->apply && options.kernel != "dense";
  choiceOptions.allowDense = !choiceOptions.allowSparse || options.kernel != "sparse";
  choiceOptions.allowContract = choiceOptions.allowDense && options.denseRows == 0;
  choiceOptions.chunk = options.chunk;
  choiceOptions.vectors = options.vectors;
  choiceOptions.denseRows = options.denseRows;
  choiceOptions.contractLanes = options.contractLanes;
  choiceOptions.measure = options.measure;
  LayerChoice choice = chooseLayer(layer, options.model, choiceOptions);
  const LayerCandidate &best = choice.getBest();
  if (options.report)
    options.report->push_back(reportLayer(name, layer, match->apply, choice));
  auto remarkOptions = remark::RemarkOpts::name("Pack").category("prune-pack");
  if (match->apply) {
    std::string text = name + ": " + choice.explain();
    if (best.isSparse())
      remark::passed(op.getLoc(), remarkOptions) << text;
    else
      remark::missed(op.getLoc(), remarkOptions) << text;
  }
  if (best.kind == KernelKind::Contract)
    return failure(); // its columns are the lanes of the general loops
  const PackedWeight &packed = choice.packed;

  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  // Lanes innermost, and in panels of one register tile where they divide.
  Value x = match->activations;
  SmallVector<ReassociationIndices> flatGroups;
  int64_t numLanes = match->numLanes;
  if (isFlat) {
    flatGroups = {llvm::to_vector(llvm::seq<int64_t>(0, rank - 1)), {rank - 1}};
    x = tensor::CollapseShapeOp::create(b, x, flatGroups);
    flatType = RankedTensorType::get({numLanes, matrix.numRows}, resultType.getElementType());
  }
  bool isPaneled = match->lanesBeforeColumns && numLanes > options.panel && numLanes % options.panel == 0;
  auto getPanelGroups = [&](int64_t rank) {
    SmallVector<ReassociationIndices> groups;
    for (int64_t dim = 0; dim < rank; ++dim) {
      if (dim < rank - 2)
        groups.push_back({dim});
      else if (dim == rank - 2)
        groups.push_back({dim, dim + 1});
      else
        groups.push_back({dim + 1});
    }
    return groups;
  };
  if (isPaneled) {
    auto type = cast<RankedTensorType>(x.getType());
    SmallVector<int64_t> shape(type.getShape());
    shape[shape.size() - 2] = options.panel;
    shape.insert(shape.end() - 2, numLanes / options.panel);
    x = tensor::ExpandShapeOp::create(b, RankedTensorType::get(shape, type.getElementType()), x,
                                      getPanelGroups(type.getRank()));
  }
  if (match->lanesBeforeColumns)
    x = transposeLastTwo(b, x);
  // One sequence is no dimension.
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<ReassociationIndices> unitGroups;
  int64_t laneRank = match->lanesBeforeColumns ? 1 : type.getRank() - 1 - match->columnDim, units = 0;
  while (units < type.getRank() - 1 - laneRank && type.getDimSize(units) == 1)
    ++units;
  if (units > 0) {
    unitGroups.push_back(llvm::to_vector(llvm::seq<int64_t>(0, units + 1)));
    for (int64_t dim = units + 1; dim < type.getRank(); ++dim)
      unitGroups.push_back({dim});
    x = tensor::CollapseShapeOp::create(b, x, unitGroups);
    type = cast<RankedTensorType>(x.getType());
  }
  int64_t laneDims = laneRank;
  SmallVector<int64_t> shape(type.getShape());
  shape[type.getRank() - 1 - laneDims] = matrix.numRows;
  Value init = tensor::EmptyOp::create(b, shape, type.getElementType());
  SmallVector<Value> storage = makeStorage(b, packed, name);
  auto linear = LinearOp::create(b, storage, x, init, packed.format, packed.rows, best.chunk, best.vectors, laneDims);
  Value y = linear.getResult(0);
  if (units > 0) {
    SmallVector<int64_t> expanded(units, 1);
    llvm::append_range(expanded, cast<RankedTensorType>(y.getType()).getShape());
    y = tensor::ExpandShapeOp::create(b, RankedTensorType::get(expanded, type.getElementType()), y, unitGroups);
  }
  if (match->lanesBeforeColumns)
    y = transposeLastTwo(b, y);
  if (isPaneled)
    y = tensor::CollapseShapeOp::create(b, flatType, y, getPanelGroups(flatType.getRank()));
  if (!flatGroups.empty())
    y = tensor::ExpandShapeOp::create(b, resultType, y, flatGroups);
  rewriter.replaceOp(op, y);
  return success();
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
    if (measure && failed(setUpMeasuring(options)))
      return signalPassFailure();
    SmallVector<Operation *> targets;
    getOperation()->walk([&](Operation *op) {
      if (isa<linalg::ContractOp, linalg::Conv2DNchwFchwOp, linalg::Conv2DNgchwGfchwOp,
              linalg::DepthwiseConv2DNchwChwOp>(op))
        targets.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (Operation *op : targets) {
      bool hadError = false;
      ScopedDiagnosticHandler handler(&getContext(), [&](Diagnostic &diagnostic) {
        hadError |= diagnostic.getSeverity() == DiagnosticSeverity::Error;
        return failure(); // let it through
      });
      LogicalResult packed = failure();
      if (auto contraction = dyn_cast<linalg::ContractOp>(op))
        packed = packLayer(rewriter, contraction, options);
      else if (auto depthwise = dyn_cast<linalg::DepthwiseConv2DNchwChwOp>(op))
        packed = packDepthwise(rewriter, depthwise, options);
      else
        packed = packConvolution(rewriter, cast<linalg::LinalgOp>(op), options);
      if (succeeded(packed))
        ++numPacked;
      else
        ++numDeclined;
      if (hadError)
        return signalPassFailure();
    }
    if (!report.empty() && failed(writeReport(std::move(layers), options.model)))
      return signalPassFailure();
  }

private:
  LogicalResult setUpMeasuring(PackOptions &options) {
    auto *dialect = getContext().getLoadedDialect<PruneDialect>();
    auto *interface = dialect ? dialect->getRegisteredInterface<LayerMeasurementInterface>() : nullptr;
    EntryOp entry;
    getOperation()->walk([&](EntryOp op) { entry = op; });
    if (!interface || !entry)
      return emitError(UnknownLoc::get(&getContext()))
             << "prune-pack: expected "
             << (interface ? "prune.entry, which says for what processor to measure" : "a tool that runs code")
             << " with measure=true";
    options.measure = [interface, entry](const LayerShape &shape, ArrayRef<LayerCandidate> candidates) mutable {
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
