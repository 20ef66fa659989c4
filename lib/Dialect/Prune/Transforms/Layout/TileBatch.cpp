//===- TileBatch.cpp - Run a batch one sample after the other -------------------===//
//
// A function whose arguments have a batch dimension computes many samples, and op by op their activations leave the
// cache. A region is a set of ops in which that dimension can be followed from op to op, also through reshapes. It
// becomes one scf.forall over the batch whose body computes all of it for one sample, as a function of batch one would.
//
//===----------------------------------------------------------------------===//

#include "Slices.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SparseTensor/IR/SparseTensor.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNETILEBATCH
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Ops that run sample by sample.
struct SampleRegion {
  int64_t extent = 0;                 ///< of the batch
  llvm::SetVector<Operation *> ops;   ///< in the order of the block
  DenseMap<Value, int64_t> positions; ///< of the batch in results of `ops`
};

/// Collects the ops of one region from a block.
class RegionBuilder {
public:
  explicit RegionBuilder(int64_t extent) { region.extent = extent; }

  /// Takes ops from `begin` on until one that must not be moved. Returns where another region may begin: the first op
  /// that this one leaves, or null.
  Operation *collect(Operation *begin);
  SampleRegion takeRegion() { return std::move(region); }

private:
  /// Position of the batch in `value`, if it has one here.
  std::optional<int64_t> getPosition(Value value) const;
  /// Position of the batch in the result of `op`, if it can run sample by sample.
  std::optional<int64_t> getResultPosition(Operation *op) const;
  std::optional<int64_t> getReshapedPosition(Value source, RankedTensorType result,
                                             ArrayRef<ReassociationIndices> groups, bool isExpanded) const;

  SampleRegion region;
  DenseSet<Value> later; ///< what needs a result of the region as a whole
};
} // namespace

static bool isReshape(Operation *op) { return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op); }

/// Operands of `op` and what its regions use from outside.
static llvm::SetVector<Value> getUsedValues(Operation *op) {
  llvm::SetVector<Value> used;
  used.insert(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), used);
  return used;
}

static ArrayRef<int64_t> getShape(Value value) { return cast<RankedTensorType>(value.getType()).getShape(); }

std::optional<int64_t> RegionBuilder::getPosition(Value value) const {
  if (auto it = region.positions.find(value); it != region.positions.end())
    return it->second;
  // What comes from outside counts as a batch if its outermost dimension is one.
  auto type = dyn_cast<RankedTensorType>(value.getType());
  Operation *definition = value.getDefiningOp();
  bool isPlace = definition && isa<tensor::EmptyOp, linalg::FillOp>(definition);
  bool isConstant = definition && definition->hasTrait<OpTrait::ConstantLike>();
  if (!type || type.getRank() == 0 || type.getEncoding() || type.getDimSize(0) != region.extent || isPlace ||
      isConstant)
    return std::nullopt;
  return 0;
}

std::optional<int64_t> RegionBuilder::getReshapedPosition(Value source, RankedTensorType result,
                                                          ArrayRef<ReassociationIndices> groups,
                                                          bool isExpanded) const {
  std::optional<int64_t> position = getPosition(source);
  ArrayRef<int64_t> shape = isExpanded ? result.getShape() : getShape(source);
  if (!position || !result.hasStaticShape() || ShapedType::isDynamicShape(getShape(source)))
    return std::nullopt;
  for (auto [merged, group] : llvm::enumerate(groups)) {
    if (isExpanded ? int64_t(merged) != *position : !llvm::is_contained(group, *position))
      continue;
    // The batch stays a dimension of its own if all others of its group are units.
    for (int64_t dim : group)
      if (shape[dim] != 1 && (shape[dim] != region.extent || (!isExpanded && dim != *position)))
        return std::nullopt;
    if (!isExpanded)
      return merged;
    return *llvm::find_if(group, [&](int64_t dim) { return shape[dim] == region.extent; });
  }
  return std::nullopt;
}

