//===- Packing.cpp - Contractions over packed panels ----------------------------===//
//
// Loops over batches, blocks of the lanes' dimension and blocks of the reduction; inside, one copy into the panel and one
// contraction of all rows with it. Both are linalg operations on views, lowered by the general path.
//
//===----------------------------------------------------------------------===//

#include "Packing.h"

#include "Schedule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
class PackedContraction {
public:
  PackedContraction(RewriterBase &rewriter, ImplicitLocOpBuilder &b, Nest &nest, const LinalgToVectorOptions &options)
      : rewriter(rewriter), b(b), nest(nest), options(options), start(nest.dims.size()), extent(nest.dims.size()) {}

  bool analyze();
  LogicalResult emit(LinalgToVectorResult &result);

private:
  struct Loop {
    int dim;
    int64_t step;
  };

  int64_t size(int dim) const { return nest.dims[dim].size; }
  int64_t stride(const NestOperand *operand, int dim) const { return operand->coefficients[dim].value; }
  bool contractsTwoInputs();
  bool chooseLanes();
  void chooseBlocks();
  void chooseSplit();
  LogicalResult emitLoops(unsigned level);
  LogicalResult emitBlock();
  void makeBuffer();
  Value view(const NestOperand *operand, Value flat, ArrayRef<int64_t> sizes, ArrayRef<int64_t> strides);
  void emitGeneric(ValueRange inputs, Value output, ArrayRef<AffineMap> maps, ArrayRef<utils::IteratorType> kinds,
                   llvm::function_ref<void(OpBuilder &, Location, ValueRange)> body,
                   const LinalgToVectorOptions &how, LogicalResult &status);

  RewriterBase &rewriter;
  ImplicitLocOpBuilder &b;
  Nest &nest;
  const LinalgToVectorOptions &options;
  NestOperand *broadcast = nullptr, *panel = nullptr, *output = nullptr;
  /// The lanes' dimension, and the one outside it whose rows join the panel (or -1).
  int lanes = -1, outerLanes = -1;
  SmallVector<int> rowDims, reductionDims;
  SmallVector<Loop> loops;
  int64_t panelElements = 0, blockK = 0, blockLanes = 0, blockOuter = 1;
  bool split = false;
  Value buffer;
  SmallVector<Value> start;
  SmallVector<int64_t> extent;
};

/// A body that reads two inputs and one accumulator and computes with scalars only; all addresses known now.
bool PackedContraction::contractsTwoInputs() {
  SmallVector<NestOperand *> inputs;
  for (NestOperand &operand : nest.operands) {
    if (operand.isScalar() || !operand.argument || operand.argument.use_empty() || operand.dynamicBase ||
        !llvm::all_of(operand.coefficients, [](const Coefficient &c) { return c.isStatic(); }))
      return false;
    if (!operand.output)
      inputs.push_back(&operand);
    else if (std::exchange(output, &operand))
      return false;
  }
  if (inputs.size() != 2 || !output || !llvm::all_of(nest.dims, [](const NestDim &d) { return d.isStatic(); }))
    return false;
  for (Operation &op : nest.body().without_terminator())
    if (isa<linalg::IndexOp, memref::LoadOp>(op) || op.getNumRegions() != 0)
      return false;
  broadcast = inputs[0];
  panel = inputs[1];
  return true;
}

bool PackedContraction::chooseLanes() {
  for (int d = 0, e = nest.dims.size(); d < e; ++d) {
    if (nest.dims[d].reduction || !output->coefficients[d].isOne())
      continue;
    bool first = broadcast->coefficients[d].isZero(), second = panel->coefficients[d].isZero();
    if (first == second || (lanes >= 0 && size(d) <= size(lanes)))
      continue;
    lanes = d;
    if (second)
      std::swap(broadcast, panel);
  }
  return lanes >= 0;
}

