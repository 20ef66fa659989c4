//===- DepthwiseKernels.cpp - Loops of depthwise convolutions -------------------===//
//
// One channel after the other; its filter stays in registers. A block of rows of the result, one vector wide, goes from
// top to bottom of what it reads: each vector is loaded once and feeds all rows that use it. Which columns lie outside
// of the image is a mask per column of the filter, the same for all rows; which rows do is known when the code is made,
// as the rows at the upper and lower edge have code of their own. So the padded image never exists.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"
#include "WindowCopy.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Conversion/PruneToVector/PruneToVector.h"
#include <map>

using namespace mlir;
using namespace mlir::prune;

namespace {

class DepthwiseEmitter : private VectorKernelBuilder {
public:
  DepthwiseEmitter(RewriterBase &rewriter, DepthwiseOp op, const LinearKernelOptions &options)
      : VectorKernelBuilder(op.getLoc(), rewriter), op(op), options(options), window(op.getWindow()) {}

  LogicalResult run();

private:
  Value broadcast(Value scalar) {
    return vector::BroadcastOp::create(b, VectorType::get(vectorType.getShape(), scalar.getType()), scalar);
  }
  Value collapse(Value memref) { return memref::CollapseShapeOp::create(b, memref, planesAndPixels); }
  void loop(int64_t end, function_ref<void(Value)> body);

  void emitPlane(Value plane);
  void emitColumns(Value column);
  void emitRows(Value firstRow, int64_t count, std::optional<int64_t> knownRow);
  Value emitEpilogue(Value sum, Value pixel);

  DepthwiseOp op;
  LinearKernelOptions options;
  WindowAttr window;
  const SmallVector<ReassociationIndices> planesAndPixels{{0, 1}, {2, 3}};

  VectorType vectorType;
  Value input, output; // [images x channels, pixels]
  SmallVector<Value> extras;
  int64_t height = 0, width = 0, resultHeight = 0, resultWidth = 0;
  // State of what is being emitted.
  Value plane, channel, column;
  SmallVector<Value> filter;                  // [tap], broadcast
  SmallVector<Value> channelExtras;           // of extras per channel, broadcast; null for the others
  SmallVector<SmallVector<Value>> inputMasks; // [column of the filter][vector]
  Value storeMask;
};

} // namespace

void DepthwiseEmitter::loop(int64_t end, function_ref<void(Value)> body) {
  if (end == 0)
    return;
  if (end == 1)
    return body(index(0));
  auto loop = scf::ForOp::create(b, index(0), index(end), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

LogicalResult DepthwiseEmitter::run() {
  for (Value operand : op->getOperands()) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.hasStaticShape() || !type.isLastDimUnitStride() ||
        (type.getRank() == 4 && !memref::CollapseShapeOp::isGuaranteedCollapsible(type, planesAndPixels)))
      return op.emitOpError() << "expected operands of static memref type, images as planes of contiguous pixels, got "
                              << operand.getType();
  }
  ArrayRef<int64_t> inputShape = op.getInputType().getShape(), shape = op.getInitType().getShape();
  height = inputShape[2], width = inputShape[3], resultHeight = shape[2], resultWidth = shape[3];
  // Where masked stores are cheap, the narrowest vector that holds a row; elsewhere the widest that a row fills.
  bool hasMaskedStores = options.lanes >= 16;
  int64_t lanes = options.lanes;
  while (hasMaskedStores ? lanes / 2 >= resultWidth : lanes > resultWidth)
    lanes /= 2;
  vectorType = VectorType::get(lanes, op.getInitType().getElementType());
  input = collapse(op.getInput());
  output = collapse(op.getInit());
  for (Value extra : op.getExtras())
    extras.push_back(cast<MemRefType>(extra.getType()).getRank() == 1 ? extra : collapse(extra));

  int64_t planes = shape[0] * shape[1];
  constexpr int64_t minParallelWork = 1000000; // multiply-adds in about 20 us
  if (options.parallel && planes > 1 && planes * resultHeight * resultWidth * window.getNumTaps() >= minParallelWork) {
    scf::ParallelOp::create(b, ValueRange{index(0)}, ValueRange{index(planes)}, ValueRange{index(1)},
                            [&](OpBuilder &nested, Location loc, ValueRange ivs) {
                              OpBuilder::InsertionGuard guard(b);
                              b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
                              emitPlane(ivs[0]);
                            });
    return success();
  }
  loop(planes, [&](Value plane) { emitPlane(plane); });
  return success();
}

void DepthwiseEmitter::emitPlane(Value planeIndex) {
  plane = planeIndex;
  channel = op.getInitType().getDimSize(0) == 1 ? plane
                                                : arith::RemUIOp::create(b, plane, index(op.getNumRows())).getResult();
  ArrayRef<int64_t> kernel = window.getKernel();
  filter.clear();
  for (int64_t y = 0; y < kernel[0]; ++y)
    for (int64_t x = 0; x < kernel[1]; ++x)
      filter.push_back(broadcast(memref::LoadOp::create(b, op.getFilter(), ValueRange{channel, index(y), index(x)})));
  channelExtras.clear();
  for (Value extra : extras) {
    bool isPerChannel = cast<MemRefType>(extra.getType()).getRank() == 1;
    channelExtras.push_back(isPerChannel ? broadcast(memref::LoadOp::create(b, extra, ValueRange{channel})) : Value());
  }
  int64_t lanes = vectorType.getNumElements();
  // The last vector of a row overlaps the one before instead of being masked.
  loop((resultWidth + lanes - 1) / lanes, [&](Value block) {
    Value first = mul(block, lanes);
    if (resultWidth > lanes && resultWidth % lanes)
      first = arith::MinUIOp::create(b, first, index(resultWidth - lanes));
    emitColumns(first);
  });
}

