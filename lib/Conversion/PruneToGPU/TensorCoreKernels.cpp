//===- TensorCoreKernels.cpp - Packed layers on tensor cores -------------------===//

#include "TensorCoreKernels.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::prune;

LogicalResult mlir::prune::verifyRowMajor(LinearOp layer, const GPUTarget &target) {
  for (Value buffer : {layer.getInput(), layer.getInit()})
    if (!cast<MemRefType>(buffer.getType()).getLayout().isIdentity())
      return layer.emitOpError() << "has no kernel for " << target.chip
                                 << ": expected activations in row-major order, got " << buffer.getType();
  return success();
}

TensorCoreLayout mlir::prune::getTensorCoreLayout(LinearOp op, bool isWarpGroup) {
  TensorCoreLayout layout;
  layout.isWarpGroup = isWarpGroup;
  layout.isSparse = op.getFormat() == StorageFormat::TwoOfFour;
  Type element = op.getInputType().getElementType();
  layout.type = element.isF16()        ? TensorCoreType::F16
                : element.isBF16()     ? TensorCoreType::BF16
                : element.isInteger(8) ? TensorCoreType::I8
                                       : TensorCoreType::TF32;
  return layout;
}

Type mlir::prune::getElementType(Builder &b, const TensorCoreLayout &layout) {
  switch (layout.type) {
  case TensorCoreType::F16:
    return b.getF16Type();
  case TensorCoreType::BF16:
    return b.getBF16Type();
  case TensorCoreType::TF32:
    return b.getF32Type();
  case TensorCoreType::I8:
    return b.getI8Type();
  }
  llvm_unreachable("all types are above");
}

Type mlir::prune::getSumType(Builder &b, const TensorCoreLayout &layout) {
  return layout.type == TensorCoreType::I8 ? Type(b.getI32Type()) : b.getF32Type();
}

StringRef mlir::prune::getFactorName(const TensorCoreLayout &layout) {
  static constexpr StringRef names[] = {"f16", "bf16", "tf32", "s8"};
  return names[static_cast<size_t>(layout.type)];
}

StringRef mlir::prune::getSumName(const TensorCoreLayout &layout) {
  return layout.type == TensorCoreType::I8 ? "s32" : "f32";
}

Value mlir::prune::multiplyAddElements(KernelBuilder &b, Value weight, Value token, Value sum) {
  Type type = sum.getType();
  weight = b.convert(weight, type);
  token = b.convert(token, type);
  if (isa<FloatType>(type))
    return arith::AddFOp::create(b, sum, arith::MulFOp::create(b, weight, token));
  return arith::AddIOp::create(b, sum, arith::MulIOp::create(b, weight, token));
}

Value mlir::prune::loadTokenOrZero(KernelBuilder &b, const LayerBuffers &layer, Value token, Value column) {
  Value input = viewAsMatrix(b, b.getBuffer(layer.getInputBuffer()));
  Type element = layer.op.getInputType().getElementType();
  Value isInside = arith::AndIOp::create(b, b.less(token, b.constant(layer.numTokens)),
                                         b.less(column, b.constant(layer.numColumns)));
  auto loaded = scf::IfOp::create(b, element, isInside, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loaded.thenBlock());
  scf::YieldOp::create(b, memref::LoadOp::create(b, input, ValueRange{token, column}).getResult());
  b.setInsertionPointToStart(loaded.elseBlock());
  scf::YieldOp::create(b, b.zero(element));
  return loaded.getResult(0);
}

ColumnParts::ColumnParts(const LayerBuffers &layer, int64_t columnTiles, int64_t blocks, int64_t together,
                         double tileNs, const GPUKernelOptions &options)
    : columnTiles(columnTiles) {
  int64_t splits = options.columnSplits;
  if (splits == 0)
    splits = options.model.chooseColumnSplits(blocks, together, columnTiles, static_cast<double>(columnTiles) * tileNs,
                                              layer.numTokens * layer.numRows);
  // No part is empty.
  tilesOfPart = getNumTiles(columnTiles, std::min(splits, columnTiles));
  count = getNumTiles(columnTiles, tilesOfPart);
}

Value ColumnParts::getEndTile(KernelBuilder &b, Value part) const {
  return arith::MinUIOp::create(b, b.add(getFirstTile(b, part), tilesOfPart), b.constant(columnTiles));
}

SmallVector<Value> ColumnParts::getBuffers(RewriterBase &rewriter, const LayerBuffers &layer, Type sumType) {
  if (!isSplit())
    return layer.getBuffers();
  rewriter.setInsertionPoint(layer.op);
  sums = memref::AllocOp::create(rewriter, layer.op.getLoc(),
                                 MemRefType::get({count, layer.numTokens, layer.numRows}, sumType));
  return {layer.op.getStorage().front(), layer.op.getInput(), sums};
}

void ColumnParts::store(KernelBuilder &b, const LayerBuffers &layer, Value sum, Value part, Value token,
                        Value row) const {
  if (isSplit())
    memref::StoreOp::create(b, sum, b.getBuffer(layer.getInputBuffer() + 1), ValueRange{part, token, row});
  else
    layer.storeResult(b, sum, token, row);
}

LogicalResult ColumnParts::finish(RewriterBase &rewriter, const LayerBuffers &layer, const GPUTarget &target) const {
  return isSplit() ? addParts(rewriter, layer, sums, target) : success();
}

/// Whether the warps of a block should share the columns of 16 rows. All blocks then read all tokens, which must cost
/// less than the launch that adds up parts would: on an H200 they come at a third of the memory's rate.
static bool suitsWarpColumns(const LayerBuffers &layer, const TensorCoreLayout &layout,
                             const GPUKernelOptions &options) {
  constexpr int64_t mostTokens = 16;
  constexpr double share = 0.35;
  double bytes = static_cast<double>(layout.getNumRowTiles(layer.numRows)) * layer.numTokens * layer.numColumns *
                 layout.getElementBytes();
  return options.columnSplits == 0 && layer.numTokens <= mostTokens && layer.numColumns % layout.getColumns() == 0 &&
         bytes <= share * options.model.memoryGBps * options.model.launchNs;
}

LogicalResult mlir::prune::lowerTiles(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                      const GPUKernelOptions &options) {
  for (bool isWarpGroup : {false, true}) {
    TensorCoreLayout layout = getTensorCoreLayout(op, isWarpGroup);
    if (static_cast<int64_t>(op.getRows()) == layout.getRows() &&
        static_cast<int64_t>(op.getChunk()) == layout.getColumns()) {
      if (!isWarpGroup && suitsWarpColumns(LayerBuffers(op), layout, options))
        return lowerByWarpColumns(rewriter, op, target);
      return isWarpGroup ? lowerByWarpGroups(rewriter, op, target, options)
                         : lowerByWarps(rewriter, op, target, options);
    }
  }
  int64_t columns = getTensorCoreLayout(op, false).getColumns();
  return op.emitOpError() << "has no kernel for " << target.chip << ": expected tiles of 16 x " << columns
                          << " or 128 x " << columns << ", got " << op.getRows() << " x " << op.getChunk();
}