void PackedContraction::chooseBlocks() {
  int64_t width = options.vectorBits / output->elementType.getIntOrFloatBitWidth();
  int64_t registers = (options.vectorBits >= 512 ? 4 : 2) * width;
  // Several tiles side by side share what they read of the other operand.
  blockLanes = std::min(size(lanes), std::max<int64_t>(registers, 2048 / output->elementType.getIntOrFloatBitWidth()));
  if (size(lanes) < registers || size(lanes) % width != 0) {
    // Rows of the next dimension join, if the output stays contiguous, until the lanes are well filled.
    for (int d = 0, e = nest.dims.size(); d < e; ++d)
      if (!nest.dims[d].reduction && d != lanes && broadcast->coefficients[d].isZero() &&
          !panel->coefficients[d].isZero() && stride(output, d) == size(lanes))
        outerLanes = d;
    if (outerLanes < 0)
      return;
    blockLanes = size(lanes);
    double best = 0;
    for (int64_t count = 1; count <= size(outerLanes) && (count == 1 || count * size(lanes) <= 16 * width); ++count) {
      int64_t total = count * size(lanes), rest = total % width;
      double cost = total / width + llvm::popcount(uint64_t(rest));
      int64_t left = size(outerLanes) % count;
      double efficiency = double(total) / width / cost * (left ? 0.95 : 1.0) * (total < registers ? 0.8 : 1.0);
      if (efficiency > best + 0.01) {
        best = efficiency;
        blockOuter = count;
      }
    }
  }
}

bool PackedContraction::analyze() {
  if (!contractsTwoInputs() || !nest.hasReduction() || !chooseLanes())
    return false;
  for (Type type : {output->elementType, panel->elementType, broadcast->elementType})
    if (!type.isIntOrFloat() || type.getIntOrFloatBitWidth() < 8)
      return false;
  chooseBlocks();
  int64_t rows = 1, depth = 1;
  bool windows = false;
  for (int d = 0, e = nest.dims.size(); d < e; ++d) {
    if (nest.dims[d].reduction) {
      reductionDims.push_back(d);
      if (!panel->coefficients[d].isZero())
        depth *= size(d);
      windows |= stride(panel, d) > 0 && stride(panel, d) < stride(panel, lanes) * size(lanes);
    } else if (d == lanes || d == outerLanes) {
      continue;
    } else if (panel->coefficients[d].isZero()) {
      rowDims.push_back(d);
      rows *= size(d);
    } else {
      loops.push_back({d, 1});
    }
  }
  int64_t bytes = panel->elementType.getIntOrFloatBitWidth() / 8;
  int64_t joined = blockLanes * blockOuter;
  bool strided = !panel->coefficients[lanes].isOne() || windows ||
                 (outerLanes >= 0 && stride(panel, outerLanes) != size(lanes));
  if (rows < 16 || depth < 8 || joined < 4 || (!strided && depth * joined * bytes <= options.panelSize()))
    return false;
  if (outerLanes >= 0)
    loops.push_back({outerLanes, blockOuter});
  else
    loops.push_back({lanes, blockLanes});

  // Blocks of the outermost reduction dimension, of equal size as far as it goes.
  int first = reductionDims.front();
  int64_t inner = depth / (panel->coefficients[first].isZero() ? 1 : size(first));
  int64_t fits = std::max<int64_t>(options.panelSize() / std::max<int64_t>(joined * bytes * inner, 1), 1);
  int64_t blocks = llvm::divideCeil(size(first), fits);
  blockK = llvm::divideCeil(size(first), blocks);
  loops.push_back({first, blockK});
  panelElements = (panel->coefficients[first].isZero() ? 1 : blockK) * inner * joined;
  chooseSplit();
  return true;
}