/// One vector of columns, all rows.
void DepthwiseEmitter::emitColumns(Value firstColumn) {
  column = firstColumn;
  int64_t lanes = vectorType.getNumElements(), stride = window.getStrides()[1];
  int64_t validLanes = std::min(lanes, resultWidth);
  inputMasks.clear();
  for (int64_t tap = 0; tap < window.getKernel()[1]; ++tap) {
    Value first = add(mul(column, stride), tap * window.getDilations()[1] - window.getLow()[1]);
    Value begin = arith::SubIOp::create(b, index(0), first);
    Value end = arith::SubIOp::create(b, index(width), first);
    end = arith::MinSIOp::create(b, end, index(validLanes * stride));
    inputMasks.push_back(makeRangeMasks(b, lanes, stride, begin, end));
  }
  storeMask = Value();
  if (validLanes < lanes)
    storeMask = vector::CreateMaskOp::create(b, VectorType::get(lanes, b.getI1Type()), ValueRange{index(validLanes)});

  // Rows whose window lies inside of the image, from top to bottom.
  int64_t strideY = window.getStrides()[0], low = window.getLow()[0];
  int64_t reach = (window.getKernel()[0] - 1) * window.getDilations()[0];
  int64_t begin = std::min((low + strideY - 1) / strideY, resultHeight);
  int64_t lastStart = height - 1 + low - reach;
  int64_t end = std::clamp<int64_t>(lastStart < 0 ? 0 : lastStart / strideY + 1, begin, resultHeight);
  int64_t blockRows = options.registers >= 32 ? 6 : 4;
  auto emitKnownRows = [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row += blockRows)
      emitRows(index(row), std::min(blockRows, to - row), row);
  };
  emitKnownRows(0, begin);
  int64_t blocks = (end - begin) / blockRows;
  loop(blocks, [&](Value block) { emitRows(add(mul(block, blockRows), begin), blockRows, std::nullopt); });
  emitKnownRows(begin + blocks * blockRows, end);
  emitKnownRows(end, resultHeight);
}

/// `count` rows of the result from `firstRow` on. If that is a known number, what lies outside of the image is left
/// out.
void DepthwiseEmitter::emitRows(Value firstRow, int64_t count, std::optional<int64_t> knownRow) {
  ArrayRef<int64_t> kernel = window.getKernel(), strides = window.getStrides(), dilations = window.getDilations(),
                    low = window.getLow();
  // Uses of each row that is read, counted from the first one: row of the result and of the filter.
  std::map<int64_t, SmallVector<std::pair<int64_t, int64_t>>> uses;
  for (int64_t row = 0; row < count; ++row)
    for (int64_t tap = 0; tap < kernel[0]; ++tap) {
      int64_t offset = row * strides[0] + tap * dilations[0] - low[0];
      if (knownRow) {
        int64_t position = *knownRow * strides[0] + offset;
        if (position < 0 || position >= height)
          continue;
      }
      uses[offset].push_back({row, tap});
    }
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
  SmallVector<Value> sums(count, zero);
  Value firstPixel = add(mul(firstRow, strides[0] * width), mul(column, strides[1]));
  for (const auto &[offset, list] : uses)
    for (int64_t tap = 0; tap < kernel[1]; ++tap) {
      Value pixel = add(firstPixel, offset * width + tap * dilations[1] - low[1]);
      Value loaded = loadStrided(b, vectorType, input, {plane, pixel}, inputMasks[tap]);
      for (auto [row, tapY] : list)
        sums[row] = vector::FMAOp::create(b, loaded, filter[tapY * kernel[1] + tap], sums[row]);
    }
  for (int64_t row = 0; row < count; ++row) {
    Value pixel = add(mul(add(firstRow, row), resultWidth), column);
    Value result = emitEpilogue(sums[row], pixel);
    if (storeMask)
      vector::MaskedStoreOp::create(b, output, ValueRange{plane, pixel}, storeMask, result);
    else
      vector::StoreOp::create(b, result, output, ValueRange{plane, pixel});
  }
}

/// The region on vectors.
Value DepthwiseEmitter::emitEpilogue(Value sum, Value pixel) {
  Block &body = op.getEpilogue().front();
  SmallVector<Value> arguments{sum};
  for (auto [argument, extra, broadcasted] : llvm::zip(body.getArguments().drop_front(), extras, channelExtras)) {
    auto type = VectorType::get(vectorType.getShape(), argument.getType());
    if (broadcasted)
      arguments.push_back(broadcasted);
    else if (storeMask)
      arguments.push_back(vector::MaskedLoadOp::create(b, type, extra, ValueRange{plane, pixel}, storeMask,
                                                       arith::ConstantOp::create(b, b.getZeroAttr(type))));
    else
      arguments.push_back(vector::LoadOp::create(b, type, extra, ValueRange{plane, pixel}));
  }
  return applyEpilogue(body, arguments, vectorType.getShape());
}

LogicalResult mlir::prune::lowerDepthwise(RewriterBase &rewriter, DepthwiseOp op, const LinearKernelOptions &options) {
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  if (failed(DepthwiseEmitter(rewriter, op, options).run()))
    return failure();
  rewriter.eraseOp(op);
  return success();
}
