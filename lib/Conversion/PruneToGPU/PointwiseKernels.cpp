//===- PointwiseKernels.cpp - One thread for each point of the parallel loops -===//

#include "Kernels.h"
#include "LinalgEmitter.h"

using namespace mlir;
using namespace mlir::prune;

/// Threads of a block where a kernel does not share anything among them.
constexpr int64_t kBlockSize = 128;

static int64_t getNumBlocks(int64_t threads) { return (threads + kBlockSize - 1) / kBlockSize; }

namespace {
/// The loops of an operation, by what a thread does with them.
struct LoopSplit {
  explicit LoopSplit(linalg::LinalgOp op) {
    sizes = op.getStaticLoopRanges();
    for (auto [i, kind] : llvm::enumerate(op.getIteratorTypesArray()))
      (kind == utils::IteratorType::parallel ? parallel : reduction).push_back(i);
  }
  SmallVector<int64_t> sizesOf(ArrayRef<unsigned> loops) const {
    return llvm::map_to_vector(loops, [&](unsigned loop) { return sizes[loop]; });
  }

  SmallVector<int64_t> sizes;
  SmallVector<unsigned> parallel, reduction;
};
} // namespace

/// Runs the reduction loops `reduction[depth...]` around the body and returns the accumulators.
static SmallVector<Value> emitReduction(KernelBuilder &b, LinalgEmitter &emitter, const LoopSplit &split, size_t depth,
                                        SmallVector<Value> &loops, ValueRange accumulators) {
  if (depth == split.reduction.size())
    return emitter.emitBody(emitter.loadInputs(loops), accumulators, loops);
  unsigned loop = split.reduction[depth];
  Value outside = loops[loop];
  SmallVector<Value> results =
      b.forLoop(b.constant(0), b.constant(split.sizes[loop]), 1, accumulators, [&](Value index, ValueRange carried) {
        loops[loop] = index;
        return emitReduction(b, emitter, split, depth + 1, loops, carried);
      });
  loops[loop] = outside;
  return results;
}

LogicalResult mlir::prune::lowerPointwise(RewriterBase &rewriter, linalg::LinalgOp op, const GPUTarget &target,
                                          const LinalgFills &fills) {
  llvm::SetVector<Value> buffers;
  if (failed(collectBuffers(op, buffers)))
    return failure();
  LoopSplit split(op);
  SmallVector<int64_t> shape = split.sizesOf(split.parallel);
  int64_t points = ShapedType::getNumElements(shape);
  if (points == 0)
    return success();

  StringRef name = op->getName().stripDialect();
  KernelBuilder b(rewriter, op, target, name, buffers.getArrayRef(), {getNumBlocks(points), 1, 1}, {kBlockSize, 1, 1});
  LinalgBuffers inside;
  for (auto [i, buffer] : llvm::enumerate(buffers))
    inside.mapping.map(buffer, b.getBuffer(i));
  LinalgEmitter emitter(b, op, inside);
  Value point = b.add(b.mul(b.blockId(), kBlockSize), b.threadId());
  auto emitPoint = [&] {
    // The maps of outputs do not use the reduction loops.
    SmallVector<Value> loops(split.sizes.size(), b.constant(0));
    for (auto [loop, index] : llvm::zip(split.parallel, b.delinearize(point, shape)))
      loops[loop] = index;
    SmallVector<Value> starts;
    if (linalg::FillOp fill = fills.lookup(op))
      starts.push_back(b.clone(*fill.getInputs().front().getDefiningOp())->getResult(0));
    else
      starts = emitter.loadOutputs(loops, /*all=*/!split.reduction.empty());
    SmallVector<Value> results = emitReduction(b, emitter, split, 0, loops, starts);
    emitter.store(results, loops);
  };
  if (points % kBlockSize == 0)
    emitPoint();
  else
    b.ifThen(b.less(point, b.constant(points)), emitPoint);
  return b.finish();
}

LogicalResult mlir::prune::lowerCopy(RewriterBase &rewriter, memref::CopyOp op, const GPUTarget &target) {
  auto type = cast<MemRefType>(op.getTarget().getType());
  int64_t points = type.hasStaticShape() ? type.getNumElements() : -1;
  if (points < 0)
    return op.emitOpError() << "has no kernel: expected buffers of static shape, got " << type;
  if (points == 0)
    return success();
  KernelBuilder b(rewriter, op, target, "copy", {op.getSource(), op.getTarget()}, {getNumBlocks(points), 1, 1},
                  {kBlockSize, 1, 1});
  Value point = b.add(b.mul(b.blockId(), kBlockSize), b.threadId());
  b.ifThen(b.less(point, b.constant(points)), [&] {
    SmallVector<Value> indices = b.delinearize(point, type.getShape());
    Value element = memref::LoadOp::create(b, b.getBuffer(0), indices);
    memref::StoreOp::create(b, element, b.getBuffer(1), indices);
  });
  return b.finish();
}