void PackedContraction::chooseSplit() {
  int64_t nanoseconds = 1;
  for (const NestDim &dim : nest.dims)
    nanoseconds *= dim.size;
  nanoseconds /= 2 * options.vectorBits / 32;
  if (options.threads < 2 || nanoseconds < options.parallelThreshold)
    return;
  double best = 0;
  std::optional<Loop> chosen;
  auto consider = [&](Loop loop, int64_t units, double factor) {
    double balance = factor * units / options.threads / llvm::divideCeil(units, int64_t(options.threads));
    if (units > 1 && balance > best + 0.05) {
      best = balance;
      chosen = loop;
    }
  };
  for (Loop loop : ArrayRef(loops).drop_back())
    consider(loop, size(loop.dim) / loop.step, 1.0);
  // Rows in equal parts: every thread packs for itself.
  for (int d : rowDims)
    if (size(d) % options.threads == 0)
      consider({d, size(d) / options.threads}, options.threads, 0.9);
  if (!chosen)
    return;
  split = true;
  llvm::erase_if(loops, [&](Loop loop) { return loop.dim == chosen->dim; });
  loops.insert(loops.begin(), *chosen);
}

Value PackedContraction::view(const NestOperand *operand, Value flat, ArrayRef<int64_t> sizes,
                              ArrayRef<int64_t> strides) {
  Value offset;
  for (int d = 0, e = nest.dims.size(); d < e; ++d)
    if (start[d] && stride(operand, d) != 0)
      offset = addIndex(b, offset, mulIndex(b, start[d], stride(operand, d)));
  offset = addIndex(b, offset, operand->base);
  // A cast replaces the offset of its source: keep what the flat view starts at.
  auto [flatStrides, flatOffset] = cast<MemRefType>(flat.getType()).getStridesAndOffset();
  if (ShapedType::isDynamic(flatOffset))
    offset = arith::AddIOp::create(b, offset, memref::ExtractStridedMetadataOp::create(b, flat).getOffset());
  else
    offset = addIndex(b, offset, flatOffset);
  SmallVector<OpFoldResult> sizeValues, strideValues;
  for (int64_t value : sizes)
    sizeValues.push_back(b.getIndexAttr(value));
  for (int64_t value : strides)
    strideValues.push_back(b.getIndexAttr(value));
  auto type = MemRefType::get(sizes, operand->elementType,
                              StridedLayoutAttr::get(b.getContext(), ShapedType::kDynamic, strides),
                              cast<MemRefType>(flat.getType()).getMemorySpace());
  return memref::ReinterpretCastOp::create(b, type, flat, OpFoldResult(offset), sizeValues, strideValues).getResult();
}

void PackedContraction::emitGeneric(ValueRange inputs, Value result, ArrayRef<AffineMap> maps,
                                    ArrayRef<utils::IteratorType> kinds,
                                    llvm::function_ref<void(OpBuilder &, Location, ValueRange)> body,
                                    const LinalgToVectorOptions &how, LogicalResult &status) {
  auto generic = linalg::GenericOp::create(b, TypeRange{}, inputs, ValueRange{result}, maps, kinds, body);
  if (failed(lowerLinalgToVectorLoops(rewriter, generic, how)))
    status = failure();
}

