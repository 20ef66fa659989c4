//===- TileChains.cpp - Run chains of ops tile by tile ------------------------===//
//
// A chain ends in a root and holds the producers that only serve it (the softmax between two products of attention, the
// statistics of a layer norm, the two layers around an activation). All ops of a chain share outer parallel dimensions,
// the tile dimensions: they lead the largest intermediate tensor. The chain becomes one scf.forall over them whose body
// computes one slice after another, so that intermediates are slices that stay in cache.
//
//===----------------------------------------------------------------------===//

#include "Slices.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Dialect/Prune/Transforms/Layout.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNETILECHAINS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
struct Chain {
  Operation *root;
  llvm::MapVector<Operation *, TileLoops> loops; ///< the root first, then producers, the last in the block first
  SmallVector<int64_t> extents;
};
} // namespace

/// Times that a contraction should read an operand again within one tile, so that a panel of it pays.
static constexpr int64_t kMinReuse = 32;

/// Operands up to this stay in the first-level cache, however often they are read.
static constexpr int64_t kCachedBytes = 16 << 10;

/// False for products that tiling along `loops` would turn into products of matrix and vector: an operand that all
/// tiles read whole must be of use for several rows of each.
static bool keepsReuse(Operation *op, const TileLoops &loops) {
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  if (!structured || structured.getNumReductionLoops() == 0 || structured.getNumDpsInputs() < 2)
    return true;
  SmallVector<int64_t> ranges = structured.getStaticLoopRanges();
  SmallVector<utils::IteratorType> iterators = structured.getIteratorTypesArray();
  for (OpOperand *input : structured.getDpsInputOperands()) {
    AffineMap map = structured.getMatchingIndexingMap(input);
    auto isShared = [&](int64_t loop) { return ranges[loop] > 1 && !map.isFunctionOfDim(loop); };
    if (llvm::none_of(loops, isShared) || getBytes(input->get().getType()) <= kCachedBytes)
      continue;
    int64_t reuse = 1;
    for (auto [loop, range] : llvm::enumerate(ranges))
      if (iterators[loop] == utils::IteratorType::parallel && !llvm::is_contained(loops, static_cast<int64_t>(loop)) &&
          !map.isFunctionOfDim(loop))
        reuse *= range;
    if (reuse < kMinReuse)
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
  if (!loops || !canFix(producer, *loops) || !keepsReuse(producer, *loops))
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
  // Numbers have no dimension to tile along.
  if (!largest || getMap(*largest).getNumResults() == 0)
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
    if (!canFix(root, loops) || !keepsReuse(root, loops))
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

  SliceBuilder slices(b, ivs);
  for (auto &[op, loops] : llvm::reverse(chain.loops))
    slices.clone(op, loops, op == root ? forall.getRegionOutArgs()[0] : Value());
  Slice part = Slice::get(b, getMap(getInit(root)), resultType, chain.loops.find(root)->second, ivs);
  Value tile = slices.get(root->getResult(0), part);
  b.setInsertionPointToStart(forall.getTerminator().getBody());
  tensor::ParallelInsertSliceOp::create(b, tile, forall.getRegionOutArgs()[0], part.offsets, part.sizes, part.strides);
  root->getResult(0).replaceAllUsesWith(forall.getResult(0));
}

int64_t mlir::prune::tileChains(FunctionOpInterface function, int64_t sliceBytes) {
  int64_t count = 0;
  SmallVector<Block *> blocks;
  for (Block &block : function.getFunctionBody())
    blocks.push_back(&block);
  function.walk([&](scf::ForallOp loop) { blocks.push_back(loop.getBody()); });
  for (Block *block : blocks) {
    // Roots from the end of the block: a chain is as long as it can be.
    for (Operation *op = block->empty() ? nullptr : &block->back(); op;) {
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
