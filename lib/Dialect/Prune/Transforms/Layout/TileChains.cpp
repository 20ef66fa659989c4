//===- TileChains.cpp - Run chains of ops tile by tile ------------------------===//
//
// A chain ends in a root and holds the producers that only serve it (the softmax between two products of attention, the
// statistics of a layer norm, the two layers around an activation). All ops of a chain share outer parallel dimensions,
// the tile dimensions: they lead the largest intermediate tensor. The chain becomes one scf.forall over them whose body
// computes one slice after another, so that intermediates are slices that stay in cache.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNETILECHAINS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Loops of an op that are its tile dimensions, outermost first.
using TileLoops = SmallVector<int64_t>;

struct Chain {
  Operation *root;
  llvm::MapVector<Operation *, TileLoops> loops; ///< the root first, then producers, the last in the block first
  SmallVector<int64_t> extents;
};
} // namespace

/// An op that a chain may hold: a linalg op, or a packed layer, whose loops are the dimensions before its rows.
static bool isSliceable(Operation *op) {
  if (auto linear = dyn_cast_or_null<LinearOp>(op))
    return linear->getNumResults() == 1 && !linear.getWindow() && linear.getInit().getDefiningOp<tensor::EmptyOp>();
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!linalgOp || isa<linalg::FillOp>(op) || !linalgOp.hasPureTensorSemantics() || op->getNumResults() != 1)
    return false;
  return llvm::all_of(op->getOperandTypes(), [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return !isa<ShapedType>(type) || (tensor && tensor.hasStaticShape() && !tensor.getEncoding());
  });
}

static bool isInit(OpOperand &operand) {
  return cast<DestinationStyleOpInterface>(operand.getOwner()).isDpsInit(&operand);
}

/// How the loops of the op index an operand. What does not move with a loop is a constant.
static AffineMap getMap(OpOperand &operand) {
  if (auto op = dyn_cast<linalg::LinalgOp>(operand.getOwner()))
    return op.getMatchingIndexingMap(&operand);
  auto op = cast<LinearOp>(operand.getOwner());
  MLIRContext *context = op.getContext();
  int64_t numLoops = op.getRowDim(), rank = cast<ShapedType>(operand.get().getType()).getRank();
  bool isActivation = operand.getOperandNumber() >= op.getStorage().size() && rank > 1;
  SmallVector<AffineExpr> results(rank, getAffineConstantExpr(0, context));
  for (int64_t dim = 0; isActivation && dim < numLoops; ++dim)
    results[dim] = getAffineDimExpr(dim, context);
  return AffineMap::get(numLoops, 0, results, context);
}

static OpOperand &getInit(Operation *op) { return *cast<DestinationStyleOpInterface>(op).getDpsInitOperand(0); }

static SmallVector<int64_t> getRanges(Operation *op) {
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    return linalgOp.getStaticLoopRanges();
  auto linear = cast<LinearOp>(op);
  return llvm::to_vector(linear.getInitType().getShape().take_front(linear.getRowDim()));
}

static bool isParallel(Operation *op, int64_t loop) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return !linalgOp || linalgOp.getIteratorTypesArray()[loop] == utils::IteratorType::parallel;
}

static bool reduces(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return !linalgOp || linalgOp.getNumReductionLoops() > 0;
}

static int64_t getBytes(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  Type element = tensor.getElementType();
  return tensor.getNumElements() * (element.isIntOrFloat() ? (element.getIntOrFloatBitWidth() + 7) / 8 : 8);
}

/// Position of `loop` in the results of `map`; -1 if it has none, nullopt if it is part of a larger expression.
static std::optional<int64_t> findLoop(AffineMap map, int64_t loop) {
  int64_t found = -1;
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    if (!expr.isFunctionOfDim(loop))
      continue;
    if (!isa<AffineDimExpr>(expr) || found >= 0)
      return std::nullopt;
    found = position;
  }
  return found;
}

/// True if `map` moves a window of `op` over an operand: an index is the sum of a parallel and of a reduction loop.
static bool hasWindow(Operation *op, AffineMap map) {
  return llvm::any_of(map.getResults(), [&](AffineExpr expr) {
    bool isMoved = false, isReduced = false;
    for (int64_t loop = 0, e = map.getNumDims(); loop < e; ++loop)
      if (expr.isFunctionOfDim(loop))
        (isParallel(op, loop) ? isMoved : isReduced) = true;
    return isMoved && isReduced;
  });
}

/// True if every operand of `op` is a slice where `loops` are fixed, and its result has them all. A window over an
/// operand that every slice reads whole is no slice: a convolution would copy for each filter what serves them all.
static bool canFix(Operation *op, const TileLoops &loops) {
  for (int64_t loop : loops) {
    if (!isParallel(op, loop))
      return false;
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<ShapedType>(operand.get().getType()))
        continue;
      AffineMap map = getMap(operand);
      std::optional<int64_t> position = findLoop(map, loop);
      if (!position || (*position < 0 && hasWindow(op, map)))
        return false;
    }
    if (*findLoop(getMap(getInit(op)), loop) < 0)
      return false;
  }
  return true;
}