LogicalResult PackedContraction::emitBlock() {
  MLIRContext *context = b.getContext();
  LinalgToVectorOptions inner = options;
  inner.pack = false;
  inner.threads = 1;
  inner.rowsOutside = true;
  LogicalResult status = success();
  int64_t joined = outerLanes >= 0 ? extent[outerLanes] * size(lanes) : extent[lanes];

  // The panel: [reduction dimensions][lanes].
  SmallVector<int64_t> sizes, strides, packedSizes, packedStrides, innerSizes;
  SmallVector<int> panelReductions;
  for (int d : reductionDims)
    if (!panel->coefficients[d].isZero()) {
      panelReductions.push_back(d);
      sizes.push_back(extent[d]);
      strides.push_back(stride(panel, d));
    }
  SmallVector<int64_t> reductionStrides(panelReductions.size());
  int64_t step = joined;
  for (int i = panelReductions.size() - 1; i >= 0; --i) {
    reductionStrides[i] = step;
    step *= extent[panelReductions[i]];
  }
  packedStrides = reductionStrides;
  if (outerLanes >= 0) {
    sizes.push_back(extent[outerLanes]);
    strides.push_back(stride(panel, outerLanes));
    packedStrides.push_back(size(lanes));
  }
  sizes.push_back(extent[lanes]);
  strides.push_back(stride(panel, lanes));
  packedStrides.push_back(1);
  Value source = view(panel, panel->flat, sizes, strides);
  auto cast = [&](ArrayRef<int64_t> shape, ArrayRef<int64_t> steps) {
    auto type = MemRefType::get(shape, panel->elementType, StridedLayoutAttr::get(context, 0, steps));
    return memref::ReinterpretCastOp::create(b, type, buffer, /*offset=*/0, shape, steps).getResult();
  };
  AffineMap identity = AffineMap::getMultiDimIdentityMap(sizes.size(), context);
  SmallVector<utils::IteratorType> parallel(sizes.size(), utils::IteratorType::parallel);
  emitGeneric(
      source, cast(sizes, packedStrides), {identity, identity}, parallel,
      [](OpBuilder &builder, Location loc, ValueRange args) { linalg::YieldOp::create(builder, loc, args[0]); }, inner,
      status);

  // All rows with it: dimensions are rows, lanes, reductions.
  unsigned numDims = rowDims.size() + 1 + reductionDims.size();
  SmallVector<AffineExpr> leftMap, panelMap, outputMap;
  SmallVector<int64_t> leftSizes, leftStrides, outputSizes, outputStrides;
  SmallVector<utils::IteratorType> kinds(numDims, utils::IteratorType::reduction);
  for (auto [i, d] : llvm::enumerate(rowDims)) {
    kinds[i] = utils::IteratorType::parallel;
    if (!broadcast->coefficients[d].isZero()) {
      leftMap.push_back(b.getAffineDimExpr(i));
      leftSizes.push_back(extent[d]);
      leftStrides.push_back(stride(broadcast, d));
    }
    outputMap.push_back(b.getAffineDimExpr(i));
    outputSizes.push_back(extent[d]);
    outputStrides.push_back(stride(output, d));
  }
  kinds[rowDims.size()] = utils::IteratorType::parallel;
  outputMap.push_back(b.getAffineDimExpr(rowDims.size()));
  outputSizes.push_back(joined);
  outputStrides.push_back(1);
  for (auto [i, d] : llvm::enumerate(reductionDims)) {
    AffineExpr expr = b.getAffineDimExpr(rowDims.size() + 1 + i);
    if (!broadcast->coefficients[d].isZero()) {
      leftMap.push_back(expr);
      leftSizes.push_back(extent[d]);
      leftStrides.push_back(stride(broadcast, d));
    }
    if (!panel->coefficients[d].isZero()) {
      panelMap.push_back(expr);
      innerSizes.push_back(extent[d]);
    }
  }
  panelMap.push_back(b.getAffineDimExpr(rowDims.size()));
  innerSizes.push_back(joined);
  reductionStrides.push_back(1);
  Value left = view(broadcast, broadcast->flat, leftSizes, leftStrides);
  Value right = cast(innerSizes, reductionStrides);
  Value target = view(output, output->flat, outputSizes, outputStrides);
  bool swapped = panel->argument.getArgNumber() < broadcast->argument.getArgNumber();
  SmallVector<Value> inputs = {left, right};
  SmallVector<AffineMap> maps = {AffineMap::get(numDims, 0, leftMap, context),
                                 AffineMap::get(numDims, 0, panelMap, context),
                                 AffineMap::get(numDims, 0, outputMap, context)};
  if (swapped) {
    std::swap(inputs[0], inputs[1]);
    std::swap(maps[0], maps[1]);
  }
  emitGeneric(
      inputs, target, maps, kinds,
      [&](OpBuilder &builder, Location loc, ValueRange args) {
        IRMapping mapping;
        mapping.map(nest.body().getArguments(), args);
        for (Operation &op : nest.body())
          builder.clone(op, mapping);
      },
      inner, status);
  return status;
}

