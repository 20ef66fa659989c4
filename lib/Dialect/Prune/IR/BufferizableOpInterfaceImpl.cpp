//===- BufferizableOpInterfaceImpl.cpp - Packed layers on memrefs ----------------===//

#include "prune/Dialect/Prune/IR/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace mlir::prune;

namespace {

struct LinearOpInterface : DstBufferizableOpInterfaceExternalModel<LinearOpInterface, LinearOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &state) const {
    return &operand != &cast<LinearOp>(op).getInitMutable();
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto linear = cast<LinearOp>(op);
    rewriter.setInsertionPoint(op);
    auto buffer = [&](Value value) { return getBuffer(rewriter, value, options, state); };
    SmallVector<Value> storage;
    for (Value operand : linear.getStorage()) {
      FailureOr<Value> memref = buffer(operand);
      if (failed(memref))
        return failure();
      storage.push_back(*memref);
    }
    FailureOr<Value> input = buffer(linear.getInput()), init = buffer(linear.getInit());
    if (failed(input) || failed(init))
      return failure();
    SmallVector<Value> extras;
    for (Value extra : linear.getExtras()) {
      FailureOr<Value> memref = buffer(extra);
      if (failed(memref))
        return failure();
      extras.push_back(*memref);
    }
    Value shares;
    if (linear.getShares()) {
      FailureOr<Value> memref = buffer(linear.getShares());
      if (failed(memref))
        return failure();
      shares = *memref;
    }
    auto bufferized = LinearOp::create(rewriter, op->getLoc(), TypeRange(), storage, shares, *input, extras, *init,
                                       linear.getFormat(), linear.getRows(), linear.getChunk(), linear.getVectors(),
                                       linear.getLaneDims(), linear.getWordColumns(), linear.getWindowAttr());
    rewriter.inlineRegionBefore(linear.getEpilogue(), bufferized.getEpilogue(), bufferized.getEpilogue().end());
    replaceOpWithBufferizedValues(rewriter, op, *init);
    return success();
  }
};

struct DepthwiseOpInterface : DstBufferizableOpInterfaceExternalModel<DepthwiseOpInterface, DepthwiseOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &state) const {
    return &operand != &cast<DepthwiseOp>(op).getInitMutable();
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto depthwise = cast<DepthwiseOp>(op);
    rewriter.setInsertionPoint(op);
    SmallVector<Value> buffers;
    for (Value operand : op->getOperands()) {
      FailureOr<Value> memref = getBuffer(rewriter, operand, options, state);
      if (failed(memref))
        return failure();
      buffers.push_back(*memref);
    }
    auto extras = ArrayRef(buffers).drop_front(2).drop_back();
    auto bufferized = DepthwiseOp::create(rewriter, op->getLoc(), TypeRange(), buffers[0], buffers[1], extras,
                                          buffers.back(), depthwise.getWindow());
    rewriter.inlineRegionBefore(depthwise.getEpilogue(), bufferized.getEpilogue(), bufferized.getEpilogue().end());
    replaceOpWithBufferizedValues(rewriter, op, buffers.back());
    return success();
  }
};

struct BarrierOpInterface : BufferizableOpInterface::ExternalModel<BarrierOpInterface, BarrierOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &state) const { return false; }
  bool bufferizesToMemoryWrite(Operation *op, OpOperand &operand, const AnalysisState &state) const { return false; }
  AliasingValueList getAliasingValues(Operation *op, OpOperand &operand, const AnalysisState &state) const {
    return {{op->getResult(0), BufferRelation::Equivalent}};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    FailureOr<Value> buffer = getBuffer(rewriter, cast<BarrierOp>(op).getSource(), options, state);
    if (failed(buffer))
      return failure();
    replaceOpWithBufferizedValues(rewriter, op, *buffer);
    return success();
  }
};

/// Ops that read everything but their destinations, and have neither regions nor storage.
template <typename OpTy>
struct PlainOpInterface : DstBufferizableOpInterfaceExternalModel<PlainOpInterface<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &state) const {
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    rewriter.setInsertionPoint(op);
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      FailureOr<Value> buffer = operand;
      if (isa<TensorType>(operand.getType()))
        buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      operands.push_back(*buffer);
    }
    SmallVector<Value> inits;
    for (OpOperand &init : cast<DestinationStyleOpInterface>(op).getDpsInitsMutable())
      inits.push_back(operands[init.getOperandNumber()]);
    OpTy::create(rewriter, op->getLoc(), TypeRange(), operands, op->getAttrs());
    replaceOpWithBufferizedValues(rewriter, op, inits);
    return success();
  }
};

} // namespace

void mlir::prune::registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, PruneDialect *) {
    LinearOp::attachInterface<LinearOpInterface>(*context);
    DepthwiseOp::attachInterface<DepthwiseOpInterface>(*context);
    BarrierOp::attachInterface<BarrierOpInterface>(*context);
    SelectMasksOp::attachInterface<PlainOpInterface<SelectMasksOp>>(*context);
    RegrowMaskOp::attachInterface<PlainOpInterface<RegrowMaskOp>>(*context);
    WeightGradientOp::attachInterface<PlainOpInterface<WeightGradientOp>>(*context);
    KeepLargestOp::attachInterface<PlainOpInterface<KeepLargestOp>>(*context);
    ListNonzerosOp::attachInterface<PlainOpInterface<ListNonzerosOp>>(*context);
    SumColumnsOp::attachInterface<PlainOpInterface<SumColumnsOp>>(*context);
    SumAllColumnsOp::attachInterface<PlainOpInterface<SumAllColumnsOp>>(*context);
    MultiplyRowsOp::attachInterface<PlainOpInterface<MultiplyRowsOp>>(*context);
  });
}