/// The tile loops of `producer`, if all of its uses are inputs of ops of the chain that agree on them.
static std::optional<TileLoops> getProducerLoops(Operation *producer, const Chain &chain) {
  std::optional<TileLoops> loops;
  AffineMap resultMap = getMap(getInit(producer));
  for (OpOperand &use : producer->getResult(0).getUses()) {
    auto it = chain.loops.find(use.getOwner());
    if (it == chain.loops.end() || isInit(use))
      return std::nullopt;
    TileLoops mapped;
    for (int64_t loop : it->second) {
      std::optional<int64_t> position = findLoop(getMap(use), loop);
      if (!position || *position < 0)
        return std::nullopt;
      auto dim = dyn_cast<AffineDimExpr>(resultMap.getResult(*position));
      if (!dim)
        return std::nullopt;
      mapped.push_back(dim.getPosition());
    }
    if (loops && *loops != mapped)
      return std::nullopt;
    loops = mapped;
  }
  if (!loops || !canFix(producer, *loops))
    return std::nullopt;
  return loops;
}

static Chain growChain(Operation *root, TileLoops loops) {
  Chain chain{root, {}, {}};
  SmallVector<int64_t> ranges = getRanges(root);
  for (int64_t loop : loops)
    chain.extents.push_back(ranges[loop]);
  chain.loops[root] = std::move(loops);
  for (Operation *op = root->getPrevNode(); op; op = op->getPrevNode()) {
    if (!isSliceable(op))
      continue;
    if (std::optional<TileLoops> mapped = getProducerLoops(op, chain))
      chain.loops[op] = std::move(*mapped);
  }
  return chain;
}

/// Bytes of all slices that live inside the chain: an upper bound of what an iteration needs.
static int64_t getSliceBytes(const Chain &chain) {
  int64_t bytes = 0;
  for (auto &[op, loops] : llvm::drop_begin(chain.loops))
    bytes += getBytes(op->getResult(0).getType());
  for (int64_t extent : chain.extents)
    bytes /= extent;
  return bytes;
}

/// Bytes of the largest tensor that only lives inside the chain.
static int64_t getLargestIntermediate(const Chain &chain) {
  int64_t bytes = 0;
  for (auto &[op, loops] : llvm::drop_begin(chain.loops))
    bytes = std::max(bytes, getBytes(op->getResult(0).getType()));
  return bytes;
}

/// The longest chain that ends in `root`, over as few tile dimensions as make its intermediates fit. The dimensions
/// that lead the root's largest input are tried, outermost first.
static std::optional<Chain> findChain(Operation *root, int64_t sliceBytes) {
  if (!isSliceable(root))
    return std::nullopt;
  OpOperand *largest = nullptr;
  for (OpOperand &input : root->getOpOperands()) {
    Operation *producer = input.get().getDefiningOp();
    if (!isInit(input) && isSliceable(producer) && producer->getBlock() == root->getBlock() &&
        (!largest || getBytes(input.get().getType()) > getBytes(largest->get().getType())))
      largest = &input;
  }
  if (!largest)
    return std::nullopt;

  std::optional<Chain> best;
  TileLoops loops;
  SmallVector<int64_t> ranges = getRanges(root);
  for (AffineExpr expr : getMap(*largest).getResults().drop_back()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      break;
    int64_t loop = dim.getPosition();
    if (ranges[loop] == 1)
      continue;
    loops.push_back(loop);
    if (!canFix(root, loops))
      break;
    Chain chain = growChain(root, loops);
    int64_t bytes = getLargestIntermediate(chain);
    bool isElementwise = llvm::none_of(chain.loops, [](const auto &member) { return reduces(member.first); });
    if (isElementwise || chain.loops.size() < 2 || bytes <= sliceBytes || getSliceBytes(chain) > kMaxChainBytes ||
        (best && chain.loops.size() < best->loops.size()))
      continue;
    int64_t slice = bytes;
    for (int64_t extent : chain.extents)
      slice /= extent;
    best = std::move(chain);
    if (slice <= sliceBytes)
      break;
  }
  return best;
}

namespace {
/// Offsets and sizes of the slice of a tensor where the tile loops are fixed.
struct Slice {
  SmallVector<OpFoldResult> offsets, sizes, strides;
  SmallVector<int64_t> shape;
};
} // namespace

static Slice getSlice(OpBuilder &b, AffineMap map, RankedTensorType type, const TileLoops &loops, ValueRange ivs) {
  Slice slice;
  slice.offsets.assign(type.getRank(), b.getIndexAttr(0));
  slice.strides.assign(type.getRank(), b.getIndexAttr(1));
  slice.shape = llvm::to_vector(type.getShape());
  for (auto [loop, iv] : llvm::zip(loops, ivs))
    if (int64_t position = *findLoop(map, loop); position >= 0 && slice.shape[position] != 1) {
      slice.offsets[position] = iv;
      slice.shape[position] = 1;
    }
  for (int64_t size : slice.shape)
    slice.sizes.push_back(b.getIndexAttr(size));
  return slice;
}

