//===- LinalgToVectorPass.cpp - convert-linalg-to-vector-loops ------------------===//

#include "NestEmitter.h"
#include "Packing.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Remarks.h"
#include "prune/Conversion/LinalgToVector/LinalgToVector.h"
#include "prune/Conversion/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_CONVERTLINALGTOVECTORLOOPS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

bool prune::accumulatesOn(linalg::LinalgOp op, OpOperand &init) {
  AffineMap map = op.getMatchingIndexingMap(&init);
  for (auto [loop, kind] : llvm::enumerate(op.getIteratorTypesArray()))
    if (kind == utils::IteratorType::reduction && map.isFunctionOfDim(loop))
      return false;
  return op.getNumReductionLoops() != 0;
}

linalg::FillOp prune::getOwnFill(linalg::LinalgOp op) {
  if (op.getNumReductionLoops() == 0 || isa<linalg::FillOp>(op))
    return {};
  Value target;
  for (OpOperand &init : op.getDpsInitsMutable())
    if (accumulatesOn(op, init) && std::exchange(target, init.get()))
      return {}; // two that would need one each
  Operation *previous = op->getPrevNode();
  while (previous && isMemoryEffectFree(previous))
    previous = previous->getPrevNode();
  auto fill = dyn_cast_or_null<linalg::FillOp>(previous);
  if (!fill || fill.getDpsInitOperand(0)->get() != target || llvm::is_contained(op.getDpsInputs(), target))
    return {};
  return fill;
}

FailureOr<LinalgToVectorResult> prune::lowerLinalgToVectorLoops(RewriterBase &rewriter, linalg::LinalgOp op,
                                                                const LinalgToVectorOptions &options) {
  LinalgToVectorResult result;
  if (!op.hasPureBufferSemantics()) {
    op.emitOpError() << "expected buffers, got tensors: bufferize before generating loops";
    return failure();
  }
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  b.setInsertionPoint(op);
  std::string reason;
  FailureOr<Nest> nest = buildNest(b, op, reason);
  if (failed(nest)) {
    op.emitOpError() << "cannot become loops: " << reason;
    return failure();
  }
  mergeDims(*nest);
  if (options.pack) {
    FailureOr<bool> packed = emitPacked(rewriter, b, *nest, options, result);
    if (failed(packed))
      return failure();
    if (*packed) {
      rewriter.eraseOp(op);
      return result;
    }
  }
  // A reduction over one element is none: then the output's contents are read, and the fill has to stay.
  if (linalg::FillOp fill = !nest->empty && nest->hasReduction() ? getOwnFill(op) : linalg::FillOp()) {
    for (NestOperand &operand : nest->operands)
      if (operand.accumulates)
        operand.initial = fill.getInputs().front();
    rewriter.eraseOp(fill);
    result.startsFromFill = true;
  }
  Schedule schedule = makeSchedule(*nest, options);
  NestEmitter emitter(b, *nest, schedule, options);
  emitter.emit();
  result.vectorized = schedule.vector >= 0 && schedule.lanes > 1;
  result.reason = schedule.reason;
  if (!result.vectorized && result.reason.empty())
    result.reason = "the dimension for the lanes is shorter than two elements";
  result.parallel = emitter.usedThreads();
  rewriter.eraseOp(op);
  return result;
}

namespace {
struct ConvertLinalgToVectorLoops : mlir::prune::impl::ConvertLinalgToVectorLoopsBase<ConvertLinalgToVectorLoops> {
  using ConvertLinalgToVectorLoopsBase::ConvertLinalgToVectorLoopsBase;

  void runOnOperation() override {
    if (vectorBits != 128 && vectorBits != 256 && vectorBits != 512) {
      getOperation()->emitError() << "expected vector-bits 128, 256 or 512, got " << vectorBits.getValue();
      return signalPassFailure();
    }
    LinalgToVectorOptions options;
    options.vectorBits = vectorBits;
    options.maxAccumulators = maxAccumulators;
    options.fuseMultiplyAdd = fuseMultiplyAdd;
    options.pack = pack;
    options.panelBytes = panelBytes;
    options.threads = threads;
    options.parallelThreshold = parallelThreshold;

    IRRewriter rewriter(&getContext());
    // A copy between different layouts would become a call of a run-time library.
    SmallVector<memref::CopyOp> copies;
    getOperation()->walk([&](memref::CopyOp copy) { copies.push_back(copy); });
    for (memref::CopyOp copy : copies) {
      auto source = dyn_cast<MemRefType>(copy.getSource().getType());
      auto target = dyn_cast<MemRefType>(copy.getTarget().getType());
      if (!source || !target || (source.getLayout().isIdentity() && target.getLayout().isIdentity()))
        continue;
      rewriter.setInsertionPoint(copy);
      linalg::CopyOp::create(rewriter, copy.getLoc(), copy.getSource(), copy.getTarget());
      rewriter.eraseOp(copy);
    }

    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    // A fill waits for the op that may start from its value.
    DenseSet<Operation *> waiting;
    for (linalg::LinalgOp op : ops)
      if (linalg::FillOp fill = getOwnFill(op))
        waiting.insert(fill);
    for (linalg::LinalgOp op : ops) {
      if (waiting.contains(op))
        continue;
      Location loc = op.getLoc();
      std::string name = op->getName().getStringRef().str();
      LinalgToVectorOptions own = options;
      auto function = op->getParentOfType<func::FuncOp>();
      if (op->getParentOfType<scf::ParallelOp>() || (function && function->hasAttr(kSerialAttrName)))
        own.threads = 1;
      linalg::FillOp fill = getOwnFill(op);
      FailureOr<LinalgToVectorResult> result = lowerLinalgToVectorLoops(rewriter, op, own);
      if (succeeded(result) && fill && !result->startsFromFill && failed(lowerLinalgToVectorLoops(rewriter, fill, own)))
        return signalPassFailure();
      if (failed(result))
        return signalPassFailure();
      ++(result->vectorized ? numVectorized : numScalar);
      numParallel += result->parallel;
      numPacked += result->packed;
      if (!result->vectorized)
        remark::missed(loc, remark::RemarkOpts::name("ScalarLoops").category("codegen"))
            << (name + " runs on scalars: " + result->reason);
    }
  }
};
} // namespace