/// True if slices of `op` along `loop` would read an operand as a whole again and again that serves few elements of
/// each slice, such as the matrix of a product with one row for each sample.
static bool repeatsReads(Operation *op, int64_t loop) {
  constexpr int64_t minUses = 32, maxBytes = 32 * 1024;
  if (auto linear = dyn_cast<LinearOp>(op)) {
    auto init = linear.getInitType();
    return init.getNumElements() / init.getDimSize(loop) < minUses * linear.getNumRows();
  }
  SmallVector<int64_t> ranges = getRanges(op);
  int64_t sliceBytes = 0, iterations = 1;
  for (auto [dim, extent] : llvm::enumerate(ranges))
    iterations *= int64_t(dim) == loop ? 1 : extent;
  auto isWhole = [&](OpOperand &operand) {
    return isa<RankedTensorType>(operand.get().getType()) && *findLoop(getMap(operand), loop) < 0;
  };
  for (OpOperand &operand : op->getOpOperands())
    if (isa<RankedTensorType>(operand.get().getType()) && !isWhole(operand))
      sliceBytes += getBytes(operand.get().getType()) / ranges[loop];
  return llvm::any_of(op->getOpOperands(), [&](OpOperand &operand) {
    if (!isWhole(operand))
      return false;
    int64_t elements = cast<RankedTensorType>(operand.get().getType()).getNumElements();
    return getBytes(operand.get().getType()) > std::max(maxBytes, sliceBytes) && iterations < minUses * elements;
  });
}

std::optional<int64_t> RegionBuilder::getResultPosition(Operation *op) const {
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    return getReshapedPosition(expand.getSrc(), expand.getResultType(), expand.getReassociationIndices(),
                               /*isExpanded=*/true);
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
    return getReshapedPosition(collapse.getSrc(), collapse.getResultType(), collapse.getReassociationIndices(),
                               /*isExpanded=*/false);
  if (!isSliceable(op))
    return std::nullopt;
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  if (llvm::any_of(captured, [&](Value value) { return region.positions.contains(value); }))
    return std::nullopt;
  // The loop over the batch: that of a result of the region, then that of what comes from outside.
  std::optional<int64_t> loop;
  for (bool isInside : {true, false})
    for (OpOperand &operand : op->getOpOperands()) {
      std::optional<int64_t> position = getPosition(operand.get());
      if (!position || region.positions.contains(operand.get()) != isInside || (loop && !isInside))
        continue;
      AffineMap map = getMap(operand);
      auto dim = dyn_cast<AffineDimExpr>(map.getResult(*position));
      if (dim && !loop && getRanges(op)[dim.getPosition()] == region.extent)
        loop = dim.getPosition();
      if (isInside && (!dim || int64_t(dim.getPosition()) != loop))
        return std::nullopt;
    }
  if (!loop || !canFix(op, {*loop}) || repeatsReads(op, *loop))
    return std::nullopt;
  // Each result of the region has one slice.
  for (OpOperand &operand : op->getOpOperands())
    if (auto it = region.positions.find(operand.get());
        it != region.positions.end() && *findLoop(getMap(operand), *loop) != it->second)
      return std::nullopt;
  return findLoop(getMap(getInit(op)), *loop);
}

Operation *RegionBuilder::collect(Operation *begin) {
  Operation *firstLater = nullptr;
  for (Operation *op = begin; op && !op->hasTrait<OpTrait::IsTerminator>(); op = op->getNextNode()) {
    if (!isMemoryEffectFree(op))
      return firstLater ? firstLater : op->getNextNode();
    llvm::SetVector<Value> used = getUsedValues(op);
    bool isLater = llvm::any_of(used, [&](Value value) { return later.contains(value); });
    if (std::optional<int64_t> position = isLater ? std::nullopt : getResultPosition(op)) {
      region.ops.insert(op);
      region.positions[op->getResult(0)] = *position;
    } else if (isLater || llvm::any_of(used, [&](Value value) { return region.positions.contains(value); })) {
      later.insert(op->result_begin(), op->result_end());
      if (!firstLater)
        firstLater = op;
    }
  }
  return firstLater;
}

/// The loop of `op` over the batch.
static int64_t getLoop(const SampleRegion &region, Operation *op) {
  return getMap(getInit(op)).getDimPosition(region.positions.lookup(op->getResult(0)));
}

namespace {
/// Bytes of what all samples share in a set of ops, each tensor once.
class WeightCount {
public:
  void add(const SampleRegion &region, Operation *op);
  int64_t getBytes() const { return bytes; }

private:
  llvm::DenseSet<Value> known;
  int64_t bytes = 0;
};
} // namespace