/// Bytes for panels at the start of the function, or of the parallel loop around this point: one buffer for all
/// operations there, as long as the longest of them needs.
void PackedContraction::makeBuffer() {
  Operation *scope = b.getInsertionBlock()->getParentOp();
  while (!isa<FunctionOpInterface, scf::ParallelOp, scf::ForallOp>(scope))
    scope = scope->getParentOp();
  Block &entry = scope->getRegion(0).front();
  int64_t bytes = panelElements * (panel->elementType.getIntOrFloatBitWidth() / 8);
  constexpr llvm::StringLiteral mark = "prune.panels";
  memref::AllocaOp storage;
  for (Operation &op : entry)
    if (auto alloca = dyn_cast<memref::AllocaOp>(op); alloca && alloca->hasAttr(mark))
      storage = alloca;
  OpBuilder::InsertionGuard guard(b);
  auto type = MemRefType::get({bytes}, b.getI8Type());
  if (!storage) {
    b.setInsertionPointToStart(&entry);
    storage = memref::AllocaOp::create(b, type, b.getI64IntegerAttr(64));
    storage->setAttr(mark, b.getUnitAttr());
  } else if (storage.getType().getDimSize(0) < bytes) {
    storage.getResult().setType(type);
  }
  b.setInsertionPointAfter(storage);
  Value zero = constantIndex(b, 0);
  buffer = memref::ViewOp::create(b, MemRefType::get({panelElements}, panel->elementType), storage, zero, ValueRange{})
               .getResult();
}

LogicalResult PackedContraction::emitLoops(unsigned level) {
  if (level == loops.size())
    return emitBlock();
  Loop loop = loops[level];
  int64_t total = size(loop.dim), main = total - total % loop.step;
  auto next = [&]() -> LogicalResult {
    if (level == 0)
      makeBuffer();
    return emitLoops(level + 1);
  };
  LogicalResult status = success();
  if (main > 0) {
    extent[loop.dim] = loop.step;
    if (main == loop.step) {
      start[loop.dim] = constantIndex(b, 0);
      status = next();
    } else {
      Value zero = constantIndex(b, 0), end = constantIndex(b, main), step = constantIndex(b, loop.step);
      OpBuilder::InsertionGuard guard(b);
      if (level == 0 && split) {
        auto parallel = scf::ParallelOp::create(b, ValueRange{zero}, ValueRange{end}, ValueRange{step});
        b.setInsertionPointToStart(parallel.getBody());
        start[loop.dim] = parallel.getInductionVars()[0];
      } else {
        auto serial = scf::ForOp::create(b, zero, end, step);
        b.setInsertionPointToStart(serial.getBody());
        start[loop.dim] = serial.getInductionVar();
      }
      status = next();
    }
  }
  if (succeeded(status) && main < total) {
    extent[loop.dim] = total - main;
    start[loop.dim] = constantIndex(b, main);
    status = next();
  }
  start[loop.dim] = Value();
  extent[loop.dim] = total;
  return status;
}

LogicalResult PackedContraction::emit(LinalgToVectorResult &result) {
  for (int d = 0, e = nest.dims.size(); d < e; ++d)
    extent[d] = size(d);
  result.parallel = split;
  result.packed = result.vectorized = true;
  return emitLoops(0);
}
} // namespace

FailureOr<bool> prune::emitPacked(RewriterBase &rewriter, ImplicitLocOpBuilder &b, Nest &nest,
                                  const LinalgToVectorOptions &options, LinalgToVectorResult &result) {
  PackedContraction contraction(rewriter, b, nest, options);
  if (nest.empty || !contraction.analyze())
    return false;
  if (failed(contraction.emit(result)))
    return failure();
  return true;
}
