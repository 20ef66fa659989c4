//===- LowerCompressed.cpp - prune-lower-compressed -------------------------------===//

#include "ConstantStorage.h"
#include "GatherKept.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Conversion/Passes.h"
#include "prune/Dialect/Prune/IR/Prune.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNELOWERCOMPRESSED
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Row-major places of what the mask of `op` keeps.
template <typename OpTy> static FailureOr<std::vector<int32_t>> getKeptPlaces(OpTy op) {
  Attribute constant = getConstantAttr(op.getMask());
  if (!constant)
    return op.emitOpError() << "expected a constant mask, run prune-evaluate-masks first";
  FailureOr<MaskData> mask = MaskData::read(constant, [&] { return op.emitOpError(); });
  if (failed(mask))
    return failure();
  constexpr int64_t maxElements = std::numeric_limits<int32_t>::max();
  if (mask->size() > maxElements)
    return op.emitOpError() << "expected a weight of at most " << maxElements << " elements, got " << mask->size();
  std::vector<int32_t> places;
  for (auto [place, keeps] : llvm::enumerate(mask->bytes()))
    if (keeps)
      places.push_back(place);
  return places;
}

/// Zeros, and one kept element after the other in its place.
static LogicalResult lowerDecompress(DecompressOp op) {
  FailureOr<std::vector<int32_t>> places = getKeptPlaces(op);
  if (failed(places))
    return failure();
  ImplicitLocOpBuilder b(op.getLoc(), op);
  RankedTensorType type = op.getType();
  Type element = type.getElementType();
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(element));
  Value empty = tensor::EmptyOp::create(b, ArrayRef(type.getNumElements()), element);
  Value flat = linalg::FillOp::create(b, zero, empty).getResult(0);
  int64_t count = places->size();
  if (count > 0) {
    Value constant = makeConstant<int32_t>(b, *places, count, b.getI32Type(), "kept.places");
    auto loop = scf::ForOp::create(b, arith::ConstantIndexOp::create(b, 0), arith::ConstantIndexOp::create(b, count),
                                   arith::ConstantIndexOp::create(b, 1), flat,
                                   [&](OpBuilder &builder, Location loc, Value i, ValueRange carried) {
                                     ImplicitLocOpBuilder body(loc, builder);
                                     Value place = tensor::ExtractOp::create(body, constant, i);
                                     Value index = arith::IndexCastOp::create(body, body.getIndexType(), place);
                                     Value kept = tensor::ExtractOp::create(body, op.getValues(), i);
                                     Value next = tensor::InsertOp::create(body, kept, carried[0], index);
                                     scf::YieldOp::create(body, next);
                                   });
    flat = loop.getResult(0);
  }
  Value result = flat;
  if (type.getRank() != 1)
    result = tensor::ExpandShapeOp::create(
        b, type, flat, ArrayRef<ReassociationIndices>{llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()))});
  op.replaceAllUsesWith(result);
  op.erase();
  return success();
}

static LogicalResult lowerCompress(CompressOp op) {
  FailureOr<std::vector<int32_t>> places = getKeptPlaces(op);
  if (failed(places))
    return failure();
  ImplicitLocOpBuilder b(op.getLoc(), op);
  Value flat = op.getWeight();
  int64_t rank = op.getWeight().getType().getRank();
  if (rank != 1)
    flat = tensor::CollapseShapeOp::create(
        b, flat, ArrayRef<ReassociationIndices>{llvm::to_vector(llvm::seq<int64_t>(0, rank))});
  op.replaceAllUsesWith(gatherKept(b, flat, *places, static_cast<int64_t>(places->size()), "kept.places"));
  op.erase();
  return success();
}

namespace {
struct PruneLowerCompressed : prune::impl::PruneLowerCompressedBase<PruneLowerCompressed> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<DecompressOp, CompressOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      if (op->use_empty()) { // packed storage took its place
        op->erase();
        continue;
      }
      auto decompress = dyn_cast<DecompressOp>(op);
      if (failed(decompress ? lowerDecompress(decompress) : lowerCompress(cast<CompressOp>(op))))
        return signalPassFailure();
      ++numLowered;
    }
  }
};
} // namespace