static void emitChain(const Chain &chain) {
  Operation *root = chain.root;
  ImplicitLocOpBuilder b(root->getLoc(), root);
  auto resultType = cast<RankedTensorType>(root->getResult(0).getType());
  Value init = getInit(root).get();
  if (init.getDefiningOp<linalg::FillOp>())
    init = tensor::EmptyOp::create(b, resultType.getShape(), resultType.getElementType());
  SmallVector<OpFoldResult> extents;
  for (int64_t extent : chain.extents)
    extents.push_back(b.getIndexAttr(extent));
  auto forall = scf::ForallOp::create(b, extents, ValueRange{init}, /*mapping=*/std::nullopt);
  SmallVector<Value> ivs = forall.getInductionVars();
  b.setInsertionPointToStart(forall.getBody());

  IRMapping slices;
  auto slice = [&](Value tensor, const Slice &part) -> Value {
    if (Value known = slices.lookupOrNull(tensor))
      return known;
    auto type = cast<RankedTensorType>(tensor.getType());
    if (type.getShape() == ArrayRef(part.shape))
      return tensor;
    return tensor::ExtractSliceOp::create(b, type.clone(part.shape), tensor, part.offsets, part.sizes, part.strides);
  };
  for (auto &[op, loops] : llvm::reverse(chain.loops)) {
    b.setLoc(op->getLoc());
    SmallVector<Value> operands;
    for (OpOperand &operand : op->getOpOperands()) {
      auto type = dyn_cast<RankedTensorType>(operand.get().getType());
      if (!type) {
        operands.push_back(operand.get());
        continue;
      }
      Slice part = getSlice(b, getMap(operand), type, loops, ivs);
      Operation *definition = operand.get().getDefiningOp();
      if (!isInit(operand) || !isa_and_nonnull<tensor::EmptyOp, linalg::FillOp>(definition)) {
        Value whole = op == root && isInit(operand) ? forall.getRegionOutArgs()[0] : operand.get();
        operands.push_back(slice(whole, part));
        continue;
      }
      Value target = op == root ? slice(forall.getRegionOutArgs()[0], part)
                                : tensor::EmptyOp::create(b, part.shape, type.getElementType()).getResult();
      if (auto fill = dyn_cast<linalg::FillOp>(definition))
        target = linalg::FillOp::create(b, fill.getInputs(), ValueRange{target}).getResult(0);
      operands.push_back(target);
    }
    Operation *tile = mlir::clone(b, op, operands.back().getType(), operands);
    OpBuilder::InsertionGuard guard(b);
    tile->walk([&, &loops = loops](linalg::IndexOp index) {
      auto it = llvm::find(loops, int64_t(index.getDim()));
      if (it == loops.end())
        return;
      b.setInsertionPointAfter(index);
      auto shifted = arith::AddIOp::create(b, index, ivs[it - loops.begin()]);
      index.getResult().replaceAllUsesExcept(shifted, shifted);
    });
    slices.map(op->getResult(0), tile->getResult(0));
  }
  Slice part = getSlice(b, getMap(getInit(root)), resultType, chain.loops.find(root)->second, ivs);
  b.setInsertionPointToStart(forall.getTerminator().getBody());
  tensor::ParallelInsertSliceOp::create(b, slices.lookup(root->getResult(0)), forall.getRegionOutArgs()[0],
                                        part.offsets, part.sizes, part.strides);
  root->getResult(0).replaceAllUsesWith(forall.getResult(0));
}

int64_t mlir::prune::tileChains(FunctionOpInterface function, int64_t sliceBytes) {
  int64_t count = 0;
  for (Block &block : function.getFunctionBody()) {
    // Roots from the end of the block: a chain is as long as it can be.
    for (Operation *op = block.empty() ? nullptr : &block.back(); op;) {
      std::optional<Chain> chain = findChain(op, sliceBytes);
      if (!chain) {
        op = op->getPrevNode();
        continue;
      }
      emitChain(*chain);
      Operation *next = op->getPrevNode();
      while (next && chain->loops.contains(next))
        next = next->getPrevNode();
      for (auto &[dead, loops] : chain->loops)
        dead->erase();
      op = next;
      ++count;
    }
  }
  return count;
}

namespace {
struct PruneTileChains : prune::impl::PruneTileChainsBase<PruneTileChains> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<FunctionOpInterface> functions;
    getOperation()->walk([&](FunctionOpInterface function) { functions.push_back(function); });
    for (FunctionOpInterface function : functions)
      numChains += tileChains(function, sliceBytes);
  }
};
} // namespace