void WeightCount::add(const SampleRegion &region, Operation *op) {
  if (isReshape(op))
    return;
  auto addValue = [&](Value value) {
    if (auto type = dyn_cast<RankedTensorType>(value.getType()); type && !type.getEncoding())
      if (known.insert(value).second)
        bytes += prune::getBytes(type);
  };
  int64_t loop = getLoop(region, op);
  for (OpOperand &operand : op->getOpOperands()) {
    if (isInit(operand) || !isa<RankedTensorType>(operand.get().getType()) || *findLoop(getMap(operand), loop) >= 0)
      continue;
    if (auto assembled = operand.get().getDefiningOp<sparse_tensor::AssembleOp>())
      llvm::for_each(assembled->getOperands(), addValue);
    else
      addValue(operand.get());
  }
}

/// Keeps the first ops, which read at most `weightBytes` bytes of what all samples share: it has to be in a cache for
/// the next sample. Cuts where the fewest bytes of activations pass from one loop to the next. Returns the first op
/// that is cut off, or null.
static Operation *limitWeights(SampleRegion &region, int64_t weightBytes) {
  ArrayRef<Operation *> ops = region.ops.getArrayRef();
  DenseMap<Operation *, size_t> order;
  for (auto [index, op] : llvm::enumerate(ops))
    order[op] = index;
  // Bytes that live from before op i to after it.
  SmallVector<int64_t> passed(ops.size() + 1);
  for (auto [index, op] : llvm::enumerate(ops)) {
    size_t last = index;
    for (Operation *user : op->getUsers())
      last = std::max<size_t>(last, order.contains(user) ? order.lookup(user) : ops.size() - 1);
    for (size_t i = index + 1; i <= last; ++i)
      passed[i] += getBytes(op->getResult(0).getType());
  }
  WeightCount weights;
  size_t cut = 0;
  for (auto [index, op] : llvm::enumerate(ops)) {
    if (index > 0 && 2 * weights.getBytes() >= weightBytes && (cut == 0 || passed[index] <= passed[cut]))
      cut = index;
    weights.add(region, op);
    if (weights.getBytes() <= weightBytes || index == 0)
      continue;
    SmallVector<Operation *> rest(ops.drop_front(cut == 0 ? index : cut));
    for (Operation *dropped : rest) {
      region.ops.remove(dropped);
      region.positions.erase(dropped->getResult(0));
    }
    return rest.front();
  }
  return nullptr;
}

/// True if a loop over the samples saves more than it costs: activations of a large batch stay in cache, but each
/// sample reads the weights again.
static bool pays(const SampleRegion &region, int64_t cacheBytes) {
  // Between two networks: MiniLM pruned by half (1.3 bytes of weights for each of activations) gained 3 % or more,
  // dense (1.7) seemed to lose about as much, near the noise.
  constexpr double maxWeights = 1.5;
  WeightCount weights;
  int64_t largest = 0, sum = 0;
  bool isReducing = false;
  for (Operation *op : region.ops) {
    weights.add(region, op);
    isReducing |= !isReshape(op) && reduces(op);
    if (isReshape(op) || llvm::any_of(op->getUsers(), [&](Operation *user) { return !region.ops.contains(user); }))
      continue;
    int64_t bytes = getBytes(op->getResult(0).getType());
    largest = std::max(largest, bytes);
    sum += bytes;
  }
  return isReducing && largest > cacheBytes && weights.getBytes() <= maxWeights * sum / region.extent;
}

/// Leaves reshapes at the borders of the region outside: they cost nothing on whole tensors.
static void trimReshapes(SampleRegion &region) {
  auto drop = [&](Operation *op) {
    region.ops.remove(op);
    region.positions.erase(op->getResult(0));
  };
  SmallVector<Operation *> ops = llvm::to_vector(region.ops);
  for (Operation *op : llvm::reverse(ops))
    if (isReshape(op) && llvm::none_of(op->getUsers(), [&](Operation *user) { return region.ops.contains(user); }))
      drop(op);
}

static void emitRegion(const SampleRegion &region) {
  Operation *first = region.ops.front();
  // What the region needs and does not hold comes before it; what it gives, after it.
  DenseSet<Value> later;
  Operation *last = region.ops.back();
  for (Operation *op = first, *next = nullptr; op != last; op = next) {
    next = op->getNextNode();
    if (region.ops.contains(op))
      continue;
    if (llvm::any_of(getUsedValues(op),
                     [&](Value value) { return later.contains(value) || region.positions.contains(value); }))
      later.insert(op->result_begin(), op->result_end());
    else
      op->moveBefore(first);
  }

  ImplicitLocOpBuilder b(first->getLoc(), first);
  SmallVector<Operation *> results;
  SmallVector<Value> places;
  for (Operation *op : region.ops) {
    if (llvm::all_of(op->getUsers(), [&](Operation *user) { return region.ops.contains(user); }))
      continue;
    results.push_back(op);
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    Value init = isReshape(op) ? Value() : getInit(op).get();
    if (!init || isa_and_nonnull<tensor::EmptyOp, linalg::FillOp>(init.getDefiningOp()) ||
        region.positions.contains(init))
      init = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
    places.push_back(init);
  }
  OpFoldResult extent = b.getIndexAttr(region.extent);
  auto forall = scf::ForallOp::create(b, ArrayRef(extent), places, /*mapping=*/std::nullopt);
  SmallVector<Value> ivs = forall.getInductionVars();
  b.setInsertionPointToStart(forall.getBody());

  // The slice of a tensor whose dimension `position` is the batch.
  auto getSlice = [&](Value tensor, int64_t position) {
    auto type = cast<RankedTensorType>(tensor.getType());
    return Slice::get(b, b.getMultiDimIdentityMap(type.getRank()), type, {position}, ivs);
  };
  SliceBuilder slices(b, ivs);
  for (Operation *op : region.ops) {
    Value result = op->getResult(0);
    int64_t position = region.positions.lookup(result);
    if (!isReshape(op)) {
      auto it = llvm::find(results, op);
      bool isAccumulated = region.positions.contains(getInit(op).get());
      Value target = it == results.end() || isAccumulated ? Value() : forall.getRegionOutArgs()[it - results.begin()];
      slices.clone(op, {getLoop(region, op)}, target);
      continue;
    }
    b.setLoc(op->getLoc());
    Value source = op->getOperand(0);
    Value part =
        slices.get(source, getSlice(source, region.positions.contains(source) ? region.positions.lookup(source) : 0));
    Type type = cast<RankedTensorType>(result.getType()).clone(getSlice(result, position).shape);
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
      slices.set(result, tensor::ExpandShapeOp::create(b, type, part, expand.getReassociationIndices()));
    else
      slices.set(result, tensor::CollapseShapeOp::create(b, type, part,
                                                         cast<tensor::CollapseShapeOp>(op).getReassociationIndices()));
  }
  for (auto [op, place] : llvm::zip(results, forall.getRegionOutArgs())) {
    Value result = op->getResult(0);
    b.setLoc(op->getLoc());
    b.setInsertionPoint(forall.getTerminator());
    Slice slice = getSlice(result, region.positions.lookup(result));
    Value part = slices.get(result, slice);
    b.setInsertionPointToEnd(forall.getTerminator().getBody());
    tensor::ParallelInsertSliceOp::create(b, part, place, slice.offsets, slice.sizes, slice.strides);
  }
  for (auto [op, whole] : llvm::zip(results, forall.getResults()))
    op->getResult(0).replaceAllUsesWith(whole);
  for (Operation *op : llvm::reverse(region.ops))
    op->erase();
}

int64_t mlir::prune::tileBatch(FunctionOpInterface function, int64_t cacheBytes, int64_t weightBytes) {
  int64_t count = 0;
  llvm::SmallSetVector<int64_t, 2> extents;
  for (Type type : function.getArgumentTypes())
    if (auto tensor = dyn_cast<RankedTensorType>(type))
      if (tensor.getRank() > 1 && !tensor.isDynamicDim(0) && tensor.getDimSize(0) > 1)
        extents.insert(tensor.getDimSize(0));
  for (int64_t extent : extents)
    for (Block &block : function.getFunctionBody())
      for (Operation *begin = block.empty() ? nullptr : &block.front(); begin;) {
        RegionBuilder builder(extent);
        begin = builder.collect(begin);
        SampleRegion region = builder.takeRegion();
        if (Operation *rest = limitWeights(region, weightBytes); rest && (!begin || rest->isBeforeInBlock(begin)))
          begin = rest;
        trimReshapes(region);
        if (!pays(region, cacheBytes))
          continue;
        emitRegion(region);
        ++count;
      }
  return count;
}

namespace {
struct PruneTileBatch : prune::impl::PruneTileBatchBase<PruneTileBatch> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<FunctionOpInterface> functions;
    getOperation()->walk([&](FunctionOpInterface function) { functions.push_back(function); });
    for (FunctionOpInterface function : functions)
      numRegions += tileBatch(function, cacheBytes, weightBytes);
  }
};
} // namespace
